"""How compiling and evaluating fail, and the bounds beyond which they do."""

from __future__ import annotations

from typing import Final

MAXIMUM_CHARACTERS: Final = 100_000
"""The longest expression."""
PER_CALL_LIMIT: Final = 1_000_000
"""The most that one evaluation may cost."""
RUNTIME_BUDGET: Final = 10_000_000
"""The most that all rules of one object may cost."""


class CompileError(Exception):
    """An expression that is none, or not one of its variables. The text is upstream's, with lines and columns."""


class EvaluationError(Exception):
    """An expression that came to no value: ``no such key: name``."""


class CostExceeded(EvaluationError):
    """An evaluation that was stopped for what it cost."""
