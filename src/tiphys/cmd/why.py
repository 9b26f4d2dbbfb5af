"""`tiphys why pod/NAME`: why a pod is where it is, or nowhere. Works against any Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from tiphys.api.types.apps_v1 import Deployment, ReplicaSet
from tiphys.api.types.core_v1 import Pod
from tiphys.client.client import Client
from tiphys.cmd.administration import Administration, users_own
from tiphys.cmd.config import ConfigError
from tiphys.cmd.why_reading import read_model
from tiphys.scheduler.explaining import Explanation, Model, explain, render, replicas, workload
from tiphys.scheduler.explaining.explanation import encode

_PODS: Final = ("pod", "pods", "po")
_DEPLOYMENTS: Final = ("deployment", "deployments", "deploy")
MAXIMUM_EXPLAINED_PODS: Final = 3
"""Of a workload's pending pods, so many are explained in full: they are mostly alike."""


def why(target: str, namespace: str, output: str, data_dir: Path, kubeconfig_path: Path | None) -> None:
    """Print the explanation of `target`: ``pod/NAME`` or ``deployment/NAME``. Raises ConfigError."""
    kind, _, name = target.rpartition("/")
    kind = kind.lower().partition(".")[0] or "pod"
    if not name or kind not in (*_PODS, *_DEPLOYMENTS):
        raise ConfigError(f"{target} is neither pod/NAME nor deployment/NAME")
    if output not in ("text", "json"):
        raise ConfigError(f"--output {output} is neither text nor json")
    with Administration(data_dir, kubeconfig_path or users_own(data_dir)) as cluster:
        where = namespace or cluster.config.namespace or "default"
        ask = _pod if kind in _PODS else _deployment
        explanation = cluster.run(lambda client: ask(client, name, where))
    typer.echo(encode(explanation).decode() if output == "json" else render(explanation))


async def _pod(client: Client, name: str, namespace: str) -> Explanation:
    pod = await client.get(Pod, name, namespace)
    return explain(pod, await read_model(client, pod))


async def _deployment(client: Client, name: str, namespace: str) -> Explanation:
    deployment = await client.get(Deployment, name, namespace)
    sets = [
        owned
        for owned in (await client.list(ReplicaSet, namespace)).items
        if any(owner.controller and owner.uid == deployment.metadata.uid for owner in owned.metadata.owner_references)
    ]
    owners = {owned.metadata.uid for owned in sets}
    pods = [
        pod
        for pod in (await client.list(Pod, namespace)).items
        if any(owner.controller and owner.uid in owners for owner in pod.metadata.owner_references)
    ]
    troubled = sorted((pod for pod in pods if workload.is_troubled(pod)), key=workload.urgency)
    explained = []
    model: Model | None = None
    for pod in troubled[:MAXIMUM_EXPLAINED_PODS]:
        model = model or await read_model(client, pod)
        explained.append(explain(pod, model))
    if model is not None and explained:
        waiting = [pod for pod in troubled if not pod.spec.node_name]
        explained[0] = replicas.count_nodes(explained[0], waiting, model)
    return workload.explain_deployment(deployment, sets, pods, explained)
