"""Random requests against an apiserver for as long as you like: no 5xx, no hang, nothing left behind.

    python scripts/fuzz_api.py [--minutes 10] [--seed N]

Half of the time is schemathesis' on the server's own OpenAPI documents, half our own requests, which know what a right
object is and break it. Afterwards the server must be idle again: no watch, no connection, no file too many, its memory
bounded, every object it keeps readable. Prints what it did, and exits 1 at anything wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import ssl
import subprocess
import sys
import tempfile
import time
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.server import Server, apiserver
from tests.conformance.api.running import Answer
from tests.conformance.fuzz.checks import problem
from tests.conformance.fuzz.requests import KINDS, NAMESPACE, Requests
from tests.e2e.operators.environment import environment

SLOW_SECONDS = 10
WORKERS = 4
MEMORY_BYTES = 600_000_000
FILES_LEFT = 5


class Problems(Exception):
    """Something is wrong with the server."""


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    seconds = options.minutes * 60 / 2
    try:
        async with apiserver() as server:
            await server.client.raw(
                "POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": NAMESPACE}}).encode()
            )
            account = json.dumps({"metadata": {"name": "default"}}).encode()
            await server.client.raw("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
            files = _open_files(server)
            workers = (asyncio.to_thread(_ask, server, options.seed + n, seconds) for n in range(WORKERS))
            print(f"{sum(await asyncio.gather(*workers)):,} requests of our own", flush=True)
            await asyncio.to_thread(_schemathesis, server, options.seed, seconds)
            await _afterwards(server, files)
    except Problems as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _ask(server: Server, seed: int, seconds: float) -> int:
    """Our own requests for so long; how many there were."""
    context = ssl.create_default_context(cafile=str(server.ca_path))
    connection = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=SLOW_SECONDS)
    requests, until, count = Requests(seed), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        asked = requests.next()
        headers = {**asked.headers, "Authorization": f"Bearer {server.token}"}
        try:
            connection.request(asked.method, asked.path, asked.body, headers)
            response = connection.getresponse()
            body = response.read()
        except TimeoutError as error:
            raise Problems(f"seed {seed}, request {count}: no answer in {SLOW_SECONDS} s\n{asked}") from error
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
        if wrong := problem(asked, answer):
            raise Problems(f"seed {seed}, request {count}: {wrong}\n{asked}")
        count += 1
    connection.close()
    return count


def _schemathesis(server: Server, seed: int, seconds: float) -> None:
    """The published fuzzer, a share of the time on each of our OpenAPI documents."""
    documents = _documents(server)
    program = str(environment() / "schemathesis")
    variables = {
        "SCHEMATHESIS_HOOKS": "fuzz_hooks",
        "PYTHONPATH": str(Path(__file__).resolve().parent),
        "NO_PROXY": "*",
    }
    for path in documents:
        command = [
            *(program, "run", f"{server.url}{path}", "--url", server.url, "--tls-verify", str(server.ca_path)),
            *(
                "-H",
                f"Authorization: Bearer {server.token}",
                "--checks",
                "answered_well",
                "--phases",
                "coverage,fuzzing",
            ),
            *("--workers", "1", "--max-time", str(max(5, int(seconds / len(documents)))), "--no-shrink"),
            *("--request-timeout", str(SLOW_SECONDS), "--suppress-health-check", "all", "--warnings", "off"),
            *("--seed", str(seed), "--max-failures", "3", "--checks", "answered_well"),
        ]
        with tempfile.TemporaryDirectory() as kept:  # the fuzzer's own notes
            done = subprocess.run(
                command, capture_output=True, text=True, env=os.environ | variables, cwd=kept, check=False
            )
        told = re.findall(r"^\s*(\d+ generated.*)$", done.stdout, re.MULTILINE)
        print(f"schemathesis on {path.partition('?')[0]}: {', '.join(told) or 'nothing'}", flush=True)
        # Some documents are too much for the fuzzer itself: that is told apart from what it finds.
        if "\nFailures:" in done.stdout or not told:
            raise Problems(f"schemathesis on {path}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}")


def _documents(server: Server) -> list[str]:
    context = ssl.create_default_context(cafile=str(server.ca_path))
    connection = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=SLOW_SECONDS)
    connection.request("GET", "/openapi/v3", headers={"Authorization": f"Bearer {server.token}"})
    index: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return [entry["serverRelativeURL"] for path, entry in sorted(index["paths"].items()) if path.count("/") > 0]


async def _afterwards(server: Server, files: int) -> None:
    """All that it keeps can be read, and nothing of the requests is left."""
    for kind in KINDS:
        root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        answer = await server.client.raw("GET", f"{root}/{kind.plural}")
        if answer.status != 200:
            raise Problems(f"{kind.plural} cannot be listed any more: {answer.status} {answer.body[:300]!r}")
    if (await server.client.raw("GET", "/readyz")).status != 200:
        raise Problems("the server is not ready any more")
    for _ in range(100):
        if _open_files(server) <= files + FILES_LEFT:
            break
        await asyncio.sleep(0.1)
    else:
        raise Problems(f"{_open_files(server)} files are open, {files} were before")
    held = server.resident_bytes()
    print(f"afterwards: {held / 1e6:.0f} MB, {_open_files(server)} open files ({files} before)")
    if held > MEMORY_BYTES:
        raise Problems(f"the server holds {held / 1e6:.0f} MB")


def _open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
