"""RFC 3339 times of the API to epoch seconds and back."""

from __future__ import annotations

from datetime import UTC, datetime


def parse(text: str | None) -> float:
    """Epoch seconds; 0.0 for None or an empty text."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def render(seconds: float) -> str:
    """Whole seconds, as metav1.Time."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render_micro(seconds: float) -> str:
    """Microseconds, as metav1.MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
