"""What a write does to an object before it is checked."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec, strategy
from tiphys.api.defaulting import default
from tiphys.api.strategy.services import init_ip_families
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.api.types.apps_v1 import DaemonSet, Deployment
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod, Service
from tiphys.api.types.meta_v1 import ObjectMeta

NOW = "2026-01-01T00:00:00Z"
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def create(kind: type[Any], manifest: dict[str, Any]) -> Any:
    obj: Any = default(codec.from_dict(kind, manifest))
    obj.metadata.name = obj.metadata.name or "x"
    strategy.begin_create(obj.metadata, uid="u", now=NOW, suffix=lambda: "abcde")
    return strategy.prepare_create(obj, now=NOW)


def update(kind: type[Any], old: Any, manifest: dict[str, Any]) -> Any:
    new: Any = default(codec.from_dict(kind, manifest))
    strategy.begin_update(new.metadata, old.metadata)
    return strategy.prepare_update(new, old)


def test_a_new_object_gets_its_identity_from_the_server() -> None:
    meta = ObjectMeta(generate_name="web-", uid="mine", creation_timestamp="then", deletion_timestamp="later")
    strategy.begin_create(meta, uid="u", now=NOW, suffix=lambda: "abcde")
    assert (meta.name, meta.uid, meta.creation_timestamp, meta.deletion_timestamp) == ("web-abcde", "u", NOW, None)


def test_long_generated_names_keep_room_for_the_suffix() -> None:
    meta = ObjectMeta(generate_name="a" * 80)
    strategy.begin_create(meta, uid="u", now=NOW, suffix=lambda: "bcdfg")
    assert meta.name == "a" * 58 + "bcdfg"


def test_status_is_not_the_creators() -> None:
    pod = create(Pod, {"spec": TEMPLATE["spec"], "status": {"phase": "Running", "podIP": "1.2.3.4"}})
    assert codec.to_dict(pod)["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    node = create(Node, {"status": {"capacity": {"cpu": "4"}}})
    assert node.status.allocatable == {"cpu": "4"}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}], "BestEffort"),
    ],
)
def test_quality_of_service(resources: list[dict[str, Any]], expected: str) -> None:
    containers = [{"name": f"c{i}", "image": "i", "resources": r} for i, r in enumerate(resources)]
    assert create(Pod, {"spec": {"containers": containers}}).status.qos_class == expected


def test_gated_pods_say_so() -> None:
    pod = create(Pod, {"spec": {**TEMPLATE["spec"], "schedulingGates": [{"name": "wait"}]}})
    assert [(c.type, c.status, c.reason) for c in pod.status.conditions] == [
        ("PodScheduled", "False", "SchedulingGated")
    ]


def test_selectors_of_a_pod_are_completed_from_its_labels() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "z",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}},
        "matchLabelKeys": ["hash", "absent"],
    }
    pod = create(
        Pod,
        {
            "metadata": {"labels": {"hash": "1"}},
            "spec": {**TEMPLATE["spec"], "topologySpreadConstraints": [constraint]},
        },
    )
    (found,) = pod.spec.topology_spread_constraints
    assert [(e.key, e.operator, e.values) for e in found.label_selector.match_expressions] == [("hash", "In", ("1",))]


def test_generations_count_what_is_asked_for() -> None:
    old = create(Deployment, {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}})
    assert old.metadata.generation == 1
    same = codec.to_dict(old)
    assert update(Deployment, old, same).metadata.generation == 1
    assert update(Deployment, old, {**same, "status": {"replicas": 3}}).metadata.generation == 1
    assert update(Deployment, old, {**same, "status": {"replicas": 3}}).status == old.status
    assert update(Deployment, old, {**same, "metadata": {"labels": {"x": "y"}}}).metadata.generation == 1
    assert update(Deployment, old, {**same, "metadata": {"annotations": {"x": "y"}}}).metadata.generation == 2
    assert update(Deployment, old, {**same, "spec": {**same["spec"], "replicas": 4}}).metadata.generation == 2
    assert update(Deployment, old, {**same, "metadata": {"generation": 77}}).metadata.generation == 1


def test_configuration_has_no_generation() -> None:
    old = create(ConfigMap, {"data": {"a": "b"}})
    assert old.metadata.generation is None
    assert update(ConfigMap, old, {"data": {"a": "c"}}).metadata.generation is None


def test_status_updates_touch_nothing_else() -> None:
    old = create(Deployment, {"spec": {"replicas": 1, "template": TEMPLATE}})
    new = codec.from_dict(Deployment, codec.to_dict(old))
    new.spec.replicas, new.status.replicas, new.metadata.labels = 9, 1, {"x": "y"}
    strategy.begin_update(new.metadata, old.metadata)
    strategy.prepare_status_update(new, old)
    assert (new.spec, new.status.replicas, new.metadata.labels) == (old.spec, 1, {})
    assert new.metadata.generation == 1


def test_an_update_cannot_undo_a_deletion() -> None:
    old = ObjectMeta(name="x", deletion_timestamp=NOW, deletion_grace_period_seconds=30, generation=2)
    new = ObjectMeta(name="x")
    strategy.begin_update(new, old)
    assert (new.deletion_timestamp, new.deletion_grace_period_seconds, new.generation) == (NOW, 30, 2)
    alive = ObjectMeta(name="x", deletion_timestamp=NOW)
    strategy.begin_update(alive, ObjectMeta(name="x"))
    assert alive.deletion_timestamp is None


def test_daemon_sets_count_their_templates() -> None:
    key = "deprecated.daemonset.template.generation"
    old = create(DaemonSet, {"spec": {"template": TEMPLATE}})
    same = codec.to_dict(old)
    assert update(DaemonSet, old, {**same, "metadata": {}}).metadata.annotations[key] == "1"
    changed = {**TEMPLATE, "metadata": {"labels": {"a": "c"}}}
    new = update(DaemonSet, old, {**same, "spec": {**same["spec"], "template": changed}})
    assert (new.metadata.annotations[key], new.metadata.generation) == ("2", 2)


def test_jobs_select_their_own_pods() -> None:
    job = create(Job, {"metadata": {"name": "j"}, "spec": {"template": TEMPLATE}})
    assert job.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": "u"}
    assert job.spec.template.metadata.labels["batch.kubernetes.io/job-name"] == "j"
    own = {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
    by_hand = create(Job, {"spec": own})
    assert by_hand.spec.template.metadata.labels == {"a": "b"}
    again = update(Job, job, {"metadata": {"name": "j"}, "spec": {"template": TEMPLATE}})
    assert (again.spec.selector, again.spec.template) == (job.spec.selector, job.spec.template)


def test_namespaces_are_finalized_by_kubernetes() -> None:
    namespace = create(Namespace, {"metadata": {"name": "team"}})
    assert namespace.spec.finalizers == ("kubernetes",)
    assert namespace.metadata.labels == {"kubernetes.io/metadata.name": "team"}
    assert update(Namespace, namespace, {"spec": {"finalizers": []}}).spec.finalizers == ("kubernetes",)


def test_claims_agree_on_their_source() -> None:
    claim = create(PersistentVolumeClaim, {"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "p"}}})
    assert claim.spec.data_source_ref.name == "p"


def test_definitions_note_what_is_stored() -> None:
    version = {"name": "v1", "served": True, "storage": True}
    old = create(CustomResourceDefinition, {"spec": {"versions": [version]}})
    assert old.status.stored_versions == ("v1",)
    versions = [{**version, "storage": False}, {**version, "name": "v2"}]
    new = update(CustomResourceDefinition, old, {"spec": {"versions": versions}})
    assert (new.status.stored_versions, old.status.stored_versions) == (("v1", "v2"), ("v1",))


SERVICE = {
    "clusterIP": "10.0.0.1",
    "clusterIPs": ["10.0.0.1"],
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
    "type": "NodePort",
    "ports": [{"port": 80, "nodePort": 30080}],
}


def test_services_keep_what_they_were_given() -> None:
    old = create(Service, {"spec": SERVICE})
    new = update(Service, old, {"spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    assert (new.spec.cluster_ip, new.spec.cluster_ips, new.spec.ip_families) == ("10.0.0.1", ("10.0.0.1",), ("IPv4",))
    assert new.spec.ports[0].node_port == 30080


def test_services_give_up_what_their_type_has_no_use_for() -> None:
    old = create(Service, {"spec": SERVICE})
    spec = {**SERVICE, "type": "ExternalName", "externalName": "a.example.com"}
    new = update(Service, old, {"spec": spec})
    assert (new.spec.cluster_ip, new.spec.cluster_ips, new.spec.ip_families) == (None, (), ())
    assert new.spec.ports[0].node_port is None
    inside = update(Service, old, {"spec": {**SERVICE, "type": "ClusterIP"}})
    assert (inside.spec.ports[0].node_port, inside.spec.cluster_ip) == (None, "10.0.0.1")


@pytest.mark.parametrize(
    ("spec", "configured", "families", "policy"),
    [
        ({}, ("IPv4",), ("IPv4",), "SingleStack"),
        ({"clusterIP": "fd00::1"}, ("IPv4", "IPv6"), ("IPv6",), "SingleStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ("IPv4", "IPv6"), ("IPv4", "IPv6"), "PreferDualStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ("IPv4",), ("IPv4",), "PreferDualStack"),
        ({"ipFamilies": ["IPv6", "IPv4"]}, ("IPv4", "IPv6"), ("IPv6", "IPv4"), "RequireDualStack"),
    ],
)
def test_families(spec: dict[str, Any], configured: tuple[str, ...], families: tuple[str, ...], policy: str) -> None:
    service = create(Service, {"spec": spec})
    assert init_ip_families(service, configured=configured) == []
    assert (service.spec.ip_families, service.spec.ip_family_policy) == (families, policy)


def test_a_family_the_cluster_has_not() -> None:
    service = create(Service, {"spec": {"ipFamilies": ["IPv6"]}})
    (problem,) = init_ip_families(service)
    assert str(problem) == 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'
