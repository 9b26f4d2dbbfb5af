"""Which taints a pod bears.

Source: Kubernetes documentation, "Taints and Tolerations".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tiphys.api.types.core_v1 import Toleration

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")


def tolerates(toleration: Toleration, key: str, value: str, effect: str) -> bool:
    """Whether one toleration covers one taint. No effect: every effect; no key: every key (operator Exists)."""
    if toleration.effect and toleration.effect != effect:
        return False
    if toleration.key and toleration.key != key:
        return False
    operator = toleration.operator or "Equal"
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool(toleration.key) and (toleration.value or "") == value
    if not _INTEGER.fullmatch(value) or not _INTEGER.fullmatch(toleration.value or ""):
        return False
    given, wanted = int(value), int(toleration.value or "")
    return given > wanted if operator == "Gt" else operator == "Lt" and given < wanted


def untolerated(
    taints: Iterable[tuple[str, str, str]], tolerations: tuple[Toleration, ...], effects: tuple[str, ...]
) -> int:
    """How many of the (key, value, effect) taints with one of `effects` no toleration covers."""
    return sum(
        effect in effects and not any(tolerates(toleration, key, value, effect) for toleration in tolerations)
        for key, value, effect in taints
    )
