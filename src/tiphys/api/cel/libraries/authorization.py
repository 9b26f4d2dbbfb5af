"""Questions to the authorizer, in expressions of admission. Declared here; whoever evaluates them answers."""

from __future__ import annotations

from typing import Final

from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.type_names import AUTHORIZER, DECISION, GROUP_CHECK, PATH_CHECK, RESOURCE_CHECK

_NARROWED: Final = ("subresource", "namespace", "name", "fieldSelector", "labelSelector")

FUNCTIONS: Final = (
    Function("path", "authorizer_path", (AUTHORIZER, "string"), PATH_CHECK),
    Function("group", "authorizer_group", (AUTHORIZER, "string"), GROUP_CHECK),
    Function("serviceAccount", "authorizer_serviceaccount", (AUTHORIZER, "string", "string"), AUTHORIZER),
    Function("resource", "groupcheck_resource", (GROUP_CHECK, "string"), RESOURCE_CHECK),
    *(
        Function(name, f"resourcecheck_{name.lower()}", (RESOURCE_CHECK, "string"), RESOURCE_CHECK)
        for name in _NARROWED
    ),
    Function("check", "pathcheck_check", (PATH_CHECK, "string"), DECISION),
    Function("check", "resourcecheck_check", (RESOURCE_CHECK, "string"), DECISION),
    Function("allowed", "decision_allowed", (DECISION,), "bool"),
    Function("reason", "decision_reason", (DECISION,), "string"),
    Function("errored", "decision_errored", (DECISION,), "bool"),
    Function("error", "decision_error", (DECISION,), "string"),
)
