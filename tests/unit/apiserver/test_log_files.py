"""The log directory over HTTP, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.api.errors import ApiError
from tiphys.apiserver.log_files import LogFiles
from tiphys.base.http.messages import Headers, Request, Response, StreamResponse


class Collected:
    """A StreamWriter that keeps what it is given."""

    def __init__(self) -> None:
        self.coalesce = False
        self.closed = False
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def write_chunk(self, chunk: object) -> None:
        raise NotImplementedError

    async def drain(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


@pytest.fixture
def logs(tmp_path: Path) -> LogFiles:
    directory = tmp_path / "log"
    (directory / "pods").mkdir(parents=True)
    (directory / "a.log").write_text("one\n" * 100_000)
    (tmp_path / "secret").write_text("hidden")
    (directory / "out").symlink_to(tmp_path / "secret")
    (directory / "in").symlink_to(directory / "a.log")
    return LogFiles(str(directory))


def ask(logs: LogFiles, target: str, method: str = "GET") -> Response:
    answer = logs.serve(Request(method, target.encode(), Headers()))
    assert answer is not None
    return answer


@pytest.mark.parametrize("name", ["a.log", "in"])
async def test_a_file_is_streamed(logs: LogFiles, name: str) -> None:
    answer = ask(logs, f"/logs/{name}")
    assert isinstance(answer, StreamResponse)
    writer = Collected()
    await answer.run(writer)
    assert writer.data == b"one\n" * 100_000


def test_directories_are_listed(logs: LogFiles) -> None:
    answer = ask(logs, "/logs/")
    assert answer.content_type.startswith("text/html")
    assert b'<a href="a.log">a.log</a>' in answer.body
    assert b'<a href="pods/">pods/</a>' in answer.body
    moved = ask(logs, "/logs")
    assert (moved.status, moved.headers) == (301, ((b"Location", b"/logs/"),))


@pytest.mark.parametrize(
    "name", ["none", "../secret", "%2e%2e/secret", "/etc/passwd", "out", "pods/../../secret", "a%00"]
)
def test_nothing_beside_it_is_served(logs: LogFiles, name: str) -> None:
    assert ask(logs, f"/logs/{name}").status == 404


def test_only_reading(logs: LogFiles) -> None:
    with pytest.raises(ApiError) as refused:
        ask(logs, "/logs/a.log", "DELETE")
    assert refused.value.code == 405


def test_other_paths_are_others(logs: LogFiles) -> None:
    assert logs.serve(Request("GET", b"/logsmith", Headers())) is None


def test_a_machine_without_logs(tmp_path: Path) -> None:
    assert ask(LogFiles(str(tmp_path / "none")), "/logs/").status == 404
