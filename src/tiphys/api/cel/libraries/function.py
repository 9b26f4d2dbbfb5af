"""One function of a library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Function(NamedTuple):
    """One overload.

    parameters, result: types as text: ``string``, ``list(int)``, ``optional(string)``, ``~A`` (any one type), or the
    name of a message. The first parameter of a member is what it is called on.
    run: what computes it; None if something else does, or nothing here (it can be checked, not evaluated).
    runs_on: the parameters at run time where the runtime tells overloads apart by less than the checker does;
    overloads that agree in these are one function there, and the first row's `run` is it.
    wraps: the result is optional; `run` returns a list of it or of nothing.
    """

    name: str
    overload: str
    parameters: tuple[str, ...]
    result: str
    run: Callable[..., Any] | None = None
    is_member: bool = True
    runs_on: tuple[str, ...] = ()
    wraps: bool = False
