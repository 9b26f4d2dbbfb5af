"""What the apiserver says when a namespace is on its way out. Pure."""

from __future__ import annotations

from tiphys.api.errors import ApiError


def is_terminating_namespace(error: BaseException) -> bool:
    """Whether a creation was refused because its namespace is being deleted, or is gone."""
    if not isinstance(error, ApiError):
        return False
    details = error.status.details
    if details is None:
        return False
    if error.code == 404 and details.kind == "namespaces":
        return True
    return any(cause.reason == "NamespaceTerminating" for cause in details.causes)
