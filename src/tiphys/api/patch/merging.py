"""Typed merge, removal of fields and validation of applied configurations."""

from __future__ import annotations

from typing import Any

from tiphys.api.patch.field_sets import MEMBER, FieldSet, is_member, render, step_of
from tiphys.api.patch.go_text import plain
from tiphys.api.patch.plans import ANY, Plan


def merge(plan: Plan, live: Any, applied: Any) -> Any:
    """`live` with everything `applied` says; keyed lists and sets merge, the rest is replaced."""
    if plan.leaf:
        return applied
    if applied is None or applied == {} or applied == []:
        return live if isinstance(live, dict | list) and live else applied
    if not live:
        return applied
    if isinstance(applied, dict) and isinstance(live, dict):
        merged = dict(live)
        for key, value in applied.items():
            merged[key] = merge(plan.child(key), live[key], value) if key in live else value
        return merged
    if isinstance(applied, list) and isinstance(live, list) and plan.shape == "list":
        return _merge_lists(plan, live, applied)
    return applied


def _merge_lists(plan: Plan, live: list[Any], applied: list[Any]) -> list[Any]:
    """Live items keep their places; applied ones are in the applied order, after what stood before them."""
    element = plan.element or ANY
    wanted = {step_of(plan, item): item for item in applied}
    present: dict[str, Any] = {}
    for item in live:
        present.setdefault(step_of(plan, item), item)
    pending = list(wanted)
    shared = [step for step in pending if step in present]
    position = 0
    merged: list[Any] = []

    def take() -> str:
        nonlocal position
        step = pending[position]
        position += 1
        merged.append(merge(element, present[step], wanted[step]) if step in present else wanted[step])
        if shared and shared[0] == step:
            del shared[0]
        return step

    for item in live:
        step = step_of(plan, item)
        if step not in wanted:
            merged.append(item)
        elif shared and shared[0] == step:
            while take() != step:
                pass
        # any other shared item has been placed, or will be, where the applied order wants it
    while position < len(pending):
        take()
    return merged


def remove(plan: Plan, value: Any, unwanted: FieldSet) -> Any:
    """`value` without the paths in `unwanted`; lists and maps that become empty are None."""
    if plan.leaf or not value or not unwanted:
        return value
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            found = plan.fields.get(key)
            name, sub = found if found is not None else (f"f:{key}", plan.element or ANY)
            node = unwanted.get(name)
            if node is None:
                kept[key] = item
            elif not is_member(node):
                kept[key] = remove(sub, item, node)
        return kept or None
    if not isinstance(value, list) or plan.shape != "list":
        return value
    items = []
    for item in value:
        node = unwanted.get(step_of(plan, item))
        if node is None:
            items.append(item)
        elif not is_member(node):
            items.append(remove(plan.element or ANY, item, node))
    return items or None


def with_named_fields(plan: Plan, fields: FieldSet) -> FieldSet:
    """The set with every declared field that has members below it a member too."""
    result: FieldSet = {}
    for step, node in fields.items():
        if step == ".":
            result[step] = node
            continue
        if not node:
            result[step] = node
            continue
        named = step.startswith("f:") and step[2:] in plan.fields
        sub = plan.child(step[2:]) if step.startswith("f:") else plan.element or ANY
        below = with_named_fields(sub, node)
        result[step] = {".": MEMBER, **below} if named else below
    return result


def check(plan: Plan, value: Any) -> list[str]:
    """What is wrong with an applied configuration, each with its path, in upstream's words."""
    found: list[str] = []
    _check(plan, value, "", found)
    return found


def _check(plan: Plan, value: Any, path: str, found: list[str]) -> None:
    if value is None or plan.shape == "any":
        return
    prefix = f"{path}: " if path else ""
    if plan.shape == "scalar":
        problem = _scalar_problem(plan.scalar, value)
        if problem:
            found.append(prefix + problem)
    elif plan.shape == "map":
        if not isinstance(value, dict):
            found.append(f"{prefix}expected map, got &{{{plain(value)}}}")
            return
        for key, item in value.items():
            if key in plan.fields or plan.element is not None or not plan.closed:
                _check(plan.child(key), item, f"{path}.{key}", found)
            else:
                found.append(f"{path}.{key}: field not declared in schema")
    elif not isinstance(value, list):
        found.append(f"{prefix}expected list, got &{{{plain(value)}}}")
    else:
        _check_items(plan, value, path, found)


def _check_items(plan: Plan, items: list[Any], path: str, found: list[str]) -> None:
    element = plan.element or ANY
    seen: set[str] = set()
    for index, item in enumerate(items):
        if plan.leaf:
            _check(element, item, f"{path}[{index}]", found)
            continue
        try:
            step = step_of(plan, item)
        except ValueError as error:
            found.append(f"{path}: element {index}: {error}")
            continue
        shown = render((step,))
        if step in seen:
            found.append(f"{path}: duplicate entries for key {shown}")
        seen.add(step)
        _check(element, item, path + shown, found)


def _scalar_problem(scalar: str, value: Any) -> str:
    if isinstance(value, dict | list):
        return f"expected {scalar or 'any scalar'}, got &{{{plain(value)}}}"
    if scalar == "string" and not isinstance(value, str):
        return f"expected string, got &value.valueUnstructured{{Value:{plain(value)}}}"
    if scalar == "numeric" and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"expected numeric (int or float), got {_go_type(value)}"
    if scalar == "boolean" and not isinstance(value, bool):
        return f"expected boolean, got &{{{plain(value)}}}"
    return ""


def _go_type(value: Any) -> str:
    return "bool" if isinstance(value, bool) else "string"
