"""Types of the libraries' own values: protobuf messages, which the runtime carries; their one field is out of reach."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from tiphys.api.cel.type_names import OPAQUE, PATCH

_STRING: Final = 9
_MESSAGE: Final = 11
_WELL_KNOWN: Final = (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)


def _files() -> tuple[bytes, ...]:
    files = [module.DESCRIPTOR.serialized_pb for module in _WELL_KNOWN]
    by_package: dict[str, Any] = {}
    for full in sorted(OPAQUE):
        package, _, name = full.rpartition(".")
        file = by_package.setdefault(
            package, descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
        )
        file.message_type.add(name=name).field.add(name="text", number=1, type=_STRING, label=1)
    patch = descriptor_pb2.FileDescriptorProto(
        name="jsonpatch.proto", syntax="proto2", dependency=["google/protobuf/struct.proto"]
    )
    message = patch.message_type.add(name=PATCH)
    for number, name in enumerate(("op", "path", "from"), start=1):
        message.field.add(name=name, number=number, type=_STRING, label=1)
    message.field.add(name="value", number=4, type=_MESSAGE, label=1, type_name=".google.protobuf.Value")
    files += [file.SerializeToString() for file in (*by_package.values(), patch)]
    return tuple(files)


_FILES: Final = _files()


def pool() -> descriptor_pool.DescriptorPool:
    """A new pool that knows the well-known types and these."""
    made = descriptor_pool.DescriptorPool()
    for file in _FILES:
        made.AddSerializedFile(file)
    return made


RUNNING: Final = pool()
"""The pool that values of these types are made in: the runtime's one."""
_CLASSES: Final = {name: message_factory.GetMessageClass(RUNNING.FindMessageTypeByName(name)) for name in OPAQUE}


def make(name: str, text: str) -> Any:
    """A value of one of these types."""
    return _CLASSES[name](text=text)
