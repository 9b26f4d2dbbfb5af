"""The plugins' scores, on nodes made for them."""

from __future__ import annotations

import random

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import ContainerImage
from tiphys.scheduler.algorithm import Algorithm, Placed
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates


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
