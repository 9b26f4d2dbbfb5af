"""Ranges of addresses."""

from __future__ import annotations

import pytest

from tiphys.base.address_ranges import AddressRanges


def test_ranges_and_networks_in_the_order_written() -> None:
    ranges = AddressRanges("192.0.2.8/31, 192.0.2.2-192.0.2.3")
    assert list(ranges) == ["192.0.2.8", "192.0.2.9", "192.0.2.2", "192.0.2.3"]
    assert "192.0.2.3" in ranges
    assert "192.0.2.4" not in ranges
    assert "nonsense" not in ranges
    assert not AddressRanges("")


@pytest.mark.parametrize("text", ["x", "192.0.2.1/24", "192.0.2.9-192.0.2.1", "192.0.2.1-"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        AddressRanges(text)
