"""Quantities: canonical form and arithmetic, by examples and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.quantity import Quantity


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("0.5", "500m"), (1, "1"), ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"), ("1000m", "1"), ("1e3", "1e3"), ("1E3", "1e3"),
        ("12Ki", "12Ki"), ("0.5Mi", "512Ki"), ("0.5Ki", "512"), ("1000k", "1M"),
        ("-1", "-1"), (".5", "500m"), ("5.", "5"),
        ("0", "0"), ("0Mi", "0"), ("0.0001", "100u"), ("1n", "1n"), ("0.1n", "1n"),
        ("100000000", "100M"), (0.1, "100m"),
    ],
)  # fmt: skip
def test_canonical_form(given: str | int | float, canonical: str) -> None:
    assert Quantity(given) == canonical


@pytest.mark.parametrize("text", ["", "x", "1x", "Mi", "1 Mi", "1.2.3", "--1", "1e", "1e9999", "١"])
def test_what_is_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        Quantity(text)


def test_rounding_up() -> None:
    assert (Quantity("1m").value, Quantity("1n").milli, Quantity("1500m").value, Quantity("2").milli) == (1, 1, 2, 2000)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "k", "M", "m", "Ki", "Mi", "Gi"]))
def test_canonical_is_stable_and_keeps_the_number(number: int, suffix: str) -> None:
    quantity = Quantity(f"{number}{suffix}")
    assert Quantity(str(quantity)) == quantity
    assert Quantity(str(quantity)).exact == quantity.exact
