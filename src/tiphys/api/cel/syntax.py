"""The checked tree: cel.expr.CheckedExpr as the runtime serializes it, field numbers being those of the CEL spec."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory, timestamp_pb2

_SCALARS: Final = {
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "double": 1,
    "enum": 5,
}
# message -> its fields as "name number type", a leading * for repeated, a leading ? for members of the one-of
_MESSAGES: Final[dict[str, tuple[str, ...]]] = {
    "Constant": (
        *("?null_value 1 enum", "?bool_value 2 bool", "?int64_value 3 int64", "?uint64_value 4 uint64"),
        *("?double_value 5 double", "?string_value 6 string", "?bytes_value 7 bytes"),
    ),
    "Ident": ("name 1 string",),
    "Select": ("operand 1 Expr", "field 2 string", "test_only 3 bool"),
    "Call": ("target 1 Expr", "function 2 string", "*args 3 Expr"),
    "CreateList": ("*elements 1 Expr", "*optional_indices 2 int32"),
    "Entry": (*("id 1 int64", "?field_key 2 string", "?map_key 3 Expr", "value 4 Expr", "optional_entry 5 bool"),),
    "CreateStruct": ("message_name 1 string", "*entries 2 Entry"),
    "Comprehension": (
        *("iter_var 1 string", "iter_range 2 Expr", "accu_var 3 string", "accu_init 4 Expr"),
        *("loop_condition 5 Expr", "loop_step 6 Expr", "result 7 Expr", "iter_var2 8 string"),
    ),
    "Expr": (
        *("id 2 int64", "?const_expr 3 Constant", "?ident_expr 4 Ident", "?select_expr 5 Select", "?call_expr 6 Call"),
        *("?list_expr 7 CreateList", "?struct_expr 8 CreateStruct", "?comprehension_expr 9 Comprehension"),
    ),
    "Reference": ("name 1 string", "*overload_id 3 string", "value 4 Constant"),
    "ListType": ("elem_type 1 Type",),
    "MapType": ("key_type 1 Type", "value_type 2 Type"),
    "AbstractType": ("name 1 string", "*parameter_types 2 Type"),
    "Empty": (),
    "Type": (
        *("?dyn 1 Empty", "?null 2 enum", "?primitive 3 enum", "?wrapper 4 enum", "?well_known 5 enum"),
        *("?list_type 6 ListType", "?map_type 7 MapType", "?message_type 9 string", "?type_param 10 string"),
        *("?type 11 Type", "?error 12 Empty", "?abstract_type 14 AbstractType"),
    ),
    "ReferenceEntry": ("key 1 int64", "value 2 Reference"),
    "TypeEntry": ("key 1 int64", "value 2 Type"),
    "PositionEntry": ("key 1 int64", "value 2 int32"),
    "SourceInfo": (
        *("syntax_version 1 string", "location 2 string", "*line_offsets 3 int32", "*positions 4 PositionEntry"),
    ),
    "CheckedExpr": (
        *("*reference_map 2 ReferenceEntry", "*type_map 3 TypeEntry", "expr 4 Expr", "source_info 5 SourceInfo"),
    ),
}
_URL: Final = "type.googleapis.com/cel.expr.CheckedExpr"
_FieldDescriptor = descriptor_pb2.FieldDescriptorProto
_REPEATED: Final = 3
_OPTIONAL: Final = 1
_MESSAGE: Final = 11

BOOL, INT, UINT, DOUBLE, STRING, BYTES = 1, 2, 3, 4, 5, 6
"""Values of Type.primitive."""
TIMESTAMP, DURATION = 2, 3
"""Values of Type.well_known."""


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tiphys/cel.proto", package="tiphys.cel", syntax="proto3")
    for name, lines in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(line.startswith("?") for line in lines):
            message.oneof_decl.add(name="kind")
        for line in lines:
            label, number, kind = line.lstrip("*?").split()
            field = message.field.add(name=label, number=int(number))
            field.label = _FieldDescriptor.Label.ValueType(_REPEATED if line.startswith("*") else _OPTIONAL)
            field.type = _FieldDescriptor.Type.ValueType(_SCALARS.get(kind, _MESSAGE))
            if kind not in _SCALARS:
                field.type_name = f".tiphys.cel.{kind}"
            if line.startswith("?"):
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    for other in (timestamp_pb2, duration_pb2):
        pool.AddSerializedFile(other.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"tiphys.cel.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


_CLASSES: Final = _classes()


class Tree:
    """A checked expression: its root, and what the checker knows of each node by the node's id."""

    __slots__ = ("message", "overloads", "types", "variables")

    def __init__(self, serialized: bytes) -> None:
        self.message: Any = _CLASSES["CheckedExpr"].FromString(any_pb2.Any.FromString(serialized).value)
        self.types: dict[int, Any] = {entry.key: entry.value for entry in self.message.type_map}
        self.overloads: dict[int, tuple[str, ...]] = {
            entry.key: tuple(entry.value.overload_id) for entry in self.message.reference_map
        }
        self.variables: frozenset[str] = frozenset(
            entry.value.name for entry in self.message.reference_map if entry.value.name and not entry.value.overload_id
        )

    @property
    def root(self) -> Any:
        """The outermost Expr."""
        return self.message.expr

    def type_of(self, node: Any) -> Any:
        """The checked Type of an Expr; a dyn one if the checker kept none."""
        return self.types.get(node.id) or _DYN

    def serialize(self) -> bytes:
        """What the runtime reads back."""
        data: bytes = any_pb2.Any(type_url=_URL, value=self.message.SerializeToString()).SerializeToString()
        return data


_DYN: Final = _CLASSES["Type"](dyn=_CLASSES["Empty"]())


def kind(node: Any) -> str:
    """Which member of Expr, Type or Constant is set: ``call_expr``; empty if none."""
    return node.WhichOneof("kind") or ""


def children(node: Any) -> list[Any]:
    """The expressions directly below one."""
    match kind(node):
        case "select_expr":
            return [node.select_expr.operand]
        case "call_expr":
            call = node.call_expr
            return [call.target, *call.args] if call.HasField("target") else list(call.args)
        case "list_expr":
            return list(node.list_expr.elements)
        case "struct_expr":
            entries = node.struct_expr.entries
            return [*(e.map_key for e in entries if kind(e) == "map_key"), *(e.value for e in entries)]
        case "comprehension_expr":
            loop = node.comprehension_expr
            return [loop.iter_range, loop.accu_init, loop.loop_condition, loop.loop_step, loop.result]
        case _:
            return []


def walk(node: Any) -> list[Any]:
    """A node and all below it."""
    found, open_nodes = [], [node]
    while open_nodes:
        at = open_nodes.pop()
        found.append(at)
        open_nodes += children(at)
    return found


def name_of(declared: Any) -> str:
    """A checked type in cel-go's words: ``list(string)``."""
    match kind(declared):
        case "primitive":
            return ("", "bool", "int", "uint", "double", "string", "bytes")[declared.primitive]
        case "well_known":
            return ("", "any", "google.protobuf.Timestamp", "google.protobuf.Duration")[declared.well_known]
        case "list_type":
            return f"list({name_of(declared.list_type.elem_type)})"
        case "map_type":
            return f"map({name_of(declared.map_type.key_type)}, {name_of(declared.map_type.value_type)})"
        case "message_type":
            return str(declared.message_type)
        case "null":
            return "null_type"
        case "wrapper":
            return f"wrapper({('', 'bool', 'int', 'uint', 'double', 'string', 'bytes')[declared.wrapper]})"
        case "type":
            return "type"
        case "abstract_type":
            inner = ", ".join(map(name_of, declared.abstract_type.parameter_types))
            return f"{declared.abstract_type.name}({inner})" if inner else str(declared.abstract_type.name)
        case _:
            return "dyn"


def is_optional(declared: Any) -> bool:
    """Whether a type is an optional value of another."""
    return kind(declared) == "abstract_type" and declared.abstract_type.name == "optional_type"
