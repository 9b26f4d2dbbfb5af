"""Fields that are left out when they are zero: an object that names them equals one that does not.

The wire form of upstream's types drops empty texts, zeros and false of fields that are plain values in Go, and keeps
those of fields that are pointers, where zero differs from absence (``replicas: 0``). The schema does not tell the two
apart; the table below does, for the fields in which clients do write zeros.
"""

from __future__ import annotations

import re
import typing
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

_REASONED: Final = "message reason"
_DROPPED: Final[dict[str, str]] = {
    "apps_v1.DaemonSetCondition": _REASONED,
    "apps_v1.DaemonSetSpec": "minReadySeconds",
    "apps_v1.DaemonSetStatus": "numberAvailable numberUnavailable observedGeneration updatedNumberScheduled",
    "apps_v1.DaemonSetUpdateStrategy": "type",
    "apps_v1.DeploymentCondition": _REASONED,
    "apps_v1.DeploymentSpec": "minReadySeconds paused",
    "apps_v1.DeploymentStatus": "availableReplicas observedGeneration readyReplicas replicas unavailableReplicas"
    " updatedReplicas",
    "apps_v1.DeploymentStrategy": "type",
    "apps_v1.ReplicaSetCondition": _REASONED,
    "apps_v1.ReplicaSetSpec": "minReadySeconds",
    "apps_v1.ReplicaSetStatus": "availableReplicas fullyLabeledReplicas observedGeneration readyReplicas",
    "apps_v1.StatefulSetCondition": _REASONED,
    "apps_v1.StatefulSetOrdinals": "start",
    "apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy": "whenDeleted whenScaled",
    "apps_v1.StatefulSetSpec": "minReadySeconds podManagementPolicy serviceName",
    "apps_v1.StatefulSetStatus": "currentReplicas currentRevision observedGeneration readyReplicas updateRevision"
    " updatedReplicas",
    "apps_v1.StatefulSetUpdateStrategy": "type",
    "autoscaling_v1.CrossVersionObjectReference": "apiVersion",
    "autoscaling_v1.ScaleSpec": "replicas",
    "autoscaling_v1.ScaleStatus": "selector",
    "autoscaling_v2.CrossVersionObjectReference": "apiVersion",
    "batch_v1.CronJobSpec": "concurrencyPolicy",
    "batch_v1.JobCondition": _REASONED,
    "batch_v1.JobStatus": "active completedIndexes failed succeeded",
    "certificates_v1.CertificateSigningRequestCondition": _REASONED,
    "certificates_v1.CertificateSigningRequestSpec": "uid username",
    "core_v1.Container": "image imagePullPolicy stdin stdinOnce terminationMessagePath terminationMessagePolicy tty"
    " workingDir",
    "core_v1.ContainerPort": "hostIP hostPort name protocol",
    "core_v1.ContainerStateTerminated": "containerID message reason signal",
    "core_v1.ContainerStateWaiting": _REASONED,
    "core_v1.ContainerStatus": "containerID",
    "core_v1.EmptyDirVolumeSource": "medium",
    "core_v1.EndpointAddress": "hostname",
    "core_v1.EndpointPort": "name protocol",
    "core_v1.EnvFromSource": "prefix",
    "core_v1.EnvVar": "value",
    "core_v1.EphemeralContainer": "image imagePullPolicy stdin stdinOnce targetContainerName terminationMessagePath"
    " terminationMessagePolicy tty workingDir",
    "core_v1.Event": "action count message reason type",
    "core_v1.EventSeries": "count",
    "core_v1.EventSource": "component host",
    "core_v1.HTTPGetAction": "host path scheme",
    "core_v1.ImageVolumeSource": "pullPolicy reference",
    "core_v1.LoadBalancerIngress": "hostname ip",
    "core_v1.LocalObjectReference": "name",
    "core_v1.NFSVolumeSource": "readOnly",
    "core_v1.NamespaceCondition": _REASONED,
    "core_v1.NamespaceStatus": "phase",
    "core_v1.NodeCondition": _REASONED,
    "core_v1.NodeSpec": "externalID podCIDR providerID unschedulable",
    "core_v1.NodeStatus": "phase",
    "core_v1.ObjectFieldSelector": "apiVersion",
    "core_v1.ObjectReference": "apiVersion fieldPath kind name namespace resourceVersion uid",
    "core_v1.PersistentVolumeClaimCondition": _REASONED,
    "core_v1.PersistentVolumeClaimSpec": "volumeName",
    "core_v1.PersistentVolumeClaimStatus": "phase",
    "core_v1.PersistentVolumeClaimVolumeSource": "readOnly",
    "core_v1.PersistentVolumeSpec": "persistentVolumeReclaimPolicy storageClassName",
    "core_v1.PersistentVolumeStatus": "message phase reason",
    "core_v1.PodCondition": "message observedGeneration reason",
    "core_v1.PodDNSConfigOption": "name",
    "core_v1.PodSpec": "dnsPolicy hostIPC hostNetwork hostPID hostname nodeName priorityClassName restartPolicy"
    " schedulerName serviceAccount serviceAccountName subdomain",
    "core_v1.PodStatus": "hostIP message nominatedNodeName observedGeneration phase podIP qosClass reason resize",
    "core_v1.Probe": "failureThreshold initialDelaySeconds periodSeconds successThreshold timeoutSeconds",
    "core_v1.ReplicationControllerCondition": _REASONED,
    "core_v1.ReplicationControllerSpec": "minReadySeconds",
    "core_v1.ReplicationControllerStatus": "availableReplicas fullyLabeledReplicas observedGeneration readyReplicas",
    "core_v1.ResourceClaim": "request",
    "core_v1.ResourceFieldSelector": "containerName",
    "core_v1.SELinuxOptions": "level role type user",
    "core_v1.Secret": "type",
    "core_v1.SecretVolumeSource": "secretName",
    "core_v1.ServiceAccountTokenProjection": "audience",
    "core_v1.ServicePort": "name nodePort protocol",
    "core_v1.ServiceSpec": "clusterIP externalName externalTrafficPolicy healthCheckNodePort loadBalancerIP"
    " publishNotReadyAddresses sessionAffinity type",
    "core_v1.TCPSocketAction": "host",
    "core_v1.Taint": "value",
    "core_v1.Toleration": "effect key operator value",
    "core_v1.VolumeMount": "readOnly subPath subPathExpr",
    "events_v1.Event": "action deprecatedCount note reason reportingController reportingInstance type",
    "meta_v1.Condition": "observedGeneration",
    "meta_v1.ManagedFieldsEntry": "apiVersion fieldsType manager operation subresource",
    "meta_v1.ObjectMeta": "generateName generation name namespace resourceVersion selfLink uid",
    "networking_v1.HTTPIngressPath": "path",
    "networking_v1.IngressLoadBalancerIngress": "hostname ip",
    "networking_v1.IngressRule": "host",
    "networking_v1.IngressTLS": "secretName",
    "networking_v1.ServiceBackendPort": "name number",
    "policy_v1.PodDisruptionBudgetStatus": "observedGeneration",
    "rbac_v1.RoleRef": "apiGroup",
    "rbac_v1.Subject": "apiGroup namespace",
    "scheduling_v1.PriorityClass": "description globalDefault",
}
_find_zero: Final = re.compile(rb':\s?(?:""|false|0[,}\s])').search


class _Plan(NamedTuple):
    """The attributes of a struct that are dropped when zero, and those that hold structs with such attributes."""

    dropped: tuple[str, ...]
    below: tuple[tuple[str, _Plan], ...]


def drop(obj: msgspec.Struct, body: bytes | None = None) -> None:
    """Unset, in place, the fields of `obj` that say what their absence says.

    With the `body` that `obj` was decoded from, objects without any zero cost one search in it.
    """
    if body is None or _find_zero(body) is not None:
        _drop(obj, _plan(type(obj)))


def _drop(obj: Any, plan: _Plan) -> None:
    for attribute in plan.dropped:
        value = getattr(obj, attribute)
        if value is not None and not value:
            setattr(obj, attribute, None)
    for attribute, below in plan.below:
        value = getattr(obj, attribute)
        if not value:
            continue
        if isinstance(value, tuple):
            for item in value:
                _drop(item, below)
        else:
            _drop(value, below)


@cache
def _plan(kind: Any) -> _Plan:
    names = frozenset(_DROPPED.get(f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}", "").split())
    dropped: list[str] = []
    below: list[tuple[str, _Plan]] = []
    for field in msgspec.structs.fields(kind):
        if field.encode_name in names:
            dropped.append(field.name)
            continue
        struct = _struct_in(field.type)
        if struct is not None:
            inner = _plan(struct)
            if inner.dropped or inner.below:
                below.append((field.name, inner))
    return _Plan(tuple(dropped), tuple(below))


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The struct type inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    if typing.get_origin(kind) is dict:
        return None
    for part in typing.get_args(kind):
        found = _struct_in(part)
        if found is not None:
            return found
    return None
