"""What a conversion webhook answered is kept within a bound, however often it was asked."""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.api import codec
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.apiserver.customresources import conversion
from tiphys.apiserver.customresources.conversion import Converter

_DEFINITION = {
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "things", "kind": "Thing"},
        "conversion": {
            "strategy": "Webhook",
            "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://example.com/convert"}},
        },
    },
}


class Echo:
    """A webhook that changes versions, and takes its time."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, config: Any, question: bytes, timeout_seconds: float) -> bytes:
        self.asked += 1
        request = codec.decode_any(question)["request"]
        await asyncio.sleep(0)
        converted = [one | {"apiVersion": request["desiredAPIVersion"]} for one in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": converted}
        review = {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response}
        return codec.encode_any(review)


def thing(number: int) -> bytes:
    data = {"kind": "Thing", "apiVersion": "example.com/v1", "metadata": {"name": f"n{number}", "resourceVersion": "1"}}
    return codec.encode_any({**data, "spec": {"text": "x" * 200}})


async def test_many_who_ask_for_the_same_at_once_do_not_overfill_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(conversion, "_KEPT_BYTES", 2_000)
    echo = Echo()
    definition = codec.from_dict(CustomResourceDefinition, _DEFINITION)
    converter = Converter(definition, echo, lambda data, version: None, one_schema=True)  # type: ignore[arg-type]
    for _ in range(10):
        answers = await asyncio.gather(*(converter.convert([thing(0)], "v2") for _ in range(5)))
        assert all(b'"apiVersion":"example.com/v2"' in answer for (answer,) in answers)
    assert echo.asked == 5
    for number in range(20):
        await converter.convert([thing(number)], "v2")
    assert converter.ready([thing(19)], "v2") is not None
    assert converter.ready([thing(0)], "v2") is None
