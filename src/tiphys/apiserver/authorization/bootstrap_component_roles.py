"""Cluster roles of components: rules by role name."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.rbac_v1 import PolicyRule
from tiphys.apiserver.authorization.bootstrap_rules import paths, rule

COMPONENT_ROLES: Final[dict[str, tuple[PolicyRule, ...]]] = {
    "system:auth-delegator": (
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "subjectaccessreviews", "authorization.k8s.io"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        rule("create", "certificatesigningrequests/nodeclient", "certificates.k8s.io"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        rule("create", "certificatesigningrequests/selfnodeclient", "certificates.k8s.io"),
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        rule("approve", "signers", "certificates.k8s.io", names="kubernetes.io/kube-apiserver-client"),
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        rule("approve", "signers", "certificates.k8s.io", names="kubernetes.io/kube-apiserver-client-kubelet"),
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        rule("approve", "signers", "certificates.k8s.io", names="kubernetes.io/kubelet-serving"),
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        rule("approve", "signers", "certificates.k8s.io", names="kubernetes.io/legacy-unknown"),
    ),
    "system:heapster": (
        rule("get list watch", "events namespaces nodes pods"),
        rule("get list watch", "deployments", "extensions"),
    ),
    "system:kube-aggregator": (rule("get list watch", "endpoints services"),),
    "system:kube-controller-manager": (
        rule("create patch update", "events", "core events.k8s.io"),
        rule("create", "leases", "coordination.k8s.io"),
        rule("get update", "leases", "coordination.k8s.io", names="kube-controller-manager"),
        rule("create", "secrets serviceaccounts"),
        rule("delete", "secrets"),
        rule("get", "configmaps namespaces secrets serviceaccounts"),
        rule("update", "secrets serviceaccounts"),
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "subjectaccessreviews", "authorization.k8s.io"),
        rule("list watch", "*", "*"),
        rule("create", "serviceaccounts/token"),
    ),
    "system:kube-dns": (rule("list watch", "endpoints services"),),
    "system:kube-scheduler": (
        rule("create patch update", "events", "core events.k8s.io"),
        rule("create", "leases", "coordination.k8s.io"),
        rule("get list update watch", "leases", "coordination.k8s.io", names="kube-scheduler"),
        rule("create delete deletecollection get list patch update watch", "leasecandidates", "coordination.k8s.io"),
        rule("get list watch", "nodes"),
        rule("delete get list watch", "pods"),
        rule("create", "bindings pods/binding"),
        rule("patch update", "pods/status"),
        rule("get list watch", "replicationcontrollers services"),
        rule("get list watch", "replicasets", "apps extensions"),
        rule("get list watch", "statefulsets", "apps"),
        rule("get list watch", "poddisruptionbudgets", "policy"),
        rule("get list watch", "persistentvolumeclaims persistentvolumes"),
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "subjectaccessreviews", "authorization.k8s.io"),
        rule("get list watch", "csinodes", "storage.k8s.io"),
        rule("get list watch", "volumeattachments", "storage.k8s.io"),
        rule("get list watch", "namespaces"),
        rule("get list watch", "csidrivers", "storage.k8s.io"),
        rule("get list watch", "csistoragecapacities", "storage.k8s.io"),
        rule("get list watch", "deviceclasses", "resource.k8s.io"),
        rule("get list patch update watch", "resourceclaims", "resource.k8s.io"),
        rule("get list patch update watch", "resourceclaims/status", "resource.k8s.io"),
        rule("update", "pods/finalizers"),
        rule("get list watch", "resourceslices", "resource.k8s.io"),
    ),
    "system:kubelet-api-admin": (
        rule("get list watch", "nodes"),
        rule("proxy", "nodes"),
        rule("*", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
        rule("*", "nodes/configz nodes/healthz nodes/pods"),
    ),
    "system:node": (
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "localsubjectaccessreviews subjectaccessreviews", "authorization.k8s.io"),
        rule("get list watch", "services"),
        rule("create get list watch", "nodes"),
        rule("patch update", "nodes/status"),
        rule("patch update", "nodes"),
        rule("create patch update", "events", "core events.k8s.io"),
        rule("get list watch", "pods"),
        rule("create delete", "pods"),
        rule("patch update", "pods/status"),
        rule("create", "pods/eviction"),
        rule("get list watch", "configmaps secrets"),
        rule("get", "persistentvolumeclaims persistentvolumes"),
        rule("get", "endpoints"),
        rule("create get list watch", "certificatesigningrequests", "certificates.k8s.io"),
        rule("create delete get patch update", "leases", "coordination.k8s.io"),
        rule("get", "volumeattachments", "storage.k8s.io"),
        rule("create", "serviceaccounts/token"),
        rule("get patch update", "persistentvolumeclaims/status"),
        rule("get list watch", "csidrivers", "storage.k8s.io"),
        rule("create delete get patch update", "csinodes", "storage.k8s.io"),
        rule("get list watch", "runtimeclasses", "node.k8s.io"),
        rule("get", "resourceclaims", "resource.k8s.io"),
        rule("deletecollection", "resourceslices", "resource.k8s.io"),
        rule("get", "serviceaccounts"),
    ),
    "system:node-bootstrapper": (rule("create get list watch", "certificatesigningrequests", "certificates.k8s.io"),),
    "system:node-problem-detector": (
        rule("get", "nodes"),
        rule("patch", "nodes/status"),
        rule("create patch update", "events", "core events.k8s.io"),
    ),
    "system:node-proxier": (
        rule("list watch", "endpoints services"),
        rule("get list watch", "nodes"),
        rule("create patch update", "events", "core events.k8s.io"),
        rule("list watch", "servicecidrs", "networking.k8s.io"),
        rule("list watch", "endpointslices", "discovery.k8s.io"),
    ),
    "system:persistent-volume-provisioner": (
        rule("create delete get list watch", "persistentvolumes"),
        rule("get list update watch", "persistentvolumeclaims"),
        rule("get list watch", "storageclasses", "storage.k8s.io"),
        rule("watch", "events"),
        rule("create patch update", "events", "core events.k8s.io"),
    ),
    "system:service-account-issuer-discovery": (
        paths(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        ),
    ),
    "system:volume-scheduler": (
        rule("get list patch update watch", "persistentvolumes"),
        rule("get list watch", "storageclasses", "storage.k8s.io"),
        rule("get list patch update watch", "persistentvolumeclaims"),
    ),
}
