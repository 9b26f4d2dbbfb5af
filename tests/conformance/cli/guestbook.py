"""A guestbook of three tiers: a frontend that writes to a primary and reads from replicas, which ask the primary."""

from __future__ import annotations

from typing import Any, Final

from tests.e2e.manifests import deployment, service

_SERVE: Final = "exec httpd -f -p 8080 -h /www"
_SCRIPT: Final = "mkdir -p /www/cgi-bin; printf '%s\\n' {lines} > /www/cgi-bin/{name}; chmod +x /www/cgi-bin/{name}; "
_ANSWER: Final = "printf 'Content-Type: text/plain\\r\\n\\r\\n'"


def _cgi(name: str, *lines: str) -> str:
    """Shell that makes a CGI program of a pod's httpd."""
    quoted = " ".join("'" + line.replace("'", "'\\''") + "'" for line in ("#!/bin/sh", *lines))
    return _SCRIPT.format(lines=quoted, name=name)


def _tier(name: str, replicas: int, programs: str) -> list[dict[str, Any]]:
    made = deployment(name, replicas, command=["sh", "-c", programs + _SERVE])
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["readinessProbe"] = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}
    return [made, service(name)]


def guestbook() -> list[dict[str, Any]]:
    """The objects: three Deployments and their Services."""
    keep = _cgi("set", _ANSWER, 'echo "$QUERY_STRING" >> /tmp/book', "echo kept")
    show = _cgi("get", _ANSWER, "cat /tmp/book 2>/dev/null")
    ask = _cgi("get", _ANSWER, "wget -q -O - http://book-primary/cgi-bin/get")
    write = _cgi("write", _ANSWER, 'wget -q -O - "http://book-primary/cgi-bin/set?$QUERY_STRING"')
    read = _cgi("read", _ANSWER, "wget -q -O - http://book-replica/cgi-bin/get")
    return [
        *_tier("book-primary", 1, keep + show),
        *_tier("book-replica", 2, ask),
        *_tier("book-frontend", 3, write + read),
    ]
