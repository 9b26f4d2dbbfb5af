"""`tiphys simulate`: what would run where after changes. Reads a cluster or a file; writes to neither."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import typer

from tiphys.api import scheme
from tiphys.api.codec import decode_any
from tiphys.cmd.administration import Administration, users_own
from tiphys.cmd.config import ConfigError
from tiphys.scheduler import snapshot_file
from tiphys.scheduler.profiles import ProfileMaker, default_profile
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.snapshot_file import SnapshotFileError
from tiphys.scheduler.what_if import (
    Add,
    AddNodes,
    Change,
    ChangeError,
    Cordon,
    Delete,
    Drain,
    Outcome,
    RemoveNode,
    RescheduleAll,
    Scale,
    Uncordon,
    encode,
    render,
    what_if,
)

_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_DEFAULT_PROFILES: Final[tuple[ProfileMaker, ...]] = (default_profile,)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    given: Sequence[tuple[str, Any]]
    """Options with their values, in the order in which they were given."""
    config: Path | None
    snapshot: Path | None
    save: Path | None
    one_by_one: bool
    seed: int
    everything: bool
    namespace: str
    output: str
    data_dir: Path
    kubeconfig: Path | None


def request_of(given: Sequence[tuple[str, Any]], values: Mapping[str, Any]) -> Request:
    """From the options in their order, and the values of all by the names of the command's parameters."""
    names = {field.name for field in fields(Request)} - {"given"}
    return Request(given=given, **{name: values[name] for name in names})


def run(request: Request) -> bool:
    """Print the outcome; returns whether everything would have a node. Raises ConfigError."""
    if request.output not in ("text", "json"):
        raise ConfigError(f"--output {request.output} is neither text nor json")
    outcome = found(request)
    as_data = request.output == "json"
    typer.echo(encode(outcome).decode() if as_data else render(outcome, everything=request.everything))
    return outcome.fits


def found(request: Request) -> Outcome:
    """What would be. Raises ConfigError."""
    try:
        profiles = profiles_of(request.config)
        snapshot, namespace = _cluster(request, profiles)
        changes = list(changes_of(request.given, request.namespace or namespace))
        if request.save is not None:
            saved = snapshot.dump(request.save)
            typer.echo(f"saved {saved} objects to {request.save}", err=True)
        return what_if(snapshot, changes, seed=request.seed, one_by_one=request.one_by_one)
    except (ChangeError, SnapshotFileError) as error:
        raise ConfigError(str(error)) from None


def changes_of(given: Sequence[tuple[str, Any]], namespace: str) -> Iterator[Change]:
    """The changes among the options, in order. Raises ConfigError or SnapshotFileError."""
    rest = list(given)
    while rest:
        name, value = rest.pop(0)
        if name in _SIMPLE:
            yield _SIMPLE[name](value)
        elif name == "add_nodes":
            if not rest or rest[0][0] != "like":
                raise ConfigError(f"--add-nodes {value} needs --like NODE after it")
            yield AddNodes(_number("--add-nodes", value), like=rest.pop(0)[1])
        elif name == "add":
            times = rest.pop(0)[1] if rest and rest[0][0] == "count" else 1
            yield Add(_manifest(Path(value)), _number("--count", times))
        elif name == "scale":
            target, _, replicas = value.rpartition("=")
            where, kind, called = _target("--scale", target, namespace)
            yield Scale(kind, called, _number("--scale", replicas), where)
        elif name == "delete":
            where, kind, called = _target("--delete", value, namespace)
            yield Delete(kind, called, where)
        elif name in ("like", "count"):
            raise ConfigError(f"--{name} {value} belongs right after {'--add-nodes' if name == 'like' else '--add'}")


_SIMPLE: Final[dict[str, Callable[[Any], Change]]] = {
    "drain": Drain,
    "cordon": Cordon,
    "uncordon": Uncordon,
    "remove_node": RemoveNode,
    "reschedule_all": lambda _: RescheduleAll(),
}


def _target(flag: str, text: str, namespace: str) -> tuple[str, str, str]:
    """(namespace, kind, name) of ``KIND/NAME`` or ``NAMESPACE/KIND/NAME``."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ConfigError(f"{flag} {text} is not of the form KIND/NAME{'=N' if flag == '--scale' else ''}")
    return (namespace, parts[0], parts[1]) if len(parts) == 2 else (parts[0], parts[1], parts[2])


def _number(flag: str, text: Any) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{flag} {text} is no number") from None


def _manifest(path: Path) -> tuple[Any, ...]:
    found = []
    for document in snapshot_file.documents(path):
        kind = snapshot_file.kind_of(document)
        if kind is None:
            # Custom resources of a chart: what places pods is the rest.
            name = (document.get("metadata") or {}).get("name", "")
            typer.echo(f"{path}: {document['kind']} {name} is left out: no kind that is built in", err=True)
            continue
        found.append(snapshot_file.typed(kind, document, str(path)))
    return tuple(found)


def profiles_of(path: Path | None) -> tuple[ProfileMaker, ...]:
    """The profiles of a KubeSchedulerConfiguration; None: the defaults. Raises ConfigError."""
    if path is None:
        return _DEFAULT_PROFILES
    from tiphys.cmd.scheduler import settings, text_of

    said = settings(text_of("--config", path), host="", flag="--config").scheduler
    if said.extenders:
        typer.echo(f"{path}: extenders: they are not asked here; what they would say is not in the answer", err=True)
    return said.profiles


def _cluster(request: Request, profiles: Sequence[ProfileMaker]) -> tuple[Snapshot, str]:
    """The cluster, and the namespace of names without one."""
    if request.snapshot is not None:
        return Snapshot(read_file(request.snapshot), profiles), "default"
    path = request.kubeconfig or users_own(request.data_dir)
    with Administration(request.data_dir, path) as cluster:
        return cluster.run(lambda client: Snapshot.read(client, profiles)), cluster.config.namespace or "default"
    raise AssertionError("unreachable")


def read_file(path: Path) -> list[Any]:
    """The objects of a file of objects, or of a cluster's state as `tiphys snapshot save` writes it.

    Raises SnapshotFileError.
    """
    head = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(len(_SQLITE_MAGIC))
    return _read_state(path) if head == _SQLITE_MAGIC else snapshot_file.load(path)


def _read_state(path: Path) -> list[Any]:
    from tiphys.store import snapshot as state
    from tiphys.store.backend import StoreError

    wanted = tuple(
        f"/registry/{resource.group or 'core'}/{resource.plural}/"
        for resource in scheme.RESOURCES
        if resource.struct in snapshot_file.KINDS
    )
    try:
        _, entries = state.read(path)
    except StoreError as error:
        raise SnapshotFileError(str(error)) from error
    found = (decode_any(entry.item.value) for entry in entries if entry.item.key.startswith(wanted))
    return list(snapshot_file.of_interest(found, str(path)))
