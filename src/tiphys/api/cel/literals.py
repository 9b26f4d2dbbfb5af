"""What upstream checks beyond types: literals that can be checked now, and lists and maps of one type."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import duration_pb2, timestamp_pb2

from tiphys.api.cel import syntax
from tiphys.api.cel.libraries import FUNCTIONS
from tiphys.api.cel.libraries.texts import compiled
from tiphys.api.cel.type_names import OPAQUE

_UNTYPED: Final = frozenset(row.overload for row in FUNCTIONS if row.run is not None and row.runs_on)
_OPTIONAL: Final = frozenset(row.overload for row in FUNCTIONS if row.wraps)
_REGEX_POSITION: Final = {"matches": 0, "find": 0, "findAll": 0}
_UNITS: Final = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def check_tree(tree: syntax.Tree, expression: str) -> str | None:
    """The first problem, with its place in the expression; None if there is none."""
    nodes = syntax.walk(tree.root)
    is_strict = not is_plain(tree)
    problems: list[tuple[int, str]] = []
    for node in nodes:
        problem = _problem(tree, node, is_strict=is_strict)
        if problem is not None:
            at, text = problem
            problems.append((at.id, text))
    if not problems:
        return None
    positions = {entry.key: entry.value for entry in tree.message.source_info.positions}
    placed = sorted((positions.get(number, 0), text) for number, text in problems)
    return "\n".join(_placed(expression, offset, text) for offset, text in placed)


def is_plain(tree: syntax.Tree) -> bool:
    """Whether all values that can come up have a form outside the runtime: none is optional or a type."""
    if any(_OPTIONAL.intersection(names) for names in tree.overloads.values()):
        # The checker takes these for untyped.
        return False
    return not any(_has_no_form(tree.type_of(node)) for node in syntax.walk(tree.root))


def _problem(tree: syntax.Tree, node: Any, *, is_strict: bool) -> tuple[Any, str] | None:
    match syntax.kind(node):
        case "select_expr":
            operand = tree.type_of(node.select_expr.operand)
            if syntax.kind(operand) == "message_type" and operand.message_type in OPAQUE:
                return node, f"undefined field '{node.select_expr.field}'"
        case "struct_expr":
            name = node.struct_expr.message_name
            if name in OPAQUE:
                return node, f"undeclared reference to '{name}' (in container '')"
            if not name:
                entries = node.struct_expr.entries
                return _mixed(tree, [e.map_key for e in entries]) or _mixed(tree, [e.value for e in entries])
        case "list_expr":
            return _mixed(tree, list(node.list_expr.elements))
        case "call_expr":
            return _call_problem(tree, node, is_strict=is_strict)
    return None


def _call_problem(tree: syntax.Tree, node: Any, *, is_strict: bool) -> tuple[Any, str] | None:
    call = node.call_expr
    arguments = list(call.args)
    if call.function in _REGEX_POSITION and arguments:
        at = arguments[-1] if not call.HasField("target") and call.function == "matches" else arguments[0]
        text = _text_of(at)
        if text is not None:
            try:
                compiled(text)
            except ValueError:
                return at, f"invalid {call.function} argument"
    elif call.function in ("duration", "timestamp") and len(arguments) == 1:
        text = _text_of(arguments[0])
        if text is not None and not (_is_duration(text) if call.function == "duration" else _is_timestamp(text)):
            return arguments[0], f"invalid {call.function} argument"
    if _UNTYPED & set(tree.overloads.get(node.id, ())):
        # The runtime has no form in which to hand these to a function of ours.
        given = [tree.type_of(n) for n in (*([call.target] if call.HasField("target") else []), *arguments)]
        if any(_has_no_form(found) or (is_strict and _is_untyped(found)) for found in given):
            return node, f"'{call.function}' cannot be applied to values of this type"
    return None


def _mixed(tree: syntax.Tree, items: list[Any]) -> tuple[Any, str] | None:
    """An item that is not of the first one's type; null, dyn and optionals go with all."""
    first = ""
    for item in items:
        found = tree.type_of(item)
        if syntax.is_optional(found):
            found = found.abstract_type.parameter_types[0]
        if syntax.kind(found) in ("dyn", "null", "wrapper", ""):
            continue
        name = syntax.name_of(found)
        if not first:
            first = name
        elif name != first and "dyn" not in name and "dyn" not in first:
            return item, f"expected type '{first}' but found '{name}'"
    return None


def _has_no_form(declared: Any) -> bool:
    """Types of types and optionals, at any depth."""
    match syntax.kind(declared):
        case "type" | "abstract_type":
            return True
        case "list_type":
            return _has_no_form(declared.list_type.elem_type)
        case "map_type":
            return _has_no_form(declared.map_type.value_type)
        case _:
            return False


def _is_untyped(declared: Any) -> bool:
    return "dyn" in syntax.name_of(declared)


def _text_of(node: Any) -> str | None:
    if syntax.kind(node) == "const_expr" and syntax.kind(node.const_expr) == "string_value":
        return str(node.const_expr.string_value)
    return None


def _is_duration(text: str) -> bool:
    """As Go writes durations: ``1h30m``, ``-1.5s``, ``0``."""
    rest = text.lstrip("+-") if text[:1] in ("+", "-") else text
    if rest == "0":
        return True
    parts = 0
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:]
        unit = next((u for u in ("ms", "us", "µs", "ns", "h", "m", "s") if rest.startswith(u)), "")
        if not unit or not number.replace(".", "", 1).isdigit():
            return False
        rest = rest[len(unit) :]
        parts += 1
    return parts > 0


def _is_timestamp(text: str) -> bool:
    try:
        timestamp_pb2.Timestamp().FromJsonString(text)
    except ValueError:
        return False
    return True


def _placed(expression: str, offset: int, text: str) -> str:
    """A message as the checker prints its own."""
    before = expression[:offset]
    line = before.count("\n")
    column = offset - (before.rfind("\n") + 1)
    source = expression.split("\n")[line]
    return f"ERROR: <input>:{line + 1}:{column + 1}: {text}\n | {source}\n | {'.' * column}^"


def seconds_of(text: str) -> duration_pb2.Duration:
    """A duration as Go writes it, for values of schemas. Raises ValueError."""
    if not _is_duration(text):
        raise ValueError(f"invalid duration {text!r}")
    rest = text.lstrip("+-")
    total = 0.0
    while rest and rest != "0":
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next(u for u in ("ms", "us", "µs", "ns", "h", "m", "s") if rest[digits:].startswith(u))
        total += float(rest[:digits]) * _UNITS[unit]
        rest = rest[digits + len(unit) :]
    made = duration_pb2.Duration()
    made.FromNanoseconds(round(total * 1e9) * (-1 if text.startswith("-") else 1))
    return made
