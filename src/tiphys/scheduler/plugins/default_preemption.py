"""DefaultPreemption: pods of lower priority make room. The rules are in `tiphys.scheduler.preemption`."""

from __future__ import annotations

from typing import Any

from tiphys.scheduler.framework import Candidate, Failure, Plugin, Refusal
from tiphys.scheduler.plugin_args import DefaultPreemptionArgs
from tiphys.scheduler.preemption import preempt
from tiphys.scheduler.victims import VictimTable


class DefaultPreemption(Plugin):
    name = "DefaultPreemption"
    args_type = DefaultPreemptionArgs

    def __init__(self, args: Any = None, handle: Any = None) -> None:
        super().__init__(args, handle)
        self._table = VictimTable()

    def post_filter(self, failure: Failure) -> Candidate | Refusal | None:
        return preempt(failure, self.args, self._table)
