"""What this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

API_VERSION = "v1.36.0"
"""The Kubernetes API level that is served."""


def version() -> str:
    """Tiphys' own version; "0+source" when it runs from an uninstalled tree."""
    try:
        return installed("tiphys")
    except PackageNotFoundError:
        return "0+source"
