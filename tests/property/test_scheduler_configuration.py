"""Profiles are expanded by upstream's rules, told step by step; and a configuration written out means the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.scheduler.configuration import dump, profile_makers, read
from tiphys.scheduler.framework import Plugin, Point, has_point
from tiphys.scheduler.plugin_args import Args
from tiphys.scheduler.plugins import DEFAULT_PLUGINS, REGISTRY
from tiphys.scheduler.profiles import Profile

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


class Polite(Plugin):
    """From another package: scores and permits, and takes any args."""

    name = "Polite"
    args_type = dict

    def score(self, template: Any, cluster: Any) -> None:
        return None

    def permit(self, info: Any, node_name: str) -> None:
        return None


KNOWN: dict[str, type[Plugin]] = {**REGISTRY, "Polite": Polite}
NAMES = sorted(KNOWN)
MOVABLE = [name for name in NAMES if name not in ("PrioritySort", "DefaultBinder")]


def _sets(names: list[str], *, everything: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    ref = st.builds(
        lambda name, weight: {"name": name} | ({} if weight is None else {"weight": weight}),
        st.sampled_from(names),
        st.none() | st.integers(0, 9),
    )
    enabled = st.lists(ref, max_size=4, unique_by=lambda each: each["name"])
    disabled = st.lists(st.sampled_from([*names, "*"] if everything else names), max_size=3, unique=True)
    return st.builds(lambda on, off: {"enabled": on, "disabled": [{"name": name} for name in off]}, enabled, disabled)


def _at(point: Point) -> st.SearchStrategy[dict[str, Any]]:
    return _sets([name for name in MOVABLE if has_point(KNOWN[name], point)])


ARGS: dict[str, list[dict[str, Any]]] = {
    "NodeResourcesFit": [
        {"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "example.com/gpu", "weight": 3}]}},
        {
            "ignoredResources": ["example.com/a"],
            "scoringStrategy": {
                "type": "RequestedToCapacityRatio",
                "requestedToCapacityRatio": {
                    "shape": [{"utilization": 0, "score": 10}, {"utilization": 80, "score": 0}]
                },
            },
        },
    ],
    "NodeAffinity": [
        {
            "addedAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "p", "operator": "In", "values": ["x"]}]}]
                }
            }
        }
    ],
    "PodTopologySpread": [
        {
            "defaultingType": "List",
            "defaultConstraints": [{"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}],
        },
        {"defaultingType": "List"},
    ],
    "InterPodAffinity": [{"hardPodAffinityWeight": 0, "ignorePreferredTermsOfExistingPods": True}],
    "VolumeBinding": [{"bindTimeoutSeconds": 0}],
    "DefaultPreemption": [{"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 7}],
    "NodeResourcesBalancedAllocation": [{"resources": [{"name": "cpu"}, {"name": "example.com/gpu"}]}],
    "Polite": [{"depth": 3}],
}
_CONFIG = st.fixed_dictionaries({}, optional={name: st.sampled_from(given) for name, given in ARGS.items()})
POINTS = (Point.FILTER, Point.SCORE, Point.PERMIT, Point.POST_FILTER, Point.PRE_BIND, Point.PRE_ENQUEUE, Point.RESERVE)
PROFILES = st.builds(
    lambda plugins, config: {"plugins": plugins, "pluginConfig": [{"name": k, "args": v} for k, v in config.items()]},
    st.fixed_dictionaries(
        {}, optional={"multiPoint": _sets(MOVABLE, everything=False), **{point.value: _at(point) for point in POINTS}}
    ),
    _CONFIG,
)


def _text(profiles: list[dict[str, Any]]) -> str:
    named = [{"schedulerName": f"s{number}", **profile} for number, profile in enumerate(profiles)]
    return json.dumps({**HEAD, "podMaxBackoffSeconds": 30, "profiles": named})


def _expanded(profile: dict[str, Any], point: Point) -> list[tuple[str, int]]:
    """The plugins of one point and their weights, one rule after the other."""
    nothing: dict[str, Any] = {"enabled": [], "disabled": []}
    plugins = profile["plugins"]
    multi, own = plugins.get("multiPoint", nothing), plugins.get(point.value, nothing)
    # The defaults, each in its place, without those disabled and as re-configured; then what is new.
    everywhere: list[dict[str, Any]] = []
    taken: list[str] = []
    for kind, weight in DEFAULT_PLUGINS:
        if {"name": kind.name} in multi["disabled"]:
            continue
        custom = [each for each in multi["enabled"] if each["name"] == kind.name]
        taken += [each["name"] for each in custom]
        everywhere.append(custom[0] if custom else {"name": kind.name, "weight": weight})
    everywhere += [each for each in multi["enabled"] if each["name"] not in taken]
    # At the point: overrides, the rest of multiPoint, the rest of the point's own.
    chosen = list(own["enabled"])
    if {"name": "*"} not in own["disabled"]:
        general = [
            each
            for each in everywhere
            if has_point(KNOWN[each["name"]], point) and {"name": each["name"]} not in own["disabled"]
        ]
        overrides = [each for each in chosen if each["name"] in [other["name"] for other in general]]
        rest = [each for each in general if each["name"] not in [other["name"] for other in chosen]]
        chosen = [*overrides, *rest, *(each for each in chosen if each not in overrides)]
    return [(each["name"], each.get("weight") or 1) for each in chosen]


def _shown(profile: Profile) -> dict[str, Any]:
    shown: dict[str, Any] = {point.value: [plugin.name for plugin in profile.at(point)] for point in Point}
    shown["name"] = profile.scheduler_name
    shown["scores"] = [(plugin.name, weight) for plugin, weight in profile.scores]
    shown["args"] = {plugin.name: _meant(plugin.args) for plugin in profile.plugins}
    return shown


def _meant(args: Any) -> Any:
    """Without the two fields that only say what they are."""
    if not isinstance(args, Args):
        return args
    return [getattr(args, field) for field in args.__struct_fields__ if field not in ("api_version", "kind")]


@settings(max_examples=60, deadline=None)
@given(profile=PROFILES)
def test_points_are_expanded_by_the_rules(profile: dict[str, Any]) -> None:
    (make,) = profile_makers(read(_text([profile]), KNOWN), KNOWN)
    made = make(None)
    for point in POINTS:
        expected = _expanded(profile, point)
        assert [plugin.name for plugin in made.at(point)] == [name for name, _ in expected], point
    assert [(plugin.name, weight) for plugin, weight in made.scores] == _expanded(profile, Point.SCORE)


@settings(max_examples=25, deadline=None)
@given(profiles=st.lists(PROFILES, min_size=1, max_size=3))
def test_written_out_and_read_again_it_means_the_same(profiles: list[dict[str, Any]]) -> None:
    said = read(_text(profiles), KNOWN)
    written = dump(said, KNOWN)
    again = read(written, KNOWN)
    assert [_shown(make(None)) for make in profile_makers(again, KNOWN)] == [
        _shown(make(None)) for make in profile_makers(said, KNOWN)
    ]
    assert again.configuration.pod_max_backoff_seconds == 30
    assert dump(again, KNOWN) == written
