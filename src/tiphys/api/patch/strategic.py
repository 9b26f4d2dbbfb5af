"""Strategic merge patch: a merge patch that knows which lists merge, and by which key.

Directives: ``$patch`` (replace, delete), ``$retainKeys``, ``$deleteFromPrimitiveList/x`` and ``$setElementOrder/x``.
"""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import errors
from tiphys.api.errors import ApiError
from tiphys.api.patch import ordering
from tiphys.api.patch.go_text import plain, type_name
from tiphys.api.patch.plans import ANY, Plan
from tiphys.api.types.meta_v1 import Status, StatusDetails

_DIRECTIVE: Final = "$patch"
_RETAIN_KEYS: Final = "$retainKeys"
_DELETE_PRIMITIVES: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"

Map = dict[str, Any]


def strategic_merge(document: Map, patch: Any, plan: Plan) -> Map:
    """`document` with `patch` merged in by the facts in `plan`.

    `document` is not changed; the result shares what the patch did not touch. Raises ApiError: 400 for malformed
    directives, 422 for lists of lists, 500 (as upstream) where a merge key is missing.
    """
    if not isinstance(patch, dict):
        target = "map[string]interface {}"
        raise errors.bad_request(f"json: cannot unmarshal {type_name(patch)} into Go value of type {target}")
    return _merge_map(document, patch, plan)


def _merge_map(original: Map, patch: Map, plan: Plan) -> Map:
    directive = patch.get(_DIRECTIVE)
    if directive is not None:
        if directive == "replace":
            replaced: Map = _clean({key: value for key, value in patch.items() if key != _DIRECTIVE})
            return replaced
        if directive == "delete":
            return {}
        raise errors.unclassified(f"unknown patch type: {plain(directive)} in map: {plain(patch)}")
    merged = dict(original)
    patch = _retain_keys(merged, patch)
    done = {key for key in patch if key.startswith(_ORDER) for key in (key, key[len(_ORDER) :])}
    for key in patch:
        if key.startswith(_ORDER):
            _merge_ordered(merged, patch, key, plan)
    for key, value in patch.items():
        if key in done:
            continue
        if key.startswith(_DELETE_PRIMITIVES):
            _delete_primitives(merged, key[len(_DELETE_PRIMITIVES) :], value)
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(merged.get(key), value, plan.child(key))
    return merged


def _merge_value(old: Any, new: Any, plan: Plan) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return _clean(new) if "replace" in plan.strategies else _merge_map(old, new, plan)
    if isinstance(old, list) and isinstance(new, list) and "merge" in plan.strategies:
        return _merge_list(old, new, plan)
    return _clean(new)


def _merge_list(original: list[Any], patch: list[Any], plan: Plan) -> list[Any]:
    if not original and not patch:
        return original
    key = plan.merge_key
    if not _of_maps(original, patch):
        merged = list(original)
        merged.extend(item for item in patch if item not in merged)
    else:
        if not key:
            raise errors.unclassified(f"cannot merge lists without merge key for {plan.name}")
        original, patch = _obey_items(original, patch, key)
        merged = _merge_items(original, patch, key, plan.element or ANY)
    return ordering.restore(merged, patch, original, key)


def _of_maps(original: list[Any], patch: list[Any]) -> bool:
    """True if the elements are maps; they must all be of one type and not lists."""
    kinds = {type_name(item) for item in (*original, *patch)}
    if "array" in kinds:
        message = "the server rejected our request due to an error in our request"
        details = StatusDetails()
        raise ApiError(Status(status="Failure", code=422, reason="Invalid", message=message, details=details))
    if "object" in kinds and len(kinds) > 1:
        raise errors.unclassified("list element types are not identical")
    return kinds == {"object"}


def _obey_items(original: list[Map], patch: list[Map], key: str) -> tuple[list[Map], list[Map]]:
    """Carry out the ``$patch`` directives among the items; the rest of both lists."""
    plain_items: list[Map] = []
    replace = False
    for item in patch:
        directive = item.get(_DIRECTIVE)
        if directive is None:
            plain_items.append(item)
        elif directive == "delete":
            wanted = ordering.merge_value(item, key)
            original = [old for old in original if old.get(key) != wanted]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise errors.unclassified("merging lists cannot yet be specified in the patch")
        else:
            raise errors.unclassified(f"unknown patch type: {plain(directive)} in map: {plain(item)}")
    return (plain_items, []) if replace else (original, plain_items)


def _merge_items(original: list[Map], patch: list[Map], key: str, element: Plan) -> list[Map]:
    merged = list(original)
    position = {ordering.hashable(item.get(key)): index for index, item in enumerate(original)}
    for item in patch:
        wanted = ordering.hashable(ordering.merge_value(item, key))
        index = position.get(wanted)
        if index is None:
            position[wanted] = len(merged)
            merged.append(_clean(item))
        else:
            merged[index] = _merge_map(merged[index], item, element)
    return merged


def _merge_ordered(merged: Map, patch: Map, directive: str, plan: Plan) -> None:
    """Merge the list that a ``$setElementOrder/x`` speaks of and put it into that order."""
    order = patch[directive]
    if not isinstance(order, list):
        raise errors.bad_request(
            f"invalid patch format of setElementOrder list, should be list of {{}}: {plain(order)}"
        )
    key = directive[len(_ORDER) :]
    old, new = merged.get(key), patch.get(key)
    field = plan.child(key)
    if new is None and key in patch:
        merged.pop(key, None)
        return
    if isinstance(new, list):
        ordering.check(new, order, field.merge_key, directive)
    if isinstance(old, list) and isinstance(new, list):
        items = _merge_value(old, new, field)
    elif isinstance(old, list):
        items = old
    elif isinstance(new, list):
        items = _clean(new)
    else:
        return
    merged[key] = ordering.restore(items, order, old if isinstance(old, list) else [], field.merge_key)


def _retain_keys(merged: Map, patch: Map) -> Map:
    """Drop from `merged` what a ``$retainKeys`` does not list; the patch without the directive."""
    if _RETAIN_KEYS not in patch:
        return patch
    keep = patch[_RETAIN_KEYS]
    patch = {key: value for key, value in patch.items() if key != _RETAIN_KEYS}
    unlisted = isinstance(keep, list) and any(
        value is not None and not key.startswith((_DELETE_PRIMITIVES, _ORDER)) and key not in keep
        for key, value in patch.items()
    )
    if not isinstance(keep, list) or unlisted:
        raise errors.bad_request("invalid patch format of retainKeys")
    for key in [key for key in merged if key not in keep]:
        del merged[key]
    return patch


def _delete_primitives(merged: Map, key: str, unwanted: Any) -> None:
    if not isinstance(unwanted, list):
        raise errors.bad_request("invalid patch format of primitive list")
    old = merged.get(key)
    if isinstance(old, list):
        merged[key] = [item for item in old if item not in unwanted]


def _clean(value: Any) -> Any:
    """A new value without directives and nulls in its maps."""
    if isinstance(value, dict):
        return {
            key: _clean(item)
            for key, item in value.items()
            if item is not None and not key.startswith((_DIRECTIVE, _RETAIN_KEYS, _DELETE_PRIMITIVES, _ORDER))
        }
    if isinstance(value, list):
        return [_clean(item) for item in value if not (isinstance(item, dict) and _DIRECTIVE in item)]
    return value
