"""A short way to write rules: words separated by spaces, ``core`` for the API group without a name."""

from __future__ import annotations

from tiphys.api.types.rbac_v1 import PolicyRule


def rule(verbs: str, resources: str, groups: str = "core", *, names: str = "") -> PolicyRule:
    """A rule on resources, on those of `names` only if given."""
    return PolicyRule(
        verbs=tuple(verbs.split()),
        resources=tuple(resources.split()),
        api_groups=tuple("" if group == "core" else group for group in groups.split()),
        resource_names=tuple(names.split()),
    )


def paths(verbs: str, urls: str) -> PolicyRule:
    """A rule on paths that are no resources."""
    return PolicyRule(verbs=tuple(verbs.split()), non_resource_urls=tuple(urls.split()))
