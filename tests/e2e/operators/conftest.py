"""The operators' environment, kubectl, and operators as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import BIN, eventually
from tests.e2e.operators import environment
from tiphys.testing.plugin import TiphysCluster

_STOP_SECONDS = 20


@pytest.fixture(scope="session")
def programs() -> Path:
    """The `bin` folder of the operators' environment."""
    return environment.environment()


@pytest.fixture(scope="session")
def kopf_examples() -> Path:
    return environment.kopf_examples()


class Kubectl:
    """Stock kubectl in one namespace."""

    def __init__(self, cluster: TiphysCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Its output. Raises AssertionError with its words when it fails and `check` is set."""
        command = [str(BIN / "kubectl"), "--kubeconfig", str(self.cluster.kubeconfig), "-n", self.namespace]
        done = subprocess.run(
            [*command, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@contextmanager
def fresh_namespace(cluster: TiphysCluster) -> Iterator[Kubectl]:
    """kubectl in a namespace of its own, which is gone at the end."""
    namespace = f"operators-{uuid.uuid4().hex[:6]}"
    command = Kubectl(cluster, namespace)
    command("create", "namespace", namespace)
    yield command
    command("delete", "namespace", namespace, "--timeout=30s")


@pytest.fixture
def kubectl(tiphys_cluster: TiphysCluster) -> Iterator[Kubectl]:
    with fresh_namespace(tiphys_cluster) as command:
        yield command


class Operator:
    """A running operator: a process and what it has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def written(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, text: str, timeout_seconds: float = 30) -> None:
        """Wait until it has written `text`. Raises AssertionError with all it wrote."""

        def written() -> bool:
            assert text in self.written, f"not written: {text!r}\n{self.written}"
            return True

        eventually(written, "what it writes", timeout_seconds)

    def stopped_within(self, seconds: float) -> bool:
        """Wait for its end; what does not end is killed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return False
        return True


Run = Callable[..., Operator]


@contextmanager
def operators(cluster: TiphysCluster, programs: Path, logs: Path) -> Iterator[Run]:
    """Start operators by `run(program, *arguments, cwd=None, **variables)`; at the end they are stopped as pods are."""
    running: list[Operator] = []

    def run(program: str, *arguments: str, cwd: Path | None = None, **variables: str) -> Operator:
        log = logs / f"operator-{len(running)}.log"
        variables = {"KUBECONFIG": str(cluster.kubeconfig), "PYTHONUNBUFFERED": "1", **variables}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(programs / program), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | variables,
                cwd=cwd,
                start_new_session=True,
            )
        running.append(Operator(process, log))
        return running[-1]

    try:
        yield run
    finally:
        for one in running:
            os.killpg(one.process.pid, signal.SIGTERM)
        late = [one for one in running if not one.stopped_within(_STOP_SECONDS)]
        assert not late, f"an operator did not stop\n{late[0].written}"


@pytest.fixture
def operator(tiphys_cluster: TiphysCluster, programs: Path, tmp_path: Path) -> Iterator[Run]:
    with operators(tiphys_cluster, programs, tmp_path) as run:
        yield run


Helm = Callable[..., dict[str, Any]]


@pytest.fixture
def helm(kubectl: Kubectl, programs: Path) -> Helm:
    """`helm(verb, release, *arguments)` in the test's namespace; the release that Helm tells of."""
    script = Path(__file__).with_name("helm.py")

    def run(verb: str, release: str, *arguments: str) -> dict[str, Any]:
        command = [str(programs / "python"), str(script), str(kubectl.cluster.kubeconfig), kubectl.namespace]
        done = subprocess.run(
            [*command, verb, release, *arguments], capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        return dict(told) if isinstance(told, dict) else {"items": told}

    return run
