"""InterPodAffinity: drop a term, or remove the pods that are in the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, called, delete_pods, listed, remove_op
from tiphys.scheduler.template import PodInfo, Template
from tiphys.scheduler.terms import AffinityTerm

MAXIMUM_DOMAINS: Final = 16
MAXIMUM_PODS: Final = 5
NEW_POD: Final = "new-pod"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def drop_or_part(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    words = " ".join(reason.words for reason in group.of("InterPodAffinity"))
    if "pod affinity" in words:
        yield from _company(scene, int(rows[0]))
        yield from _drop(scene, "podAffinity", scene.template.affinity, "pod affinity")
        return
    if "pod anti-affinity" in words:
        yield from _drop(scene, "podAntiAffinity", scene.template.anti_affinity, "pod anti-affinity")
    yield from _part(scene, rows)


def _company(scene: Scene, row: int) -> Iterator[Candidate]:
    """A pod such as all its terms want, on one of the nodes."""
    affinity = scene.pod.spec.affinity
    if affinity is None or affinity.pod_affinity is None:
        return
    labels: dict[str, str] = {}
    namespace = scene.template.namespace
    for term in affinity.pod_affinity.required_during_scheduling_ignored_during_execution:
        if term.label_selector is None:
            return
        if term.namespaces and namespace not in term.namespaces:
            namespace = term.namespaces[0]
        labels |= term.label_selector.match_labels
        for expression in term.label_selector.match_expressions:
            if expression.operator in ("In", "Exists"):
                labels.setdefault(expression.key, next(iter(expression.values), ""))
    if not labels:
        return
    meta = {"name": NEW_POD, "namespace": namespace, "labels": labels}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": scene.name(row)}}
    made = Change(action="create", kind="Pod", name=NEW_POD, namespace=namespace, object=document)
    said = listed([f"{key}={value}" for key, value in labels.items()])
    where = "" if namespace == scene.template.namespace else f" in namespace {namespace}"
    text = f"run a pod with the labels {said}{where} on node {scene.name(row)} or near it"
    yield Candidate("RunPod", text, (made,), 3, np.array([row]))


def _drop(scene: Scene, field: str, terms: tuple[AffinityTerm, ...], words: str) -> Iterator[Candidate]:
    base = f"/spec/affinity/{field}/{_REQUIRED}"
    if len(terms) > 1:
        for index, term in enumerate(terms):
            text = f"remove the required {words} by {term.topology_key} (term {index + 1}), or only prefer it"
            yield Candidate("RemovePodAffinityTerm", text, (scene.patch(remove_op(f"{base}/{index}")),), 4)
    by = listed(sorted({term.topology_key for term in terms}))
    text = f"remove the required {words} by {by}, or only prefer it"
    yield Candidate("RemovePodAffinity", text, (scene.patch(remove_op(base)),), 4 + (len(terms) > 1))


def _part(scene: Scene, rows: Ints) -> Iterator[Candidate]:
    """The fewest pods whose end leaves one node's domains free of what the pod (or they) want to be apart from."""
    best: tuple[list[PodInfo], int] | None = None
    seen: set[tuple[int, ...]] = set()
    between = [(template, terms) for template in scene.cluster.placed if (terms := _terms_between(scene, template))]
    keys = sorted({term.topology_key for _, terms in between for term in terms})
    columns = [scene.cluster.nodes.labels(key).column for key in keys]
    for row in rows:
        place = tuple(int(column[row]) for column in columns)
        if place in seen:
            continue
        if len(seen) >= MAXIMUM_DOMAINS:
            break
        seen.add(place)
        pods = _in_the_way(scene, between, int(row))
        if pods and len(pods) <= MAXIMUM_PODS and (best is None or len(pods) < len(best[0])):
            best = (pods, int(row))
    if best is None:
        return
    pods, row = best
    names = listed([called(pod) for pod in pods])
    text = f"remove pod{'s' if len(pods) > 1 else ''} {names}, which must not be near it"
    yield Candidate("RemovePods", text, delete_pods([pod.key for pod in pods]), 6 + len(pods), np.array([row]))


def _terms_between(scene: Scene, other: Template) -> list[AffinityTerm]:
    """The anti-affinity terms, of the pod or of the others, that keep it apart from pods of that template."""
    namespaces, own = scene.cluster.namespaces, scene.template
    terms = [term for term in own.anti_affinity if term.matches(other, namespaces)]
    return terms + [term for term in other.anti_affinity if term.matches(own, namespaces)]


def _in_the_way(scene: Scene, between: list[tuple[Template, list[AffinityTerm]]], row: int) -> list[PodInfo]:
    nodes = scene.cluster.nodes
    found: dict[tuple[str, str], PodInfo] = {}
    for template, terms in between:
        for term in terms:
            column = nodes.labels(term.topology_key).column
            if column[row] < 0:
                continue
            for other_row, _ in template.placed():
                if column[other_row] != column[row]:
                    continue
                for pod in scene.cluster.pods_on[other_row].values():
                    if pod.template is template:
                        found[pod.key] = pod
                if len(found) > MAXIMUM_PODS:
                    return list(found.values())
    return sorted(found.values(), key=lambda pod: pod.key)
