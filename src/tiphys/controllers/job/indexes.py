"""Completion indexes of Indexed Jobs: sets of them as text, and on pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tiphys.api.types.core_v1 import Pod

COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
FAILURE_COUNT: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURE_COUNT: Final = "batch.kubernetes.io/job-index-ignored-failure-count"


def parse(text: str, completions: int) -> set[int]:
    """``"1,3-5"`` as a set; what is malformed or out of range is left out."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def render(indexes: Iterable[int]) -> str:
    """A set as ``"1,3-5,7"``: runs of three or more as ranges, of two as a pair with a dash too."""
    parts: list[str] = []
    ordered = sorted(indexes)
    position = 0
    while position < len(ordered):
        end = position
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        first, last = ordered[position], ordered[end]
        if first == last:
            parts.append(str(first))
        elif last == first + 1:
            parts += [str(first), str(last)]
        else:
            parts.append(f"{first}-{last}")
        position = end + 1
    return ",".join(parts)


def index_of(pod: Pod) -> int | None:
    """The pod's completion index, or None if it has none."""
    text = pod.metadata.annotations.get(COMPLETION_INDEX, "")
    return int(text) if text.isdigit() else None


def count_of(pod: Pod, annotation: str) -> int:
    """A count that a pod carries from the pods of its index before it."""
    text = pod.metadata.annotations.get(annotation, "")
    return int(text) if text.isdigit() else 0
