"""Snapshots of an etcd cluster, and their restoration through its members while no apiserver serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from tiphys.store import etcd_values
from tiphys.store import etcd_wire as wire
from tiphys.store.etcd_client import EtcdClient, EtcdTls
from tiphys.store.etcd_mirror import RESTORING, EtcdMirror
from tiphys.store.snapshot import Entry, SnapshotError

_IN_FLIGHT: Final = 64
MOST_EMPTY_REVISIONS: Final = 2_000_000
"""How many revisions a restore skips at most, so that a young etcd's lie above the snapshot's: about five minutes."""


class EtcdArchive:
    """``async with EtcdArchive(endpoints, tls=..., prefix=...) as archive:`` reads and replaces the whole state.

    Every method raises EtcdUnavailable or EtcdRefused.
    """

    def __init__(
        self, endpoints: tuple[str, ...], *, tls: EtcdTls | None, prefix: str, root: str = "/registry/"
    ) -> None:
        self._client = EtcdClient(endpoints, tls)
        self._mirror = EtcdMirror(self._client, prefix, root, lambda _: None)

    async def __aenter__(self) -> EtcdArchive:
        self._client.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def read(self) -> tuple[int, list[Entry]]:
        """Everything, at one revision."""
        revision, kept = await self._mirror.read_all()
        return revision, [Entry(one.item, one.expires_at) for one in kept]

    async def replace(self, wanted: Iterable[Entry], revision: int) -> None:
        """Make `wanted`, saved at `revision`, the whole state. Idempotent: what was interrupted is completed.

        Apiservers end when it begins and start when it is over. All objects get new revisions, above `revision`.
        Raises SnapshotError when that is too far away.
        """
        entries = sorted(wanted, key=lambda entry: entry.item.mod_revision)
        await self._put(RESTORING, b"1")
        reached, present = await self.read()
        if revision - reached > MOST_EMPTY_REVISIONS:
            raise SnapshotError(f"the snapshot is of revision {revision} and this etcd only at {reached}: too young")
        for _ in range(reached, revision, _IN_FLIGHT):
            await asyncio.gather(*(self._put(RESTORING, b"1") for _ in range(_IN_FLIGHT)))
        kept = {entry.item.key for entry in entries}
        gone = [entry.item.key for entry in present if entry.item.key not in kept]
        for start in range(0, len(gone), _IN_FLIGHT):
            keys = gone[start : start + _IN_FLIGHT]
            await asyncio.gather(*(self._delete(self._mirror.physical(key)) for key in keys))
        # Oldest first, as it was written: owners before what they own.
        for start in range(0, len(entries), _IN_FLIGHT):
            batch = entries[start : start + _IN_FLIGHT]
            await asyncio.gather(
                *(self._put(self._mirror.physical(entry.item.key), _to_keep(entry)) for entry in batch)
            )
        await self._delete(RESTORING)

    async def _put(self, key: bytes, value: bytes) -> None:
        put = wire.MESSAGE["PutRequest"](key=key, value=value)
        await self._client.anywhere("txn", {"success": [wire.MESSAGE["RequestOp"](request_put=put)]})

    async def _delete(self, key: bytes) -> None:
        remove = wire.MESSAGE["DeleteRangeRequest"](key=key)
        await self._client.anywhere("txn", {"success": [wire.MESSAGE["RequestOp"](request_delete_range=remove)]})


def _to_keep(entry: Entry) -> bytes:
    """The object without its old revision."""
    value = entry.item.value
    revision = b'"resourceVersion":"%d"' % entry.item.mod_revision
    place = value.find(revision)
    if place < 0:
        return value
    head_end = place + len(b'"resourceVersion":"')
    return etcd_values.raw(value[:head_end], value[place + len(revision) - 1 :], entry.expires_at)
