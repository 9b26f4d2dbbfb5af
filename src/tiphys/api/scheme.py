"""The served resources: where each kind lives in the API and which struct carries it.

One row a resource; everything else about serving it (discovery, routing, tables, OpenAPI) derives from the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Any, Final

from tiphys.api.types.model import Model

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_RW: Final = ("get", "patch", "update")
_PROXY: Final = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object: ``pods/status``. `group`/`version` are set where its kind is of another group's."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Resource:
    """One served resource of one group and version. `group` is "" for the core group.

    selectable_fields: what a custom resource's definition lets field selectors name, as ``spec.color``.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    subresources: tuple[Subresource, ...]
    verbs: tuple[str, ...]
    selectable_fields: tuple[str, ...] = ()

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @cached_property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``: what objects carry in apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def qualified(self) -> str:
        """``pods`` or ``deployments.apps``: how messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def struct(self) -> type[Model]:
        """The msgspec type of its objects; its module is imported at first use."""
        found: type[Model] = getattr(import_module(_module(self.group, self.version)), self.kind)
        return found

    @cached_property
    def subresource_names(self) -> frozenset[str]:
        return frozenset(s.name for s in self.subresources)

    @cached_property
    def definition(self) -> str:
        """Its name in OpenAPI: ``io.k8s.api.apps.v1.Deployment``; of custom resources by the group reversed:
        ``com.example.stable.v1.CronTab``."""
        return f"{_DEFINITION_PREFIX.get(self.group) or _prefix(self.group)}.{self.version}.{self.kind}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, an object or a subresource."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [self.plural, *(p for p in (name, subresource) if p)]
        return "/".join(parts)

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.plural))


_DEFINITION_PREFIX: Final = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def _prefix(group: str) -> str:
    if any(resource.group == group for resource in RESOURCES):
        return f"io.k8s.api.{group.split('.', 1)[0]}"
    return ".".join(reversed(group.split(".")))


def _module(group: str, version: str) -> str:
    return f"tiphys.api.types.{group.split('.', 1)[0] or 'core'}_{version}"


def _subresource(kind: str, name: str) -> Subresource:
    special: Mapping[str, Subresource] = {
        "attach": Subresource(name, "PodAttachOptions", ("create", "get")),
        "binding": Subresource(name, "Binding", ("create",)),
        "eviction": Subresource(name, "Eviction", ("create",), "policy", "v1"),
        "exec": Subresource(name, "PodExecOptions", ("create", "get")),
        "finalize": Subresource(name, kind, ("update",)),
        "log": Subresource(name, kind, ("get",)),
        "portforward": Subresource(name, "PodPortForwardOptions", ("create", "get")),
        "proxy": Subresource(name, f"{kind}ProxyOptions", _PROXY),
        "scale": Subresource(name, "Scale", _RW, "autoscaling", "v1"),
        "token": Subresource(name, "TokenRequest", ("create",), "authentication.k8s.io", "v1"),
    }
    return special.get(name) or Subresource(name, kind, _RW)


def _r(
    group: str,
    version: str,
    kind: str,
    plural: str,
    namespaced: bool,
    short_names: str,
    categories: str,
    subresources: str,
    *,
    verbs: str = "",
) -> Resource:
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        namespaced=namespaced,
        short_names=tuple(short_names.split(",") if "," in short_names else short_names.split()),
        categories=tuple(categories.split()),
        subresources=tuple(_subresource(kind, name) for name in subresources.split()),
        verbs=tuple(verbs.split()) or ALL_VERBS,
    )


# fmt: off
# group, version, kind, plural, namespaced, short names, categories, subresources
RESOURCES: Final[tuple[Resource, ...]] = (
    _r("", "v1", "Binding", "bindings", True, "", "", "", verbs="create"),
    _r("", "v1", "ComponentStatus", "componentstatuses", False, "cs", "", "", verbs="get list"),
    _r("", "v1", "ConfigMap", "configmaps", True, "cm", "", ""),
    _r("", "v1", "Endpoints", "endpoints", True, "ep", "", ""),
    _r("", "v1", "Event", "events", True, "ev", "", ""),
    _r("", "v1", "LimitRange", "limitranges", True, "limits", "", ""),
    _r("", "v1", "Namespace", "namespaces", False, "ns", "", "finalize status", verbs="create delete get list patch update watch"),
    _r("", "v1", "Node", "nodes", False, "no", "", "proxy status"),
    _r("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, "pvc", "", "status"),
    _r("", "v1", "PersistentVolume", "persistentvolumes", False, "pv", "", "status"),
    _r("", "v1", "Pod", "pods", True, "po", "all", "attach binding ephemeralcontainers eviction exec log portforward proxy resize status"),
    _r("", "v1", "PodTemplate", "podtemplates", True, "", "", ""),
    _r("", "v1", "ReplicationController", "replicationcontrollers", True, "rc", "all", "scale status"),
    _r("", "v1", "ResourceQuota", "resourcequotas", True, "quota", "", "status"),
    _r("", "v1", "Secret", "secrets", True, "", "", ""),
    _r("", "v1", "ServiceAccount", "serviceaccounts", True, "sa", "", "token"),
    _r("", "v1", "Service", "services", True, "svc", "all", "proxy status"),
    _r("apiregistration.k8s.io", "v1", "APIService", "apiservices", False, "", "api-extensions", "status"),
    _r("apps", "v1", "ControllerRevision", "controllerrevisions", True, "", "", ""),
    _r("apps", "v1", "DaemonSet", "daemonsets", True, "ds", "all", "status"),
    _r("apps", "v1", "Deployment", "deployments", True, "deploy", "all", "scale status"),
    _r("apps", "v1", "ReplicaSet", "replicasets", True, "rs", "all", "scale status"),
    _r("apps", "v1", "StatefulSet", "statefulsets", True, "sts", "all", "scale status"),
    _r("events.k8s.io", "v1", "Event", "events", True, "ev", "", ""),
    _r("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", False, "", "", "", verbs="create"),
    _r("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", False, "", "", "", verbs="create"),
    _r("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", True, "", "", "", verbs="create"),
    _r("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False, "", "", "", verbs="create"),
    _r("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", False, "", "", "", verbs="create"),
    _r("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", False, "", "", "", verbs="create"),
    _r("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True, "hpa", "all", "status"),
    _r("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True, "hpa", "all", "status"),
    _r("batch", "v1", "CronJob", "cronjobs", True, "cj", "all", "status"),
    _r("batch", "v1", "Job", "jobs", True, "", "all", "status"),
    _r("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", False, "csr", "", "approval status"),
    _r("networking.k8s.io", "v1", "IngressClass", "ingressclasses", False, "", "", ""),
    _r("networking.k8s.io", "v1", "Ingress", "ingresses", True, "ing", "", "status"),
    _r("networking.k8s.io", "v1", "IPAddress", "ipaddresses", False, "ip", "", ""),
    _r("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True, "netpol", "", ""),
    _r("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", False, "", "", "status"),
    _r("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True, "pdb", "", "status"),
    _r("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", False, "", "", ""),
    _r("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False, "", "", ""),
    _r("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", True, "", "", ""),
    _r("rbac.authorization.k8s.io", "v1", "Role", "roles", True, "", "", ""),
    _r("storage.k8s.io", "v1", "CSIDriver", "csidrivers", False, "", "", ""),
    _r("storage.k8s.io", "v1", "CSINode", "csinodes", False, "", "", ""),
    _r("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", True, "", "", ""),
    _r("storage.k8s.io", "v1", "StorageClass", "storageclasses", False, "sc", "", ""),
    _r("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", False, "", "", "status"),
    _r("storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", False, "vac", "", ""),
    _r("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False, "", "api-extensions", ""),
    _r("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False, "", "api-extensions", "status"),
    _r("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False, "", "api-extensions", ""),
    _r("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", False, "", "api-extensions", ""),
    _r("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", False, "", "api-extensions", ""),
    _r("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False, "", "api-extensions", ""),
    _r("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False, "crd crds", "api-extensions", "status"),
    _r("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", False, "pc", "", ""),
    _r("coordination.k8s.io", "v1", "Lease", "leases", True, "", "", ""),
    _r("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", False, "", "", ""),
    _r("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", True, "", "", ""),
    _r("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", False, "", "", ""),
    _r("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", True, "", "", "status"),
    _r("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", True, "", "", ""),
    _r("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", False, "", "", ""),
    _r("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", False, "", "", "status"),
    _r("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", False, "", "", "status"),
)
# fmt: on


@cache
def _by_kind() -> dict[tuple[str, str, str], Resource]:
    return {(r.group, r.version, r.kind): r for r in RESOURCES}


_BY_PATH: Final = {(r.group, r.version, r.plural): r for r in RESOURCES}


@cache
def by_kind(kind: type[Any]) -> Resource:
    """The resource whose objects are `kind` structs; raises KeyError for types that are not served."""
    group, version = kind.__module__.rsplit(".", 1)[1].rsplit("_", 1)
    for resource in RESOURCES:
        if resource.kind == kind.__name__ and _module(resource.group, resource.version).endswith(f".{group}_{version}"):
            return resource
    raise KeyError(kind)


def by_path(group: str, version: str, plural: str) -> Resource | None:
    """The resource at ``/apis/<group>/<version>/<plural>``, or None."""
    return _BY_PATH.get((group, version, plural))


def by_gvk(group: str, version: str, kind: str) -> Resource | None:
    """The resource that serves a kind, or None."""
    return _by_kind().get((group, version, kind))
