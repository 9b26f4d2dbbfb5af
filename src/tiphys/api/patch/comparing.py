"""What differs between two versions of an object, as field sets."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tiphys.api.patch.field_sets import MEMBER, FieldSet, added, step_of, union
from tiphys.api.patch.plans import ANY, Plan


class Comparison(NamedTuple):
    """taken: paths added or modified. gone: paths removed."""

    taken: FieldSet
    gone: FieldSet

    @property
    def touched(self) -> FieldSet:
        """All three together."""
        return union(self.taken, self.gone)


_ABSENT: Final = object()
_Nodes = tuple[FieldSet | None, FieldSet | None]
_SAME: Final[_Nodes] = (None, None)
_REPLACED: Final[_Nodes] = (MEMBER, None)


def compare(plan: Plan, old: dict[str, Any], new: dict[str, Any]) -> Comparison:
    """How `new` differs from `old`. Equal parts cost one comparison each, whatever their size."""
    taken: FieldSet = {}
    gone: FieldSet = {}
    _compare_maps(plan, old, new, taken, gone)
    return Comparison(taken, gone)


def _compare_maps(plan: Plan, old: dict[str, Any], new: dict[str, Any], taken: FieldSet, gone: FieldSet) -> None:
    fields, element = plan.fields, plan.element or ANY
    for key, value in new.items():
        before = old.get(key, _ABSENT)
        if before == value and before is not _ABSENT:
            continue
        found = fields.get(key)
        name, sub = found if found is not None else (f"f:{key}", element)
        if sub.leaf:
            taken[name] = MEMBER
        elif before is _ABSENT:
            taken[name] = added(sub, value)
        else:
            _compare_values(sub, before, value, name, taken, gone)
    if len(old) == len(new) and old.keys() == new.keys():
        return
    for key, value in old.items():
        if key not in new:
            found = fields.get(key)
            name, sub = found if found is not None else (f"f:{key}", element)
            gone[name] = added(sub, value)


def _compare_values(plan: Plan, old: Any, new: Any, name: str, taken: FieldSet, gone: FieldSet) -> None:
    """Two unequal values that are both there (a null is there and empty)."""
    if not old and not new:
        taken[name] = MEMBER
        return
    old_kind, new_kind = type(old), type(new)
    below_taken: FieldSet = {}
    below_gone: FieldSet = {}
    if (new_kind is dict or new is None) and (old_kind is dict or old is None):
        _compare_maps(plan, old or {}, new or {}, below_taken, below_gone)
    elif plan.shape == "list" and (new_kind is list or new is None) and (old_kind is list or old is None):
        if not _compare_lists(plan, old or [], new or [], below_taken, below_gone):
            taken[name] = MEMBER
            return
    else:
        taken[name] = MEMBER
        return
    if below_taken:
        taken[name] = below_taken
    if below_gone:
        gone[name] = below_gone


def _compare_lists(plan: Plan, old: list[Any], new: list[Any], taken: FieldSet, gone: FieldSet) -> bool:
    """Item by item; their order does not count. False if duplicates forbid that."""
    before = {step_of(plan, item): item for item in old}
    after = {step_of(plan, item): item for item in new}
    if len(before) != len(old) or len(after) != len(new):
        return False
    element = plan.element or ANY
    for step, item in after.items():
        other = before.get(step, _ABSENT)
        if other is _ABSENT:
            taken[step] = added(element, item)
        elif other != item:
            _compare_values(element, other, item, step, taken, gone)
    for step, item in before.items():
        if step not in after:
            gone[step] = added(element, item)
    return True
