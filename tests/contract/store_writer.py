"""Run as a process: writes as fast as it can and prints each acknowledged write. The crash test kills it."""

from __future__ import annotations

import asyncio
import sys

from tiphys.store.sqlite import SqliteBackend
from tiphys.store.upkeep import Retention


async def main(path: str, writers: int) -> None:
    store = SqliteBackend(path, retention=Retention(history_bytes=200_000, kept_revisions=50))
    await store.start()

    async def write(worker: int) -> None:
        for n in range(1_000_000):
            key = f"/w{worker}/{n % 20}"
            if n % 7 == 6:
                item = await store.delete(key, expected=None) if await store.get(key) else None
                line = f"- {key} {item.mod_revision}" if item else ""
            else:
                item = await store.put(key, f"{n} ".encode() + b"x" * 200 + b"@", b"", expected=None)
                line = f"+ {key} {item.mod_revision}"
            if line:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()

    await asyncio.gather(*(write(worker) for worker in range(writers)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
