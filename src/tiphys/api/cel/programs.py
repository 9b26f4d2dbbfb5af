"""Running what was compiled: under a bound, its errors in upstream's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tiphys.api.cel.costs import Cost
from tiphys.api.cel.errors import CostExceeded, EvaluationError

_STATUS: Final = re.compile(r"\A[A-Z_]+: (.*?)(?: \[[A-Z_]+\])?\Z", re.DOTALL)
_WORDS: Final = (
    (re.compile(r'Key not found in map : "(.*)"\Z', re.DOTALL), r"no such key: \1"),
    (re.compile(r"Key not found in map : (.*)\Z", re.DOTALL), r"no such key: \1"),
    (re.compile(r"Index error: index=(-?\d+) size=\d+\Z"), r"index out of bounds: \1"),
    (re.compile(r"No matching overloads found.*", re.DOTALL), "no such overload"),
    (re.compile(r"divide by zero\Z"), "division by zero"),
    (re.compile(r"(?:integer|int64|uint64|unsigned integer) overflow\Z"), "integer overflow"),
    (re.compile(r"invalid regular expression: .*", re.DOTALL), "no match for the regular expression: it is malformed"),
)
_SCALARS: Final = frozenset(("BOOL", "INT", "UINT", "DOUBLE", "STRING", "BYTES", "NULL"))
_OVER: Final = ("Iteration budget exceeded", "recursion limit exceeded")


class Program:
    """An expression, ready.

    result: the type it evaluates to, in cel-go's words. cost: the static estimate; variables: those that it names.
    Safe to share; an evaluation keeps nothing.
    """

    __slots__ = ("_is_plain", "_previous", "_program", "cost", "result", "variables")

    def __init__(
        self, program: Any, result: str, cost: Cost, variables: frozenset[str], *, is_plain: bool, previous: str = ""
    ) -> None:
        self._program = program
        self._is_plain = is_plain
        self._previous = previous
        self.result = result
        self.cost = cost
        self.variables = variables

    def evaluate(self, bindings: Mapping[str, Any]) -> Any:
        """The value, as plain Python; an optional `oldSelf` is absent if it is not among the bindings.

        Raises EvaluationError; CostExceeded if the loops in it went on for too long.
        """
        program = self._program
        if self._previous:
            given = [bindings["oldSelf"]] if "oldSelf" in bindings else []
            bindings = {**bindings, self._previous: given}
        try:
            value = program.eval(data=bindings)
            name = value.type().name()
            if name in _SCALARS or (self._is_plain and name != "ERROR"):
                return value.plain_value()
            # The runtime ends the process if it is asked for the plain form of what has none.
            text = (
                str(value.value()) if name == "ERROR" else f"a value of type {name} has no form outside of expressions"
            )
        except Exception as error:
            text = str(error)
        match = _STATUS.match(text)
        text = match.group(1) if match else text
        if any(part in text for part in _OVER):
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
        for pattern, words in _WORDS:
            if pattern.match(text):
                text = pattern.sub(words, text)
                break
        raise EvaluationError(text)
