"""What the registry must know of a custom resource: the rules that built-in kinds have in `tiphys.api`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tiphys.api.field_errors import FieldError
from tiphys.api.patch import Tracked


class Custom(Protocol):
    """The rules of one custom kind; `customresources.kinds.CustomKind` has them."""

    def known(self, subresource: str) -> Tracked:
        """Which fields have owners."""
        ...

    def read(self, obj: Any, validation: str, warnings: list[str], found: Sequence[str] = ()) -> None:
        """Prune and default a decoded object, in place. Raises ApiError 400 if that or `found` is refused.

        found: what was unknown or repeated in the body outside of what the schema rules.
        """
        ...

    def prepare_create(self, obj: Any) -> None:
        """The server's half of a new object."""
        ...

    def prepare_update(self, new: Any, old: Any, subresource: str) -> None:
        """Take over what an endpoint does not change."""
        ...

    def validate(self, obj: Any, old: Any, warnings: list[str]) -> list[FieldError]:
        """What the schema and its rules say against the object; `old` is what it replaces, None if it is new."""
        ...
