"""Checks of `x-kubernetes-validations` when a definition is written: they compile, and cost what they may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tiphys.api import cel
from tiphys.api.cel.declarations import MAXIMUM_REQUEST_BYTES, UNBOUNDED
from tiphys.api.cel.paths import normalize
from tiphys.api.cel.rules import EXTENSION, Rule, compile_rules
from tiphys.api.field_errors import FieldError, forbidden, internal, invalid, not_supported, required

EXPRESSION_LIMIT: Final = 10_000_000
"""The most that one rule may be estimated at, over all places of an object that it applies to."""
DEFINITION_LIMIT: Final = 100_000_000
"""The most that all rules of one schema may be estimated at."""

_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_LISTED: Final = 4
_OVER: Final = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
_TOTAL: Final = f"{EXTENSION} estimated rule cost total for entire OpenAPIv3 schema"


class _Place(msgspec.Struct, frozen=True):
    """Where the walk is.

    most: how many of these an object can hold; None if only its size bounds it.
    uncorrelatable: the list whose items cannot be told apart over time, if this is within one.
    """

    path: str
    is_root: bool = False
    most: int | None = 1
    uncorrelatable: str = ""


def check_rules(schema: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    """All rules of one version's schema, which is structural. `path` is the schema's."""
    if not _has_rules(schema):
        return
    checker = _Checker(errors)
    checker.check(schema, _Place(path, is_root=True))
    checker.finish(path)


class _Checker:
    def __init__(self, errors: list[FieldError]) -> None:
        self._errors = errors
        self._total = 0
        self._expensive: list[tuple[int, str]] = []

    def check(self, schema: Mapping[str, Any], at: _Place) -> None:
        """What is below a node, then its own rules, as upstream."""
        most = _within(schema, at.most)
        for name, inner in sorted((schema.get("properties") or {}).items()):
            self._descend(inner, f"{at.path}.properties[{name}]", most, at.uncorrelatable)
        self._descend(schema.get("additionalProperties"), f"{at.path}.additionalProperties", most, at.uncorrelatable)
        is_map = schema.get("x-kubernetes-list-type") == "map"
        forbidding = at.uncorrelatable or ("" if is_map else at.path)
        self._descend(schema.get("items"), f"{at.path}.items", most, forbidding)
        rules = schema.get(EXTENSION) or []
        if not rules:
            return
        before = len(self._errors)
        for index, rule in enumerate(rules):
            self._check_form(rule, schema, f"{at.path}.{EXTENSION}[{index}]")
        if len(self._errors) == before:
            self._check_compiled(schema, rules, at)

    def _descend(self, schema: Any, path: str, most: int | None, uncorrelatable: str) -> None:
        if isinstance(schema, Mapping) and _has_rules(schema):
            self.check(schema, _Place(path, bool(schema.get("x-kubernetes-embedded-resource")), most, uncorrelatable))

    def _check_form(self, rule: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> None:
        errors = self._errors
        text, message, expression = rule.get("rule", ""), rule.get("message", ""), rule.get("messageExpression", "")
        where = rule.get("fieldPath", "")
        if text.strip() and message and not message.strip():
            errors.append(invalid(f"{path}.message", message, "must be non-empty if specified"))
        elif text.strip() and _has_newlines(message.strip()):
            errors.append(invalid(f"{path}.message", message, "must not contain line breaks"))
        elif _has_newlines(text.strip()) and not message.strip():
            errors.append(required(f"{path}.message", "message must be specified if rule contains line breaks"))
        if expression and not expression.strip():
            errors.append(required(f"{path}.messageExpression", "messageExpression must be non-empty if specified"))
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            errors.append(not_supported(f"{path}.reason", rule["reason"], _REASONS))
        if where and not where.strip():
            errors.append(invalid(f"{path}.fieldPath", where, "must be non-empty if specified"))
        if _has_newlines(where):
            errors.append(invalid(f"{path}.fieldPath", where, "must not contain line breaks"))
        if where and normalize(where, schema) is None:
            errors.append(invalid(f"{path}.fieldPath", where, "must be a valid path"))

    def _check_compiled(self, schema: Mapping[str, Any], rules: list[Mapping[str, Any]], at: _Place) -> None:
        declared = cel.declare(schema, is_root=at.is_root)
        if declared is None:
            detail = "internal error: failed to construct type information for x-kubernetes-validations rules: "
            text = f"{detail}unable to convert structural schema to CEL declarations"
            self._errors.append(internal(f"{at.path}.{EXTENSION}", text))
            return
        places = at.most if at.most is not None else MAXIMUM_REQUEST_BYTES // (declared.smallest_bytes + 1)
        for index, rule in enumerate(compile_rules(rules, declared)):
            self._check_rule(rule, f"{at.path}.{EXTENSION}[{index}]", places, at.uncorrelatable)

    def _check_rule(self, rule: Rule, path: str, places: int, uncorrelatable: str) -> None:
        errors = self._errors
        cost = min(rule.program.cost.most * places, UNBOUNDED) if rule.program is not None else 0
        self._charge(f"{path}.rule", "estimated rule cost", cost)
        if rule.problem:
            errors.append(invalid(f"{path}.rule", _as_go(rule.given), rule.problem))
        if rule.message_problem:
            errors.append(invalid(f"{path}.messageExpression", _as_go(rule.given), rule.message_problem))
        elif rule.message is not None:
            self._charge(f"{path}.messageExpression", "estimated messageExpression cost", rule.message.cost.most)
        if rule.uses_previous:
            if uncorrelatable:
                detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
                errors.append(invalid(f"{path}.rule", rule.given.get("rule", ""), detail))
        elif rule.given.get("optionalOldSelf") is not None:
            detail = "may not be set if oldSelf is not used in rule"
            errors.append(invalid(f"{path}.optionalOldSelf", rule.given["optionalOldSelf"], detail))

    def _charge(self, path: str, name: str, cost: int) -> None:
        if cost > EXPRESSION_LIMIT:
            self._errors.append(forbidden(path, _too_expensive(name, cost, EXPRESSION_LIMIT)))
        self._total = min(self._total + cost, UNBOUNDED)
        if cost >= DEFINITION_LIMIT // 100:
            self._expensive.append((cost, path))

    def finish(self, path: str) -> None:
        """The cost of all together."""
        if self._total <= DEFINITION_LIMIT:
            return
        self._expensive.sort(key=lambda found: -found[0])
        self._errors += [forbidden(where, _OVER) for _, where in self._expensive[:_LISTED]]
        self._errors.append(forbidden(path, _too_expensive(_TOTAL, self._total, DEFINITION_LIMIT)))


def _has_rules(schema: Mapping[str, Any]) -> bool:
    if schema.get(EXTENSION):
        return True
    below = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return any(isinstance(inner, Mapping) and _has_rules(inner) for inner in below)


def _within(schema: Mapping[str, Any], most: int | None) -> int | None:
    """How many of a node's children there can be."""
    limit: int | None = 1
    if schema.get("type") == "array":
        limit = schema.get("maxItems")
    elif schema.get("type") == "object" and schema.get("additionalProperties"):
        limit = schema.get("maxProperties")
    return None if most is None or limit is None else min(most * max(limit, 0), UNBOUNDED)


def _has_newlines(text: str) -> bool:
    return "\n" in text or "\r" in text


def _as_go(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as upstream prints it: its internal struct."""
    return {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }


def _too_expensive(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    precise = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    text = "more than 100x" if factor > 100 else precise
    advice = (
        "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings"
    )
    return f"{name} exceeds budget by factor of {text} ({advice} are declared)"
