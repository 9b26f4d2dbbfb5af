"""A conversion webhook: v1's ``spec.hostPort`` "a:1" is v2's ``host`` and ``port``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.api import webhooks
from tests.conformance.api.running import RunningServer

Document = dict[str, Any]


class Splitter:
    """What it was asked, and how its answers are spoiled: for tests of what is refused."""

    def __init__(self) -> None:
        self.spoil: Callable[[Document], Any] | None = None
        self.client_config: Document = {}
        self.reviews: list[Document] = []

    @property
    def config(self) -> Document:
        """A definition's `spec.conversion`."""
        webhook = {"clientConfig": self.client_config, "conversionReviewVersions": ["v1"]}
        return {"strategy": "Webhook", "webhook": webhook}

    def answer(self, review: Document) -> Document:
        answer = webhooks.conversion(convert)(review)
        if self.spoil is not None:
            self.spoil(answer)
        return answer


def convert(obj: Document, wanted: str) -> Document:
    """As the webhook does it."""
    spec = obj.setdefault("spec", {})
    if wanted.endswith("/v2") and "hostPort" in spec:
        spec["host"], _, spec["port"] = spec.pop("hostPort").partition(":")
    elif wanted.endswith("/v1") and "host" in spec:
        spec["hostPort"] = f"{spec.pop('host')}:{spec.pop('port', '')}"
    return obj


@contextmanager
def splitter(server: RunningServer) -> Iterator[Splitter]:
    """The webhook, running on loopback."""
    made = Splitter()
    with webhooks.webhook(server, made.answer) as running:
        made.client_config, made.reviews = running.client_config, running.reviews
        yield made
