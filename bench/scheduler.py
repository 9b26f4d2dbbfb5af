"""Scheduling: pods bound end to end, the algorithm alone, one pod's latency, memory; at 5,000 nodes, then at 15,000."""

from __future__ import annotations

from typing import Final

from bench import binding, decisions, workload
from bench.report import Report, Row
from bench.server import Server, apiserver
from bench.workload import MakePod

NODES: Final = 5_000
MORE_NODES: Final = 15_000
PODS: Final = 10_000
SINGLE_PODS: Final = 400
SINGLE_PAUSE_SECONDS: Final = 0.02


async def run(report: Report) -> None:
    """The first row is pods bound a second, end to end."""
    async with apiserver() as server:
        await binding.create_nodes(server, 0, NODES)
        await _waiting(report, server, NODES, judged=True)
        decisions.rows(report, NODES, judged=True)
        await _latencies(report, server, NODES, judged=True)
        await _created(report, server, NODES)
        await binding.create_nodes(server, NODES, MORE_NODES)
        await _waiting(report, server, MORE_NODES, judged=False)
        decisions.rows(report, MORE_NODES, judged=False)
        await _latencies(report, server, MORE_NODES, judged=False)
        await _created(report, server, MORE_NODES)
    await _alive(report)
    await _memory(report)


async def _waiting(report: Report, server: Server, nodes: int, *, judged: bool) -> None:
    await binding.delete_pods(server)
    await binding.create_pods(server, PODS, workload.basic)
    figure = await binding.waiting_bound_per_second(server, PODS)
    name = f"schedule {PODS:,} pods on {nodes:,} hollow nodes, end to end (bound)"
    report.add(Row(name, figure, "pods/s", 175 if judged else None, 1_000 if judged else None))


async def _created(report: Report, server: Server, nodes: int) -> None:
    """Creation included: the apiserver does three durable writes a pod (pod, binding, event)."""
    kinds: tuple[tuple[str, MakePod], ...] = (("", workload.basic), (" of 1,000 templates", workload.mixed))
    async with binding.component(server, "scheduler"):
        for words, make in kinds:
            await binding.delete_pods(server)
            figure = await binding.created_bound_per_second(server, PODS, make)
            report.add(Row(f"create and schedule {PODS:,} pods{words} on {nodes:,} nodes", figure, "pods/s"))


async def _latencies(report: Report, server: Server, nodes: int, *, judged: bool) -> None:
    kinds: tuple[tuple[str, MakePod], ...] = (("a known template", workload.basic), ("a new template", workload.fresh))
    first = PODS
    async with binding.component(server, "scheduler"):
        for kind, make in kinds:
            found = await binding.one_by_one(server, SINGLE_PODS, make, first=first, pause_seconds=SINGLE_PAUSE_SECONDS)
            first += SINGLE_PODS
            title = f"one pod of {kind}, {nodes:,} nodes idle with {PODS:,} pods"
            for words, values in (
                ("from seen to seen bound", found.from_created),
                ("from its POST to seen bound", found.from_request),
            ):
                for percent in (50, 99):
                    goal = 5.0 if judged and percent == 99 and values is found.from_created else None
                    figure = binding.percentile(values, percent) * 1000
                    report.add(Row(f"{title}, {words}, p{percent}", figure, "ms", goal=goal, less_is_better=True))


async def _alive(report: Report) -> None:
    """The first row again with all that kubelets would write meanwhile: leases, and every pod's way to Running."""
    async with apiserver() as server, binding.hollow_nodes(server, NODES):
        await binding.create_pods(server, PODS, workload.basic)
        figure = await binding.waiting_bound_per_second(server, PODS)
    report.add(Row("the first again, the nodes renewing leases and starting the pods meanwhile", figure, "pods/s"))


async def _memory(report: Report) -> None:
    async with apiserver() as server:
        empty = await binding.resident_after_start(server)
        await binding.create_nodes(server, 0, NODES)
        with_nodes = await binding.resident_after_start(server)
        await binding.create_pods(server, PODS, workload.basic)
        await binding.waiting_bound_per_second(server, PODS)
        with_pods = await binding.resident_after_start(server)
    report.add(Row("memory of the scheduler's process, empty cluster", empty / 1e6, "MB", less_is_better=True))
    report.add(Row("  a node", (with_nodes - empty) / NODES / 1e3, "KB", less_is_better=True))
    report.add(Row("  a pod", (with_pods - with_nodes) / PODS / 1e3, "KB", less_is_better=True))
