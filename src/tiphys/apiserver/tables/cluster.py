"""Tables of what governs the cluster: access, admission, flow control, storage classes, devices, leases."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.types.admissionregistration_v1 import (
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    MutatingWebhookConfiguration,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
)
from tiphys.api.types.apiregistration_v1 import APIService
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.flowcontrol_v1 import FlowSchema, PriorityLevelConfiguration
from tiphys.api.types.node_v1 import RuntimeClass
from tiphys.api.types.policy_v1 import PodDisruptionBudget
from tiphys.api.types.rbac_v1 import ClusterRoleBinding, RoleBinding
from tiphys.api.types.resource_v1 import DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.apiserver.tables.ages import age, duration
from tiphys.apiserver.tables.text import NONE, UNSET


def webhooks(obj: MutatingWebhookConfiguration | ValidatingWebhookConfiguration, now: float) -> list[Any]:
    return [obj.metadata.name, len(obj.webhooks), age(obj.metadata.creation_timestamp, now)]


def policy(obj: ValidatingAdmissionPolicy, now: float) -> list[Any]:
    kind = obj.spec.param_kind
    shown = f"{kind.api_version}/{kind.kind}" if kind is not None else UNSET
    return [obj.metadata.name, len(obj.spec.validations), shown, age(obj.metadata.creation_timestamp, now)]


def mutating_policy(obj: MutatingAdmissionPolicy, now: float) -> list[Any]:
    kind = obj.spec.param_kind
    shown = f"{kind.api_version}/{kind.kind}" if kind is not None else UNSET
    return [obj.metadata.name, len(obj.spec.mutations), shown, age(obj.metadata.creation_timestamp, now)]


def policy_binding(obj: ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding, now: float) -> list[Any]:
    reference, shown = obj.spec.param_ref, UNSET
    if reference is not None:
        shown = f"{reference.namespace or '*'}/{reference.name}" if reference.name else UNSET
    return [obj.metadata.name, obj.spec.policy_name, shown, age(obj.metadata.creation_timestamp, now)]


def api_service(obj: APIService, now: float) -> list[Any]:
    service = obj.spec.service
    where = f"{service.namespace}/{service.name}" if service is not None else "Local"
    available = "Unknown"
    for condition in obj.status.conditions:
        if condition.type == "Available":
            reason = "" if condition.status == "True" else f" ({condition.reason})"
            available = f"{condition.status}{reason}"
    return [obj.metadata.name, where, available, age(obj.metadata.creation_timestamp, now)]


def signing_request(obj: CertificateSigningRequest, now: float) -> list[Any]:
    spec = obj.spec
    types = {condition.type for condition in obj.status.conditions}
    state = next((state for state in ("Denied", "Approved") if state in types), "Pending")
    if "Failed" in types:
        state += ",Failed"
    if obj.status.certificate:
        state += ",Issued"
    wanted = NONE if spec.expiration_seconds is None else duration(spec.expiration_seconds)
    created = age(obj.metadata.creation_timestamp, now)
    return [obj.metadata.name, created, spec.signer_name, spec.username or "", wanted, state]


def lease(obj: Lease, now: float) -> list[Any]:
    return [obj.metadata.name, obj.spec.holder_identity or "", age(obj.metadata.creation_timestamp, now)]


def flow_schema(obj: FlowSchema, now: float) -> list[Any]:
    spec = obj.spec
    missing = next((c.status or "?" for c in obj.status.conditions if c.type == "Dangling"), "?")
    method = spec.distinguisher_method
    return [
        obj.metadata.name,
        spec.priority_level_configuration.name,
        spec.matching_precedence or 0,
        method.type if method is not None else NONE,
        age(obj.metadata.creation_timestamp, now),
        missing,
    ]


def priority_level(obj: PriorityLevelConfiguration, now: float) -> list[Any]:
    spec = obj.spec
    shares: Any = NONE
    queues: list[Any] = [NONE, NONE, NONE]
    if spec.limited is not None:
        shares = spec.limited.nominal_concurrency_shares
        response = spec.limited.limit_response
        queuing = response.queuing if response is not None else None
        if queuing is not None:
            queues = [queuing.queues or 0, queuing.hand_size or 0, queuing.queue_length_limit or 0]
    elif spec.exempt is not None:
        shares = spec.exempt.nominal_concurrency_shares
    shown = NONE if shares is None else shares
    return [obj.metadata.name, spec.type, shown, *queues, age(obj.metadata.creation_timestamp, now)]


def runtime_class(obj: RuntimeClass, now: float) -> list[Any]:
    return [obj.metadata.name, obj.handler, age(obj.metadata.creation_timestamp, now)]


def disruption_budget(obj: PodDisruptionBudget, now: float) -> list[Any]:
    spec = obj.spec
    bounds = ["N/A" if bound is None else str(bound) for bound in (spec.min_available, spec.max_unavailable)]
    created = age(obj.metadata.creation_timestamp, now)
    return [obj.metadata.name, *bounds, obj.status.disruptions_allowed, created]


def role_binding(obj: RoleBinding | ClusterRoleBinding, now: float) -> list[Any]:
    users = ", ".join(subject.name for subject in obj.subjects if subject.kind == "User")
    groups = ", ".join(subject.name for subject in obj.subjects if subject.kind == "Group")
    accounts = ", ".join(
        f"{subject.namespace or ''}/{subject.name}" for subject in obj.subjects if subject.kind == "ServiceAccount"
    )
    role = f"{obj.role_ref.kind}/{obj.role_ref.name}"
    return [obj.metadata.name, role, age(obj.metadata.creation_timestamp, now), users, groups, accounts]


def device_class(obj: DeviceClass | ResourceClaimTemplate, now: float) -> list[Any]:
    return [obj.metadata.name, age(obj.metadata.creation_timestamp, now)]


def resource_claim(obj: ResourceClaim, now: float) -> list[Any]:
    states = ["deleted"] if obj.metadata.deletion_timestamp else []
    if obj.status.allocation is not None:
        states.append("allocated")
        if obj.status.reserved_for:
            states.append("reserved")
    elif not states:
        states.append("pending")
    return [obj.metadata.name, ",".join(states), age(obj.metadata.creation_timestamp, now)]


def resource_slice(obj: ResourceSlice, now: float) -> list[Any]:
    spec = obj.spec
    created = age(obj.metadata.creation_timestamp, now)
    return [obj.metadata.name, spec.node_name or "", spec.driver, spec.pool.name, created]


def priority_class(obj: PriorityClass, now: float) -> list[Any]:
    created = age(obj.metadata.creation_timestamp, now)
    return [obj.metadata.name, obj.value or 0, bool(obj.global_default), created, obj.preemption_policy or UNSET]


PRINTERS: Final = {
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): ("Name|Webhooks:integer|Age", webhooks),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): ("Name|Webhooks:integer|Age", webhooks),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): (
        "Name|Validations:integer|ParamKind|Age",
        policy,
    ),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): (
        "Name|PolicyName|ParamRef|Age",
        policy_binding,
    ),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): (
        "Name|Mutations:integer|ParamKind|Age",
        mutating_policy,
    ),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): (
        "Name|PolicyName|ParamRef|Age",
        policy_binding,
    ),
    ("apiregistration.k8s.io", "apiservices"): ("Name|Service|Available|Age", api_service),
    ("certificates.k8s.io", "certificatesigningrequests"): (
        "Name|Age|SignerName|Requestor|RequestedDuration|Condition",
        signing_request,
    ),
    ("coordination.k8s.io", "leases"): ("Name|Holder|Age", lease),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): (
        "Name|PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL",
        flow_schema,
    ),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): (
        "Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age",
        priority_level,
    ),
    ("node.k8s.io", "runtimeclasses"): ("Name|Handler|Age", runtime_class),
    ("policy", "poddisruptionbudgets"): (
        "Name|Min Available|Max Unavailable|Allowed Disruptions:integer|Age",
        disruption_budget,
    ),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (
        "Name|Role|Age|Users*1|Groups*1|ServiceAccounts*1",
        role_binding,
    ),
    ("rbac.authorization.k8s.io", "rolebindings"): ("Name|Role|Age|Users*1|Groups*1|ServiceAccounts*1", role_binding),
    ("resource.k8s.io", "deviceclasses"): ("Name|Age", device_class),
    ("resource.k8s.io", "resourceclaims"): ("Name|State|Age", resource_claim),
    ("resource.k8s.io", "resourceclaimtemplates"): ("Name|Age", device_class),
    ("resource.k8s.io", "resourceslices"): ("Name|Node|Driver|Pool|Age", resource_slice),
    ("scheduling.k8s.io", "priorityclasses"): (
        "Name|Value:integer|Global-Default:boolean|Age|PreemptionPolicy",
        priority_class,
    ),
}
