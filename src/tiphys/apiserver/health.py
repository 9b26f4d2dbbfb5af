"""/healthz, /livez and /readyz, with the verbose forms people debug with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.apiserver.routing import is_true
from tiphys.base.http.messages import Request, Response

_TEXT: Final = "text/plain; charset=utf-8"
Check = Callable[[], str]


class Health:
    """Named checks; each returns "" or why it fails. Those in `ready_only` count for /readyz alone."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": lambda: "", "log": lambda: ""}
        self._ready_only: dict[str, Check] = {}
        self.shutting_down = False
        self.add("shutdown", lambda: "process is shutting down" if self.shutting_down else "", ready_only=True)

    def add(self, name: str, check: Check, *, ready_only: bool = False) -> None:
        """Have `check` asked by every later request."""
        (self._ready_only if ready_only else self._checks)[name] = check

    def serve(self, request: Request) -> Response | None:
        """The answer for a health path, None for other paths."""
        endpoint, _, single = request.path.strip("/").partition("/")
        if endpoint not in ("healthz", "livez", "readyz"):
            return None
        checks = dict(self._checks)
        if endpoint == "readyz":
            checks.update(self._ready_only)
        if single:
            if single not in checks:
                return Response(404, b"404 page not found\n", _TEXT)
            checks = {single: checks[single]}
        return self._answer(endpoint, checks, request)

    def _answer(self, endpoint: str, checks: dict[str, Check], request: Request) -> Response:
        excluded = set(request.query.get_all("exclude"))
        lines: list[str] = []
        failed = False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            reason = check()
            failed = failed or bool(reason)
            lines.append(f"[-]{name} failed: reason withheld" if reason else f"[+]{name} ok")
        if failed:
            text = "\n".join((*lines, f"{endpoint} check failed", ""))
            return Response(500, text.encode(), _TEXT)
        if "verbose" in request.query and (is_true(request.query.get("verbose")) or not request.query.get("verbose")):
            return Response(200, "\n".join((*lines, f"{endpoint} check passed", "")).encode(), _TEXT)
        return Response(200, b"ok", _TEXT)
