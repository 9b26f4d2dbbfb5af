from tiphys.api.scheme import by_kind
from tiphys.api.types.apps_v1 import Deployment, ReplicaSet
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph
from tiphys.controllers.garbagecollector.reconcile import (
    Delete,
    DropOwners,
    LookUp,
    Nothing,
    Orphan,
    OwnerState,
    RemoveFinalizer,
    Unblock,
    decide,
)


def ref(uid: str, *, kind: str = "ReplicaSet", blocks: bool = True) -> OwnerReference:
    return OwnerReference(api_version="apps/v1", kind=kind, name=uid, uid=uid, block_owner_deletion=blocks)


def see(
    graph: Graph,
    uid: str,
    *owners: OwnerReference,
    kind: type = Pod,
    namespace: str = "x",
    finalizers: tuple[str, ...] = (),
    deleting: bool = False,
) -> set[str]:
    return graph.observed(
        by_kind(kind),
        uid=uid,
        namespace=namespace,
        name=uid,
        resource_version="1",
        owners=owners,
        finalizers=finalizers,
        deleting=deleting,
    )


def test_objects_of_owners_that_are_there_need_no_look() -> None:
    graph = Graph()
    see(graph, "rs", kind=ReplicaSet)
    assert see(graph, "pod", ref("rs")) == set()
    assert [node.uid for node in graph.dependents("rs")] == ["pod"]


def test_an_owner_never_seen_is_looked_up() -> None:
    graph = Graph()
    assert see(graph, "pod", ref("rs")) == {"pod", "rs"}
    assert graph.nodes["rs"].virtual
    see(graph, "rs", kind=ReplicaSet)
    assert not graph.nodes["rs"].virtual
    assert [node.uid for node in graph.dependents("rs")] == ["pod"]


def test_dependents_of_what_is_gone_are_looked_at_and_their_owner_is_known_absent() -> None:
    graph = Graph()
    see(graph, "rs", kind=ReplicaSet)
    see(graph, "a", ref("rs"))
    see(graph, "b", ref("rs"))
    assert graph.removed("rs") == {"a", "b"}
    assert graph.is_absent("x", "rs")
    graph.removed("a")
    graph.removed("b")
    assert graph.nodes == {}


def test_an_owner_in_another_namespace_is_no_owner_that_is_there() -> None:
    graph = Graph()
    see(graph, "rs", kind=ReplicaSet, namespace="other")
    assert see(graph, "pod", ref("rs")) == {"pod"}


def test_the_owner_that_waits_is_looked_at_when_a_dependent_goes_or_stops_blocking() -> None:
    graph = Graph()
    see(graph, "rs", kind=ReplicaSet, finalizers=(FOREGROUND,), deleting=True)
    see(graph, "a", ref("rs"))
    see(graph, "b", ref("rs"))
    assert graph.removed("a") == {"rs"}
    assert "rs" in see(graph, "b", ref("rs", blocks=False))


def test_a_change_of_owners_moves_the_dependent() -> None:
    graph = Graph()
    see(graph, "one", kind=ReplicaSet)
    see(graph, "two", kind=ReplicaSet)
    see(graph, "pod", ref("one"))
    see(graph, "pod", ref("two"))
    assert graph.dependents("one") == []
    assert [node.uid for node in graph.dependents("two")] == ["pod"]


def test_decisions_follow_the_states_of_owners() -> None:
    graph = Graph()
    see(graph, "pod", ref("a"), ref("b"))
    pod = graph.nodes["pod"]
    solid, dangling, waiting = OwnerState.SOLID, OwnerState.DANGLING, OwnerState.WAITING
    assert decide(pod, {"a": solid}, []) == LookUp((ref("b"),))
    assert decide(pod, {"a": solid, "b": solid}, []) == Nothing()
    assert decide(pod, {"a": solid, "b": dangling}, []) == DropOwners(("b",))
    assert decide(pod, {"a": dangling, "b": dangling}, []) == Delete("Background")
    assert decide(pod, {"a": waiting, "b": dangling}, []) == Delete("Background")


def test_what_its_own_dependents_wait_for_goes_in_the_foreground() -> None:
    graph = Graph()
    see(graph, "rs", ref("d", kind="Deployment"), kind=ReplicaSet)
    see(graph, "pod", ref("rs"))
    rs = graph.nodes["rs"]
    assert decide(rs, {"d": OwnerState.WAITING}, graph.dependents("rs")) == Delete("Foreground")
    see(graph, "pod", ref("rs"), finalizers=(FOREGROUND,), deleting=True)
    assert decide(rs, {"d": OwnerState.WAITING}, graph.dependents("rs")) == Unblock()


def test_finalizers_on_the_object_decide_how_it_is_deleted() -> None:
    graph = Graph()
    see(graph, "rs", ref("d", kind="Deployment"), kind=ReplicaSet, finalizers=(ORPHAN,))
    assert decide(graph.nodes["rs"], {"d": OwnerState.DANGLING}, []) == Delete("Orphan")
    see(graph, "rs", ref("d", kind="Deployment"), kind=ReplicaSet, finalizers=(FOREGROUND,))
    assert decide(graph.nodes["rs"], {"d": OwnerState.DANGLING}, []) == Delete("Foreground")


def test_a_foreground_deletion_ends_when_nothing_blocks_it() -> None:
    graph = Graph()
    see(graph, "d", kind=Deployment, finalizers=(FOREGROUND,), deleting=True)
    see(graph, "rs", ref("d", kind="Deployment"), kind=ReplicaSet)
    deployment = graph.nodes["d"]
    assert decide(deployment, {}, graph.dependents("d")) == Nothing()
    see(graph, "rs", ref("d", kind="Deployment", blocks=False), kind=ReplicaSet)
    assert decide(deployment, {}, graph.dependents("d")) == RemoveFinalizer(FOREGROUND)


def test_an_orphaning_owner_lets_its_dependents_go() -> None:
    graph = Graph()
    see(graph, "d", kind=Deployment, finalizers=(ORPHAN,), deleting=True)
    see(graph, "rs", ref("d", kind="Deployment"), kind=ReplicaSet)
    action = decide(graph.nodes["d"], {}, graph.dependents("d"))
    assert isinstance(action, Orphan)
    assert [node.uid for node in action.dependents] == ["rs"]


def test_an_object_being_deleted_is_left_to_its_finalizers() -> None:
    graph = Graph()
    see(graph, "pod", ref("rs"), deleting=True, finalizers=("example.com/mine",))
    assert decide(graph.nodes["pod"], {"rs": OwnerState.DANGLING}, []) == Nothing()
