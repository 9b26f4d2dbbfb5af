"""What every answer must be."""

from __future__ import annotations

import json
from typing import Final

import yaml

from tests.conformance.api.running import Answer
from tests.conformance.fuzz.requests import Asked

# What is not there, or took too long.
_EXPECTED: Final = frozenset({503, 504})


def problem(asked: Asked, answer: Answer) -> str:
    """What is wrong with an answer; "" if nothing is."""
    if answer.status < 400:
        return ""
    if answer.headers.get("content-type", "").startswith("application/json"):
        try:
            status = json.loads(answer.body)
        except ValueError:
            return f"a refusal that is not JSON: {answer.body[:300]!r}"
        if status.get("kind") != "Status" or status.get("code") != answer.status or not status.get("message"):
            return f"a refusal that is no Status: {answer.body[:300]!r}"
    if answer.status >= 500 and answer.status not in _EXPECTED and not _is_unclassified(answer):
        return f"{answer.status}: {answer.body[:500]!r}"
    return ""


def _is_unclassified(answer: Answer) -> bool:
    """True of refusals that upstream answers with 500 and no reason, and so do we; what failed inside has a reason."""
    if answer.status != 500:
        return False
    if "protobuf" in answer.headers.get("content-type", ""):
        return b"InternalError" not in answer.body
    told = yaml.safe_load(answer.body)  # which reads JSON as well
    return isinstance(told, dict) and told.get("kind") == "Status" and "reason" not in told
