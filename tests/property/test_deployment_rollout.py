"""Rollouts as a model: a Deployment's decisions against ReplicaSets whose pods become available in any order.

The Kubernetes documentation, "Deployments": during a rolling update the pods number at most desired + maxSurge and the
available ones at least desired - maxUnavailable.
"""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.types.apps_v1 import Deployment, ReplicaSet, ReplicaSetStatus
from tiphys.controllers.deployment import revisions
from tiphys.controllers.deployment.progress import is_complete
from tiphys.controllers.deployment.reconcile import decide
from tiphys.testing import builders

NOW = 1_700_000_000.0


class World:
    """The ReplicaSets of one Deployment. `available` pods are chosen by the test, at most as many as there are."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.sets: dict[str, ReplicaSet] = {}
        self.clock = NOW

    def act(self) -> bool:
        """One decision carried out; whether it changed any ReplicaSet."""
        self.clock += 1
        decision = decide(self.deployment, list(self.sets.values()), old_pods_running=self.old_pods(), now=self.clock)
        if decision.create is not None:
            self._store(decision.create, created=True)
        for changed in decision.update:
            self._store(changed)
        for gone in decision.delete:
            del self.sets[gone.metadata.name or ""]
        if decision.status is not None:
            self.deployment = msgspec.structs.replace(self.deployment, status=decision.status)
        return decision.create is not None or bool(decision.update)

    def _store(self, replica_set: ReplicaSet, *, created: bool = False) -> None:
        name = replica_set.metadata.name or ""
        if created:
            assert name not in self.sets
            stamp = f"2023-11-14T22:{len(self.sets):02d}:00Z"
            meta = msgspec.structs.replace(replica_set.metadata, uid=name, creation_timestamp=stamp, generation=1)
            replica_set = msgspec.structs.replace(replica_set, metadata=meta)
        self.sets[name] = replica_set

    def old_pods(self) -> bool:
        new = revisions.find_new(self.deployment, list(self.sets.values()))
        return any(rs.status.replicas > 0 for rs in self.sets.values() if rs is not new)

    def settle(self, name: str, available: int) -> None:
        """The ReplicaSet controller and the kubelet: pods as asked for, of which so many are available."""
        rs = self.sets[name]
        size = revisions.replicas_of(rs)
        before = rs.status.available_replicas or 0
        # Pods that were available stay so while their set does not shrink: the ready ones go last.
        working = min(size, max(before, available))
        status = ReplicaSetStatus(
            replicas=size, ready_replicas=working, available_replicas=working, observed_generation=1
        )
        self.sets[name] = msgspec.structs.replace(rs, status=status)

    def total(self) -> int:
        return sum(revisions.replicas_of(rs) for rs in self.sets.values())

    def available(self) -> int:
        return sum(min(revisions.replicas_of(rs), rs.status.available_replicas or 0) for rs in self.sets.values())

    def run_to_the_end(self) -> None:
        for _ in range(200):
            changed = self.act()
            for name in list(self.sets):
                self.settle(name, revisions.replicas_of(self.sets[name]))
            if not changed and not self.act():
                return
        raise AssertionError("the rollout does not end")

    def set_image(self, image: str) -> None:
        template = builders.template(image=image, app="web")
        spec = msgspec.structs.replace(self.deployment.spec, template=template)
        self.deployment = msgspec.structs.replace(self.deployment, spec=spec)


amounts = st.one_of(st.integers(0, 5), st.integers(0, 100).map(lambda n: f"{n}%"))


@given(
    replicas=st.integers(0, 12),
    surge=amounts,
    unavailable=amounts,
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_a_rolling_update_stays_within_its_bounds_and_ends(
    replicas: int, surge: int | str, unavailable: int | str, data: st.DataObject
) -> None:
    world = World(builders.deployment(replicas=replicas, max_surge=surge, max_unavailable=unavailable))
    world.run_to_the_end()
    assert world.available() == replicas
    most, fewest = revisions.surge_and_unavailable(world.deployment)
    world.set_image("nginx:2")
    for _ in range(data.draw(st.integers(1, 25))):
        world.act()
        assert world.total() <= replicas + most
        assert world.available() >= replicas - fewest
        name = data.draw(st.sampled_from(sorted(world.sets)))
        world.settle(name, data.draw(st.integers(0, revisions.replicas_of(world.sets[name]))))
    world.run_to_the_end()
    (new,) = [rs for rs in world.sets.values() if revisions.replicas_of(rs) > 0] or [None]
    if replicas:
        assert new is revisions.find_new(world.deployment, list(world.sets.values()))
    assert world.deployment.status.updated_replicas == (replicas or None)
    assert is_complete(world.deployment, world.deployment.status)


@given(replicas=st.integers(1, 10), images=st.lists(st.sampled_from("abcd"), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_recreate_never_runs_two_templates_at_once(replicas: int, images: list[str]) -> None:
    world = World(builders.deployment(replicas=replicas, recreate=True, image="first"))
    world.run_to_the_end()
    for image in images:
        world.set_image(image)
        for _ in range(12):
            world.act()
            running = [rs for rs in world.sets.values() if revisions.replicas_of(rs) + rs.status.replicas > 0]
            assert len({rs.spec.template.spec.containers[0].image for rs in running}) <= 1
            for name in sorted(world.sets):
                world.settle(name, revisions.replicas_of(world.sets[name]))
    assert world.available() == replicas


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6), data=st.data())
@settings(max_examples=100, deadline=None)
def test_resizing_in_the_middle_of_a_rollout_keeps_to_the_new_bounds(sizes: list[int], data: st.DataObject) -> None:
    world = World(builders.deployment(replicas=10, max_surge=3, max_unavailable=2))
    world.run_to_the_end()
    world.set_image("nginx:2")
    for size in sizes:
        for _ in range(data.draw(st.integers(0, 4))):
            world.act()
            for name in sorted(world.sets):
                world.settle(name, data.draw(st.integers(0, revisions.replicas_of(world.sets[name]))))
        world.deployment = msgspec.structs.replace(
            world.deployment, spec=msgspec.structs.replace(world.deployment.spec, replicas=size)
        )
        world.act()
        assert world.total() <= max(size + 3, 0) or size == 0
    world.run_to_the_end()
    assert world.total() == world.available() == sizes[-1]


def test_a_rollback_makes_the_old_replica_set_the_newest_revision() -> None:
    world = World(builders.deployment(image="one"))
    world.run_to_the_end()
    world.set_image("two")
    world.run_to_the_end()
    world.set_image("one")
    world.run_to_the_end()
    new = revisions.find_new(world.deployment, list(world.sets.values()))
    assert new is not None
    assert len(world.sets) == 2
    assert new.metadata.annotations[revisions.REVISION] == "3"
    assert new.metadata.annotations[revisions.REVISION_HISTORY] == "1"


def test_history_is_kept_to_its_limit() -> None:
    world = World(builders.deployment(revision_history_limit=2))
    for number in range(6):
        world.set_image(f"nginx:{number}")
        world.run_to_the_end()
        world.act()
    old = [rs for rs in world.sets.values() if revisions.replicas_of(rs) == 0]
    assert sorted(revisions.revision_of(rs) for rs in old) == [4, 5]
