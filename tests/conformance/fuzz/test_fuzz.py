"""A few seconds of random requests; `scripts/fuzz_api.py` goes on for as long as you like."""

from __future__ import annotations

import random
import time

from tests.conformance.api.running import RunningServer
from tests.conformance.fuzz.checks import problem
from tests.conformance.fuzz.requests import NAMESPACE, Requests

_SECONDS = 8
_SLOW_SECONDS = 5


def test_no_request_is_answered_with_an_internal_error(server: RunningServer) -> None:
    server.raw("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    server.raw("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    seed = random.randrange(2**32)
    requests, until, asked_count = Requests(seed), time.monotonic() + _SECONDS, 0
    while time.monotonic() < until:
        asked = requests.next()
        began = time.monotonic()
        answer = server.raw(asked.method, asked.path, asked.body, asked.headers)
        took = time.monotonic() - began
        wrong = problem(asked, answer) or (f"took {took:.1f} s" if took > _SLOW_SECONDS else "")
        assert not wrong, f"seed {seed}, request {asked_count}: {wrong}\n{asked}"
        asked_count += 1
    assert asked_count > 200, "the server is too slow for this to say anything"
    assert server.raw("GET", "/readyz").status == 200
