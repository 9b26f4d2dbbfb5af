"""Sets of field paths, in the very form that managedFields carries (FieldsV1).

A set is a tree of dicts: ``{"f:spec": {"f:replicas": {}}}`` holds ``.spec.replicas``. An empty dict is a member without
members below; ``"."`` makes a node with members below a member itself. Steps: ``f:`` a field, ``k:`` a list item by its
key, ``v:`` one by its value. The empty set is an empty root. Sets are never changed once made, so they share nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tiphys.api.patch.plans import ANY, Plan

FieldSet = dict[str, Any]
Path = tuple[str, ...]

MEMBER: Final[FieldSet] = {}
_MAXIMUM_IDENTITIES: Final = 4096
_key_encoder: Final = msgspec.json.Encoder(order="sorted")


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in either."""
    if not right or left is right:
        return left
    if not left:
        return right
    merged = dict(left)
    for step, node in right.items():
        old = merged.get(step)
        merged[step] = node if old is None else _union_nodes(old, node)
    return merged


def _union_nodes(left: FieldSet, right: FieldSet) -> FieldSet:
    if not left:
        return right if not right or "." in right else {".": MEMBER, **right}
    if not right:
        return left if "." in left else {".": MEMBER, **left}
    return union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in `left` and not in `right`; shares untouched nodes, returns `left` itself if nothing goes."""
    result: FieldSet | None = None
    for step, node in right.items():
        old = left.get(step)
        if old is None or step == ".":
            continue
        rest = _difference_nodes(old, node)
        if rest is old:
            continue
        if result is None:
            result = dict(left)
        if rest is None:
            del result[step]
        else:
            result[step] = rest
    return left if result is None else result


def _difference_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    takes_node = not right or "." in right
    if not left:
        return None if takes_node else left
    rest = difference(left, right) if right else left
    if takes_node and "." in rest:
        rest = {step: node for step, node in rest.items() if step != "."}
    elif rest is not left and len(rest) == 1 and "." in rest:
        return MEMBER
    return rest or None


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in both."""
    common: FieldSet = {}
    for step, node in left.items():
        other = right.get(step)
        if other is None or step == ".":
            continue
        shared = _intersect_nodes(node, other)
        if shared is not None:
            common[step] = shared
    return common


def _intersect_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    member = is_member(left) and is_member(right)
    below = intersection(left, right)
    if member:
        return {".": MEMBER, **below} if below else MEMBER
    return below or None


def is_member(node: FieldSet) -> bool:
    """True if the node's own path is in the set."""
    return not node or "." in node


def paths(root: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """Every path in the set, parents before children."""
    for step, node in root.items():
        if step == ".":
            continue
        path = (*prefix, step)
        if is_member(node):
            yield path
        yield from paths(node, path)


def render(path: Path) -> str:
    """A path as messages show it: ``.spec.containers[name="c1"].image``."""
    return "".join(map(_render_step, path))


def _render_step(step: str) -> str:
    kind, rest = step[:2], step[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        fields = msgspec.json.decode(rest)
        return f"[{','.join(f'{name}={_render_value(value)}' for name, value in fields.items())}]"
    return f"[={_render_value(msgspec.json.decode(rest))}]" if kind == "v:" else f"[{rest}]"


def _render_value(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def step_of(plan: Plan, item: Any) -> str:
    """The step to an item of a list that merges. Raises ValueError if the item has no key."""
    if not plan.keys:
        return f"v:{msgspec.json.encode(item).decode()}"
    if len(plan.keys) == 1 and type(item) is dict:
        value = item.get(plan.keys[0])
        if type(value) is str:
            found = plan.identities.get(value)
            if found is None:
                if len(plan.identities) >= _MAXIMUM_IDENTITIES:
                    plan.identities.clear()
                found = plan.identities[value] = _keyed_step(plan, item)
            return found
    return _keyed_step(plan, item)


def _keyed_step(plan: Plan, item: Any) -> str:
    if item is None:
        raise ValueError("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise ValueError("associative list with keys may not have non-map elements")
    key: dict[str, Any] = {}
    for name in plan.keys:
        value = item.get(name)
        if value is None:
            value = plan.key_default(name)
        if value is not None:
            key[name] = value
        elif plan.element is None or name in plan.element.required or len(plan.keys) == 1:
            raise ValueError(
                f'associative list with keys has an element that omits key field "{name}" '
                "(and doesn't have default value)"
            )
    return f"k:{_key_encoder.encode(key).decode()}"


def added(plan: Plan, value: Any) -> FieldSet:
    """The node of a value that was not there before: it and everything below is a member."""
    if not value or plan.leaf:
        return MEMBER
    kind = type(value)
    if kind is dict:
        node: FieldSet = {".": MEMBER}
        fields, element = plan.fields, plan.element or ANY
        for key, item in value.items():
            found = fields.get(key)
            name, sub = found if found is not None else (f"f:{key}", element)
            node[name] = MEMBER if sub.leaf else added(sub, item)
        return node
    if kind is not list or plan.shape != "list":
        return MEMBER
    node = {".": MEMBER}
    element = plan.element or ANY
    for item in value:
        node[step_of(plan, item)] = added(element, item)
    return node


def declared(plan: Plan, value: dict[str, Any]) -> FieldSet:
    """What an applied configuration owns: leaves, list items and open maps' members, but not the structs on the way."""
    root: FieldSet = {}
    fields, element = plan.fields, plan.element or ANY
    for key, item in value.items():
        found = fields.get(key)
        name, sub = found if found is not None else (f"f:{key}", element)
        node = _declared_node(sub, item)
        if item is None or item == {} or found is None:
            node = _union_nodes(node, MEMBER) if node is not None else MEMBER
        if node is not None:
            root[name] = node
    return root


def _declared_node(plan: Plan, value: Any) -> FieldSet | None:
    """The node of a value; None if nothing of it is a member."""
    if plan.leaf or not isinstance(value, dict | list):
        return None if value is None and not plan.leaf else MEMBER
    if isinstance(value, dict):
        return declared(plan, value) or None
    if plan.shape != "list":
        return MEMBER
    node: FieldSet = {}
    for item in value:
        below = _declared_node(plan.element or ANY, item)
        node[step_of(plan, item)] = _union_nodes(below, MEMBER) if below is not None else MEMBER
    return node or None
