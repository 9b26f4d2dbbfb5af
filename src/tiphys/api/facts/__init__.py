"""Schema facts: OpenAPI definitions of the served groups without prose.

What may enter: definitions.json, written by scripts/generate_api_types.py, and its loader.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec


@cache
def definitions() -> dict[str, dict[str, Any]]:
    """The definitions by name (``io.k8s.api.core.v1.Pod``), x-kubernetes-* keys included; never mutate them."""
    data = files(__name__).joinpath("definitions.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, dict[str, Any]])
