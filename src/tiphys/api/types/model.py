"""The base of every generated API type."""

from msgspec import Struct


class Model(Struct, omit_defaults=True, kw_only=True, gc=False):
    """A node of an API object.

    Absent lists are ``()``, absent maps ``{}``, other absent fields None; fields the wire form always carries have empty
    values instead. Treat an instance as immutable once it is shared: derive with `msgspec.structs.replace`.
    """
