"""wrk (Debian's package) as the load generator: one thread, on the server's cores, as for upstream's figures."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from pathlib import Path

_POST = """
local n = 0
local body = [[%BODY%]]
request = function()
  n = n + 1
  return wrk.format("POST", "%PATH%", nil, (string.gsub(body, "NAME", "%PREFIX%-" .. n)))
end
wrk.headers["Content-Type"] = "application/json"
local bad = 0
response = function(status, headers, body)
  if status ~= 201 then bad = bad + 1; if bad < 3 then io.stderr:write(status .. " " .. body .. "\\n") end end
end
"""


ROUNDS = 3
"""Whatever else runs on the machine only ever makes a round slower, so the best one says most about the server."""


def available() -> bool:
    return shutil.which("wrk") is not None


async def _run(*arguments: str) -> float:
    process = await asyncio.create_subprocess_exec(
        "wrk", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    text = output.decode()
    if "Non-2xx" in text or errors.strip():
        raise RuntimeError(f"the server did not answer well: {text}{errors.decode()[:600]}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not found:
        raise RuntimeError(f"wrk said: {text}{errors.decode()}")
    return float(found.group(1))


async def get_per_second(url: str, token: str, *, connections: int, seconds: int = 3) -> float:
    """Answers per second to GETs of one URL, in the best of `ROUNDS`."""
    arguments = ("-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Authorization: Bearer {token}", url)
    return max([await _run(*arguments) for _ in range(ROUNDS)])


async def post_per_second(
    server: str, path: str, body: str, token: str, *, prefix: str, connections: int, seconds: int = 3
) -> float:
    """Creates per second in the best of `ROUNDS`; "NAME" in the body becomes a fresh name each time."""
    rounds = [f"{prefix}-{index}" for index in range(ROUNDS)]
    return max([await _post(server, path, body, token, name, connections, seconds) for name in rounds])


async def _post(server: str, path: str, body: str, token: str, prefix: str, connections: int, seconds: int) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_POST.replace("%BODY%", body).replace("%PATH%", path).replace("%PREFIX%", prefix))
        script.flush()
        return await _run(
            "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Authorization: Bearer {token}",
            "-s", str(Path(script.name)), server,
        )  # fmt: skip
