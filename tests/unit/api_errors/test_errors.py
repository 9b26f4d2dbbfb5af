"""Status answers in upstream's words, and back from bytes."""

from __future__ import annotations

import pytest

from tiphys.api import codec, errors, field_errors
from tiphys.api.errors import ApiError
from tiphys.api.field_errors import FieldError


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (errors.not_found("pods", "a"), 404, "NotFound", 'pods "a" not found'),
        (errors.already_exists("deployments.apps", "a"), 409, "AlreadyExists", 'deployments.apps "a" already exists'),
        (errors.forbidden("pods", "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (errors.forbidden("", "", "no"), 403, "Forbidden", "forbidden: no"),
        (errors.forbidden("pods", "a", "no"), 403, "Forbidden", 'pods "a" is forbidden: no'),
        (errors.unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (errors.timeout("slow"), 504, "Timeout", "Timeout: slow"),
        (errors.internal("boom"), 500, "InternalError", "Internal error occurred: boom"),
        (errors.unclassified("boom"), 500, "", "boom"),
        (errors.too_many_requests("later", 3), 429, "TooManyRequests", "later"),
        (errors.expired("old"), 410, "Expired", "old"),
        (
            errors.method_not_supported("bindings", "list"),
            405,
            "MethodNotAllowed",
            'list is not supported on resources of kind "bindings"',
        ),
    ],
)
def test_words(error: ApiError, code: int, reason: str, message: str) -> None:
    assert (error.code, error.reason, error.message) == (code, reason, message)


def test_one_problem_is_said_plainly_and_several_in_brackets() -> None:
    first, second = field_errors.required("a"), field_errors.forbidden("b", "no")
    assert errors.invalid("Pod", "x", [first]).message == 'Pod "x" is invalid: a: Required value'
    several = errors.invalid("Deployment.apps", "x", [first, second, first])
    assert several.message == 'Deployment.apps "x" is invalid: [a: Required value, b: Forbidden: no]'
    details = several.status.details
    assert details is not None
    assert (details.kind, details.group, details.name, len(details.causes)) == ("Deployment", "apps", "x", 3)


@pytest.mark.parametrize(
    ("problem", "reason", "message"),
    [
        (field_errors.invalid("f", "x", "bad"), "FieldValueInvalid", 'Invalid value: "x": bad'),
        (field_errors.invalid("f", 5, "bad"), "FieldValueInvalid", "Invalid value: 5: bad"),
        (field_errors.invalid("f", None, "bad"), "FieldValueInvalid", "Invalid value: null: bad"),
        (field_errors.invalid("f", True, "bad"), "FieldValueInvalid", "Invalid value: true: bad"),
        (field_errors.invalid("f", {"b": "<"}, "bad"), "FieldValueInvalid", 'Invalid value: {"b":"\\u003c"}: bad'),
        (field_errors.invalid("f", 'a"\n', "bad"), "FieldValueInvalid", 'Invalid value: "a\\"\\n": bad'),
        (
            field_errors.not_supported("f", "x", ["A", "B"]),
            "FieldValueNotSupported",
            'Unsupported value: "x": supported values: "A", "B"',
        ),
        (field_errors.duplicate("f", "x"), "FieldValueDuplicate", 'Duplicate value: "x"'),
        (field_errors.not_found("f", "x"), "FieldValueNotFound", 'Not found: "x"'),
        (field_errors.too_long("f", 63), "FieldValueTooLong", "Too long: may not be more than 63 bytes"),
        (field_errors.too_many("f", 3, 1), "FieldValueTooMany", "Too many: 3: must have at most 1 item"),
        (field_errors.internal("f", "x"), "InternalError", "Internal error: x"),
    ],
)  # fmt: skip
def test_causes(problem: FieldError, reason: str, message: str) -> None:
    assert (problem.reason, problem.message, str(problem)) == (reason, message, f"f: {message}")


def test_there_and_back() -> None:
    sent = errors.conflict("pods", "a")
    received = ApiError.from_body(409, codec.encode(sent.status))
    assert (received.code, received.reason, received.message) == (409, "Conflict", sent.message)
    assert received.status == sent.status


def test_answers_that_are_no_status() -> None:
    assert ApiError.from_body(502, b"bad gateway\n").message == "bad gateway"
    assert ApiError.from_body(404, b"404 page not found").reason == "NotFound"
    assert ApiError.from_body(500, b'{"kind":"Pod"}').message == "the server answered 500 with a Pod"
