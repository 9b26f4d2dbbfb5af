"""VolumeRestrictions, of disks that pods name themselves; of claims see `volumes`."""

from __future__ import annotations

from tests.property.scheduling.world import World
from tiphys.api.types.core_v1 import Node, Pod, Volume


def _conflict(one: Volume, other: Volume) -> bool:
    if one.gce_persistent_disk and other.gce_persistent_disk:
        mine, theirs = one.gce_persistent_disk, other.gce_persistent_disk
        return mine.pd_name == theirs.pd_name and not (mine.read_only and theirs.read_only)
    if one.aws_elastic_block_store and other.aws_elastic_block_store:
        return one.aws_elastic_block_store.volume_id == other.aws_elastic_block_store.volume_id
    if one.iscsi and other.iscsi:
        return one.iscsi.iqn == other.iscsi.iqn and not (one.iscsi.read_only and other.iscsi.read_only)
    if one.rbd and other.rbd:
        here, there = one.rbd, other.rbd
        shared = set(here.monitors) & set(there.monitors) and (here.pool, here.image) == (there.pool, there.image)
        return bool(shared) and not (here.read_only and there.read_only)
    return False


def rejected(pod: Pod, node: Node, world: World) -> str:
    others = [volume for other in world.on(node) for volume in other.spec.volumes]
    taken = any(_conflict(mine, theirs) for mine in pod.spec.volumes for theirs in others)
    return "node(s) had no available disk" if taken else ""
