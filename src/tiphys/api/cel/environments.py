"""Compiling: an expression against the types of its variables, to a program.

Two environments of the runtime take part. One is made for the variables: it checks, and knows every overload with its
precise types. The other is made once: it runs what was checked, tells values apart by what they are, and has the
functions' code. Between them the checked tree is looked at and, in two places, amended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings
from google.protobuf import descriptor_pb2

from tiphys.api.cel import syntax
from tiphys.api.cel.costs import estimate
from tiphys.api.cel.declarations import Declared
from tiphys.api.cel.errors import MAXIMUM_CHARACTERS, CompileError
from tiphys.api.cel.libraries import FUNCTIONS
from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.libraries.messages import RUNNING, pool
from tiphys.api.cel.literals import check_tree, is_plain
from tiphys.api.cel.programs import Program
from tiphys.api.cel.type_names import OPAQUE

_PLAIN: Final = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "uint": cel.Type.UINT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "bytes": cel.Type.BYTES,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
    "dyn": cel.Type.DYN,
    "~A": cel.Type("~A"),
}
_SCALAR_FIELDS: Final = {"bool": 8, "int": 3, "uint": 4, "double": 1, "string": 9, "bytes": 12}
_MESSAGE_FIELDS: Final = {
    "timestamp": ".google.protobuf.Timestamp",
    "duration": ".google.protobuf.Duration",
    "dyn": ".google.protobuf.Value",
    "map": ".google.protobuf.Struct",
    "list": ".google.protobuf.ListValue",
}
_NUMERIC: Final = ("int", "uint", "double")
_COMPARED: Final = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}
_PACKAGE: Final = "schema"
_REPEATED: Final = 3
_PREVIOUS: Final = "oldSelf"
# An optional oldSelf is the first item of a list, if it has one: as many characters as the name, so that positions in
# messages stay what they are.
_PREVIOUS_LIST: Final = "__s"
_PREVIOUS_ITEM: Final = "__s[?0]"
_PREVIOUS_IN_TEXT: Final = re.compile(
    r"""(?P<kept>[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*)"""
    r"|(?<![\w.])oldSelf(?!\w)",
    re.DOTALL,
)
_UNDEFINED: Final = re.compile(r"undefined field '([^']*)' not found in struct '[^']*'")
_UNDECLARED: Final = re.compile(
    r"ERROR: <input>:(\d+):(\d+): undeclared reference to '(\w+)((?:\.\w+)+)' \(in container ''\)\n \| (.*)\n \| \.*\^"
)
_STATUS: Final = re.compile(r"\A[A-Z_]+: (.*?)(?: \[[A-Z_]+\])?\Z", re.DOTALL)


def _extensions() -> list[Any]:
    return [ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_bindings.ExtBindings()]


@cache
def _type(text: str) -> Any:
    """The runtime's type for a library's text."""
    if text in _PLAIN:
        return _PLAIN[text]
    head, bracket, rest = text.partition("(")
    if not bracket:
        return cel.Type(text)
    inner = rest[:-1]
    if head == "list":
        return cel.Type.List(_type(inner))
    if head == "optional":
        return cel.Type.AbstractType("optional_type", [_type(inner)])
    key, value = inner.split(", ", 1)
    return cel.Type.Map(_type(key), _type(value))


def _declared(rows: Mapping[str, list[Any]]) -> Any:
    return cel.CelExtension("kubernetes", [cel.FunctionDecl(name, overloads) for name, overloads in rows.items()])


@cache
def _checked_functions() -> Any:
    rows: dict[str, list[Any]] = {}
    for row in FUNCTIONS:
        overload = cel.Overload(
            row.overload,
            return_type=_type(row.result),
            parameters=[_type(text) for text in row.parameters],
            is_member=row.is_member,
        )
        rows.setdefault(row.name, []).append(overload)
    for name, word in _COMPARED.items():
        rows[name] = [
            cel.Overload(f"{word}_{left}_{right}", return_type=cel.Type.BOOL, parameters=[_PLAIN[left], _PLAIN[right]])
            for left in _NUMERIC
            for right in _NUMERIC
            if left != right
        ]
    return _declared(rows)


def _run_functions() -> Any:
    # The runtime tells values apart by their kind, and all messages are of one kind: the rows of one kind share a slot.
    slots: dict[tuple[str, bool, tuple[str, ...]], list[Function]] = {}
    for row in FUNCTIONS:
        if row.run is not None:
            kinds = tuple("message" if text in OPAQUE else text for text in row.runs_on or row.parameters)
            slots.setdefault((row.name, row.is_member, kinds), []).append(row)
    rows: dict[str, list[Any]] = {}
    for (name, is_member, _), shared in slots.items():
        first = shared[0]
        overload = cel.Overload(
            first.overload,
            return_type=_type("dyn" if first.runs_on or first.wraps else first.result),
            parameters=[_type(text) for text in first.runs_on or first.parameters],
            is_member=is_member,
            impl=first.run if len(shared) == 1 or first.runs_on else _by_message(shared),
        )
        rows.setdefault(name, []).append(overload)
    return _declared(rows)


def _by_message(shared: list[Function]) -> Callable[..., Any]:
    runs = {tuple(text for text in row.parameters if text in OPAQUE): row.run for row in shared}

    def run(*values: Any) -> Any:
        given = tuple(value.DESCRIPTOR.full_name for value in values if hasattr(value, "DESCRIPTOR"))
        found = runs.get(given)
        if found is None:
            raise ValueError("no such overload")
        return found(*values)

    return run


@cache
def running(names: frozenset[str]) -> Any:
    """The environment that runs programs of these variables."""
    return cel.NewEnv(
        RUNNING,
        variables=dict.fromkeys(sorted(names), cel.Type.DYN),
        extensions=[*_extensions(), _run_functions()],
    )


class Environment:
    """What expressions may speak of.

    variables: each name's type. previous: the type of ``oldSelf`` if that is optional: the one variable that may be.
    """

    def __init__(self, variables: Mapping[str, Declared], *, previous: Declared | None = None) -> None:
        self._variables = dict(variables)
        known = [*variables.values(), *([previous] if previous is not None else [])]
        try:
            self._build(variables, known, previous)
        except CompileError:
            raise
        except Exception as error:
            raise CompileError(f"the types of variables are none that expressions can have: {error}") from None

    def _build(self, variables: Mapping[str, Declared], known: list[Declared], previous: Declared | None) -> None:
        self._names = {id(found): f"Object{n}" for n, found in enumerate(_distinct(known))}
        made = pool()
        if self._names:
            made.AddSerializedFile(self._file(known).SerializeToString())
        self._has_previous = previous is not None
        types = {name: self._type(declared) for name, declared in variables.items()}
        if previous is not None:
            types[_PREVIOUS_LIST] = cel.Type.List(self._type(previous))
        self._checking = cel.NewEnv(
            made,
            variables=types,
            extensions=[*_extensions(), _checked_functions()],
        )
        self._running = running(frozenset(types))

    def compile(self, expression: str) -> Program:
        """The program. Raises CompileError."""
        if len(expression) > MAXIMUM_CHARACTERS:
            raise CompileError(f"ERROR: <input>:1:1: expression code point size exceeds limit: size: {len(expression)}")
        text = _PREVIOUS_IN_TEXT.sub(_as_call, expression) if self._has_previous else expression
        try:
            serialized = self._checking.compile(text).serialize()
        except Exception as error:
            raise CompileError(self._words(str(error), expression)) from None
        tree = syntax.Tree(serialized)
        problem = check_tree(tree, expression)
        if problem is not None:
            raise CompileError(problem)
        cost = estimate(tree, self._variables.get("self"))
        uses = frozenset(_PREVIOUS if name == _PREVIOUS_LIST else name for name in tree.variables)
        result = syntax.name_of(tree.type_of(tree.root))
        plain = is_plain(tree)
        previous = _PREVIOUS_LIST if _PREVIOUS_LIST in tree.variables else ""
        return Program(self._running.deserialize(_amended(tree)), result, cost, uses, is_plain=plain, previous=previous)

    def parse(self, expression: str) -> None:
        """Whether the expression is one, of whatever types. Raises CompileError."""
        try:
            self._checking.compile(expression, disable_check=True)
        except Exception as error:
            text = str(error)
            # The runtime looks for functions by name when it plans, which is not asked here.
            if "Syntax error" in text or "recursion" in text:
                raise CompileError(self._words(text, expression)) from None

    def _words(self, text: str, expression: str) -> str:
        match = _STATUS.match(text)
        text = match.group(1) if match else text
        text = _UNDEFINED.sub(r"undefined field '\1'", text)
        text = _UNDECLARED.sub(_at_variable, text)
        return text.replace(_PREVIOUS_ITEM, _PREVIOUS) if self._has_previous else text

    def _type(self, declared: Declared) -> Any:
        match declared.kind:
            case "object":
                return cel.Type(f"{_PACKAGE}.{self._names[id(declared)]}")
            case "message":
                return cel.Type(declared.name)
            case "list":
                assert declared.element is not None
                return cel.Type.List(self._type(declared.element))
            case "map":
                assert declared.element is not None
                return cel.Type.Map(cel.Type.STRING, self._type(declared.element))
            case kind:
                return _PLAIN[kind]

    def _file(self, known: list[Declared]) -> Any:
        """All objects as protobuf messages: the form in which the checker knows fields."""
        file = descriptor_pb2.FileDescriptorProto(name="schema.proto", package=_PACKAGE, syntax="proto2")
        file.dependency.extend(("google/protobuf/struct.proto", "google/protobuf/timestamp.proto"))
        file.dependency.append("google/protobuf/duration.proto")
        for found in _distinct(known):
            message = file.message_type.add(name=self._names[id(found)])
            for number, (name, declared) in enumerate(found.fields.items(), start=1):
                # 19000 to 19999 are protobuf's own.
                self._add_field(message, name, number if number < 19_000 else number + 1_000, declared)
        return file

    def _add_field(self, message: Any, name: str, number: int, declared: Declared) -> None:
        field = message.field.add(name=name, number=number, label=1, json_name=f"field{number}")
        inner = declared.element
        if declared.kind == "list" and inner is not None and inner.kind not in ("list", "map"):
            field.label = _REPEATED
            self._set_type(field, inner)
        elif declared.kind == "map" and inner is not None and inner.kind not in ("list", "map"):
            entry_name = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"
            if entry_name[0].isdigit() or any(nested.name == entry_name for nested in message.nested_type):
                # Protobuf has no name for the entry, or names that differ by underscores alone are one to it.
                self._set_type(field, declared)
                return
            entry = message.nested_type.add(name=entry_name)
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=_SCALAR_FIELDS["string"], label=1)
            self._set_type(entry.field.add(name="value", number=2, label=1), inner)
            field.label, field.type = _REPEATED, 11
            field.type_name = f".{_PACKAGE}.{message.name}.{entry_name}"
        else:
            # Lists of lists have no form in protobuf: their elements are looked at when they are evaluated.
            self._set_type(field, declared)

    def _set_type(self, field: Any, declared: Declared) -> None:
        if declared.kind in _SCALAR_FIELDS:
            field.type = _SCALAR_FIELDS[declared.kind]
            return
        field.type = 11
        if declared.kind == "object":
            field.type_name = f".{_PACKAGE}.{self._names[id(declared)]}"
        else:
            field.type_name = f".{declared.name}" if declared.kind == "message" else _MESSAGE_FIELDS[declared.kind]


def _at_variable(match: re.Match[str]) -> str:
    """Of a chain that begins with an unknown variable upstream names the variable, where it is."""
    line, column, name, fields, source = match.groups()
    at = source.rfind(name, 0, int(column))
    if at < 0 or source[at : at + len(name) + len(fields)] != name + fields:
        return match.group()
    where = f"ERROR: <input>:{line}:{at + 1}: undeclared reference to '{name}' (in container '')"
    return f"{where}\n | {source}\n | {'.' * at}^"


def _as_call(match: re.Match[str]) -> str:
    return match.group("kept") or _PREVIOUS_ITEM


def _distinct(known: list[Declared]) -> Iterator[Declared]:
    seen: set[int] = set()
    for declared in known:
        for found in declared.objects():
            if id(found) not in seen:
                seen.add(id(found))
                yield found


_WRAPPED: Final = frozenset(row.overload for row in FUNCTIONS if row.wraps)


def _amended(tree: syntax.Tree) -> bytes:
    """The tree as it is run: results that are optional are the first of a list."""
    if not any(_WRAPPED.intersection(names) for names in tree.overloads.values()):
        return tree.serialize()
    numbers = iter(range(1 + max(node.id for node in syntax.walk(tree.root)), 1 << 31))
    # From below: what is wrapped is copied with all that is in it.
    for node in reversed(syntax.walk(tree.root)):
        names = tree.overloads.get(node.id, ())
        if _WRAPPED & set(names):
            inner = type(node)()
            inner.CopyFrom(node)
            inner.id = next(numbers)
            _refer(tree, inner.id, names[0])
            node.call_expr.Clear()
            node.call_expr.function = "_[?_]"
            node.call_expr.args.append(inner)
            node.call_expr.args.add(id=next(numbers)).const_expr.int64_value = 0
            _refer(tree, node.id, "list_optindex_optional_int")
    return tree.serialize()


def _refer(tree: syntax.Tree, number: int, overload: str) -> None:
    for entry in tree.message.reference_map:
        if entry.key == number:
            del entry.value.overload_id[:]
            break
    else:
        entry = tree.message.reference_map.add(key=number)
    entry.value.overload_id.append(overload)


__all__ = ["OPAQUE", "Environment", "Function", "running"]
