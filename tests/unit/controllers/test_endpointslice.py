import msgspec
import pytest

from tiphys.api.types.core_v1 import Container, ContainerPort, Pod, Service, ServicePort
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.controllers import endpoints_of
from tiphys.controllers.endpoints.reconcile import decide as decide_endpoints
from tiphys.controllers.endpointslice.reconcile import MAX_ENDPOINTS, Changes, decide
from tiphys.testing import builders

MOMENT = "2023-11-14T22:13:20Z"


def backing(count: int, **fields: object) -> list[Pod]:
    return [
        builders.pod(f"p{n}", ip=f"10.0.{n // 200}.{n % 200 + 1}", node="n1", labels={"app": "web"}, **fields)  # type: ignore[arg-type]
        for n in range(count)
    ]


def slices(service: Service, pods: list[Pod], existing: list[EndpointSlice] | None = None) -> Changes:
    nodes = {"n1": builders.node("n1", labels={"topology.kubernetes.io/zone": "a"})}
    return decide(service, pods, nodes, existing or [], trigger_time=MOMENT)


def stored(piece: EndpointSlice, number: int = 0) -> EndpointSlice:
    meta = msgspec.structs.replace(piece.metadata, name=f"web-{number}", uid=f"u{number}", resource_version="1")
    return msgspec.structs.replace(piece, metadata=meta)


def test_a_slice_says_whose_it_is_and_where_endpoints_are() -> None:
    (made,) = slices(builders.service(), backing(1)).create
    assert made.metadata.generate_name == "web-"
    assert made.metadata.labels == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert made.metadata.annotations == {endpoints_of.TRIGGER_TIME: MOMENT}
    assert made.metadata.owner_references[0].kind == "Service"
    (endpoint,) = made.endpoints
    assert (endpoint.addresses, endpoint.node_name, endpoint.zone) == (("10.0.0.1",), "n1", "a")
    assert endpoint.target_ref is not None
    assert endpoint.target_ref.name == "p0"
    assert [(p.name, p.port, p.protocol) for p in made.ports] == [("", 80, "TCP")]


@pytest.mark.parametrize(
    ("ready", "deleting", "tolerant", "expected"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, True, True, (True, False, True)),
        (False, False, True, (True, False, False)),
    ],
)
def test_conditions_tell_ready_serving_and_terminating(
    ready: bool, deleting: bool, tolerant: bool, expected: tuple[bool, bool, bool]
) -> None:
    service = builders.service(publish_not_ready_addresses=tolerant or None)
    (made,) = slices(service, backing(1, ready=ready, deleting=deleting)).create
    conditions = made.endpoints[0].conditions
    assert (conditions.ready, conditions.serving, conditions.terminating) == expected


def test_finished_pods_and_pods_without_an_address_do_not_count() -> None:
    pods = [*backing(1, phase="Succeeded"), builders.pod("new", phase="Pending")]
    (made,) = slices(builders.service(), pods).create
    assert made.endpoints == ()
    assert made.ports == ()


def test_named_ports_are_looked_up_in_each_pod() -> None:
    service = builders.service(ports=(ServicePort(name="http", port=80, target_port="web", protocol="TCP"),))
    pods = backing(2)
    for pod, port in zip(pods, (8080, 9090), strict=True):
        pod.spec.containers = (
            Container(name="c", ports=(ContainerPort(name="web", container_port=port, protocol="TCP"),)),
        )
    made = slices(service, pods).create
    assert sorted(piece.ports[0].port or 0 for piece in made) == [8080, 9090]
    assert all(len(piece.endpoints) == 1 for piece in made)


def test_slices_hold_at_most_a_hundred() -> None:
    made = slices(builders.service(), backing(250)).create
    assert [len(piece.endpoints) for piece in made] == [MAX_ENDPOINTS, MAX_ENDPOINTS, 50]


def test_what_is_as_it_should_be_is_not_written() -> None:
    pods = backing(150)
    existing = [stored(piece, n) for n, piece in enumerate(slices(builders.service(), pods).create)]
    service = builders.service()
    assert slices(service, pods, existing) == Changes()


def test_one_more_pod_is_one_write() -> None:
    pods = backing(151)
    existing = [stored(piece, n) for n, piece in enumerate(slices(builders.service(), pods[:150]).create)]
    changes = slices(builders.service(), pods, existing)
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (0, 1, 0)
    assert len(changes.update[0].endpoints) == 51


def test_one_pod_less_is_one_write_and_an_empty_slice_goes() -> None:
    pods = backing(101)
    existing = [stored(piece, n) for n, piece in enumerate(slices(builders.service(), pods).create)]
    changes = slices(builders.service(), pods[:100], existing)
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (0, 0, 1)


def test_the_last_slice_stays_empty() -> None:
    (first,) = slices(builders.service(), []).create
    assert first.endpoints == ()
    (full,) = slices(builders.service(), backing(1)).create
    changes = slices(builders.service(), [], [stored(full)])
    left = [*changes.create, *changes.update]
    assert [piece.endpoints for piece in left] == [()]


def test_a_headless_service_labels_its_slices() -> None:
    (made,) = slices(builders.service(cluster_ip="None", cluster_ips=("None",)), backing(1)).create
    assert made.metadata.labels["service.kubernetes.io/headless"] == ""


def test_endpoints_group_addresses_by_their_ports() -> None:
    pods = [*backing(2), builders.pod("sick", ip="10.0.9.9", ready=False, labels={"app": "web"})]
    wanted = decide_endpoints(builders.service(), pods, None, trigger_time=MOMENT)
    assert wanted is not None
    (subset,) = wanted.subsets
    assert [a.ip for a in subset.addresses] == ["10.0.0.1", "10.0.0.2"]
    assert [a.ip for a in subset.not_ready_addresses] == ["10.0.9.9"]
    assert wanted.metadata.labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"
    assert decide_endpoints(builders.service(), pods, wanted, trigger_time=None) is None


def test_too_many_endpoints_are_truncated_and_said_to_be() -> None:
    wanted = decide_endpoints(builders.service(), backing(1100), None, trigger_time=None)
    assert wanted is not None
    assert sum(len(s.addresses) for s in wanted.subsets) == 1000
    assert wanted.metadata.annotations["endpoints.kubernetes.io/over-capacity"] == "truncated"


def test_a_terminating_pod_leaves_the_old_form_at_once() -> None:
    wanted = decide_endpoints(builders.service(), backing(1, deleting=True), None, trigger_time=None)
    assert wanted is not None
    assert wanted.subsets == ()


@pytest.mark.parametrize(
    ("distribution", "ready", "zones", "nodes"),
    [
        (None, True, [], []),
        ("PreferClose", True, ["a"], []),
        ("PreferSameZone", True, ["a"], []),
        ("PreferSameNode", True, ["a"], ["n1"]),
        ("PreferSameNode", False, [], []),
    ],
)
def test_hints_say_for_whom_a_ready_endpoint_is(
    distribution: str | None, ready: bool, zones: list[str], nodes: list[str]
) -> None:
    (made,) = slices(builders.service(traffic_distribution=distribution), backing(1, ready=ready)).create
    hints = made.endpoints[0].hints
    assert [z.name for z in hints.for_zones] == zones if hints else zones == []
    assert [n.name for n in hints.for_nodes] == nodes if hints else nodes == []
