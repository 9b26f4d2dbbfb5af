"""GET /containerLogs/{namespace}/{pod}/{container}."""

from __future__ import annotations

from pathlib import Path

from tiphys.base.clock import Clock, parse_rfc3339
from tiphys.base.http.messages import Query, Response, StreamResponse, StreamWriter
from tiphys.kubelet.lifecycle.state import Step
from tiphys.kubelet.logs import reader
from tiphys.kubelet.logs.reader import LogOptions
from tiphys.kubelet.pods.worker import PodWorker
from tiphys.kubelet.server.answers import Refused
from tiphys.kubelet.spec.names import log_folder

_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def options_of(query: Query, now: float) -> LogOptions:
    """Raises Refused for values that make no sense."""

    def number(name: str) -> int | None:
        text = query.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise Refused(400, f"unable to decode query: {name} is not a number") from None

    tail, since_seconds, limit = number("tailLines"), number("sinceSeconds"), number("limitBytes")
    since = now - since_seconds if since_seconds is not None else None
    if query.get("sinceTime"):
        try:
            since = parse_rfc3339(query.get("sinceTime"))
        except ValueError:
            raise Refused(400, "unable to decode query: sinceTime is not a time") from None
    stream = query.get("stream")
    return LogOptions(
        follow=_true(query, "follow"),
        tail_lines=tail,
        since=since,
        timestamps=_true(query, "timestamps"),
        limit_bytes=limit,
        stream="" if stream in ("", "All") else stream.lower(),
    )


def _true(query: Query, name: str) -> bool:
    return name in query and query.get(name).lower() not in ("false", "0", "f")


def instance_of(worker: PodWorker, container: str, *, previous: bool) -> tuple[str, int]:
    """(id, attempt) of the instance whose log is meant. Raises Refused in upstream's words."""
    pod_name = worker.pod.metadata.name
    state = worker.lifecycle.state.containers.get(container)
    if state is None:
        raise Refused(404, f'container "{container}" not found in pod "{pod_name}"')
    if previous:
        if state.last_exit is None or not state.last_exit.id:
            raise Refused(400, f'previous terminated container "{container}" in pod "{pod_name}" not found')
        return state.last_exit.id, max(state.attempt - 1, 0)
    if state.id and state.step is not Step.STARTING:
        return state.id, state.attempt
    if state.last_exit is not None and state.last_exit.id:
        return state.last_exit.id, max(state.attempt - 1, 0)
    reason = state.waiting_reason or ("PodInitializing" if worker.lifecycle.state.sandbox else "ContainerCreating")
    detail = _WAITING.get(reason, reason)
    raise Refused(400, f'container "{container}" in pod "{pod_name}" is waiting to start: {detail}')


def container_logs(worker: PodWorker, container: str, query: Query, logs_dir: Path, clock: Clock) -> Response:
    """The log as a stream of plain text. Raises Refused."""
    options = options_of(query, clock.now())
    id, attempt = instance_of(worker, container, previous=_true(query, "previous"))
    path = logs_dir / log_folder(worker.pod) / container / f"{attempt}.log"
    if not path.exists():
        raise Refused(
            500, f'failed to try resolving symlinks in path "{path}": lstat {path}: no such file or directory'
        )

    async def run(writer: StreamWriter) -> None:
        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        if options.follow:
            await reader.follow(path, options, send, worker.exit_of(id))
            return
        for block in reader.read(path, options):
            await send(block)

    return StreamResponse(run, content_type="text/plain; charset=utf-8")
