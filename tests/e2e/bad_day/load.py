"""Load that keeps accounts: clients from outside that note each failure, writers that note each acknowledgement."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.client import kubeconfig

REQUEST_SECONDS = 1.0
"""A client from outside gives up after so long; that counts as failed."""
WRITE_SECONDS = 5.0
PAUSE_SECONDS = 0.1


@dataclass
class Account:
    """What happened to one kind of request. Written by its threads, read by anybody."""

    name: str
    answered: list[float] = field(default_factory=list)
    """When each answer came, monotonic; in order but for threads that cross."""
    failed: list[tuple[float, str]] = field(default_factory=list)

    def failures(self, since: float, until: float) -> int:
        return sum(since <= when < until for when, _ in self.failed)

    def longest_outage_seconds(self, since: float, until: float) -> float:
        """The longest time in which nothing was answered, be it that requests failed or that they waited."""
        answers = sorted([since, *(when for when in self.answered if since <= when < until), until])
        return max(after - before for before, after in itertools.pairwise(answers))


class Load:
    """Threads that ask until `close`. Each calls its request over and over; an exception of its is a failure."""

    def __init__(self) -> None:
        self.accounts: list[Account] = []
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def add(self, name: str, request: Callable[[], None], threads: int = 1) -> Account:
        account = Account(name)
        self.accounts.append(account)
        self._start(account, [request] * threads)
        return account

    def add_writers(self, name: str, writers: list[Writer]) -> Account:
        account = Account(name)
        self.accounts.append(account)
        self._start(account, [writer.write for writer in writers])
        return account

    def close(self) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join(WRITE_SECONDS * 3)

    def _start(self, account: Account, requests: list[Callable[[], None]]) -> None:
        for request in requests:
            thread = threading.Thread(target=self._ask, args=(account, request), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _ask(self, account: Account, request: Callable[[], None]) -> None:
        while not self._closed.is_set():
            try:
                request()
            except (OSError, http.client.HTTPException, ValueError) as error:
                account.failed.append((time.monotonic(), f"{type(error).__name__}: {error}"))
            else:
                account.answered.append(time.monotonic())
            self._closed.wait(PAUSE_SECONDS)


def get(address: str, port: int) -> Callable[[], None]:
    """One GET on a connection of its own; anything but 200 within a second is an error."""

    def ask() -> None:
        connection = http.client.HTTPConnection(address, port, timeout=REQUEST_SECONDS)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
        finally:
            connection.close()

    return ask


class Writer:
    """Writes ConfigMaps through the API, each once, and a counter that only grows; remembers what was acknowledged."""

    def __init__(self, config: Path, namespace: str, name: str) -> None:
        self._config = kubeconfig.load(config)
        self._context = self._config.tls_context()
        self._base = f"/api/v1/namespaces/{namespace}/configmaps"
        self._name = name
        self._number = 0
        self._connection: http.client.HTTPSConnection | None = None
        self.acknowledged: set[str] = set()
        self.counted = -1
        """The last value of the counter that was acknowledged."""

    def write(self) -> None:
        """Make one ConfigMap, every fifth time set the counter. An error says nothing of whether it was done."""
        self._number += 1
        try:
            if self._number % 5 == 1:
                counter = f"{self._name}-counter"
                if self.counted < 0:
                    self._ask("POST", self._base, counter, 0, (201, 409))
                    self.counted = 0
                self._ask("PUT", f"{self._base}/{counter}", counter, self._number, (200,))
                self.counted = self._number
            else:
                name = f"{self._name}-{self._number}"
                self._ask("POST", self._base, name, self._number, (201,))
                self.acknowledged.add(name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up; the next write connects again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def lost(self, stored: dict[str, str]) -> list[str]:
        """Which acknowledged writes are not in the ConfigMaps `stored` (name to number)."""
        lost = sorted(self.acknowledged - stored.keys())
        counter = f"{self._name}-counter"
        if self.counted >= 0 and int(stored.get(counter, -1)) < self.counted:
            lost.append(f"{counter}={self.counted}")
        return lost

    def _ask(self, method: str, path: str, name: str, number: int, expected: tuple[int, ...]) -> None:
        if self._connection is None:
            server = urllib.parse.urlsplit(self._config.server)
            assert server.hostname is not None
            self._connection = http.client.HTTPSConnection(
                server.hostname, server.port, timeout=WRITE_SECONDS, context=self._context
            )
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(number)}}
        self._connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status not in expected:
            raise ValueError(f"status {answer.status}: {said[:200]!r}")
