"""Slices of a Service whose pods come and go: each endpoint once, none too full, and few writes."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.controllers.endpointslice.reconcile import MAX_ENDPOINTS, decide
from tiphys.testing import builders

PODS = [builders.pod(f"p{n}", ip=f"10.0.{n // 250}.{n % 250 + 1}", labels={"app": "web"}) for n in range(420)]
SERVICE = builders.service()


class Slices:
    """The stored slices of one Service."""

    def __init__(self) -> None:
        self.stored: dict[str, EndpointSlice] = {}
        self._made = 0

    def show(self, wanted: set[int]) -> int:
        """Bring the slices to these pods; how many writes that took."""
        pods = [PODS[n] for n in sorted(wanted)]
        changes = decide(SERVICE, pods, {}, list(self.stored.values()), trigger_time=None)
        for piece in changes.delete:
            del self.stored[piece.metadata.name or ""]
        for piece in changes.update:
            assert piece.metadata.name in self.stored
            self.stored[piece.metadata.name or ""] = piece
        for piece in changes.create:
            self._made += 1
            meta = msgspec.structs.replace(piece.metadata, name=f"web-{self._made:04}", uid=str(self._made))
            self.stored[meta.name or ""] = msgspec.structs.replace(piece, metadata=meta)
        return len(changes.create) + len(changes.update) + len(changes.delete)

    def addresses(self) -> list[str]:
        return sorted(a for piece in self.stored.values() for e in piece.endpoints for a in e.addresses)


@given(steps=st.lists(st.sets(st.integers(0, len(PODS) - 1), max_size=len(PODS)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_every_endpoint_is_in_one_slice(steps: list[set[int]]) -> None:
    slices = Slices()
    for wanted in steps:
        slices.show(wanted)
        assert slices.addresses() == sorted(PODS[n].status.pod_ip or "" for n in wanted)
        assert all(len(piece.endpoints) <= MAX_ENDPOINTS for piece in slices.stored.values())
        assert slices.stored, "consumers can tell that the Service was looked at"
        assert slices.show(wanted) == 0, "nothing is written twice"


@given(
    start=st.sets(st.integers(0, len(PODS) - 1), max_size=len(PODS)),
    change=st.lists(st.integers(0, len(PODS) - 1), min_size=1, max_size=3),
)
@settings(max_examples=80, deadline=None)
def test_a_small_change_is_few_writes(start: set[int], change: list[int]) -> None:
    slices = Slices()
    slices.show(start)
    wanted = start.symmetric_difference(change)
    # One slice a pod that goes (or its slice's end), and one for all that come.
    assert slices.show(wanted) <= len(set(change)) + 2
