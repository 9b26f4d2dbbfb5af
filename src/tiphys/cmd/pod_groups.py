"""The kinds that gang scheduling looks at, as every cluster of ours has them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import yaml

from tiphys.api import codec, scheme


def objects() -> Iterator[Any]:
    """The definitions of PodGroup, and the scheduler's right to read them; users may apply the same file elsewhere."""
    text = (resources.files("tiphys.scheduler.gangs") / "podgroups.yaml").read_text()
    for obj in yaml.safe_load_all(text):
        group, _, version = obj["apiVersion"].rpartition("/")
        resource = scheme.by_gvk(group, version, obj["kind"])
        assert resource is not None
        yield codec.from_dict(resource.struct, obj)
