"""What an expression may cost at most, before it is ever run.

The unit is that of Kubernetes: a look at a name or a field, or a simple call, is 1; texts are a tenth a character;
loops cost their body times the most elements that the schema allows. The estimate is a range: the largest is compared
with the limits.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from tiphys.api.cel import syntax
from tiphys.api.cel.declarations import UNBOUNDED, Declared
from tiphys.api.cel.type_names import OPAQUE

_TRAVERSAL: Final = 0.1
_REGEX: Final = 0.25
_LIST: Final = 10
_MAP: Final = 30
_MESSAGE: Final = 40
_AUTHORIZATION: Final = 350_000
_FORMAT_REGEX: Final = 128
_ADDRESS_BYTES: Final = 16


class Range(NamedTuple):
    """From least to most, both within 64 bits."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(_sum(self.least, other.least), _sum(self.most, other.most))

    def times(self, other: Range) -> Range:
        return Range(_product(self.least, other.least), _product(self.most, other.most))

    def scaled(self, factor: float) -> Range:
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def joined(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


Cost = Range
"""A static estimate."""
_NOTHING: Final = Range(0, 0)
_ONE: Final = Range(1, 1)
_UNKNOWN: Final = Range(0, UNBOUNDED)


def _sum(left: int, right: int) -> int:
    return min(left + right, UNBOUNDED)


def _product(left: int, right: int) -> int:
    return min(left * right, UNBOUNDED)


def _scaled(value: int, factor: float) -> int:
    return UNBOUNDED if value == UNBOUNDED else min(math.ceil(value * factor), UNBOUNDED)


def estimate(tree: syntax.Tree, data: Declared | None) -> Cost:
    """The cost of a checked expression whose variables all are of one type: that of `data`."""
    return _Estimator(tree, data).cost(tree.root)


class _Estimator:
    def __init__(self, tree: syntax.Tree, data: Declared | None) -> None:
        self._tree = tree
        self._data = data
        # By node: where its value is in the data, its size, and the size of its elements, as far as they are known.
        self._paths: dict[int, tuple[str, ...]] = {}
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, Range] = {}
        self._bound: dict[int, Range] = {}
        self._locals: dict[str, list[tuple[tuple[str, ...], Range | None, Range | None]]] = {}

    def cost(self, node: Any) -> Cost:
        match syntax.kind(node):
            case "const_expr":
                return _NOTHING
            case "ident_expr":
                return self._of_name(node)
            case "select_expr":
                return self._of_select(node)
            case "call_expr":
                return self._of_call(node)
            case "list_expr":
                return self._of_list(node)
            case "struct_expr":
                return self._of_struct(node)
            case "comprehension_expr":
                return self._of_loop(node)
            case _:
                return _NOTHING

    def _of_name(self, node: Any) -> Cost:
        name = node.ident_expr.name
        bound = self._locals.get(name)
        if bound:
            path, size, entry = bound[-1]
            self._remember(node, path, size, entry)
        else:
            self._paths[node.id] = (name,)
        return _ONE

    def _remember(self, node: Any, path: tuple[str, ...], size: Range | None, entry: Range | None) -> None:
        self._paths[node.id] = path
        if size is not None:
            self._bound[node.id] = size
        if entry is not None:
            self._entries[node.id] = entry

    def _of_select(self, node: Any) -> Cost:
        select = node.select_expr
        cost = self.cost(select.operand)
        if select.test_only:
            return cost
        path = self._paths.get(select.operand.id, ())
        self._paths[node.id] = (*path, select.field) if path else ()
        counted = syntax.kind(self._tree.type_of(select.operand)) in ("map_type", "message_type", "type_param")
        return cost.plus(_ONE) if counted else cost

    def _of_list(self, node: Any) -> Cost:
        cost = Range(_LIST, _LIST)
        sizes = []
        for item in node.list_expr.elements:
            cost = cost.plus(self.cost(item))
            sizes.append(self._size(item))
        self._entries[node.id] = _joined(sizes) if sizes else _NOTHING
        return cost

    def _of_struct(self, node: Any) -> Cost:
        base = _MESSAGE if node.struct_expr.message_name else _MAP
        cost = Range(base, base)
        for entry in node.struct_expr.entries:
            if syntax.kind(entry) == "map_key":
                cost = cost.plus(self.cost(entry.map_key))
            cost = cost.plus(self.cost(entry.value))
        return cost

    def _of_loop(self, node: Any) -> Cost:
        loop = node.comprehension_expr
        if _is_binding(loop):
            return self._of_binding(node, loop)
        cost = self.cost(loop.iter_range).plus(self.cost(loop.accu_init))
        path = self._paths.get(loop.iter_range.id, ())
        is_list = syntax.kind(self._tree.type_of(loop.iter_range)) == "list_type"
        inner = (*path, "@items" if is_list else "@keys")
        entry = self._entries.get(loop.iter_range.id)
        self._push(loop.accu_var, self._paths.get(loop.accu_init.id, ()), self._known(loop.accu_init), None)
        self._push(loop.iter_var, inner, entry, None)
        body = self.cost(loop.loop_condition).plus(self.cost(loop.loop_step))
        self._locals[loop.iter_var].pop()
        cost = cost.plus(self.cost(loop.result))
        self._locals[loop.accu_var].pop()
        count = self._size(loop.iter_range)
        match syntax.kind(loop.accu_init):
            case "const_expr":
                self._sizes[node.id] = _ONE
            case "list_expr" | "struct_expr":
                self._sizes[node.id] = Range(0, count.most)
                step = self._entries.get(loop.loop_step.id)
                if step is not None:
                    self._entries[node.id] = step
        return cost.plus(count.times(body))

    def _of_binding(self, node: Any, loop: Any) -> Cost:
        cost = self.cost(loop.iter_range).plus(self.cost(loop.accu_init))
        start = loop.accu_init.id
        self._push(loop.accu_var, self._paths.get(start, ()), self._known(loop.accu_init), self._entries.get(start))
        cost = cost.plus(self.cost(loop.result))
        self._locals[loop.accu_var].pop()
        size = self._known(loop.result)
        if size is not None:
            self._sizes[node.id] = size
        return cost

    def _push(self, name: str, path: tuple[str, ...], size: Range | None, entry: Range | None) -> None:
        self._locals.setdefault(name, []).append((path, size, entry))

    def _of_call(self, node: Any) -> Cost:
        call = node.call_expr
        costs = [self.cost(argument) for argument in call.args]
        if call.function == "dyn" and costs:
            size = self._known(call.args[0])
            if size is not None:
                self._sizes[node.id] = size
            self._paths[node.id] = self._paths.get(call.args[0].id, ())
            return costs[0].plus(_ONE)
        overloads = self._tree.overloads.get(node.id, ())
        if not overloads:
            return _NOTHING
        arguments = list(call.args)
        total = _NOTHING
        if call.HasField("target"):
            total = self.cost(call.target)
            arguments.insert(0, call.target)
        return total.plus(self._joined_calls(node, overloads, arguments, costs))

    def _joined_calls(self, node: Any, overloads: tuple[str, ...], arguments: list[Any], costs: list[Cost]) -> Cost:
        function = node.call_expr.function
        found: list[Cost] = []
        for overload in overloads:
            cost, size = self._function(function, overload, node, arguments, costs)
            found.append(cost)
            if overload in ("index_list", "index_map"):
                path = self._paths.get(arguments[0].id, ())
                self._paths[node.id] = (*path, "@items" if overload == "index_list" else "@values") if path else ()
                size = self._entries.get(arguments[0].id)
            if size is not None:
                before = self._sizes.get(node.id)
                self._sizes[node.id] = size.joined(before) if before is not None else size
        return _joined(found)

    def _function(
        self, name: str, overload: str, node: Any, arguments: list[Any], costs: list[Cost]
    ) -> tuple[Cost, Range | None]:
        given = _NOTHING
        for cost in costs:
            given = given.plus(cost)
        library = self._library(name, overload, arguments)
        if library is not None:
            return library[0].plus(given), library[1]
        sizes = [self._size(argument) for argument in arguments]
        match overload:
            case "logical_and" | "logical_or":
                return Range(costs[0].least, costs[0].plus(costs[1]).most), None
            case "conditional":
                branches = costs[1].joined(costs[2])
                entries = [e for e in (self._entries.get(a.id) for a in arguments[1:]) if e is not None]
                if entries:
                    self._entries[node.id] = _joined(entries)
                return costs[0].plus(branches), sizes[1].joined(sizes[2])
            case "add_string" | "add_bytes":
                size = sizes[0].plus(sizes[1])
                return size.scaled(_TRAVERSAL).plus(given), size
            case "add_list":
                entries = [e for e in (self._entries.get(a.id) for a in arguments) if e is not None]
                if len(entries) == 2:
                    self._entries[node.id] = _joined(entries)
                return _ONE.plus(given), sizes[0].plus(sizes[1])
            case "in_list":
                return sizes[1].plus(given), None
            case "matches_string" | "matches":
                return sizes[0].plus(_ONE).scaled(_TRAVERSAL).times(sizes[1].scaled(_REGEX)).plus(given), None
            case "contains_string":
                return sizes[0].scaled(_TRAVERSAL).times(sizes[1].scaled(_TRAVERSAL)).plus(given), None
            case "starts_with_string" | "ends_with_string":
                return sizes[1].scaled(_TRAVERSAL).plus(given), None
            case "string_to_bytes":
                return sizes[0].scaled(_TRAVERSAL).plus(given), sizes[0].times(Range(1, 4))
            case "bytes_to_string" | "string_format":
                return sizes[0].scaled(_TRAVERSAL).plus(given), sizes[0] if overload[0] == "b" else None
        if overload == "equals" and syntax.name_of(self._tree.type_of(arguments[0])) in OPAQUE:
            return _ONE.plus(given), None
        if overload in ("equals", "not_equals") or (overload.endswith(("_string", "_bytes")) and name in _ORDERINGS):
            most = min(sizes[0].most, sizes[1].most)
            return Range(1 if most else 0, most).scaled(_TRAVERSAL).plus(given), None
        return _ONE.plus(given), None

    def _library(self, name: str, overload: str, arguments: list[Any]) -> tuple[Cost, Range | None] | None:
        """Functions of Kubernetes and of texts; None for what is CEL's own."""
        if not arguments:
            return (_ONE, None) if name.startswith("format.") else None
        first = self._size(arguments[0])
        match name:
            case "check":
                return Range(_AUTHORIZATION, _AUTHORIZATION), None
            case "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" if "list" in overload:
                return self._over_list(arguments[0], first), None
            case "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "jsonpatch.escapeKey":
                return first.scaled(_TRAVERSAL), first
            case "replace" if len(arguments) >= 3:
                size = _replaced(first, self._size(arguments[1]), self._size(arguments[2]))
                return first.scaled(2 * _TRAVERSAL), size
            case "split":
                return first.scaled(2 * _TRAVERSAL), Range(0, first.most)
            case "join":
                size = first.times(self._element_size(arguments[0]))
                if len(arguments) > 1:
                    gaps = Range(max(first.least - 1, 0), max(first.most - 1, 0))
                    size = size.plus(self._size(arguments[1]).times(gaps))
                return size.scaled(_TRAVERSAL), size
            case "find" | "findAll":
                cost = first.plus(_ONE).scaled(_TRAVERSAL).times(self._size(arguments[1]).scaled(_REGEX))
                return cost, Range(0, first.most)
            case "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver":
                return first.scaled(_TRAVERSAL), None
            case "ip":
                return (_ONE if overload == "cidr_ip" else first.scaled(_TRAVERSAL)), None
            case "ip.isCanonical":
                return first.scaled(2 * _TRAVERSAL), None
            case "containsIP" | "containsCIDR":
                cost = Range(4, _ADDRESS_BYTES).scaled(2 * _TRAVERSAL)
                if name == "containsCIDR":
                    cost = cost.plus(Range(4, _ADDRESS_BYTES).scaled(_TRAVERSAL)).plus(_ONE)
                if overload.endswith("_string"):
                    cost = cost.plus(self._size(arguments[1]).scaled(_TRAVERSAL))
                return cost, None
            case "validate":
                return self._size(arguments[1]).scaled(_TRAVERSAL).scaled(_FORMAT_REGEX * _REGEX), None
            case _:
                return None

    def _over_list(self, node: Any, size: Range) -> Cost:
        element = self._tree.type_of(node).list_type.elem_type
        each = _ONE
        if syntax.name_of(element) in ("string", "bytes"):
            each = each.plus(self._element_size(node).scaled(_TRAVERSAL))
        return size.times(each)

    def _element_size(self, node: Any) -> Range:
        entry = self._entries.get(node.id)
        if entry is not None:
            return entry
        path = self._paths.get(node.id, ())
        return self._declared((*path, "@items")) or _UNKNOWN

    def _declared(self, path: tuple[str, ...]) -> Range | None:
        # What comes first names a variable; upstream looks below the root whichever it is.
        found = self._data.at(path[1:]) if self._data is not None and path else None
        return Range(0, found.maximum) if found is not None else None

    def _known(self, node: Any) -> Range | None:
        """The size of a value, as CEL's ``size()`` counts; None if nothing is known of it."""
        size = self._sizes.get(node.id)
        if size is not None:
            return size
        match syntax.kind(node):
            case "const_expr":
                constant = node.const_expr
                match syntax.kind(constant):
                    case "string_value":
                        return _exactly(len(constant.string_value))
                    case "bytes_value":
                        return _exactly(len(constant.bytes_value))
                    case _:
                        return _ONE
            case "list_expr":
                return _exactly(len(node.list_expr.elements))
            case "struct_expr" if not node.struct_expr.message_name:
                return _exactly(len(node.struct_expr.entries))
        found = self._declared(self._paths.get(node.id, ()))
        if found is not None:
            return found
        if _is_scalar(self._tree.type_of(node)):
            return _ONE
        return self._bound.get(node.id)

    def _size(self, node: Any) -> Range:
        return self._known(node) or _UNKNOWN


_ORDERINGS: Final = frozenset(("_<_", "_<=_", "_>_", "_>=_"))


def _exactly(size: int) -> Range:
    return Range(size, size)


def _joined(ranges: list[Range]) -> Range:
    found = ranges[0]
    for other in ranges[1:]:
        found = found.joined(other)
    return found


def _is_scalar(declared: Any) -> bool:
    """Of size 1 whatever the value."""
    match syntax.kind(declared):
        case "primitive":
            return declared.primitive in (syntax.BOOL, syntax.INT, syntax.UINT, syntax.DOUBLE)
        case "well_known":
            return declared.well_known in (syntax.TIMESTAMP, syntax.DURATION)
        case "abstract_type":
            return syntax.is_optional(declared) and _is_scalar(declared.abstract_type.parameter_types[0])
        case _:
            return False


def _is_binding(loop: Any) -> bool:
    return (
        syntax.kind(loop.iter_range) == "list_expr"
        and not loop.iter_range.list_expr.elements
        and syntax.kind(loop.loop_condition) == "const_expr"
        and not loop.loop_condition.const_expr.bool_value
    )


def _replaced(size: Range, old: Range, new: Range) -> Range:
    """The size of a text after replacement."""
    if old.least == 0:
        return Range(0, size.most).plus(Range(0, _product(_sum(size.most, 1), new.most)))
    if new.most <= old.least:
        return Range(0, size.most)
    return Range(0, _product(-(-size.most // old.least), new.most))
