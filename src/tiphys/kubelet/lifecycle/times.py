"""RFC 3339 times of the API to epoch seconds and back."""

from __future__ import annotations

from tiphys.base.clock import parse_rfc3339, rfc3339


def parse(text: str | None) -> float:
    """Epoch seconds; 0.0 for None or an empty text."""
    return parse_rfc3339(text) if text else 0.0


def render(seconds: float) -> str:
    """Whole seconds, as metav1.Time."""
    return rfc3339(seconds)
