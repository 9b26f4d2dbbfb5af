"""CEL, the language of rules: expressions are checked against declared types, priced, and evaluated under a bound.

Parsing, checking and evaluation are cel-expr-python's, the wheel of Google's C++ runtime. It has a type checker, and
its parser and checker speak the sentences of cel-go, which upstream answers with, positions included; an expression
compiles in 0.05 to 0.7 ms and evaluates in about 10 us; wheels exist for Python 3.11 to 3.14. What it lacks is made
here, around it and never beside it:

- declarations: schemas as the types that the checker knows (protobuf messages made on the fly).
- syntax: the checked tree, which the runtime hands out as cel.expr.CheckedExpr.
- costs: the static estimate that Kubernetes documents, from the tree and the schema's sizes.
- libraries: Kubernetes' own functions (lists, regex, url, quantity, ip, cidr, format, semver, sets).
- environments, programs: compile for any set of variables; evaluate with a budget.
- values: plain data as CEL sees it: renamed, typed, and only what is declared.

The runtime holds loops of one evaluation to 10,000 rounds in all and expressions to 32 levels, both less than upstream
allows; no evaluation can hang. Macros of two variables and sortBy do not exist in it: they are compile errors.
Pure: no I/O; a call never blocks longer than its bound.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tiphys.api.cel.declarations import DYN, Declared, declare
from tiphys.api.cel.errors import CompileError, CostExceeded, EvaluationError

if TYPE_CHECKING:
    from tiphys.api.cel.environments import Environment
    from tiphys.api.cel.programs import Program
    from tiphys.api.cel.values import align, expose
else:
    # The runtime is 25 MB of memory: it is loaded for the first expression, and most clusters have none.
    _LATER = {"Environment": "environments", "Program": "programs", "align": "values", "expose": "values"}

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
        globals()[name] = found
        return found


__all__ = [
    "DYN",
    "CompileError",
    "CostExceeded",
    "Declared",
    "Environment",
    "EvaluationError",
    "Program",
    "align",
    "declare",
    "expose",
]
