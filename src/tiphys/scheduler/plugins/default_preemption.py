"""DefaultPreemption: pods of lower priority make room. The rules are in `tiphys.scheduler.preemption`."""

from __future__ import annotations

from tiphys.scheduler.framework import Candidate, Failure, Plugin, Refusal
from tiphys.scheduler.plugin_args import DefaultPreemptionArgs
from tiphys.scheduler.preemption import preempt


class DefaultPreemption(Plugin):
    name = "DefaultPreemption"
    args_type = DefaultPreemptionArgs

    def post_filter(self, failure: Failure) -> Candidate | Refusal | None:
        return preempt(failure.info, failure.diagnosis, failure.cluster, failure.evaluations, failure.budgets())
