"""A plugin from outside, the very one that docs/scheduler.md shows, and the scores it competes with."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import ContainerImage
from tiphys.scheduler import arrays, cluster, framework, template
from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Plugin
from tiphys.scheduler.plugins import DEFAULT_PLUGINS
from tiphys.scheduler.profiles import Profile, default_profile
from tiphys.scheduler.template import PodInfo, Templates

_DOCUMENT = Path(__file__).parents[3] / "docs" / "scheduler.md"


def documented_plugin() -> Plugin:
    (code,) = re.findall(r"```python\n(.*?)```", _DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {**vars(arrays), **vars(cluster), **vars(framework), **vars(template)}
    exec(compile(code, str(_DOCUMENT), "exec", dont_inherit=True), names)
    made = names["OnlyEvenRacks"]()
    assert isinstance(made, Plugin)
    return made


def test_the_documented_plugin_works() -> None:
    world = Cluster()
    for name, rack in (("n1", "1"), ("n2", "2"), ("n3", "x"), ("n4", "")):
        made = node(name)
        if rack:
            made.metadata.labels["rack"] = rack
        world.add_node(made)
    plugins = [*((kind(), weight) for kind, weight in DEFAULT_PLUGINS), (documented_plugin(), 0)]
    algorithm = Algorithm(world, Profile.of("default-scheduler", plugins), random.Random(0))
    wanted = pod("a")
    info = PodInfo(wanted, Templates().of(wanted))
    assert algorithm.decide(info, list) == Placed("n2")
    world.remove_node("n2")
    refused = algorithm.decide(info, list)
    assert isinstance(refused, Unplaceable)
    assert refused.message.startswith("0/3 nodes are available: 3 node(s) were on an odd rack.")
    assert refused.rejected_by == {"OnlyEvenRacks"}


def test_a_node_that_has_the_image_is_preferred() -> None:
    world = Cluster()
    for name in ("n1", "n2", "n3"):
        made = node(name)
        if name == "n2":
            made.status.images = (ContainerImage(names=("docker.io/library/i:latest", "i:latest"), size_bytes=2 << 30),)
        world.add_node(made)
    wanted = pod("a")
    algorithm = Algorithm(world, default_profile(), random.Random(0))
    assert algorithm.decide(PodInfo(wanted, Templates().of(wanted)), list) == Placed("n2")


def test_ties_are_broken_at_random() -> None:
    world = Cluster()
    for number in range(5):
        world.add_node(node(f"n{number}"))
    wanted = pod("a")
    info = PodInfo(wanted, Templates().of(wanted))
    algorithm = Algorithm(world, default_profile(), random.Random(0))
    assert len({str(algorithm.decide(info, list)) for _ in range(50)}) == 5
