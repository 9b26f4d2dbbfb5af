"""What schemathesis must know of the API: how long a watch may take, and which refusals are not the server's fault.

Loaded by schemathesis in the operators' environment, not by the project.
"""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Watches end after a second."""
    if query and "watch" in query:
        query["timeoutSeconds"] = 1
    return query


@schemathesis.check
def answered_well(context: Any, response: Any, case: Any) -> None:
    """No 5xx but those that say what is not there or took too long, and refusals without a reason, as upstream's."""
    if response.status_code >= 500 and response.status_code not in (503, 504):
        unclassified = response.status_code == 500 and '"reason"' not in response.text
        assert unclassified, f"{response.status_code}: {response.text[:500]}"
