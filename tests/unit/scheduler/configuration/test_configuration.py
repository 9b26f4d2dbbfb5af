"""What a file says, what is wrong with it, and the profiles it means."""

# ruff: noqa: E501 (a row a case)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.scheduler.configuration import ConfigurationError, dump, notices, profile_makers, read, scheduler_config
from tiphys.scheduler.framework import Point
from tiphys.scheduler.plugins import REGISTRY
from tiphys.scheduler.profiles import Profile, default_profile

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def profiles(text: str) -> list[Profile]:
    return [make(None) for make in profile_makers(read(HEAD + text, REGISTRY), REGISTRY)]


def one(text: str) -> Profile:
    (profile,) = profiles(text)
    return profile


def names(profile: Profile, point: Point) -> list[str]:
    return [plugin.name for plugin in profile.at(point)]


def wrong(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        profile_makers(read(HEAD + text, REGISTRY), REGISTRY)
    return str(caught.value)


def test_nothing_said_is_the_default() -> None:
    profile, default = one(""), default_profile()
    assert profile.scheduler_name == "default-scheduler"
    for point in Point:
        assert names(profile, point) == names(default, point)
    assert [(p.name, w) for p, w in profile.scores] == [(p.name, w) for p, w in default.scores]


def test_backoffs_and_host() -> None:
    said = read(HEAD + "podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 4\n", REGISTRY)
    config = scheduler_config(said, REGISTRY, host="h")
    assert (config.initial_backoff_seconds, config.maximum_backoff_seconds, config.host) == (2.0, 4.0, "h")


def test_several_profiles_share_nothing_but_their_defaults() -> None:
    bins, spread = profiles("""
profiles:
- schedulerName: bins
  plugins:
    score:
      disabled: [{name: PodTopologySpread}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 2}, {name: nvidia.com/gpu}]}
- schedulerName: spread
""")
    assert [p.scheduler_name for p in (bins, spread)] == ["bins", "spread"]
    assert "PodTopologySpread" in names(bins, Point.FILTER)
    assert "PodTopologySpread" not in names(bins, Point.SCORE)
    assert {p.name: w for p, w in bins.scores}["NodeResourcesFit"] == 5
    fit = next(p for p in bins.plugins if p.name == "NodeResourcesFit")
    assert fit.args.scoring_strategy.type == "MostAllocated"
    assert [(r.name, r.weight) for r in fit.args.scoring_strategy.resources] == [("cpu", 2), ("nvidia.com/gpu", 1)]
    assert names(spread, Point.SCORE) == names(default_profile(), Point.SCORE)


def test_multi_point_is_laid_over_the_defaults() -> None:
    profile = one("""
profiles:
- plugins:
    multiPoint:
      disabled: [{name: ImageLocality}, {name: TaintToleration}]
      enabled: [{name: NodeAffinity, weight: 7}, {name: TaintToleration}]
    score:
      enabled: [{name: InterPodAffinity, weight: 9}]
""")
    scores = [(p.name, w) for p, w in profile.scores]
    # Chosen at the point first; a default keeps its place with another weight; what is added comes last.
    assert scores == [
        ("InterPodAffinity", 9),
        ("NodeAffinity", 7),
        ("NodeResourcesFit", 1),
        ("PodTopologySpread", 2),
        ("NodeResourcesBalancedAllocation", 1),
        ("TaintToleration", 1),
    ]
    assert names(profile, Point.FILTER)[-1] == "TaintToleration"


def test_a_point_can_have_only_what_is_chosen_there() -> None:
    profile = one("""
profiles:
- plugins:
    filter: {disabled: [{name: "*"}], enabled: [{name: NodeResourcesFit}]}
    score: {disabled: [{name: "*"}]}
    postFilter: {disabled: [{name: DefaultPreemption}, {name: DynamicResources}]}
""")
    assert names(profile, Point.FILTER) == ["NodeResourcesFit"]
    assert profile.scores == ()
    assert profile.at(Point.POST_FILTER) == ()
    assert names(profile, Point.PRE_BIND) == names(default_profile(), Point.PRE_BIND)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("paralellism: 3", 'strict decoding error: unknown field "paralellism"'),
        ("parallelism: 0", "parallelism: Invalid value: 0: should be an integer value greater than zero"),
        ("parallelism: 1\nparallelism: 2", 'key "parallelism" already set in map'),
        ("percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        ("podInitialBackoffSeconds: 0", "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
        ("podMaxBackoffSeconds: 0", "must be greater than or equal to PodInitialBackoffSeconds"),
        ("profiles: [{schedulerName: a}, {schedulerName: a}]", 'profiles[1].schedulerName: Duplicate value: "a"'),
        ("profiles: [{schedulerName: a}, {}]", "profiles[1].schedulerName: Required value"),
        (
            "profiles: [{schedulerName: a}, {schedulerName: b, plugins: {queueSort: {enabled: [{name: PrioritySort}]}}}]",
            "profiles[1].plugins.queueSort: Invalid value: ",
        ),
        (
            "leaderElection: {retryPeriod: -2s}",
            'leaderElection.retryPeriod: Invalid value: "-2s": must be greater than zero',
        ),
        (
            "extenders: [{urlPrefix: x}]",
            'extenders[0].urlPrefix: Invalid value: "x": must be an http or https URL without a query',
        ),
        (
            "extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}]",
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}]",
            'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind',
        ),
        (
            "extenders: [{urlPrefix: 'http://x', managedResources: [{name: cpu}]}]",
            'extenders[0].managedResources[0].name: Invalid value: "cpu": is an invalid extended resource name',
        ),
        (
            "extenders: [{urlPrefix: 'http://x', managedResources: [{name: a.io/g}]},"
            " {urlPrefix: 'http://y', managedResources: [{name: a.io/h}, {name: a.io/g}]}]",
            'extenders[1].managedResources[1].name: Invalid value: "a.io/g": duplicate extender managed resource name',
        ),
        (
            "extenders: [{urlPrefix: 'http://x', preemptVerb: p}]",
            "extenders[0].preemptVerb: Forbidden: extenders are not asked about preemption",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', httpTimeout: soon}]",
            'extenders[0].httpTimeout: Invalid value: "soon": must be zero or positive',
        ),
        (
            "extenders: [{urlPrefix: 'http://x', tlsConfig: {keyData: '%%'}}]",
            'extenders[0].tlsConfig.keyData: Invalid value: "": must be base64',
        ),
        ("extenders: [{urlPrefix: 'http://x', filterverb: p}]", 'unknown field "extenders[0].filterverb"'),
        ("leaderElection: {leaseDuration: 5s}", "LeaseDuration must be greater than RenewDeadline"),
        ("leaderElection: {leaseDuration: soon}", 'leaderElection.leaseDuration: Invalid value: "soon"'),
        ("parallelism: many", "parallelism: Expected `int | null`, got `str`"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(text: str, words: str) -> None:
    assert words in wrong(text)


@pytest.mark.parametrize(
    ("plugins", "words"),
    [
        ("filter: {enabled: [{name: Nobody}]}", 'plugins.filter.enabled[0].name: Not found: "Nobody"'),
        ("permit: {enabled: [{name: NodePorts}]}", 'Invalid value: "NodePorts": plugin does not extend permit'),
        ("score: {enabled: [{name: NodeAffinity}, {name: NodeAffinity}]}", 'Duplicate value: "NodeAffinity"'),
        ("score: {enabled: [{name: NodeAffinity, weight: -1}]}", "enabled[0].weight: Invalid value: -1"),
        (
            "queueSort: {enabled: [{name: NodeAffinity}]}",
            'queueSort.enabled[0].name: Unsupported value: "NodeAffinity"',
        ),
        ("queueSort: {disabled: [{name: '*'}]}", "queueSort: Required value: only one queue sort plugin required"),
        ("multiPoint: {disabled: [{name: '*'}]}", 'for profile with scheduler name "default-scheduler", but got 0'),
        ("score: {enabled: [{name: EBSLimits}]}", 'plugins.score.enabled[0].name: Not found: "EBSLimits"'),
        ("bind: {disabled: [{name: DefaultBinder}]}", "at least one bind plugin is needed for profile with scheduler"),
    ],
)
def test_plugins_that_cannot_be(plugins: str, words: str) -> None:
    assert words in wrong(f"profiles: [{{plugins: {{{plugins}}}}}]")


@pytest.mark.parametrize(
    ("plugin", "args", "words"),
    [
        ("Nobody", "{}", 'profiles[0].pluginConfig[0].name: Not found: "Nobody"'),
        ("NodePorts", "{a: 1}", "profiles[0].pluginConfig[0].args: NodePorts takes no args"),
        ("NodeResourcesFit", "{ignored: []}", 'unknown field "profiles[0].pluginConfig[0].args.ignored"'),
        ("NodeResourcesFit", "{kind: PodTopologySpreadArgs}", "args.kind: must be NodeResourcesFitArgs here"),
        ("NodeResourcesFit", "{ignoredResourceGroups: [a/b]}", "resource group name can't contain '/'"),
        ("NodeResourcesFit", "{scoringStrategy: {type: Best}}", 'scoringStrategy.type: Unsupported value: "Best"'),
        ("NodeResourcesFit", "{scoringStrategy: {resources: [{name: cpu, weight: 101}]}}", "resource weight of cpu not in valid range (0, 100]"),
        ("NodeResourcesBalancedAllocation", "{resources: [{name: cpu}, {name: cpu}]}", 'resources[1].name: Duplicate value: "cpu"'),
        ("NodeResourcesFit", "{scoringStrategy: {type: RequestedToCapacityRatio}}", "requestedToCapacityRatio: Required value: must be specified when"),
        ("NodeResourcesFit", "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {}}}", "shape: Required value: at least one point must be specified"),
        ("NodeResourcesFit", "{scoringStrategy: {requestedToCapacityRatio: {}}}", "Forbidden: must be nil when type is not RequestedToCapacityRatio"),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: "
            "[{utilization: 5, score: 11}, {utilization: 5, score: 1}]}}}",
            "shape[1].utilization: Invalid value: 5: values must be sorted in increasing order",
        ),
        ("NodeResourcesBalancedAllocation", "{resources: [{name: cpu, weight: 2}]}", "weight: Invalid value: 2: must be 1"),
        ("InterPodAffinity", "{hardPodAffinityWeight: 101}", "hardPodAffinityWeight: Invalid value: 101"),
        ("DefaultPreemption", "{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}", "at the same time"),
        ("DefaultPreemption", "{minCandidateNodesPercentage: 101}", "not in valid range [0, 100]"),
        ("PodTopologySpread", "{defaultConstraints: [{topologyKey: z, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}]}", "when .defaultConstraints are not empty"),
        ("PodTopologySpread", "{defaultingType: List, defaultConstraints: [{topologyKey: z, maxSkew: 0, whenUnsatisfiable: ScheduleAnyway}]}", "defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)"),
        ("PodTopologySpread", "{defaultingType: List, defaultConstraints: [{topologyKey: z, maxSkew: 1, whenUnsatisfiable: Never}]}", 'whenUnsatisfiable: Unsupported value: "Never"'),
        ("PodTopologySpread", "{defaultingType: List, defaultConstraints: [{maxSkew: 1}]}", "defaultConstraints[0].topologyKey: Required value: can not be empty"),
        ("PodTopologySpread", "{defaultingType: List, defaultConstraints: [{topologyKey: z, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway, minDomains: 2}]}", "args.defaultConstraints[0].minDomains: Invalid value: 2"),
        ("PodTopologySpread", "{defaultingType: List, defaultConstraints: [&c {topologyKey: z, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}, *c]}", 'defaultConstraints[1]: Duplicate value: "{z, ScheduleAnyway}"'),
        ("PodTopologySpread", "{defaultingType: Random}", 'defaultingType: Unsupported value: "Random": supported values: "System", "List"'),
        ("DynamicResources", "{filterTimeout: -1s}", 'filterTimeout: Invalid value: "-1s": must be zero or positive'),
        ("DynamicResources", "{bindingTimeout: 500ms}", 'bindingTimeout: Invalid value: "500ms": must be at least 1 second'),
        ("VolumeBinding", "{shape: [{utilization: 1, score: 1}]}", "unexpected field `shape`"),
        ("PodTopologySpread", "{defaultingType: List, defaultConstraints: [{topologyKey: z, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]}", "must not define a selector"),
        ("VolumeBinding", "{bindTimeoutSeconds: -1}", "should not be a negative value"),
        ("NodeAffinity", "{addedAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, preference: {}}]}}", "args.addedAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101"),
    ],
)  # fmt: skip
def test_args_that_cannot_be(plugin: str, args: str, words: str) -> None:
    assert words in wrong(f"profiles: [{{pluginConfig: [{{name: {plugin}, args: {args}}}]}}]")


def test_a_config_given_twice_is_refused() -> None:
    twice = "{name: NodeAffinity, args: {}}"
    assert 'profiles[0].pluginConfig[1]: Duplicate value: "NodeAffinity"' in wrong(
        f"profiles: [{{pluginConfig: [{twice}, {twice}]}}]"
    )


@pytest.mark.parametrize("text", ["", "- a", "kind: Pod\napiVersion: v1", "kind: [", HEAD.replace("/v1", "/v1beta3")])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read(text, REGISTRY)


def test_all_that_is_wrong_is_said_at_once() -> None:
    lines = wrong(
        "parallelism: 0\npodInitialBackoffSeconds: 0\nprofiles: [{percentageOfNodesToScore: -1}]"
    ).splitlines()
    assert len(lines) == 3


def test_json_is_read_too() -> None:
    import json

    data: Any = yaml.safe_load(HEAD + "profiles: [{schedulerName: j}]")
    assert read(json.dumps(data), REGISTRY).configuration.profiles[0].scheduler_name == "j"


def test_weights_of_zero_are_one_and_no_resources_are_cpu_and_memory() -> None:
    profile = one("""
profiles:
- plugins: {score: {enabled: [{name: TaintToleration, weight: 0}, {name: NodeAffinity}]}}
  pluginConfig:
  - {name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 0}]}}}
  - {name: NodeResourcesBalancedAllocation, args: {resources: []}}
""")
    assert [(p.name, w) for p, w in profile.scores][:2] == [("TaintToleration", 1), ("NodeAffinity", 1)]
    by_name = {plugin.name: plugin.args for plugin in profile.plugins}
    assert [r.weight for r in by_name["NodeResourcesFit"].scoring_strategy.resources] == [1]
    assert [r.name for r in by_name["NodeResourcesBalancedAllocation"].resources] == ["cpu", "memory"]


def test_points_that_only_upstreams_plugin_has_can_be_spoken_of() -> None:
    profile = one("profiles: [{plugins: {score: {enabled: [{name: VolumeBinding, weight: 3}]}}}]")
    assert names(profile, Point.SCORE) == names(default_profile(), Point.SCORE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parallelism: 4", "parallelism: has no effect"),
        ("percentageOfNodesToScore: 50", "percentageOfNodesToScore: has no effect: every node is filtered and scored"),
        ("profiles: [{percentageOfNodesToScore: 5}]", "profiles[0].percentageOfNodesToScore: has no effect"),
        ("clientConnection: {qps: 5, contentType: application/json}", "clientConnection.qps: has no effect"),
        ("enableProfiling: true", "enableProfiling: has no effect"),
        (
            "profiles: [{pluginConfig: [{name: DynamicResources, args: {filterTimeout: 5s, bindingTimeout: 1m}}]}]",
            "profiles[0].pluginConfig[0].args.filterTimeout: has no effect",
        ),
        (
            "profiles: [{plugins: {score: {disabled: [{name: SelectorSpread}]}}}]",
            'profiles[0].plugins.score.disabled[0].name: has no effect: there is no plugin "SelectorSpread"',
        ),
        (
            "profiles: [{plugins: {preFilter: {disabled: [{name: NodePorts}]}}}]",
            'profiles[0].plugins.preFilter: disabling "NodePorts" has no effect: it answers at filter, in one go',
        ),
        (
            "profiles: [{plugins: {multiPoint: {disabled: [{name: ImageLocality}]}}, pluginConfig: [{name: ImageLocality}]}]",
            'profiles[0].pluginConfig[0]: has no effect: plugin "ImageLocality" is not enabled',
        ),
    ],
)
def test_what_changes_nothing_is_told_by_its_path(text: str, words: str) -> None:
    said = read(HEAD + text, REGISTRY)
    (notice,) = notices(said, REGISTRY)
    assert notice.startswith(words)


def test_what_does_what_it_says_is_told_nothing_of() -> None:
    text = """
percentageOfNodesToScore: 100
profiles:
- plugins:
    preScore: {disabled: [{name: "*"}]}
    score: {disabled: [{name: "*"}], enabled: [{name: NodeAffinity}]}
  pluginConfig: [{name: NodeAffinity, args: {}}]
"""
    said = read(HEAD + text.replace("{name: NodeAffinity}]", "{name: ImageLocality}]"), REGISTRY)
    assert not [each for each in notices(said, REGISTRY) if "ImageLocality" not in each]


def test_the_pages_errors_are_the_real_ones() -> None:
    page = (Path(__file__).parents[4] / "docs/scheduler-configuration.md").read_text()
    shown = page.split("tiphys: --config: ", 1)[1].split("\n```", 1)[0]
    assert shown == wrong("""
podInitialBackoffSeconds: 0
profiles:
- schedulerName: batch
- schedulerName: batch
  plugins: {score: {enabled: [{name: NodeResourceFit}]}}
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu}, {name: memory, weight: 101}]}}
""")


def test_extenders_are_read_and_what_they_manage_need_not_fit() -> None:
    text = (
        HEAD
        + """
extenders:
- urlPrefix: https://extender.example/v1
  filterVerb: filter
  prioritizeVerb: prioritize
  weight: 5
  bindVerb: bind
  enableHTTPS: true
  httpTimeout: 100ms
  nodeCacheCapable: true
  ignorable: true
  tlsConfig: {insecure: true, serverName: extender}
  managedResources:
  - {name: example.com/gpu, ignoredByScheduler: true}
  - {name: example.com/fpga}
profiles:
- pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.com/other]}}]
"""
    )
    said = read(text, REGISTRY)
    (extender,) = scheduler_config(said, REGISTRY).extenders
    assert (extender.enable_https, extender.http_timeout, extender.weight) == (True, "100ms", 5)
    assert extender.tls_config is not None
    assert extender.tls_config.server_name == "extender"
    fit = said.args[0]["NodeResourcesFit"]
    assert fit.ignored_resources == ("example.com/other", "example.com/gpu")
    again = read(dump(said, REGISTRY), REGISTRY)
    assert again.configuration.extenders == said.configuration.extenders
    assert again.args[0]["NodeResourcesFit"].ignored_resources == fit.ignored_resources
