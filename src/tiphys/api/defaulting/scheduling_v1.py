"""Defaults of priority classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.scheduling_v1 import PriorityClass


def _priority_class(obj: PriorityClass) -> None:
    if obj.preemption_policy is None:
        obj.preemption_policy = "PreemptLowerPriority"
    if obj.value is None:
        obj.value = 0


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {PriorityClass: _priority_class}
