"""Each message's fields in the order of their numbers, from ``numbers.json``, which is generated.

A text per message: the n-th word is the field with number n. After a colon: ``t`` a Time, ``u`` a MicroTime, ``b``
bytes, ``s`` a JSON schema, ``p`` a scalar whose zero differs from its absence (in Go a pointer); a number there
replaces the position, also for the words that follow. ``*Name`` is a message whose fields JSON shows as the outer
message's own. Types are those of our structs of the same name, for schemas those in `schemas`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

import msgspec

_WORD: Final = re.compile(r"(\*?)([$A-Za-z0-9-]+)(?::(\d*)([a-z]?))?")


class Field(NamedTuple):
    """One field; `inline` if its message's fields are the outer message's in JSON."""

    number: int
    name: str
    code: str
    inline: bool


@cache
def messages() -> Mapping[str, str]:
    """The texts by message, such as ``core_v1.PodSpec``; read at first use."""
    data = resources.files(__package__).joinpath("numbers.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, str])


def fields_of(message: str) -> Iterator[Field]:
    """The known fields of a message; none for messages that are not known."""
    number = 0
    for word in messages().get(message, "").split():
        match = _WORD.fullmatch(word)
        assert match is not None, word
        number = int(match[3]) if match[3] else number + 1
        yield Field(number, match[2], match[4] or "", bool(match[1]))
