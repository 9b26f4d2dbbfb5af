"""Defaults of priority and fairness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.flowcontrol_v1 import FlowSchema, PriorityLevelConfiguration

MATCHING_PRECEDENCE: Final = 1000
CONCURRENCY_SHARES: Final = 30


def _flow_schema(obj: FlowSchema) -> None:
    if not obj.spec.matching_precedence:
        obj.spec.matching_precedence = MATCHING_PRECEDENCE


def _priority_level(obj: PriorityLevelConfiguration) -> None:
    limited, exempt = obj.spec.limited, obj.spec.exempt
    if limited is not None:
        if limited.nominal_concurrency_shares is None:
            limited.nominal_concurrency_shares = CONCURRENCY_SHARES
        if limited.lendable_percent is None:
            limited.lendable_percent = 0
        queuing = limited.limit_response.queuing if limited.limit_response is not None else None
        if queuing is not None:
            queuing.hand_size = queuing.hand_size or 8
            queuing.queues = queuing.queues or 64
            queuing.queue_length_limit = queuing.queue_length_limit or 50
    if exempt is not None:
        if exempt.nominal_concurrency_shares is None:
            exempt.nominal_concurrency_shares = 0
        if exempt.lendable_percent is None:
            exempt.lendable_percent = 0


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {
    FlowSchema: _flow_schema,
    PriorityLevelConfiguration: _priority_level,
}
