"""What holds for every object of every kind, however odd."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.property.random_objects import make
from tiphys.api import advice, codec, errors, strategy, strict
from tiphys.api.defaulting import default
from tiphys.api.field_errors import FieldError
from tiphys.api.scheme import RESOURCES
from tiphys.api.validation import validate_create, validate_status_update, validate_update

NOW = "2026-01-01T00:00:00Z"
KINDS = sorted({resource.struct for resource in RESOURCES}, key=lambda kind: (kind.__module__, kind.__name__))
FULLNESS = (0.1, 0.3, 0.6)


def ident(kind: type[Any]) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


def objects(kind: type[Any]) -> list[Any]:
    source = random.Random(ident(kind))
    return [make(kind, source, fullness) for fullness in FULLNESS for _ in range(8)]


@pytest.mark.parametrize("kind", KINDS, ids=ident)
def test_defaulting_is_idempotent(kind: type[Any]) -> None:
    for obj in objects(kind):
        once = codec.encode(default(obj))
        assert codec.encode(default(codec.decode(kind, once))) == once


@pytest.mark.parametrize("kind", KINDS, ids=ident)
def test_checks_answer_whatever_they_are_given(kind: type[Any]) -> None:
    for obj in objects(kind):
        obj = default(obj)
        if hasattr(obj, "metadata") and hasattr(obj.metadata, "labels"):
            strategy.begin_create(obj.metadata, uid="u", now=NOW, suffix=lambda: "abcde")
            strategy.prepare_create(obj, now=NOW)
        found = validate_create(obj)
        assert all(isinstance(problem, FieldError) and problem.message for problem in found)
        assert errors.invalid(kind.__name__, "x", found).code == 422
        assert all(isinstance(text, str) for text in advice.on_create(obj))


@pytest.mark.parametrize("kind", KINDS, ids=ident)
def test_updates_leave_the_old_object_alone(kind: type[Any]) -> None:
    pool = objects(kind)
    for old, new in zip(pool, reversed(pool), strict=True):
        if not hasattr(old.metadata, "labels"):
            return
        old, new = default(codec.decode(kind, codec.encode(old))), default(codec.decode(kind, codec.encode(new)))
        before = codec.encode(old)
        strategy.begin_update(new.metadata, old.metadata)
        strategy.prepare_update(new, old)
        validate_update(new, old)
        assert codec.encode(old) == before
        again = default(codec.decode(kind, codec.encode(new)))
        strategy.prepare_status_update(again, old)
        validate_status_update(again, old)
        assert codec.encode(old) == before


@pytest.mark.parametrize("kind", KINDS, ids=ident)
def test_an_object_that_does_not_change_may_be_written_again(kind: type[Any]) -> None:
    for old in objects(kind):
        old = default(old)
        if not hasattr(old.metadata, "labels"):
            return
        strategy.prepare_create(old, now=NOW)
        old.metadata.name, old.metadata.uid, old.metadata.resource_version = "x", "u", "1"
        new = codec.decode(kind, codec.encode(old))
        strategy.begin_update(new.metadata, old.metadata)
        strategy.prepare_update(new, old)
        assert new.metadata.generation == old.metadata.generation
        immutable = [problem for problem in validate_update(new, old) if "immutable" in problem.message]
        assert immutable == []


@pytest.mark.parametrize("kind", KINDS, ids=ident)
def test_what_was_encoded_has_no_unknown_field(kind: type[Any]) -> None:
    for obj in objects(kind):
        assert strict.inspect(kind, codec.encode(obj)) == strict.NOTHING
