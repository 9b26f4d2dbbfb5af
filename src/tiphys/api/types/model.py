"""The base of every generated API type."""

from typing import Any

from msgspec import Struct, field


class Model(Struct, omit_defaults=True, kw_only=True, gc=False):
    """A node of an API object.

    Absent lists are ``()``, absent maps ``{}``, other absent fields None; fields the wire form always carries have empty
    values instead. Treat an instance as immutable once it is shared: derive with `msgspec.structs.replace`.
    """


class OpenModel(Model):
    """A kind whose objects may have members that it does not declare: the codec keeps them in `rest`."""

    rest: dict[str, Any] | None = field(default=None, name="$undeclared")
