"""The priority levels and flow schemas every cluster has: how upstream divides an apiserver between its clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.api.types.flowcontrol_v1 import (
    ExemptPriorityLevelConfiguration,
    FlowDistinguisherMethod,
    FlowSchema,
    FlowSchemaCondition,
    FlowSchemaSpec,
    GroupSubject,
    LimitedPriorityLevelConfiguration,
    LimitResponse,
    NonResourcePolicyRule,
    PolicyRulesWithSubjects,
    PriorityLevelConfiguration,
    PriorityLevelConfigurationReference,
    PriorityLevelConfigurationSpec,
    QueuingConfiguration,
    ResourcePolicyRule,
    ServiceAccountSubject,
    Subject,
    UserSubject,
)
from tiphys.api.types.meta_v1 import ObjectMeta

_ANY: Final = ("*",)
_LEASES: Final = "coordination.k8s.io"
DANGLING: Final = "Dangling"
_AUTOUPDATE: Final = "apf.kubernetes.io/autoupdate-spec"

# name, shares, lendable percent, (queues, hand size); None rejects instead of queueing.
_LEVELS: Final[tuple[tuple[str, int, int, tuple[int, int] | None], ...]] = (
    ("catch-all", 5, 0, None),
    ("global-default", 20, 50, (128, 6)),
    ("leader-election", 10, 0, (16, 4)),
    ("node-high", 40, 25, (64, 6)),
    ("system", 30, 33, (64, 6)),
    ("workload-high", 40, 50, (128, 6)),
    ("workload-low", 100, 90, (128, 6)),
)
_QUEUE_LENGTH: Final = 50


def _group(name: str) -> Subject:
    return Subject(kind="Group", group=GroupSubject(name=name))


def _user(name: str) -> Subject:
    return Subject(kind="User", user=UserSubject(name=name))


_SYSTEM_ACCOUNTS: Final = Subject(
    kind="ServiceAccount", service_account=ServiceAccountSubject(name="*", namespace="kube-system")
)
_EVERYBODY: Final = (_group("system:unauthenticated"), _group("system:authenticated"))
_MANAGER: Final = _user("system:kube-controller-manager")
_SCHEDULER: Final = _user("system:kube-scheduler")

# name, precedence, level, distinguisher ("" for none), subjects: those whose rules are "everything".
_SCHEMAS: Final = (
    ("catch-all", 10000, "catch-all", "ByUser", _EVERYBODY),
    ("exempt", 1, "exempt", "", (_group("system:masters"),)),
    ("global-default", 9900, "global-default", "ByUser", _EVERYBODY),
    ("kube-controller-manager", 800, "workload-high", "ByNamespace", (_MANAGER,)),
    ("kube-scheduler", 800, "workload-high", "ByNamespace", (_SCHEDULER,)),
    ("kube-system-service-accounts", 900, "workload-high", "ByNamespace", (_SYSTEM_ACCOUNTS,)),
    ("service-accounts", 9000, "workload-low", "ByUser", (_group("system:serviceaccounts"),)),
    ("system-nodes", 500, "system", "ByUser", (_group("system:nodes"),)),
)


def objects() -> Iterator[PriorityLevelConfiguration | FlowSchema]:
    """All of them, levels before the schemas that name them."""
    exempt = ExemptPriorityLevelConfiguration(lendable_percent=0, nominal_concurrency_shares=0)
    yield _level("exempt", PriorityLevelConfigurationSpec(type="Exempt", exempt=exempt))
    for name, shares, lendable, queues in _LEVELS:
        response = LimitResponse(type="Reject")
        if queues is not None:
            queuing = QueuingConfiguration(queues=queues[0], hand_size=queues[1], queue_length_limit=_QUEUE_LENGTH)
            response = LimitResponse(type="Queue", queuing=queuing)
        limited = LimitedPriorityLevelConfiguration(
            nominal_concurrency_shares=shares, lendable_percent=lendable, limit_response=response
        )
        yield _level(name, PriorityLevelConfigurationSpec(type="Limited", limited=limited))
    everything = (ResourcePolicyRule(verbs=_ANY, api_groups=_ANY, resources=_ANY, cluster_scope=True, namespaces=_ANY),)
    every_path = (NonResourcePolicyRule(verbs=_ANY, non_resource_urls=_ANY),)
    for name, precedence, level, method, subjects in _SCHEMAS:
        rules = PolicyRulesWithSubjects(subjects=subjects, resource_rules=everything, non_resource_rules=every_path)
        yield _schema(name, precedence, level, method, rules)
    yield from _special_schemas()


def dangling(schema: FlowSchema, *, exists: bool, since: str | None) -> FlowSchemaCondition:
    """The condition of a schema whose level exists or does not."""
    level = schema.spec.priority_level_configuration.name
    said = "it exists" if exists else "there is no such object"
    link = "and" if exists else "but"
    return FlowSchemaCondition(
        type=DANGLING,
        status="False" if exists else "True",
        reason="Found" if exists else "NotFound",
        message=f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" {link} {said}',
        last_transition_time=since,
    )


def is_mandatory(obj: PriorityLevelConfiguration | FlowSchema) -> bool:
    """Whether no cluster can be without it."""
    return obj.metadata.name in ("exempt", "catch-all")


def is_kept(obj: PriorityLevelConfiguration | FlowSchema) -> bool:
    """Whether its spec stays what it was made with; one without the annotation does until somebody changes it."""
    said = obj.metadata.annotations.get(_AUTOUPDATE)
    return said == "true" if said is not None else obj.metadata.generation == 1


def _special_schemas() -> Iterator[FlowSchema]:
    probes = NonResourcePolicyRule(verbs=("get",), non_resource_urls=("/healthz", "/readyz", "/livez"))
    yield _schema("probes", 2, "exempt", "", PolicyRulesWithSubjects(subjects=_EVERYBODY, non_resource_rules=(probes,)))
    election = ResourcePolicyRule(
        verbs=("get", "create", "update"), api_groups=(_LEASES,), resources=("leases",), namespaces=_ANY
    )
    leaders = (_MANAGER, _SCHEDULER, _SYSTEM_ACCOUNTS)
    yield _schema(
        "system-leader-election",
        100,
        "leader-election",
        "ByUser",
        PolicyRulesWithSubjects(subjects=leaders, resource_rules=(election,)),
    )
    nodes = ResourcePolicyRule(
        verbs=_ANY, api_groups=("",), resources=("nodes", "nodes/status"), cluster_scope=True, namespaces=_ANY
    )
    heartbeats = ResourcePolicyRule(verbs=_ANY, api_groups=(_LEASES,), resources=("leases",), namespaces=_ANY)
    yield _schema(
        "system-node-high",
        400,
        "node-high",
        "ByUser",
        PolicyRulesWithSubjects(subjects=(_group("system:nodes"),), resource_rules=(nodes, heartbeats)),
    )


def _meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, annotations={_AUTOUPDATE: "true"})


def _level(name: str, spec: PriorityLevelConfigurationSpec) -> PriorityLevelConfiguration:
    return PriorityLevelConfiguration(metadata=_meta(name), spec=spec)


def _schema(name: str, precedence: int, level: str, method: str, rules: PolicyRulesWithSubjects) -> FlowSchema:
    return FlowSchema(
        metadata=_meta(name),
        spec=FlowSchemaSpec(
            matching_precedence=precedence,
            priority_level_configuration=PriorityLevelConfigurationReference(name=level),
            distinguisher_method=FlowDistinguisherMethod(type=method) if method else None,
            rules=(rules,),
        ),
    )
