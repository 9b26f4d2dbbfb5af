"""Short names for contents: the suffix of ReplicaSets, ControllerRevisions and EndpointSlices. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from tiphys.api import codec

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes: no words, no confusion."""


def safe_encode(text: str) -> str:
    """`text` in characters that make no words."""
    return "".join(_ALPHABET[ord(character) % len(_ALPHABET)] for character in text)


def short_hash(obj: Any, collision_count: int | None = None) -> str:
    """Up to 10 characters that stand for an API object; another `collision_count` gives others.

    None is 0: a StatefulSet whose first status was written between two tries has one first revision, not two.
    """
    digest = hashlib.blake2b(codec.encode(obj), digest_size=4)
    if collision_count:
        digest.update(collision_count.to_bytes(8, "little"))
    return safe_encode(str(int.from_bytes(digest.digest(), "little")))
