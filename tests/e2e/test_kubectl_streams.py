"""Stock kubectl's streams through the apiserver: logs, exec (stdin, tty, exit codes), attach, port-forward, cp."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import deployment, pod


@pytest.fixture
def shell(cluster: Cluster, namespace: str) -> str:
    """A running pod to exec into; its namespace."""
    cluster.apply(pod("shell", ["sh", "-c", "echo started; exec sleep 3600"]), namespace)
    cluster.kubectl("wait", "pod/shell", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    return namespace


def test_logs_with_tail_previous_and_timestamps(cluster: Cluster, namespace: str) -> None:
    cluster.apply(
        pod("talk", ["sh", "-c", "for i in 1 2 3; do echo line $i; done; exit 3"], restartPolicy="Never"), namespace
    )
    cluster.kubectl("wait", "pod/talk", "--for=jsonpath={.status.phase}=Failed", "-n", namespace, "--timeout=60s")
    assert cluster.output("logs", "talk", "-n", namespace) == "line 1\nline 2\nline 3"
    assert cluster.output("logs", "talk", "-n", namespace, "--tail=1") == "line 3"
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]+Z line 3", cluster.output("logs", "talk", "-n", namespace, "--tail=1", "--timestamps")
    )


def test_logs_follow_until_the_end(cluster: Cluster, namespace: str) -> None:
    cluster.apply(
        pod("slow", ["sh", "-c", "for i in 1 2 3 4; do echo tick $i; sleep 0.3; done"], restartPolicy="Never"),
        namespace,
    )
    cluster.kubectl("wait", "pod/slow", "--for=jsonpath={.status.phase}=Running", "-n", namespace, "--timeout=60s")
    assert cluster.output("logs", "-f", "slow", "-n", namespace).splitlines()[-1] == "tick 4"


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_exec_output_stdin_and_exit_codes(
    cluster: Cluster, shell: str, websockets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
    done = cluster.kubectl(
        "exec", "shell", "-n", shell, "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False
    )
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert "err\n" in done.stderr
    assert "command terminated with exit code 7" in done.stderr
    text = "x" * 100_000 + "\nend\n"
    done = cluster.kubectl("exec", "-i", "shell", "-n", shell, "--", "cat", stdin=text)
    assert done.stdout == text, "stdin's end must reach the command"


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_exec_with_a_terminal(cluster: Cluster, shell: str, websockets: str) -> None:
    # script(1) gives kubectl a terminal, as a person's shell does.
    kubectl = " ".join(
        cluster.kubectl_command("exec", "-it", "shell", "-n", shell, "--", "sh", "-c", "'tty; stty size'")
    )
    done = subprocess.run(
        ["script", "-qec", f"stty rows 33 cols 99; {kubectl}", "/dev/null"],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets, "HOME": "/root"},
    )  # fmt: skip
    assert "/dev/pts/0" in done.stdout, done.stdout + done.stderr


def test_exec_in_a_missing_container_says_so(cluster: Cluster, shell: str) -> None:
    done = cluster.kubectl("exec", "shell", "-c", "nope", "-n", shell, "--", "true", check=False)
    assert done.returncode != 0
    assert "nope" in done.stderr


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_port_forward(cluster: Cluster, namespace: str, websockets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
    cluster.apply(deployment("web", 1), namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    forward = subprocess.Popen(
        cluster.kubectl_command("port-forward", "deployment/web", "-n", namespace, ":8080"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert forward.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert found, "kubectl says which port it listens on"
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{found.group(1)}/", timeout=10) as answer:
                assert answer.read().decode().startswith("web-")
    finally:
        forward.terminate()
        forward.communicate(timeout=10)


def test_attach_sees_what_is_printed(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("clock", ["sh", "-c", "while true; do echo tick; sleep 0.2; done"]), namespace)
    cluster.kubectl("wait", "pod/clock", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    attached = subprocess.Popen(
        cluster.kubectl_command("attach", "clock", "-n", namespace), stdout=subprocess.PIPE, text=True
    )
    try:
        assert attached.stdout is not None
        assert eventually(lambda: "tick" in attached.stdout.readline(), "a line arrives", 20)
    finally:
        attached.terminate()
        attached.communicate(timeout=10)


def test_cp_brings_a_file_in(cluster: Cluster, shell: str, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("carried\n")
    done = cluster.kubectl("cp", str(path), f"{shell}/shell:/tmp/note.txt", check=False)
    assert done.returncode == 0, done.stderr
    assert cluster.output("exec", "shell", "-n", shell, "--", "cat", "/tmp/note.txt") == "carried"
