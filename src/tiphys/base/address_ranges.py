"""Ranges of IPv4 addresses as people write them: ``192.168.7.0/28, 192.168.7.40-192.168.7.50``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator


class AddressRanges:
    """A set of addresses, in the order written. Raises ValueError for a text that is no ranges."""

    def __init__(self, text: str) -> None:
        self._ranges = [_range(part.strip()) for part in text.split(",") if part.strip()]

    def __contains__(self, address: str) -> bool:
        try:
            number = int(ipaddress.IPv4Address(address))
        except ValueError:
            return False
        return any(first <= number <= last for first, last in self._ranges)

    def __iter__(self) -> Iterator[str]:
        for first, last in self._ranges:
            for number in range(first, last + 1):
                yield str(ipaddress.IPv4Address(number))

    def __bool__(self) -> bool:
        return bool(self._ranges)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if dash:
        ends = int(ipaddress.IPv4Address(first.strip())), int(ipaddress.IPv4Address(last.strip()))
        if ends[0] > ends[1]:
            raise ValueError(f"{text} is no range: its end is before its beginning")
        return ends
    network = ipaddress.IPv4Network(text)
    return int(network[0]), int(network[-1])
