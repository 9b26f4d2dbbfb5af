"""The process's metrics, in Prometheus' text format. Names are upstream's where the same thing is measured."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

REGISTRY = CollectorRegistry(auto_describe=True)
"""Where components register: ``Counter("apiserver_request_total", "…", ["verb"], registry=REGISTRY)``."""

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def render(registry: CollectorRegistry = REGISTRY) -> bytes:
    """What GET /metrics answers, of content type `CONTENT_TYPE`."""
    return generate_latest(registry)
