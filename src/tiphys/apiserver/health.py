"""/healthz, /livez and /readyz, with the verbose forms people debug with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.api.field_errors import quote
from tiphys.base.http.messages import HeaderList, Request, Response

_TEXT: Final = "text/plain; charset=utf-8"
NOSNIFF: Final[HeaderList] = ((b"X-Content-Type-Options", b"nosniff"),)
Check = Callable[[], str]


class Health:
    """Named checks; each returns "" or why it fails. Those in `ready_only` count for /readyz alone."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": _fine, "log": _fine}
        self._ready_only: dict[str, Check] = {}
        self.shutting_down = False
        self.add("shutdown", lambda: "process is shutting down" if self.shutting_down else "", ready_only=True)

    def add(self, name: str, check: Check, *, ready_only: bool = False) -> None:
        """Have `check` asked by every later request."""
        (self._ready_only if ready_only else self._checks)[name] = check

    def done(self, *names: str) -> None:
        """Steps of the start that are behind us: checks under upstream's names that hold from now on."""
        for name in names:
            self.add(f"poststarthook/{name}", _fine)

    def serve(self, request: Request) -> Response | None:
        """The answer for a health path, None for other paths."""
        endpoint, _, single = request.path.strip("/").partition("/")
        if endpoint not in ("healthz", "livez", "readyz"):
            return None
        checks = dict(self._checks)
        if endpoint == "readyz":
            checks.update(self._ready_only)
        if not single:
            return self._answer(endpoint, checks, request)
        if single not in checks:
            return _text(404, "404 page not found\n")
        if reason := checks[single]():
            return _text(500, f"internal server error: {reason}\n")
        return _text(200, "ok")

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
        if unknown := sorted(excluded - checks.keys()):
            named = ", ".join(map(quote, unknown))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {named}")
        if failed:
            return _text(500, "\n".join((*lines, f"{endpoint} check failed", "")))
        if "verbose" in request.query:
            return _text(200, "\n".join((*lines, f"{endpoint} check passed", "")))
        return _text(200, "ok")


def _fine() -> str:
    return ""


def _text(status: int, text: str) -> Response:
    return Response(status, text.encode(), _TEXT, NOSNIFF)
