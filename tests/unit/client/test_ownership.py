from tests.unit.client.fake_api import FakeApi, pod
from tiphys.api.selectors import parse_labels
from tiphys.api.types.apps_v1 import ReplicaSet
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.client.expectations import EXPIRE_SECONDS, Expectations
from tiphys.client.ownership import claim, controller_of, controller_ref, plan_claim
from tiphys.testing.clock import FakeClock


def owner(uid: str = "rs-1", *, deleting: bool = False) -> ReplicaSet:
    when = "2026-01-01T00:00:00Z" if deleting else None
    return ReplicaSet(metadata=ObjectMeta(name="web", namespace="x", uid=uid, deletion_timestamp=when))


def a_pod(name: str, labels: dict[str, str], owned_by: ReplicaSet | None = None) -> Pod:
    references: tuple[OwnerReference, ...] = (controller_ref(owned_by),) if owned_by else ()
    return Pod(metadata=ObjectMeta(name=name, namespace="x", uid=name, labels=labels, owner_references=references))


def names(pods: "tuple[Pod, ...] | list[Pod]") -> list[str | None]:
    return [p.metadata.name for p in pods]


def test_candidates_are_owned_adopted_or_released() -> None:
    mine, other = owner(), owner("rs-2")
    web, db = {"app": "web"}, {"app": "db"}
    pods = [
        a_pod("owned", web, mine),
        a_pod("others", web, other),
        a_pod("orphan", web),
        a_pod("stranger", db),
        a_pod("strayed", db, mine),
    ]
    plan = plan_claim(mine, parse_labels("app=web"), pods)
    assert (names(plan.owned), names(plan.adopt), names(plan.release)) == (["owned"], ["orphan"], ["strayed"])


def test_an_owner_being_deleted_leaves_things_as_they_are() -> None:
    dying = owner(deleting=True)
    pods = [a_pod("orphan", {"app": "web"}), a_pod("strayed", {}, dying)]
    plan = plan_claim(dying, parse_labels("app=web"), pods)
    assert (plan.owned, plan.adopt, plan.release) == ((), (), ())


async def test_adoption_asks_the_api_first_whether_the_owner_lives() -> None:
    api = FakeApi()
    api.put("pods/x/orphan", pod("orphan", "x", app="web"), "ADDED")
    client = api.client()
    orphan = await client.get(Pod, "orphan", "x")
    selector = parse_labels("app=web")
    assert await claim(client, owner(), selector, Pod, [orphan]) == []
    api.put("replicasets/x/web", {"metadata": {"name": "web", "namespace": "x", "uid": "rs-1"}}, "ADDED")
    assert names(await claim(client, owner(), selector, Pod, [orphan])) == ["orphan"]
    adopted = await client.get(Pod, "orphan", "x")
    reference = controller_of(adopted)
    assert reference is not None
    assert (reference.uid, reference.kind, reference.api_version) == ("rs-1", "ReplicaSet", "apps/v1")


def test_expectations_are_met_by_what_the_informer_shows() -> None:
    expectations: Expectations[str] = Expectations(FakeClock())
    assert expectations.satisfied("a")
    expectations.expect_creations("a", 2)
    expectations.expect_deletions("a", ["u"])
    expectations.creation_observed("a")
    expectations.deletion_observed("a", "u")
    expectations.deletion_observed("a", "u")
    assert not expectations.satisfied("a")
    expectations.creation_observed("a")
    assert expectations.satisfied("a")


async def test_expectations_expire() -> None:
    clock = FakeClock()
    expectations: Expectations[str] = Expectations(clock)
    expectations.expect_creations("a", 1)
    await clock.advance(EXPIRE_SECONDS - 1)
    assert not expectations.satisfied("a")
    await clock.advance(2)
    assert expectations.satisfied("a")
