"""Quantities: kept as exact fractions, so that equal amounts are equal however they were written."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.libraries.messages import make
from tiphys.api.cel.type_names import QUANTITY
from tiphys.api.quantity import Quantity

_LARGEST: Final = 2**63 - 1
_BOTH: Final = (QUANTITY, QUANTITY)


def _amount(value: Any) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(value.text)


def _made(amount: Fraction) -> Any:
    return make(QUANTITY, str(amount))


def _parse(text: str) -> Any:
    return _made(Quantity(text).exact)


def quantity(text: str) -> Any:
    """A quantity as expressions see it, for data that holds some. Raises ValueError."""
    return _parse(text)


def _is_quantity(text: str) -> bool:
    try:
        Quantity(text)
    except ValueError:
        return False
    return True


def _integer(value: Any) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(_amount(value))


def _is_integer(value: Any) -> bool:
    amount = _amount(value)
    return amount.denominator == 1 and abs(amount) <= _LARGEST


def _compare(left: Any, right: Any) -> int:
    a, b = _amount(left), _amount(right)
    return (a > b) - (a < b)


def _sum(sign: int) -> Callable[[Any, Any], Any]:
    def run(left: Any, right: Any) -> Any:
        other = Fraction(right) if isinstance(right, int) else _amount(right)
        return _made(_amount(left) + sign * other)

    return run


FUNCTIONS: Final = (
    Function("quantity", "string_to_quantity", ("string",), QUANTITY, _parse, is_member=False),
    Function("isQuantity", "is_quantity_string", ("string",), "bool", _is_quantity, is_member=False),
    Function("sign", "quantity_sign", (QUANTITY,), "int", lambda q: _compare(q, Fraction(0))),
    Function("isGreaterThan", "quantity_is_greater_than", _BOTH, "bool", lambda a, b: _compare(a, b) > 0),
    Function("isLessThan", "quantity_is_less_than", _BOTH, "bool", lambda a, b: _compare(a, b) < 0),
    Function("compareTo", "quantity_compare_to", _BOTH, "int", _compare),
    Function("asApproximateFloat", "quantity_get_float", (QUANTITY,), "double", lambda q: float(_amount(q))),
    Function("asInteger", "quantity_get_int", (QUANTITY,), "int", _integer),
    Function("isInteger", "quantity_is_integer", (QUANTITY,), "bool", _is_integer),
    Function("add", "quantity_add", _BOTH, QUANTITY, _sum(1)),
    Function("add", "quantity_add_int", (QUANTITY, "int"), QUANTITY, _sum(1)),
    Function("sub", "quantity_sub", _BOTH, QUANTITY, _sum(-1)),
    Function("sub", "quantity_sub_int", (QUANTITY, "int"), QUANTITY, _sum(-1)),
)
