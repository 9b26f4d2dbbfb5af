"""The order of a list after a strategic merge.

Items of the patch keep the patch's order, items only the server has keep the server's; the two are interleaved by the
server's order where both sides are known to it, and otherwise the patch's items come first.
"""

from __future__ import annotations

from typing import Any

from tiphys.api import errors
from tiphys.api.patch.go_text import plain


def merge_value(item: dict[str, Any], key: str) -> Any:
    """The merge key's value; raises ApiError (500, as upstream) without one."""
    if key not in item:
        raise errors.unclassified(f"map: {plain(item)} does not contain declared merge key: {key}")
    return item[key]


def hashable(value: Any) -> Any:
    """`value`, or something as unique that may be a dict's key."""
    return plain(value) if isinstance(value, dict | list) else (type(value), value)


def restore(merged: list[Any], patch: list[Any], server: list[Any], key: str) -> list[Any]:
    """`merged` in its final order; `key` is "" for lists of scalars."""
    patch_rank, server_rank = _ranks(patch, key), _ranks(server, key)
    ours: list[tuple[int, Any]] = []
    theirs: list[tuple[int, Any]] = []
    last = len(merged) + len(patch) + len(server)
    for item in merged:
        identity = _identity(item, key)
        if identity in patch_rank:
            ours.append((patch_rank[identity], item))
        else:
            theirs.append((server_rank.get(identity, last), item))
    ours.sort(key=lambda ranked: ranked[0])
    theirs.sort(key=lambda ranked: ranked[0])
    result: list[Any] = []
    index = 0
    for rank, item in theirs:
        while index < len(ours) and not rank < server_rank.get(_identity(ours[index][1], key), -1):
            result.append(ours[index][1])
            index += 1
        result.append(item)
    result.extend(item for _, item in ours[index:])
    return result


def check(patch: list[Any], order: list[Any], key: str, directive: str) -> None:
    """Raises ApiError (500, as upstream) unless the patch's items are listed in `order`, in that order."""
    rank = _ranks(order, key)
    found = [rank.get(_identity(item, key)) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    known = [position for position in found if position is not None]
    if len(known) != len(found) or known != sorted(known):
        where = directive.partition("/")[0]
        raise errors.unclassified(
            f"The order in patch list:\n{plain(patch)}\n doesn't match {where} list:\n{plain(order)}\n"
        )


def _identity(item: Any, key: str) -> Any:
    if key and isinstance(item, dict):
        return hashable(merge_value(item, key))
    return hashable(item)


def _ranks(items: list[Any], key: str) -> dict[Any, int]:
    ranks: dict[Any, int] = {}
    for position, item in enumerate(items):
        ranks.setdefault(_identity(item, key), position)
    return ranks
