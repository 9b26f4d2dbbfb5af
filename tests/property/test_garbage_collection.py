"""Random graphs of owners and random deletions against a model apiserver: what stays is what should.

The Kubernetes documentation, "Garbage Collection" and "Owners and Dependents": an object goes when all owners it names
are gone; a foreground deletion ends after the dependents that block it; orphaning lets dependents stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.scheme import by_kind
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.controllers.garbagecollector import reconcile
from tiphys.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph
from tiphys.controllers.garbagecollector.reconcile import OwnerState

RESOURCE = by_kind(ConfigMap)
MAX_STEPS = 5_000


@dataclass
class Stored:
    """An object of the model apiserver."""

    owners: dict[str, bool]
    finalizers: set[str] = field(default_factory=set)
    deleting: bool = False


class Cluster:
    """The model apiserver, its watch events applied to the graph at once, and the collector's loop."""

    def __init__(self, owners: list[dict[str, bool]]) -> None:
        self.objects = {str(n): Stored(dict(refs)) for n, refs in enumerate(owners)}
        self.graph = Graph()
        self.queue: set[str] = set()
        for uid in self.objects:
            self.changed(uid)

    def changed(self, uid: str) -> None:
        stored = self.objects[uid]
        if stored.deleting and not stored.finalizers:
            del self.objects[uid]
            self.queue |= self.graph.removed(uid)
            return
        self.queue |= self.graph.observed(
            RESOURCE,
            uid=uid,
            namespace="x",
            name=uid,
            resource_version="1",
            owners=tuple(
                OwnerReference(api_version="v1", kind="ConfigMap", name=owner, uid=owner, block_owner_deletion=blocks)
                for owner, blocks in stored.owners.items()
            ),
            finalizers=tuple(sorted(stored.finalizers)),
            deleting=stored.deleting,
        )

    def delete(self, uid: str, policy: str) -> None:
        stored = self.objects.get(uid)
        if stored is None:
            return
        stored.deleting = True
        if policy == "Foreground":
            stored.finalizers.add(FOREGROUND)
        elif policy == "Orphan":
            stored.finalizers.add(ORPHAN)
        self.changed(uid)

    def state(self, uid: str) -> OwnerState:
        stored = self.objects.get(uid)
        if stored is None:
            return OwnerState.DANGLING
        return OwnerState.WAITING if stored.deleting and FOREGROUND in stored.finalizers else OwnerState.SOLID

    def collect(self) -> None:
        for _ in range(MAX_STEPS):
            if not self.queue:
                return
            self.look_at(min(self.queue))
        raise AssertionError("the collector does not come to rest")

    def look_at(self, uid: str) -> None:
        self.queue.discard(uid)
        node = self.graph.nodes.get(uid)
        if node is None or node.virtual or uid not in self.objects:
            if node is not None and node.virtual:
                self.queue |= {d for d in node.dependents if d in self.objects} if node.reference else set()
                node.reference = None
            return
        stored = self.objects[uid]
        owners = {ref.uid: self.state(ref.uid) for ref in node.owners}
        match reconcile.decide(node, owners, self.graph.dependents(uid)):
            case reconcile.Delete(policy):
                self.delete(uid, policy)
            case reconcile.DropOwners(uids):
                for owner in uids:
                    stored.owners.pop(owner)
                self.changed(uid)
            case reconcile.Unblock():
                stored.owners = dict.fromkeys(stored.owners, False)
                self.changed(uid)
                self.delete(uid, "Foreground")
            case reconcile.RemoveFinalizer(finalizer):
                stored.finalizers.discard(finalizer)
                self.changed(uid)
            case reconcile.Orphan(dependents):
                for dependent in dependents:
                    self.objects[dependent.uid].owners.pop(uid, None)
                    self.changed(dependent.uid)
                stored.finalizers.discard(ORPHAN)
                self.changed(uid)


def forests(size: int) -> st.SearchStrategy[list[dict[str, bool]]]:
    """Owners of objects 0 … size - 1, among all of them (circles too) and some that never were."""
    names = st.sampled_from([*(str(n) for n in range(size)), "ghost"])
    return st.lists(st.dictionaries(names, st.booleans(), max_size=3), min_size=size, max_size=size)


graphs = st.integers(1, 8).flatmap(forests)


def without_self(owners: list[dict[str, bool]]) -> list[dict[str, bool]]:
    return [{uid: blocks for uid, blocks in refs.items() if uid != str(n)} for n, refs in enumerate(owners)]


@given(owners=graphs, data=st.data())
@settings(max_examples=300, deadline=None)
def test_nothing_stays_whose_owners_are_all_gone(owners: list[dict[str, bool]], data: st.DataObject) -> None:
    cluster = Cluster(without_self(owners))
    cluster.collect()
    for _ in range(data.draw(st.integers(0, 4))):
        if not cluster.objects:
            break
        victim = data.draw(st.sampled_from(sorted(cluster.objects)))
        cluster.delete(victim, data.draw(st.sampled_from(["Background", "Foreground", "Orphan"])))
        cluster.collect()
        assert victim not in cluster.objects
    for uid, stored in cluster.objects.items():
        assert not stored.deleting, f"{uid} is stuck"
        assert not stored.owners or any(owner in cluster.objects for owner in stored.owners), f"{uid} is garbage"


@given(owners=graphs, data=st.data())
@settings(max_examples=200, deadline=None)
def test_nothing_goes_that_was_not_deleted_and_has_an_owner_or_needs_none(
    owners: list[dict[str, bool]], data: st.DataObject
) -> None:
    cluster = Cluster(without_self(owners))
    cluster.collect()
    before = {uid: set(stored.owners) for uid, stored in cluster.objects.items()}
    if not before:
        return
    victim = data.draw(st.sampled_from(sorted(before)))
    cluster.delete(victim, "Background")
    cluster.collect()
    doomed = {victim}
    while True:
        more = {u for u, refs in before.items() if u not in doomed and refs and refs <= doomed}
        if not more:
            break
        doomed |= more
    assert set(cluster.objects) == set(before) - doomed
