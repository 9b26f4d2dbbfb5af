"""`x-kubernetes-validations` of one schema node, compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tiphys.api import cel
from tiphys.api.cel.declarations import Declared
from tiphys.api.cel.errors import CompileError

EXTENSION: Final = "x-kubernetes-validations"


class Rule(msgspec.Struct, frozen=True):
    """One rule: its programs, or in words why it has none.

    given: the rule as the definition has it. A rule without an expression has neither program nor problem.
    uses_previous: it speaks of `oldSelf`; is_optional: and applies when there is none, too.
    """

    given: Mapping[str, Any]
    program: cel.Program | None = None
    problem: str = ""
    message: cel.Program | None = None
    message_problem: str = ""

    @property
    def uses_previous(self) -> bool:
        return self.program is not None and "oldSelf" in self.program.variables

    @property
    def is_optional(self) -> bool:
        return bool(self.given.get("optionalOldSelf"))


def compile_rules(given: Sequence[Mapping[str, Any]], declared: Declared) -> list[Rule]:
    """The rules on data of a type, in their order."""
    plain: cel.Environment | None = None
    optional: cel.Environment | None = None
    made: list[Rule] = []
    for rule in given:
        try:
            if rule.get("optionalOldSelf"):
                optional = optional or cel.Environment({"self": declared}, previous=declared)
                made.append(_compiled(rule, optional))
            else:
                plain = plain or cel.Environment({"self": declared, "oldSelf": declared})
                made.append(_compiled(rule, plain))
        except CompileError as error:
            made.append(Rule(rule, problem=f"compilation failed: {error}"))
    return made


def _compiled(given: Mapping[str, Any], environment: cel.Environment) -> Rule:
    if not given.get("rule", "").strip():
        return Rule(given)
    try:
        program = environment.compile(given["rule"])
    except CompileError as error:
        return Rule(given, problem=f"compilation failed: {error}")
    if program.result != "bool":
        return Rule(given, problem="cel expression must evaluate to a bool")
    if not given.get("messageExpression"):
        return Rule(given, program)
    try:
        message = environment.compile(given["messageExpression"])
    except CompileError as error:
        return Rule(given, program, message_problem=f"messageExpression compilation failed: {error}")
    if message.result != "string":
        return Rule(given, program, message_problem="messageExpression must evaluate to a string")
    return Rule(given, program, message=message)
