"""What may be wrong with plugins' args, in upstream's words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import Affinity, TopologySpreadConstraint
from tiphys.api.validation.placement import check_affinity, check_spread
from tiphys.scheduler.durations import seconds
from tiphys.scheduler.plugin_args import (
    CPU_AND_MEMORY,
    LEAST_ALLOCATED,
    LIST_DEFAULTING,
    MOST_ALLOCATED,
    REQUESTED_TO_CAPACITY_RATIO,
    SYSTEM_DEFAULTING,
    DefaultPreemptionArgs,
    DynamicResourcesArgs,
    InterPodAffinityArgs,
    NodeAffinityArgs,
    NodeResourcesBalancedAllocationArgs,
    NodeResourcesFitArgs,
    PodTopologySpreadArgs,
    ResourceSpec,
    UtilizationShapePoint,
    VolumeBindingArgs,
)

_ACTIONS: Final = ("DoNotSchedule", "ScheduleAnyway")
_TOLD: Final = ("maxSkew", "topologyKey", "whenUnsatisfiable")
_STRATEGIES: Final = (LEAST_ALLOCATED, MOST_ALLOCATED, REQUESTED_TO_CAPACITY_RATIO)


def with_defaults(args: Any) -> Any:
    """What upstream fills in: weights of 0 are 1, no resources are cpu and memory."""
    if isinstance(args, NodeResourcesBalancedAllocationArgs):
        return replace(args, resources=_weighed(args.resources))
    if isinstance(args, NodeResourcesFitArgs):
        strategy = args.scoring_strategy
        return replace(args, scoring_strategy=replace(strategy, resources=_weighed(strategy.resources)))
    return args


def _weighed(resources: Sequence[ResourceSpec]) -> tuple[ResourceSpec, ...]:
    return tuple(replace(each, weight=each.weight or 1) for each in resources) or CPU_AND_MEMORY


def check_args(args: Any, path: str, errors: list[FieldError]) -> None:
    """Of a plugin from elsewhere nothing is known but that the types are right."""
    checker = _CHECKS.get(type(args))
    if checker is not None:
        checker(args, path, errors)


def _preemption(args: DefaultPreemptionArgs, path: str, errors: list[FieldError]) -> None:
    share, number = args.min_candidate_nodes_percentage, args.min_candidate_nodes_absolute
    if not 0 <= share <= 100:
        errors.append(invalid(f"{path}.minCandidateNodesPercentage", share, "not in valid range [0, 100]"))
    if number < 0:
        errors.append(invalid(f"{path}.minCandidateNodesAbsolute", number, "not in valid range [0, inf)"))
    if share == number == 0:
        words = "cannot be zero at the same time as"
        errors.append(invalid(f"{path}.minCandidateNodesPercentage", 0, f"{words} minCandidateNodesAbsolute"))
        errors.append(invalid(f"{path}.minCandidateNodesAbsolute", 0, f"{words} minCandidateNodesPercentage"))


def _inter_pod(args: InterPodAffinityArgs, path: str, errors: list[FieldError]) -> None:
    if not 0 <= args.hard_pod_affinity_weight <= 100:
        field = f"{path}.hardPodAffinityWeight"
        errors.append(invalid(field, args.hard_pod_affinity_weight, "not in valid range [0, 100]"))


def _node_affinity(args: NodeAffinityArgs, path: str, errors: list[FieldError]) -> None:
    if args.added_affinity is None:
        return
    found: list[FieldError] = []
    check_affinity(Affinity(node_affinity=args.added_affinity), "", found)
    errors += [e._replace(field=e.field.replace(".nodeAffinity", f"{path}.addedAffinity", 1)) for e in found]


def _spread(args: PodTopologySpreadArgs, path: str, errors: list[FieldError]) -> None:
    if args.defaulting_type not in (SYSTEM_DEFAULTING, LIST_DEFAULTING):
        errors.append(
            not_supported(f"{path}.defaultingType", args.defaulting_type, (SYSTEM_DEFAULTING, LIST_DEFAULTING))
        )
    if args.defaulting_type == SYSTEM_DEFAULTING and args.default_constraints:
        detail = "when .defaultConstraints are not empty"
        errors.append(invalid(f"{path}.defaultingType", args.defaulting_type, detail))
    _constraints(args.default_constraints, f"{path}.defaultConstraints", errors)


def _constraints(given: Sequence[TopologySpreadConstraint], path: str, errors: list[FieldError]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(given):
        where, key, action = f"{path}[{index}]", constraint.topology_key, constraint.when_unsatisfiable
        if constraint.max_skew <= 0:
            errors.append(invalid(f"{where}.maxSkew", constraint.max_skew, "not in valid range (0, inf)"))
        if not key:
            errors.append(required(f"{where}.topologyKey", "can not be empty"))
        else:
            refuse(names.qualified_name(key), key, f"{where}.topologyKey", errors)
        if not action:
            errors.append(required(f"{where}.whenUnsatisfiable", "can not be empty"))
        elif action not in _ACTIONS:
            errors.append(not_supported(f"{where}.whenUnsatisfiable", action, _ACTIONS))
        if constraint.label_selector is not None:
            detail = "constraint must not define a selector, as they deduced for each pod"
            errors.append(forbidden(f"{where}.labelSelector", detail))
        if constraint.match_label_keys:
            # Upstream replaces the whole selector, and these with it, without a word.
            errors.append(forbidden(f"{where}.matchLabelKeys", "the selector is deduced for each pod"))
        if (key, action) in seen:
            errors.append(duplicate(where, f"{{{key}, {action}}}"))
        seen.add((key, action))
    for index, constraint in enumerate(given):
        _as_of_a_pod(replace(constraint, label_selector=None, match_label_keys=()), f"{path}[{index}]", errors)


def _as_of_a_pod(constraint: TopologySpreadConstraint, path: str, errors: list[FieldError]) -> None:
    """What upstream leaves to chance: minDomains and policies that no pod could have."""
    found: list[FieldError] = []
    check_spread((constraint,), path, found)
    for error in found:
        field = error.field.replace(f"{path}[0]", path, 1)
        if not field.startswith(_TOLD, len(path) + 1):
            errors.append(error._replace(field=field))


def _fit(args: NodeResourcesFitArgs, path: str, errors: list[FieldError]) -> None:
    for field, values in (
        ("ignoredResources", args.ignored_resources),
        ("ignoredResourceGroups", args.ignored_resource_groups),
    ):
        for index, value in enumerate(values):
            where = f"{path}.{field}[{index}]"
            if field == "ignoredResourceGroups" and "/" in value:
                errors.append(invalid(where, value, "resource group name can't contain '/'"))
            else:
                refuse(names.qualified_name(value), value, where, errors)
    strategy, where = args.scoring_strategy, f"{path}.scoringStrategy"
    if strategy.type not in _STRATEGIES:
        errors.append(not_supported(f"{where}.type", strategy.type, _STRATEGIES))
    _resources(strategy.resources, f"{where}.resources", errors)
    ratio, where = strategy.requested_to_capacity_ratio, f"{where}.requestedToCapacityRatio"
    if strategy.type != REQUESTED_TO_CAPACITY_RATIO:
        if ratio is not None:
            errors.append(forbidden(where, "must be nil when type is not RequestedToCapacityRatio"))
    elif ratio is None:
        errors.append(required(where, "must be specified when type is RequestedToCapacityRatio"))
    else:
        _shape(ratio.shape, f"{where}.shape", errors)


def _resources(resources: Sequence[ResourceSpec], path: str, errors: list[FieldError]) -> None:
    for index, resource in enumerate(resources):
        refuse(names.qualified_name(resource.name), resource.name, f"{path}[{index}].name", errors)
        if not 0 < resource.weight <= 100:
            detail = f"resource weight of {resource.name} not in valid range (0, 100]"
            errors.append(invalid(f"{path}[{index}].weight", resource.weight, detail))


def _shape(shape: Sequence[UtilizationShapePoint], path: str, errors: list[FieldError]) -> None:
    if not shape:
        errors.append(required(path, "at least one point must be specified"))
    for index, (before, point) in enumerate(itertools.pairwise(shape), 1):
        if point.utilization <= before.utilization:
            detail = "values must be sorted in increasing order"
            errors.append(invalid(f"{path}[{index}].utilization", point.utilization, detail))
            break
    for index, point in enumerate(shape):
        if not 0 <= point.utilization <= 100:
            errors.append(invalid(f"{path}[{index}].utilization", point.utilization, "not in valid range [0, 100]"))
        if not 0 <= point.score <= 10:
            errors.append(invalid(f"{path}[{index}].score", point.score, "not in valid range [0, 10]"))


def _balanced(args: NodeResourcesBalancedAllocationArgs, path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, resource in enumerate(args.resources):
        where = f"{path}.resources[{index}]"
        refuse(names.qualified_name(resource.name), resource.name, f"{where}.name", errors)
        if resource.name in seen:
            errors.append(duplicate(f"{where}.name", resource.name))
        if resource.weight != 1:
            errors.append(invalid(f"{where}.weight", resource.weight, "must be 1"))
        seen.add(resource.name)


def _volumes(args: VolumeBindingArgs, path: str, errors: list[FieldError]) -> None:
    if args.bind_timeout_seconds < 0:
        detail = "invalid BindTimeoutSeconds, should not be a negative value"
        errors.append(invalid(f"{path}.bindTimeoutSeconds", args.bind_timeout_seconds, detail))
    if args.shape:
        points = [{"utilization": point.utilization, "score": point.score} for point in args.shape]
        errors.append(invalid(f"{path}.shape", points, "unexpected field `shape`: capacity is not scored"))


def _devices(args: DynamicResourcesArgs, path: str, errors: list[FieldError]) -> None:
    length = seconds(args.filter_timeout)
    if length is None or length < 0:
        errors.append(invalid(f"{path}.filterTimeout", args.filter_timeout, "must be zero or positive"))
    length = seconds(args.binding_timeout)
    if length is None or length < 1:
        errors.append(invalid(f"{path}.bindingTimeout", args.binding_timeout, "must be at least 1 second"))


_CHECKS: Final[dict[type, Callable[[Any, str, list[FieldError]], None]]] = {
    DefaultPreemptionArgs: _preemption,
    InterPodAffinityArgs: _inter_pod,
    NodeAffinityArgs: _node_affinity,
    PodTopologySpreadArgs: _spread,
    NodeResourcesFitArgs: _fit,
    NodeResourcesBalancedAllocationArgs: _balanced,
    VolumeBindingArgs: _volumes,
    DynamicResourcesArgs: _devices,
}
