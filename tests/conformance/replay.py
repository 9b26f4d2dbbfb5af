"""Replays what a running upstream was asked, in order, against one apiserver in process."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.messages import Headers, Request, Response, StreamResponse
from tiphys.store.memory import MemoryBackend

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
ADMIN_TOKEN = "admin-token"
_AGENT = b"python-requests/2.32"
_CONTENT_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_VOLATILE = frozenset(
    {
        *("uid", "resourceVersion", "creationTimestamp", "time", "lastTransitionTime", "lastPhaseTransitionTime"),
        *("firstTimestamp", "lastTimestamp"),
    }
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_AGE = re.compile(r"^[0-9]+s$")
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")


@dataclass
class Row:
    """One recorded request: what was answered then, what is answered now."""

    id: str
    wanted_code: int
    wanted: Any
    wanted_warning: str = ""
    code: int = 0
    found: Any = None
    warning: str = ""


@dataclass
class Replay:
    """All rows of all files, answered."""

    defaults: list[Row] = field(default_factory=list)
    errors: list[Row] = field(default_factory=list)
    patches: list[Row] = field(default_factory=list)
    bootstrap: list[Row] = field(default_factory=list)

    def rows(self) -> dict[str, Row]:
        return {row.id: row for row in (*self.defaults, *self.errors, *self.patches, *self.bootstrap)}


def recorded(name: str) -> Any:
    return json.loads((REFERENCE / f"{name}.json").read_text())


def row_ids() -> list[str]:
    """The ids of all rows, without replaying; empty where there are no recordings."""
    if not REFERENCE.is_dir():
        return []
    ids = [f"defaults/{number}-{row['input']['kind']}" for number, row in enumerate(recorded("defaults"))]
    ids += [f"errors/{row['name']}" for row in recorded("errors")]
    for scenario in recorded("patches"):
        ids += [f"patches/{scenario['name']}/{number}" for number in range(len(scenario["steps"]))]
    return ids + [f"bootstrap/{path}" for path in recorded("bootstrap")]


@cache
def replayed() -> dict[str, Row]:
    """Every row by id, answered by one server; replayed once."""
    return asyncio.run(_replay()).rows()


async def _replay() -> Replay:
    key = ec.generate_private_key(ec.SECP256R1())
    config = ApiServerConfig(
        advertise_address="203.0.113.1",
        port=26443,
        service_cidr="10.96.0.0/16",
        service_account_signing_key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        tokens={ADMIN_TOKEN: ("admin", ("system:masters",))},
    )
    server = ApiServer(config, MemoryBackend())
    await server.start()
    replay = Replay()
    try:
        client = _Client(server)
        await _bootstrap(client, replay)
        await client.call("POST", "/api/v1/namespaces", {"metadata": {"name": "gold"}})
        await client.call("POST", "/api/v1/namespaces/gold/serviceaccounts", {"metadata": {"name": "default"}})
        await _unrecorded(client)
        await _defaults(client, replay)
        await _errors(client, replay)
        await _patches(client, replay)
    finally:
        await server.close()
    return replay


class _Client:
    def __init__(self, server: ApiServer) -> None:
        self._server = server

    async def call(
        self, method: str, target: str, body: Any = None, content_type: str = "application/json", **headers: str
    ) -> Response:
        pairs = {b"user-agent": _AGENT, b"authorization": f"Bearer {ADMIN_TOKEN}".encode()}
        if body is not None:
            pairs[b"content-type"] = content_type.encode()
        for name, value in headers.items():
            pairs[name.lower().encode()] = value.encode()
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else b""
        request = Request(method, target.encode(), Headers(pairs.items()), data)
        answer = self._server.handler(request)
        return await answer if inspect.isawaitable(answer) else answer


async def _bootstrap(client: _Client, replay: Replay) -> None:
    for path, wanted in recorded("bootstrap").items():
        answer = await client.call("GET", path)
        row = Row(f"bootstrap/{path}", 200, _by_name(wanted), code=answer.status)
        row.found = _by_name(json.loads(answer.body).get("items", []))
        replay.bootstrap.append(row)


async def _unrecorded(client: _Client) -> None:
    """What later rows rely on and no row makes: the pod "rich" and a Service with node port 30080."""
    listed = next(row for row in recorded("errors") if row["name"] == "set selector")["response"]["items"][0]
    mounts = ("serviceAccount", "serviceAccountName", "tolerations", "priority", "preemptionPolicy")
    spec = {name: value for name, value in listed["spec"].items() if name not in mounts}
    spec["volumes"] = [v for v in spec.get("volumes", []) if not v["name"].startswith("kube-api-access")]
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        kept = [m for m in container.get("volumeMounts", []) if not m["name"].startswith("kube-api-access")]
        container["volumeMounts"] = kept
    rich = {"metadata": {"name": "rich", "labels": listed["metadata"]["labels"]}, "spec": spec}
    await client.call("POST", "/api/v1/namespaces/gold/pods", rich)
    port = {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}}
    await client.call("POST", "/api/v1/namespaces/gold/services", {"metadata": {"name": "nodeport"}, **port})


async def _defaults(client: _Client, replay: Replay) -> None:
    for number, recording in enumerate(recorded("defaults")):
        answer = await client.call("POST", recording["path"], recording["input"])
        row = Row(f"defaults/{number}-{recording['input']['kind']}", recording["status"], recording["stored"])
        row.wanted_warning = recording["warnings"]
        replay.defaults.append(_answered(row, answer))


async def _errors(client: _Client, replay: Replay) -> None:
    for recording in recorded("errors"):
        answer = await client.call(
            recording["method"],
            recording["path"],
            _body(recording.get("body")),
            recording["contentType"],
            **recording["headers"],
        )
        row = Row(f"errors/{recording['name']}", recording["code"], recording["response"], recording["warning"])
        if isinstance(answer, StreamResponse):
            row.code, row.found = answer.status, row.wanted
            replay.errors.append(row)
        else:
            replay.errors.append(_answered(row, answer))


async def _patches(client: _Client, replay: Replay) -> None:
    for scenario in recorded("patches"):
        if scenario["create"] is not None:
            await client.call("POST", scenario["path"], scenario["create"], **{"user-agent": "creator/1"})
        for number, step in enumerate(scenario["steps"]):
            subresource, _, query = step["query"].partition("?")
            target = f"{scenario['path']}/{step['name']}{subresource}" + (f"?{query}" if query else "")
            answer = await client.call("PATCH", target, step["patch"], _CONTENT_TYPES.get(step["type"], step["type"]))
            row = Row(f"patches/{scenario['name']}/{number}", step["code"], step["response"])
            replay.patches.append(_answered(row, answer))


def _body(body: Any) -> Any:
    """Recordings shorten huge values to ``<N times x>``."""
    if isinstance(body, dict):
        return {key: _body(value) for key, value in body.items()}
    if isinstance(body, str) and (match := re.fullmatch(r"<(\d+) times (.)>", body)):
        return match[2] * int(match[1])
    return body


def _answered(row: Row, answer: Response) -> Row:
    row.code = answer.status
    row.warning = ", ".join(value.decode() for name, value in answer.headers if name == b"Warning")
    try:
        row.found = json.loads(answer.body)
    except ValueError:
        row.found = answer.body.decode()
    return row


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {f"{i['metadata'].get('namespace', '')}/{i['metadata']['name']}": i for i in items}


def normal(value: Any, ignored: frozenset[str] = frozenset()) -> Any:
    """`value` without what differs between any two runs, absent being the same as null; `ignored` are member names."""
    if isinstance(value, dict):
        members = {name: normal(item, ignored) for name, item in value.items() if name not in ignored}
        return {
            _text(name): item
            for name, item in sorted(members.items())
            if name not in _VOLATILE and item is not None and not (name == "metadata" and not item)
        }
    if isinstance(value, list):
        items = [normal(item, ignored) for item in value]
        # Upstream lists the causes of an apply conflict in the order of a hash map.
        return sorted(items, key=str) if items and _is_conflict(items[0]) else items
    return _text(value) if isinstance(value, str) else value


def _is_conflict(item: Any) -> bool:
    return isinstance(item, dict) and item.get("reason") == "FieldManagerConflict"


def _text(text: str) -> str:
    return _TOKEN_VOLUME.sub("kube-api-access-*", _AGE.sub("*", _UUID.sub("*", text)))
