"""What may be wrong with plugins' args, in upstream's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import Affinity
from tiphys.api.validation.placement import check_affinity, check_spread
from tiphys.scheduler.configuration.validation import seconds
from tiphys.scheduler.plugin_args import (
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

_STRATEGIES: Final = (LEAST_ALLOCATED, MOST_ALLOCATED, REQUESTED_TO_CAPACITY_RATIO)


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
        detail = "cannot be zero at the same time as minCandidateNodesAbsolute"
        errors.append(invalid(f"{path}.minCandidateNodesPercentage", share, detail))


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
    check_spread(args.default_constraints, f"{path}.defaultConstraints", errors)
    for index, constraint in enumerate(args.default_constraints):
        if constraint.label_selector is not None:
            detail = "constraint must not define a selector, as they deduced for each pod"
            errors.append(forbidden(f"{path}.defaultConstraints[{index}].labelSelector", detail))


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
    ratio = strategy.requested_to_capacity_ratio
    if strategy.type == REQUESTED_TO_CAPACITY_RATIO:
        shape = ratio.shape if ratio is not None else ()
        _shape(shape, f"{where}.requestedToCapacityRatio.shape", errors)
    elif ratio is not None:
        detail = f"only for the type {REQUESTED_TO_CAPACITY_RATIO}"
        errors.append(forbidden(f"{where}.requestedToCapacityRatio", detail))


def _resources(resources: Sequence[ResourceSpec], path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, resource in enumerate(resources):
        refuse(names.qualified_name(resource.name), resource.name, f"{path}[{index}].name", errors)
        if not 1 <= resource.weight <= 100:
            detail = f"resource weight of {resource.name} not in valid range [1, 100]"
            errors.append(invalid(f"{path}[{index}].weight", resource.weight, detail))
        if resource.name in seen:
            errors.append(duplicate(f"{path}[{index}].name", resource.name))
        seen.add(resource.name)


def _shape(shape: Sequence[UtilizationShapePoint], path: str, errors: list[FieldError]) -> None:
    if not shape:
        errors.append(required(path, "at least one point must be specified"))
    for index, point in enumerate(shape):
        if not 0 <= point.utilization <= 100:
            errors.append(invalid(f"{path}[{index}].utilization", point.utilization, "not in valid range [0-100]"))
        if not 0 <= point.score <= 10:
            errors.append(invalid(f"{path}[{index}].score", point.score, "not in valid range [0-10]"))
        if index and point.utilization <= shape[index - 1].utilization:
            detail = "utilization values must be sorted in increasing order"
            errors.append(invalid(f"{path}[{index}].utilization", point.utilization, detail))


def _balanced(args: NodeResourcesBalancedAllocationArgs, path: str, errors: list[FieldError]) -> None:
    _resources(args.resources, f"{path}.resources", errors)
    for index, resource in enumerate(args.resources):
        if resource.weight > 1:
            errors.append(invalid(f"{path}.resources[{index}].weight", resource.weight, "must be 1"))


def _volumes(args: VolumeBindingArgs, path: str, errors: list[FieldError]) -> None:
    if args.bind_timeout_seconds < 0:
        detail = "invalid BindTimeoutSeconds, should not be a negative value"
        errors.append(invalid(f"{path}.bindTimeoutSeconds", args.bind_timeout_seconds, detail))
    if args.shape:
        errors.append(forbidden(f"{path}.shape", "scoring by storage capacity is not supported"))


def _devices(args: DynamicResourcesArgs, path: str, errors: list[FieldError]) -> None:
    length = seconds(args.filter_timeout)
    if length is None or length < 0:
        errors.append(invalid(f"{path}.filterTimeout", args.filter_timeout, "must be zero or greater"))


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
