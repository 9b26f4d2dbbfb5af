"""Claims and volumes come and go, requests are lost, managers die: in the end everything that can be bound is, once."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.simulation.controllers.storage_objects import claim, volume
from tests.simulation.controllers.world import World, world
from tiphys.api import persistent_volumes as facts
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ObjectReference, PersistentVolume, PersistentVolumeClaim
from tiphys.testing import virtual_time

SIZES = ("1Gi", "2Gi", "5Gi")
MODES = (("ReadWriteOnce",), ("ReadWriteOnce", "ReadOnlyMany"))


async def play(w: World, rng: random.Random, steps: int) -> None:
    """Random changes by users; refusals are theirs to bear."""
    for n in range(steps):
        try:
            await _step(w, rng, n)
        except ApiError as error:
            assert error.code in (404, 409), error
        await asyncio.sleep(rng.choice([0.0, 0.01, 0.5]))


async def _step(w: World, rng: random.Random, n: int) -> None:
    name = f"c{rng.randrange(5)}"
    match rng.choice(["claim", "claim", "volume", "volume", "prebound", "chooser", "unclaim", "remove", "kill"]):
        case "claim":
            await w.client.create(claim(name, rng.choice(SIZES)))
        case "chooser":
            await w.client.create(claim(name, "1Gi", volume_name=f"v{rng.randrange(6)}"))
        case "volume":
            await w.client.create(volume(f"v{rng.randrange(6)}", rng.choice(SIZES), access_modes=rng.choice(MODES)))
        case "prebound":
            kept = ObjectReference(name=name, namespace="x", kind="PersistentVolumeClaim", api_version="v1")
            await w.client.create(volume(f"v{rng.randrange(6)}", "5Gi", claim_ref=kept))
        case "unclaim":
            await w.client.delete(PersistentVolumeClaim, name, "x")
        case "remove":
            await w.client.delete(PersistentVolume, f"v{rng.randrange(6)}")
        case "kill":
            await w.kill(w.managers[-1])
            w.start_manager()


async def settled(w: World) -> bool:
    """Whether nothing is wrong and nothing is left to do."""
    claims = (await w.client.list(PersistentVolumeClaim, "x")).items
    volumes = {v.metadata.name or "": v for v in (await w.client.list(PersistentVolume)).items}
    by_uid = {c.metadata.uid: c for c in claims}
    for found in claims:
        if found.metadata.deletion_timestamp is not None:
            return False
        if found.status.phase == facts.BOUND:
            its = volumes.get(found.spec.volume_name or "")
            if its is None or its.status.phase != facts.BOUND or its.spec.claim_ref is None:
                return False
            if its.spec.claim_ref.uid != found.metadata.uid:
                return False
        elif (
            found.status.phase == facts.PENDING
            and not found.spec.volume_name
            and facts.best_match(found, volumes.values(), delayed=False) is not None
        ):
            return False
    for held in volumes.values():
        reference = held.spec.claim_ref
        its_claim = by_uid.get(reference.uid) if reference is not None and reference.uid else None
        if held.status.phase == facts.BOUND:
            if its_claim is None or its_claim.spec.volume_name != held.metadata.name:
                return False
        elif held.metadata.deletion_timestamp is not None:
            return False
        if its_claim is not None and its_claim.spec.volume_name != held.metadata.name:
            return False
        if held.status.phase not in (facts.AVAILABLE, facts.BOUND, facts.RELEASED):
            return False
    return True


@pytest.mark.parametrize("seed", range(12))
def test_everything_that_can_be_bound_is_once(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=0.1 if seed % 2 else 0.0) as w:
            await play(w, random.Random(seed), 40)
            await w.until(lambda: settled(w), seconds=300)
            # And stays so.
            await asyncio.sleep(60)
            assert await settled(w)

    virtual_time.run(scenario())
