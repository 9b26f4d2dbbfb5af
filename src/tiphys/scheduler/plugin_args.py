"""The args plugins take, with upstream's names and defaults. Source: kube-scheduler configuration v1.

What may enter: shapes and defaults; what is wrong with given ones is said in `configuration`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tiphys.api.types.core_v1 import NodeAffinity, TopologySpreadConstraint


class Args(msgspec.Struct, rename="camel", kw_only=True, frozen=True, gc=False):
    """What every plugin's args have in a file: their kind, ``<plugin>Args``, and its version."""

    api_version: str = ""
    kind: str = ""


class ResourceSpec(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A resource that a score looks at, and how much it counts."""

    name: str = ""
    weight: int = 1


class UtilizationShapePoint(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A point of a score by utilization: 0..100, and the score there: 0..10."""

    utilization: int = 0
    score: int = 0


class RequestedToCapacityRatioParam(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The points of a function that is linear between them, by rising utilization."""

    shape: tuple[UtilizationShapePoint, ...] = ()


LEAST_ALLOCATED: Final = "LeastAllocated"
MOST_ALLOCATED: Final = "MostAllocated"
REQUESTED_TO_CAPACITY_RATIO: Final = "RequestedToCapacityRatio"
CPU_AND_MEMORY: Final = (ResourceSpec("cpu", 1), ResourceSpec("memory", 1))


class ScoringStrategy(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """How NodeResourcesFit scores."""

    type: str = LEAST_ALLOCATED
    resources: tuple[ResourceSpec, ...] = CPU_AND_MEMORY
    requested_to_capacity_ratio: RequestedToCapacityRatioParam | None = None


class NodeResourcesFitArgs(Args, frozen=True, kw_only=True):
    ignored_resources: tuple[str, ...] = ()
    """Extended resources that need not fit."""
    ignored_resource_groups: tuple[str, ...] = ()
    """The same for all of a group: of ``example.com`` for example.com/a and example.com/b."""
    scoring_strategy: ScoringStrategy = ScoringStrategy()


class NodeResourcesBalancedAllocationArgs(Args, frozen=True, kw_only=True):
    resources: tuple[ResourceSpec, ...] = CPU_AND_MEMORY


class NodeAffinityArgs(Args, frozen=True, kw_only=True):
    added_affinity: NodeAffinity | None = None
    """Holds for every pod of the profile, besides its own."""


class InterPodAffinityArgs(Args, frozen=True, kw_only=True):
    hard_pod_affinity_weight: int = 1
    """What an existing pod's required affinity to the one being placed is worth as a preference."""
    ignore_preferred_terms_of_existing_pods: bool = False
    """Pods without preferences of their own are not drawn or repelled by those of others."""


SYSTEM_DEFAULTING: Final = "System"
LIST_DEFAULTING: Final = "List"


class PodTopologySpreadArgs(Args, frozen=True, kw_only=True):
    default_constraints: tuple[TopologySpreadConstraint, ...] = ()
    """For pods without constraints of their own that belong to a Service or a controller."""
    defaulting_type: str = SYSTEM_DEFAULTING


class VolumeBindingArgs(Args, frozen=True, kw_only=True):
    bind_timeout_seconds: int = 600
    """How long a pod waits for its claims to be bound to volumes before it is scheduled anew."""
    shape: tuple[UtilizationShapePoint, ...] = ()


class DefaultPreemptionArgs(Args, frozen=True, kw_only=True):
    min_candidate_nodes_percentage: int = 10
    min_candidate_nodes_absolute: int = 100


class DynamicResourcesArgs(Args, frozen=True, kw_only=True):
    filter_timeout: str = "10s"
    """Accepted for upstream's sake: the search for devices is bounded in steps."""
    binding_timeout: str = "10m"
    """How long a pod waits for drivers to make its devices ready before it is scheduled anew."""
