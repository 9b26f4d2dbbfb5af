"""The sum over a pod's containers."""

from __future__ import annotations

from tests.unit.scheduler.objects import container, pod
from tiphys.api.quantity import Quantity
from tiphys.api.selectors import from_labels
from tiphys.api.types.core_v1 import ContainerStatus, Pod, PodCondition, ResourceRequirements
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.scheduler.default_spread import SpreadOwners
from tiphys.scheduler.requests import in_use, pod_requests
from tiphys.scheduler.template import Templates


def test_containers_add_up() -> None:
    made = pod("a", containers=(container(cpu="100m", memory="1Gi"), container(cpu="1")))
    assert pod_requests(made.spec) == {"cpu": 1100, "memory": 1 << 30}


def test_an_init_container_counts_where_it_needs_more() -> None:
    made = pod("a", containers=(container(cpu="1"),), init_containers=(container(cpu="3"), container(memory="1Mi")))
    assert pod_requests(made.spec) == {"cpu": 3000, "memory": 1 << 20}


def test_a_sidecar_counts_beside_what_starts_after_it() -> None:
    made = pod(
        "a",
        containers=(container(cpu="1"),),
        init_containers=(
            container(cpu="4"),
            container(cpu="2", restart_policy="Always"),
            container(cpu="3"),
        ),
    )
    assert pod_requests(made.spec) == {"cpu": 5000}


def test_overhead_and_pod_level_requests() -> None:
    level = ResourceRequirements(requests={"cpu": Quantity("2")})
    made = pod("a", cpu="1", memory="1Mi", overhead={"cpu": Quantity("250m")}, resources=level)
    assert pod_requests(made.spec) == {"cpu": 2250, "memory": 1 << 20}


def test_scores_take_pods_without_requests_to_use_something() -> None:
    made = pod("a", containers=(container(), container(cpu="1")))
    assert pod_requests(made.spec, with_defaults=True) == {"cpu": 1100, "memory": 400 << 20}


def test_pods_that_agree_share_a_template_wherever_they_run() -> None:
    templates = Templates()
    one, other = pod("a", cpu="1"), pod("b", cpu="1", node_name="n1", priority=5)
    assert templates.of(one) is (kept := templates.of(other))
    assert templates.of(pod("c", cpu="2")) is not kept


def test_default_spreading_is_by_service_and_controller() -> None:
    owners = SpreadOwners()
    owned = pod("a", labels={"app": "x", "hash": "1"})
    owned.metadata.owner_references = (OwnerReference(kind="ReplicaSet", uid="rs", controller=True),)
    assert owners.selector_of(owned) is None
    owners.set_service("default", "s", {"app": "x"})
    assert str(owners.selector_of(owned)) == "app=x"
    owners.set_controller("rs", from_labels({"hash": "1"}))
    assert str(owners.selector_of(owned)) == "app=x,hash=1"
    owners.set_service("default", "s", None)
    owners.set_controller("rs", None)
    assert owners.selector_of(owned) is None


def _resizing(wanted: str, held: str) -> Pod:
    made = pod("a", cpu=wanted, memory="1Mi", node_name="n1")
    requests = {"cpu": Quantity(held), "memory": Quantity("1Mi")}
    made.status.container_statuses = (
        ContainerStatus(name="c", allocated_resources=requests, resources=ResourceRequirements(requests=requests)),
    )
    return made


def test_a_pod_that_shrinks_takes_what_it_had_until_it_has_less() -> None:
    made = _resizing("1", "3")
    assert Templates().of(made).requests == {"cpu": 3000, "memory": 1 << 20}
    done = _resizing("1", "1")
    assert in_use(done) == {} and Templates().of(done).requests == {"cpu": 1000, "memory": 1 << 20}


def test_a_pod_that_grows_takes_what_it_will_have_unless_it_cannot() -> None:
    made = _resizing("3", "1")
    assert Templates().of(made).requests["cpu"] == 3000
    made.status.conditions = (PodCondition(type="PodResizePending", status="True", reason="Infeasible"),)
    assert Templates().of(made).requests["cpu"] == 1000
