"""An operator written with oper8, as its documentation shows; a program of the operators' environment.

A Greeter wants a ConfigMap with its text, and a Deployment after that.
"""

from __future__ import annotations

from typing import Any

import oper8  # type: ignore[import-not-found, unused-ignore]


@oper8.component(name="text")
class Text(oper8.Component):  # type: ignore[misc, unused-ignore]
    def build_chart(self, session: Any) -> None:
        text = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": session.name}}
        self.add_resource("text", text | {"data": {"text": session.spec.text}})


@oper8.component(name="speaker")
class Speaker(oper8.Component):  # type: ignore[misc, unused-ignore]
    def build_chart(self, session: Any) -> None:
        labels = {"greeter": session.name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "any:1"}]}}
        self.add_resource(
            "speaker",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": session.name},
                "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
            },
        )


@oper8.controller(group="sample.tiphys.io", version="v1", kind="Greeter")
class GreeterController(oper8.Controller):  # type: ignore[misc, unused-ignore]
    def setup_components(self, session: Any) -> None:
        text, speaker = Text(session=session), Speaker(session=session)
        session.add_component_dependency(speaker, text)
