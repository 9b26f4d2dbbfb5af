"""The plugins that are on, in upstream's order."""

from __future__ import annotations

from tiphys.apiserver.admission.chain import Lookup, Plugin
from tiphys.apiserver.admission.defaults import (
    DefaultIngressClass,
    DefaultStorageClass,
    RuntimeClassAdmission,
    StorageObjectInUseProtection,
)
from tiphys.apiserver.admission.devices import DeviceAdminAccess
from tiphys.apiserver.admission.limit_ranges import LimitRanger
from tiphys.apiserver.admission.namespaces import NamespaceLifecycle
from tiphys.apiserver.admission.node_restriction import NodeRestriction
from tiphys.apiserver.admission.pod_security import PodSecurity
from tiphys.apiserver.admission.priorities import PriorityAdmission
from tiphys.apiserver.admission.quota_turns import QuotaTurns
from tiphys.apiserver.admission.quotas import QuotaAdmission
from tiphys.apiserver.admission.service_accounts import ServiceAccountAdmission
from tiphys.apiserver.admission.storage import PersistentVolumeClaimResize
from tiphys.apiserver.admission.tolerations import DefaultTolerationSeconds, TaintNodesByCondition
from tiphys.apiserver.registry.creating import random_suffix


def default_plugins(lookup: Lookup, turns: QuotaTurns, toleration_seconds: int = 300) -> tuple[Plugin, ...]:
    """The chain of a default apiserver. `turns`: of this apiserver among those that share its store.

    toleration_seconds: see `ApiServerConfig`.
    """
    return (
        NamespaceLifecycle(lookup),
        LimitRanger(lookup),
        ServiceAccountAdmission(lookup, random_suffix),
        NodeRestriction(lookup),
        TaintNodesByCondition(),
        PodSecurity(lookup),
        PriorityAdmission(lookup),
        DefaultTolerationSeconds(toleration_seconds),
        DefaultStorageClass(lookup),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(lookup),
        RuntimeClassAdmission(lookup),
        DefaultIngressClass(lookup),
        DeviceAdminAccess(lookup),
        QuotaAdmission(lookup, turns),
    )
