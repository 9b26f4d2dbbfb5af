"""What RBAC rules mean: matching, covering (may not grant what one has not), aggregation. Pure.

Rules are upstream's PolicyRule: a request is allowed when one rule matches it; nothing denies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from tiphys.api.selectors import from_label_selector
from tiphys.api.types.rbac_v1 import ClusterRole, PolicyRule

ALL = "*"


def verb_matches(rule: PolicyRule, verb: str) -> bool:
    return ALL in rule.verbs or verb in rule.verbs


def group_matches(rule: PolicyRule, group: str) -> bool:
    return ALL in rule.api_groups or group in rule.api_groups


def resource_matches(rule: PolicyRule, resource: str, subresource: str) -> bool:
    """`resource` and `subresource` apart; rules write ``pods/log``, ``*/scale`` or ``*``."""
    combined = f"{resource}/{subresource}" if subresource else resource
    for wanted in rule.resources:
        if wanted in (ALL, combined):
            return True
        if subresource and wanted.startswith("*/") and wanted[2:] == subresource:
            return True
    return False


def path_matches(wanted: str, path: str) -> bool:
    """A rule's nonResourceURL against a path; a trailing ``*`` matches any rest."""
    return wanted in (ALL, path) or (wanted.endswith(ALL) and path.startswith(wanted.rstrip(ALL)))


def allows_resource(
    rule: PolicyRule, verb: str, group: str, resource: str, subresource: str = "", name: str = ""
) -> bool:
    """Whether `rule` alone allows a resource request."""
    return (
        verb_matches(rule, verb)
        and group_matches(rule, group)
        and resource_matches(rule, resource, subresource)
        and (not rule.resource_names or name in rule.resource_names)
    )


def allows_path(rule: PolicyRule, verb: str, path: str) -> bool:
    """Whether `rule` alone allows a request that is about no resource."""
    return verb_matches(rule, verb) and any(path_matches(wanted, path) for wanted in rule.non_resource_urls)


def uncovered(owned: Sequence[PolicyRule], wanted: Sequence[PolicyRule]) -> list[PolicyRule]:
    """The parts of `wanted`, broken down to single permissions, that `owned` does not allow; empty if all are."""
    return [part for rule in wanted for part in _single(rule) if not any(_covers(has, part) for has in owned)]


def _single(rule: PolicyRule) -> Iterable[PolicyRule]:
    """One rule a (verb, group, resource, name) or (verb, path)."""
    for group, resource, verb in product(rule.api_groups, rule.resources, rule.verbs):
        for name in rule.resource_names or ("",):
            yield PolicyRule(
                api_groups=(group,), resources=(resource,), verbs=(verb,), resource_names=(name,) if name else ()
            )
    for path, verb in product(rule.non_resource_urls, rule.verbs):
        yield PolicyRule(non_resource_urls=(path,), verbs=(verb,))


def _covers(owned: PolicyRule, part: PolicyRule) -> bool:
    verb = part.verbs[0]
    if not (ALL in owned.verbs or verb in owned.verbs):
        return False
    if part.non_resource_urls:
        path = part.non_resource_urls[0]
        return any(_path_covers(has, path) for has in owned.non_resource_urls)
    if not (ALL in owned.api_groups or part.api_groups[0] in owned.api_groups):
        return False
    if owned.resource_names and not (part.resource_names and part.resource_names[0] in owned.resource_names):
        return False
    resource, _, subresource = part.resources[0].partition("/")
    return part.resources[0] in owned.resources or resource_matches(owned, resource, subresource)


def _path_covers(owned: str, path: str) -> bool:
    return owned in (path, ALL) or (owned.endswith(ALL) and path.startswith(owned.rstrip(ALL)))


def aggregates(role: ClusterRole, other: ClusterRole) -> bool:
    """Whether `other` is a part of the sum that `role` is."""
    if role.aggregation_rule is None or other.metadata.name == role.metadata.name:
        return False
    selectors = role.aggregation_rule.cluster_role_selectors
    return any(from_label_selector(selector).matches(other.metadata.labels) for selector in selectors)


def aggregated_rules(role: ClusterRole, others: Iterable[ClusterRole]) -> tuple[PolicyRule, ...]:
    """The rules a role with an aggregationRule should have: those of the roles its selectors choose, by name, each
    rule once. A role without aggregationRule keeps its own."""
    if role.aggregation_rule is None:
        return role.rules
    ordered = sorted(others, key=lambda other: other.metadata.name or "")
    rules: list[PolicyRule] = []
    for label_selector in role.aggregation_rule.cluster_role_selectors:
        selector = from_label_selector(label_selector)
        for other in ordered:
            if other.metadata.name != role.metadata.name and selector.matches(other.metadata.labels):
                rules.extend(rule for rule in other.rules if rule not in rules)
    return tuple(rules)


def merged(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Rules that differ in their verbs only, as one each; in order of first appearance."""
    found: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for rule in rules:
        verbs = found.setdefault((rule.api_groups, rule.resources, rule.resource_names, rule.non_resource_urls), [])
        verbs.extend(verb for verb in rule.verbs if verb not in verbs)
    return [
        PolicyRule(api_groups=groups, resources=resources, resource_names=names, non_resource_urls=urls, verbs=tuple(v))
        for (groups, resources, names, urls), v in found.items()
    ]


def compact(rule: PolicyRule) -> str:
    """A rule the way upstream's refusals print it: ``{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}``."""
    fields = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("ResourceNames", rule.resource_names),
        ("NonResourceURLs", rule.non_resource_urls),
        ("Verbs", rule.verbs),
    )
    shown = [f"{name}:[{' '.join(_quoted(value) for value in values)}]" for name, values in fields if values]
    return "{" + ", ".join(shown) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
