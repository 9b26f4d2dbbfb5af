"""Label selectors: a conjunction of requirements on a map of labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Final

from tiphys.api import errors, field_errors, names
from tiphys.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement

Labels = Mapping[str, str]
_Match = Callable[[Labels], bool]

IN: Final = "in"
NOT_IN: Final = "notin"
EQUALS: Final = "="
DOUBLE_EQUALS: Final = "=="
NOT_EQUALS: Final = "!="
EXISTS: Final = "exists"
DOES_NOT_EXIST: Final = "!"
GREATER_THAN: Final = "gt"
LESS_THAN: Final = "lt"

BINARY: Final = (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER_THAN, LESS_THAN)
_POSITIVE: Final = (IN, EQUALS, DOUBLE_EQUALS)
_OF_OBJECT: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
_SIGN: Final = {GREATER_THAN: ">", LESS_THAN: "<"}


class Requirement:
    """One condition. `operator` is upstream's (``in``, ``notin``, ``=``, ``!=``, ``exists``, ``!``, ``gt``, ``lt``)."""

    __slots__ = ("key", "matches", "operator", "values")

    def __init__(self, key: str, operator: str, values: Collection[str] = ()) -> None:
        self.key = key
        self.operator = operator
        self.values = frozenset(values)
        self.matches = _matcher(key, operator, self.values)

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return f"!{self.key}"
        listed = ",".join(sorted(self.values))
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({listed})"
        return f"{self.key}{_SIGN.get(self.operator, self.operator)}{listed}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Requirement) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Selector:
    """A parsed label selector; immutable. `requirements` are sorted by key; None means "matches nothing"."""

    __slots__ = ("demands", "matches", "requirements")

    def __init__(self, requirements: tuple[Requirement, ...] | None) -> None:
        self.requirements = requirements
        self.matches: _Match = _never
        #: Labels every match carries, each with one of these values: what an index can answer.
        self.demands: Mapping[str, frozenset[str]] = {}
        if requirements is None:
            return
        ordered = tuple(sorted(requirements, key=lambda r: r.key))
        self.requirements = ordered
        self.demands = {r.key: r.values for r in ordered if r.operator in _POSITIVE}
        exact = {r.key: next(iter(r.values)) for r in ordered if r.operator in _POSITIVE and len(r.values) == 1}
        self.matches = _conjunction(ordered, exact)

    @property
    def is_everything(self) -> bool:
        """True if any labels match."""
        return self.requirements == ()

    @property
    def is_nothing(self) -> bool:
        """True if no labels match (a nil LabelSelector)."""
        return self.requirements is None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements or ()))

    def __repr__(self) -> str:
        return f"Selector({'nothing' if self.is_nothing else str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and self.requirements == other.requirements

    def __hash__(self) -> int:
        return hash(self.requirements)


def _never(labels: Labels) -> bool:
    return False


def _always(labels: Labels) -> bool:
    return True


def _conjunction(requirements: tuple[Requirement, ...], exact: Labels) -> _Match:
    """`exact`: labels that must have one certain value."""
    if not requirements:
        return _always
    if len(exact) == len(requirements):
        items = exact.items()
        return lambda labels: items <= labels.items()
    if len(requirements) == 1:
        return requirements[0].matches
    matchers = [r.matches for r in requirements]
    return lambda labels: all(match(labels) for match in matchers)


def _matcher(key: str, operator: str, values: frozenset[str]) -> _Match:
    if operator in _POSITIVE:
        return lambda labels: labels.get(key) in values
    if operator in (NOT_IN, NOT_EQUALS):
        return lambda labels: labels.get(key) not in values
    if operator == EXISTS:
        return lambda labels: key in labels
    if operator == DOES_NOT_EXIST:
        return lambda labels: key not in labels
    bound = int(next(iter(values)))
    if operator == GREATER_THAN:
        return lambda labels: (number := integer(labels.get(key, ""))) is not None and number > bound
    return lambda labels: (number := integer(labels.get(key, ""))) is not None and number < bound


def integer(text: str) -> int | None:
    """`text` as a 64-bit decimal integer, None if it is not one."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def requirement(key: str, operator: str, values: Collection[str] = ()) -> Requirement:
    """A checked requirement. Raises ValueError with upstream's words."""
    ordered = sorted(values)
    found: list[field_errors.FieldError] = []
    if bad := names.qualified_name(key):
        found.append(field_errors.invalid("key", key, "; ".join(bad)))
    if operator in (IN, NOT_IN) and not ordered:
        detail = "for 'in', 'notin' operators, values set can't be empty"
        found.append(field_errors.invalid("values", ordered, detail))
    elif operator in (GREATER_THAN, LESS_THAN):
        for index, value in enumerate(ordered):
            if integer(value) is None:
                detail = "for 'Gt', 'Lt' operators, the value must be an integer"
                found.append(field_errors.invalid(f"values[{index}]", value, detail))
    elif operator in (EXISTS, DOES_NOT_EXIST) and ordered:
        detail = "values set must be empty for exists and does not exist"
        found.append(field_errors.invalid("values", ordered, detail))
    for index, value in enumerate(ordered):
        if bad := names.label_value(value):
            found.append(field_errors.invalid(f"values[{index}][{key}]", value, "; ".join(bad)))
    if found:
        raise ValueError(field_errors.aggregate(found))
    return Requirement(key, operator, ordered)


EVERYTHING: Final = Selector(())
NOTHING: Final = Selector(None)


def from_labels(labels: Labels) -> Selector:
    """The selector of all objects that carry these labels; an empty map selects everything. Values are not checked."""
    return _of_items(tuple(labels.items()))


@lru_cache(maxsize=4096)
def _of_items(items: tuple[tuple[str, str], ...]) -> Selector:
    return Selector(tuple(Requirement(key, EQUALS, (value,)) for key, value in items))


def from_label_selector(selector: LabelSelector | None) -> Selector:
    """A LabelSelector object as a selector: None selects nothing, an empty one everything.

    Raises ApiError (400) on an operator or value upstream would refuse.
    """
    if selector is None:
        return NOTHING
    if not selector.match_expressions:
        return from_labels(selector.match_labels)
    requirements = [Requirement(key, EQUALS, (value,)) for key, value in selector.match_labels.items()]
    try:
        requirements.extend(_of_expression(expression) for expression in selector.match_expressions)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    return Selector(tuple(requirements))


def _of_expression(expression: LabelSelectorRequirement) -> Requirement:
    operator = _OF_OBJECT.get(expression.operator)
    if operator is None:
        raise ValueError(f"{field_errors.quote(expression.operator)} is not a valid label selector operator")
    return requirement(expression.key, operator, expression.values)
