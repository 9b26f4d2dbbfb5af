"""Disruption budgets, quotas, aggregation, mirroring, namespaces and what every namespace has."""

from pathlib import Path
from typing import Any

import pytest

from tiphys.api.quantity import Quantity
from tiphys.api.quota import in_scope, of_pod, of_service
from tiphys.api.types.core_v1 import (
    Container,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Namespace,
    NamespaceSpec,
    Pod,
    ResourceQuota,
    ResourceQuotaSpec,
    ResourceRequirements,
)
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from tiphys.api.types.rbac_v1 import AggregationRule, ClusterRole, PolicyRule
from tiphys.controllers.clusterroleaggregation.reconcile import aggregated
from tiphys.controllers.disruption.reconcile import status as disruption_status
from tiphys.controllers.endpointslicemirroring.reconcile import Changes, decide
from tiphys.controllers.manager import CONTROLLERS, enabled, factory
from tiphys.controllers.namespace.reconcile import Emptied, finalized
from tiphys.controllers.namespace.reconcile import status as namespace_status
from tiphys.controllers.resourcequota.reconcile import status as quota_status
from tiphys.controllers.resourcequota.reconcile import total
from tiphys.controllers.rootca.reconcile import decide as root_ca
from tiphys.controllers.serviceaccount.reconcile import missing
from tiphys.testing import builders

NOW = 1_700_000_000.0


def budget(status: PodDisruptionBudgetStatus | None = None, **spec: Any) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=builders.meta("b", generation=1),
        spec=PodDisruptionBudgetSpec(**spec),
        status=status or PodDisruptionBudgetStatus(),
    )


@pytest.mark.parametrize(
    ("spec", "desired", "allowed"),
    [
        ({"min_available": 2}, 2, 1),
        ({"min_available": "50%"}, 2, 1),
        ({"min_available": 3}, 3, 0),
        ({"max_unavailable": 1}, 3, 0),
        ({"max_unavailable": "50%"}, 2, 1),
    ],
)
def test_a_budget_allows_what_its_pods_can_spare(spec: dict[str, Any], desired: int, allowed: int) -> None:
    owner = builders.replica_set()
    pods = [builders.pod(f"p{n}", owner=owner, ready=n < 3) for n in range(4)]
    status, _ = disruption_status(budget(**spec), pods, {owner.metadata.uid or "": 4}, NOW)
    assert (status.current_healthy, status.desired_healthy, status.expected_pods) == (3, desired, 4)
    assert status.disruptions_allowed == allowed
    assert status.conditions[0].reason == ("SufficientPods" if allowed else "InsufficientPods")


def test_a_pod_being_evicted_counts_as_gone_for_a_while() -> None:
    before = PodDisruptionBudgetStatus(disrupted_pods={"p0": "2023-11-14T22:13:00Z", "gone": "2023-11-14T22:13:00Z"})
    pods = [builders.pod(f"p{n}") for n in range(3)]
    status, wait = disruption_status(budget(before, min_available=1), pods, {}, NOW)
    assert (status.current_healthy, list(status.disrupted_pods), wait) == (2, ["p0"], 100.0)


def worker(cpu: str = "500m", memory: str = "64Mi") -> Pod:
    pod = builders.pod("p")
    resources = ResourceRequirements(
        requests={"cpu": Quantity(cpu), "memory": Quantity(memory)}, limits={"cpu": Quantity("1")}
    )
    pod.spec.containers = (Container(name="a", resources=resources), Container(name="b", resources=resources))
    return pod


def test_a_quota_counts_requests_limits_and_objects() -> None:
    hard = {"pods": "10", "requests.cpu": "4", "limits.cpu": "4", "memory": "1Gi", "services": "5", "secrets": "1"}
    quota = ResourceQuota(spec=ResourceQuotaSpec(hard={k: Quantity(v) for k, v in hard.items()}))
    used = quota_status(quota, total([of_pod(worker()), of_pod(worker()), of_service(builders.service())])).used
    assert used == {
        "pods": "2",
        "requests.cpu": "2",
        "limits.cpu": "4",
        "memory": "256Mi",
        "services": "1",
        "secrets": "0",
    }


def test_finished_pods_use_no_compute() -> None:
    done = worker()
    done.status.phase = "Succeeded"
    assert set(of_pod(done)) == {"count/pods"}


def test_quota_scopes_choose_pods() -> None:
    def scoped(*scopes: str) -> ResourceQuota:
        return ResourceQuota(spec=ResourceQuotaSpec(scopes=scopes))

    assert in_scope(scoped("NotBestEffort", "NotTerminating"), worker())
    assert in_scope(scoped("BestEffort"), builders.pod("p"))
    assert not in_scope(scoped("Terminating"), worker())


def test_aggregated_roles_are_the_union_of_those_selected() -> None:
    get, put = PolicyRule(verbs=("get",)), PolicyRule(verbs=("update",))
    view = ClusterRole(metadata=builders.meta("view", "", labels={"to": "admin"}), rules=(get,))
    edit = ClusterRole(metadata=builders.meta("edit", "", labels={"to": "admin"}), rules=(get, put))
    selector = LabelSelector(match_labels={"to": "admin"})
    admin = ClusterRole(
        metadata=builders.meta("admin", ""), aggregation_rule=AggregationRule(cluster_role_selectors=(selector,))
    )
    assert aggregated(admin, [view, edit, admin]) == (get, put)
    assert aggregated(view, [view, edit]) is None


def own_endpoints(*ips: str) -> Endpoints:
    subset = EndpointSubset(
        addresses=tuple(EndpointAddress(ip=ip) for ip in ips), ports=(EndpointPort(port=80, name="web"),)
    )
    return Endpoints(metadata=builders.meta("db"), subsets=(subset,))


def test_endpoints_people_write_are_mirrored() -> None:
    service = builders.service("db", selector={})
    endpoints = own_endpoints("192.0.2.1", "192.0.2.2", "2001:db8::1")
    changes = decide(endpoints, service, [])
    assert sorted((s.address_type, len(s.endpoints)) for s in changes.create) == [("IPv4", 2), ("IPv6", 1)]
    labels = changes.create[0].metadata.labels
    assert labels["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    assert labels["kubernetes.io/service-name"] == "db"
    assert decide(endpoints, service, changes.create) == Changes()
    assert len(decide(own_endpoints("192.0.2.9"), service, changes.create).update) == 1
    assert len(decide(endpoints, builders.service("db"), changes.create).delete) == 2


def test_a_namespace_says_why_it_is_not_gone() -> None:
    namespace = Namespace(metadata=builders.meta("x", ""), spec=NamespaceSpec(finalizers=("kubernetes",)))
    emptied = Emptied(remaining={"pods.": 2}, finalizers={"example.com/hold": 1})
    shown = {c.type: (c.status, c.reason, c.message) for c in namespace_status(namespace, emptied, NOW).conditions}
    assert shown["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: pods. has 2 resource instances",
    )
    assert shown["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
    )
    assert shown["NamespaceDeletionContentFailure"][:2] == ("False", "ContentDeleted")
    assert not emptied.is_empty
    assert finalized(namespace).spec.finalizers == ()


def test_every_namespace_has_its_account_and_its_certificates() -> None:
    namespace = Namespace(metadata=builders.meta("x", ""))
    assert [account.metadata.name for account in missing(namespace, ())] == ["default"]
    assert missing(namespace, ("default",)) == ()
    wanted = root_ca(namespace, None, "PEM")
    assert wanted is not None
    assert (wanted.metadata.name, wanted.data) == ("kube-root-ca.crt", {"ca.crt": "PEM"})
    assert root_ca(namespace, wanted, "PEM") is None
    assert root_ca(namespace, wanted, "NEW") is not None
    leaving = Namespace(metadata=builders.meta("x", "", deletion_timestamp=builders.CREATED))
    assert missing(leaving, ()) == ()
    assert root_ca(leaving, None, "PEM") is None


def test_controllers_are_chosen_by_upstreams_names() -> None:
    assert enabled(["*"]) == list(CONTROLLERS)
    assert "job-controller" not in enabled(["*", "-job-controller"])
    assert enabled(["job-controller"]) == ["job-controller"]
    with pytest.raises(ValueError, match="no controller named jobs"):
        enabled(["jobs"])


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_controller_is_named_as_upstream_names_it(name: str) -> None:
    assert factory(name).name == name  # type: ignore[attr-defined]


def test_the_guide_names_every_controller() -> None:
    guide = (Path(__file__).resolve().parents[3] / "docs" / "controllers.md").read_text()
    assert [name for name in CONTROLLERS if f"`{name}`" not in guide] == []
