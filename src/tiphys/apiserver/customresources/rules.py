"""Rules in CEL against objects: what a schema's `x-kubernetes-validations` say of a write. Pure.

A schema becomes a tree of the nodes that have rules at or below them, compiled once per version of a definition; a
schema without rules becomes nothing, and costs nothing. An object walks the tree with what it replaces:

    node --rules--> causes
     |-- properties, additionalProperties: beside the old member of the same name
     |-- items: beside the old item with the same keys, in lists that are maps; else alone

Rules that speak of `oldSelf` apply where there is an old value to compare with (or say that they do without). Causes
of values that did not change are warnings: an object that was stored before its rule can still be updated.

What all rules of one write may take is bounded: the budget is spent by the time they really take on the processor, in
units of which there are ten million a second, upstream's own measure of its budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tiphys.api import cel
from tiphys.api.cel.errors import PER_CALL_LIMIT, RUNTIME_BUDGET
from tiphys.api.cel.paths import normalize
from tiphys.api.cel.rules import EXTENSION, Rule, compile_rules
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, required
from tiphys.apiserver.customresources.correlation import Correlated

UNITS_PER_SECOND: Final = 10_000_000
_ROOT: Final = "<nil>"
_MESSAGE_BYTES: Final = 5 * 1024
_OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"
_MESSAGE_OUT_OF_BUDGET: Final = (
    "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
)


NOT_CHECKED: Final = invalid(
    "<nil>",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
_BLOCKING: Final = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")


def is_blocked(found: list[FieldError]) -> bool:
    """Whether an object is so wrong that rules cannot be asked."""
    return any(error.reason in _BLOCKING for error in found)


class Node(msgspec.Struct, frozen=True):
    """One node of a schema with rules at or below it. type: as the schema has it; places: rule by rule, fieldPath."""

    type: str
    declared: cel.Declared | None
    rules: tuple[Rule, ...]
    places: tuple[str | None, ...]
    all_of: tuple[Node, ...]
    properties: dict[str, Node]
    others: Node | None
    items: Node | None
    map_keys: tuple[str, ...]


def compile_schema(schema: Mapping[str, Any]) -> Node | None:
    """The tree of a version's schema; None if it has no rules."""
    return _node(schema, schema, is_root=True)


def _node(rules_of: Mapping[str, Any], schema: Mapping[str, Any], *, is_root: bool) -> Node | None:
    """`rules_of` has the rules: the node itself, or a part of its allOf."""
    properties = schema.get("properties") or {}
    below = {
        name: found
        for name, inner in (rules_of.get("properties") or {}).items()
        if name in properties and (found := _below(inner, properties[name])) is not None
    }
    others = _below(rules_of.get("additionalProperties"), schema.get("additionalProperties"))
    items = _below(rules_of.get("items"), schema.get("items"))
    parts = (_node(part, schema, is_root=is_root) for part in rules_of.get("allOf") or ())
    all_of = tuple(part for part in parts if part is not None)
    given = rules_of.get(EXTENSION) or ()
    if not (given or below or others or items or all_of):
        return None
    declared = cel.declare(schema, is_root=is_root) if given else None
    rules = tuple(compile_rules(given, declared)) if declared is not None else ()
    return Node(
        type=schema.get("type", ""),
        declared=declared,
        rules=rules,
        places=tuple(normalize(where, schema) if (where := rule.given.get("fieldPath")) else None for rule in rules),
        all_of=all_of,
        properties=below,
        others=others,
        items=items,
        map_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ())
        if schema.get("x-kubernetes-list-type") == "map"
        else (),
    )


def _below(rules_of: Any, schema: Any) -> Node | None:
    if not isinstance(rules_of, Mapping) or not isinstance(schema, Mapping):
        return None
    return _node(rules_of, schema, is_root=bool(schema.get("x-kubernetes-embedded-resource")))


class _Spent(Exception):
    """The budget is; nothing more is evaluated."""


def check(
    node: Node, data: Any, old: Any, warnings: list[str], *, spent_seconds: Callable[[], float] = time.thread_time
) -> list[FieldError]:
    """What the rules say of `data`, an object with apiVersion, kind and metadata; `old` is what it replaces, if any."""
    run = _Run(warnings, spent_seconds)
    try:
        run.check(node, data, old, "", Correlated(data, old) if old is not None else None, None)
    except _Spent:
        pass
    return run.found


class _Run:
    def __init__(self, warnings: list[str], spent_seconds: Callable[[], float]) -> None:
        self.found: list[FieldError] = []
        self._warnings = warnings
        self._spent_seconds = spent_seconds
        self._budget = float(RUNTIME_BUDGET)

    def check(
        self, node: Node, data: Any, old: Any, path: str, now: Correlated | None, above: Correlated | None
    ) -> None:
        """A value beside its old one. `now`: None where values cannot be told apart; `above`: the nearest that can."""
        if data is None:
            return
        nearest = now if now is not None else above
        if node.rules:
            self._check_rules(node, data, old, path, nearest)
        for part in node.all_of:
            # As upstream: parts of allOf look at what is above alone.
            self.check(part, data, old, path, None, above)
        if isinstance(data, dict):
            before = old if isinstance(old, dict) else {}
            for name, value in data.items():
                inner = node.properties.get(name)
                where = (f"{path}.{name}" if path else name) if inner is not None else f"{path}[{name}]"
                inner = inner or node.others
                if inner is not None:
                    member = now.member(name) if now is not None else None
                    self.check(inner, value, before.get(name), where, member, nearest)
        elif isinstance(data, list) and node.items is not None:
            olds = _by_keys(old, node.map_keys)
            for index, value in enumerate(data):
                previous = olds.get(_keys(value, node.map_keys)) if olds else None
                item = Correlated(value, previous) if now is not None and previous is not None else None
                self.check(node.items, value, previous, f"{path}[{index}]", item, nearest)

    def _check_rules(self, node: Node, data: Any, old: Any, path: str, nearest: Correlated | None) -> None:
        at = path or _ROOT
        assert node.declared is not None, "a node with rules has a type"
        bindings = {"self": cel.expose(node.declared, data)}
        previous = dict(bindings)
        if old is not None and any(rule.uses_previous for rule in node.rules):
            previous["oldSelf"] = cel.expose(node.declared, cel.align(node.declared, data, old))
        for rule, place in zip(node.rules, node.places, strict=True):
            if rule.problem:
                self.found.append(invalid(at, node.type, f"rule compile error: {rule.problem}"))
                continue
            if rule.program is None or (rule.uses_previous and old is None and not rule.is_optional):
                continue
            given = previous if rule.uses_previous else bindings
            if self._holds(rule, node, given, at):
                continue
            where = f"{path}.{place}" if place and path else place or path or _ROOT
            detail = self._message(rule, node, previous, where)
            cause = _cause(where, data if node.type not in ("object", "array") else None, detail, rule)
            if not rule.uses_previous and nearest is not None and nearest.is_same:
                self._warnings.append(str(cause))
            else:
                self.found.append(cause)

    def _holds(self, rule: Rule, node: Node, bindings: Mapping[str, Any], path: str) -> bool:
        assert rule.program is not None
        try:
            holds = self._evaluate(rule.program, bindings)
        except cel.CostExceeded as error:
            detail = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: "
            self.found.append(invalid(path, node.type, detail + _named(rule)))
            raise _Spent from None
        except cel.EvaluationError as error:
            text = str(error)
            detail = f"{text} evaluating rule: {_named(rule)}"
            if text.startswith("no such overload"):
                words = "call arguments did not match a supported operator, function or macro signature for rule"
                detail = f"'{text}': {words}: {_named(rule)}"
            self.found.append(invalid(path, node.type, detail))
            return True
        if self._budget < 0:
            self.found.append(invalid(path, node.type, _OUT_OF_BUDGET))
            raise _Spent
        return holds is True

    def _evaluate(self, program: cel.Program, bindings: Mapping[str, Any]) -> Any:
        if program.cost.most <= PER_CALL_LIMIT // 10_000:
            # Too small to measure: what the schema promises is charged.
            self._budget -= program.cost.most
            return program.evaluate(bindings)
        start = self._spent_seconds()
        try:
            return program.evaluate(bindings)
        finally:
            self._budget -= (self._spent_seconds() - start) * UNITS_PER_SECOND

    def _message(self, rule: Rule, node: Node, bindings: Mapping[str, Any], path: str) -> str:
        message = rule.given.get("message") or f"failed rule: {_named(rule)}"
        if rule.message is None:
            return str(message).strip()
        try:
            text = self._evaluate(rule.message, bindings)
        except cel.EvaluationError:
            return str(message).strip()
        if self._budget < 0:
            self.found.append(invalid(path, node.type, _MESSAGE_OUT_OF_BUDGET))
            raise _Spent
        text = text.strip() if isinstance(text, str) else ""
        good = text and "\n" not in text and len(text.encode()) <= _MESSAGE_BYTES
        return text if good else str(message).strip()


def _named(rule: Rule) -> str:
    return str(rule.given.get("message") or rule.given.get("rule", "")).strip()


def _cause(path: str, value: Any, detail: str, rule: Rule) -> FieldError:
    match rule.given.get("reason"):
        case "FieldValueForbidden":
            return forbidden(path, detail)
        case "FieldValueRequired":
            return required(path, detail)
        case "FieldValueDuplicate":
            if value is None:
                return FieldError("FieldValueDuplicate", path, "Duplicate value")
            return duplicate(path, value)
        case _:
            if value is None:
                return FieldError("FieldValueInvalid", path, f"Invalid value: {detail}")
            return invalid(path, value, detail)


def _by_keys(old: Any, keys: tuple[str, ...]) -> dict[Any, Any]:
    if not keys or not isinstance(old, list):
        return {}
    return {_keys(item, keys): item for item in old}


def _keys(item: Any, keys: tuple[str, ...]) -> Any:
    return tuple(repr(item.get(key)) for key in keys) if isinstance(item, dict) else None
