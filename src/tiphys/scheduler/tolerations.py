"""Which taints a pod bears.

Source: Kubernetes documentation, "Taints and Tolerations".
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api.types.core_v1 import Toleration

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"
PREFER_NO_SCHEDULE = "PreferNoSchedule"


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
    try:
        given, wanted = int(value), int(toleration.value or "")
    except ValueError:
        return False
    return given > wanted if operator == "Gt" else operator == "Lt" and given < wanted


def untolerated(
    taints: Iterable[tuple[str, str, str]], tolerations: tuple[Toleration, ...], effects: tuple[str, ...]
) -> int:
    """How many of the (key, value, effect) taints with one of `effects` no toleration covers."""
    return sum(
        effect in effects and not any(tolerates(toleration, key, value, effect) for toleration in tolerations)
        for key, value, effect in taints
    )
