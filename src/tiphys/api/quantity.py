"""Quantities: fixed-point numbers with SI or binary suffixes, canonical as the API stores them.

Source: the Kubernetes API reference, "Quantity": ``<number><suffix>`` where the suffix is binary (Ki…Ei), decimal
(n u m "" k M G T P E) or a decimal exponent (e3, E3). The canonical form has the largest suffix that leaves no fraction
and no more than three fractional digits are kept beyond nano.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

_FORMAT: Final = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX_OF_EXPONENT: Final = {v: k for k, v in _DECIMAL.items()}
_SUFFIX_OF_POWER: Final = {v: k for k, v in _BINARY.items()}
_LARGEST: Final = 2**63 - 1
_NANO: Final = 10**9
MALFORMED: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
"""What the API answers to a quantity it cannot read."""


class Quantity(str):
    """A quantity in canonical form; a plain string to everything else (JSON included).

    ``Quantity("0.5")`` is ``"500m"``; ``Quantity(1)`` is ``"1"``; ``Quantity("1024Mi")`` is ``"1Gi"``. Equal canonical
    strings are equal quantities of one format; compare ``.milli`` to compare across formats.

    Raises ValueError (`MALFORMED`) for anything that is not a quantity.
    """

    __slots__ = ()

    def __new__(cls, text: str | int | float = "0") -> Quantity:
        return _canonical(text if isinstance(text, str) else repr(text))

    @property
    def exact(self) -> Fraction:
        """The number itself."""
        return _parse(str(self))[0]

    @property
    def milli(self) -> int:
        """Thousandths, rounded up as upstream's MilliValue."""
        return _scaled(self, 1000)

    @property
    def value(self) -> int:
        """Whole units, rounded up as upstream's Value."""
        return _scaled(self, 1)

    @classmethod
    def of_milli(cls, milli: int) -> Quantity:
        """The decimal quantity of so many thousandths: ``of_milli(1500)`` is ``"1500m"``."""
        return cls(f"{milli}m")


@lru_cache(maxsize=8192)
def _scaled(text: str, factor: int) -> int:
    number = _parse(str(text))[0] * factor
    return -((-number.numerator) // number.denominator)


def _parse(text: str) -> tuple[Fraction, str]:
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ValueError(MALFORMED)
    sign, digits, suffix = match.group(1), match.group(2), match.group(3) or ""
    number = Fraction(digits if not digits.endswith(".") else digits[:-1])
    if suffix in _BINARY:
        number *= 1024 ** _BINARY[suffix]
        form = "binary"
    elif suffix in _DECIMAL:
        number *= Fraction(10) ** _DECIMAL[suffix]
        form = "decimal"
    else:
        exponent = int(suffix[1:])
        if abs(exponent) > 400:
            raise ValueError(MALFORMED)
        number *= Fraction(10) ** exponent
        form = "exponent"
    nano = number * _NANO
    if nano.denominator != 1:
        number = Fraction(-((-nano.numerator) // nano.denominator), _NANO)
    number = min(number, Fraction(_LARGEST))
    return (-number if sign == "-" else number), form


@lru_cache(maxsize=8192)
def _canonical(text: str) -> Quantity:
    number, form = _parse(text)
    # Binary form only makes sense for whole numbers of at least 1024 or so; below, upstream prints the decimal form.
    if form == "binary" and (abs(number) < 1024 or number.denominator != 1):
        form = "decimal"
    if number == 0:
        rendered = "0"
    elif form == "binary":
        rendered = _render_binary(int(number))
    else:
        rendered = _render_decimal(number, exponent_form=form == "exponent")
    return str.__new__(Quantity, rendered)


def _render_binary(number: int) -> str:
    power = 0
    while power < 6 and number % 1024 == 0:
        number //= 1024
        power += 1
    return f"{number}{_SUFFIX_OF_POWER[power] if power else ''}"


def _render_decimal(number: Fraction, *, exponent_form: bool) -> str:
    mantissa = int(number * _NANO)
    exponent = -9
    while exponent < 18 and mantissa % 1000 == 0:
        mantissa //= 1000
        exponent += 3
    if exponent_form:
        return f"{mantissa}e{exponent}" if exponent else f"{mantissa}"
    return f"{mantissa}{_SUFFIX_OF_EXPONENT[exponent]}"
