"""Where on a kubelet a pod's streams are: upstream's paths and parameter names, so that its kubelet understands us."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

from tiphys.base.http.messages import Query

_TRUE: Final = frozenset({"1", "true", "True", "TRUE", "t", "T"})
_FLAGS: Final = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
_LOG_PARAMETERS: Final = (
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "insecureSkipTLSVerifyBackend",
    "stream",
)


def exec_target(kind: str, namespace: str, pod: str, container: str, query: Query) -> str:
    """Target of ``exec`` or ``attach`` (`kind`), from the parameters of the request to the apiserver."""
    parameters = [(theirs, "1") for ours, theirs in _FLAGS if query.get(ours) in _TRUE]
    if kind == "exec":
        parameters += [("command", word) for word in query.get_all("command")]
    return _target(kind, (namespace, pod, container), parameters)


def port_forward_target(namespace: str, pod: str, query: Query) -> str:
    """Target of ``portforward``; `query` may name ports (WebSocket clients do)."""
    return _target("portForward", (namespace, pod), [("port", port) for port in query.get_all("ports")])


def logs_target(namespace: str, pod: str, container: str, query: Query) -> str:
    """Target of ``log``."""
    parameters = [(name, query.get(name)) for name in _LOG_PARAMETERS if query.get(name) not in ("", "false")]
    return _target("containerLogs", (namespace, pod, container), parameters)


def _target(what: str, names: tuple[str, ...], parameters: list[tuple[str, str]]) -> str:
    path = "/".join(quote(name, safe="") for name in names)
    return f"/{what}/{path}?{urlencode(parameters)}" if parameters else f"/{what}/{path}"
