"""The one door to nftables: scripts in nft's own language, applied whole or not at all.

Every cluster has tables of its own; no rule is ever put into a table of someone else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

TIMEOUT_SECONDS = 60.0


class NftError(Exception):
    """nft refused a script or is missing; the text is its own words."""


async def _run(arguments: list[str], stdin: bytes | None = None) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            "nft",
            *arguments,
            # A program that reads nothing may be gone before nothing is written to it.
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise NftError("nft is not installed (Debian package nftables)") from None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, errors = await process.communicate(stdin)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise NftError(errors.decode(errors="replace").strip())
    return output


async def apply(script: str) -> None:
    """Apply a script in one transaction: all of it is in force at once, or NftError and nothing changed."""
    if script:
        await _run(["-f", "-"], script.encode())


async def table_exists(family: str, name: str) -> bool:
    listing = json.loads(await _run(["-j", "list", "tables", family]))
    return any(item.get("table", {}).get("name") == name for item in listing["nftables"])


async def list_table(family: str, name: str) -> list[dict[str, Any]]:
    """The table's objects as nft's JSON gives them; empty when there is no such table."""
    try:
        listing = json.loads(await _run(["-j", "list", "table", family, name]))
    except NftError as error:
        if "No such file" in str(error):
            return []
        raise
    return [item for item in listing["nftables"] if "metainfo" not in item]


def delete_table(family: str, name: str) -> str:
    """A script that deletes a table whether or not there is one (plain ``delete`` fails when there is none)."""
    return f"add table {family} {name}\ndelete table {family} {name}\n"
