"""How much of a cluster a user's namespace may use: a ResourceQuota, and a LimitRange so that pods need not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import LimitRange, LimitRangeItem, LimitRangeSpec, ResourceQuota, ResourceQuotaSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client.client import Client
from tiphys.cmd.config import ConfigError

NAME: Final = "tiphys-user"
_DEFAULT_REQUESTS: Final = {"cpu": "100m", "memory": "64Mi"}
_DEFAULT_LIMITS: Final = {"cpu": "500m", "memory": "256Mi"}


@dataclass(frozen=True, slots=True)
class Quota:
    """Quantities as text; "" leaves that resource unlimited."""

    cpu: str = ""
    memory: str = ""
    storage: str = ""
    pods: str = ""

    def __post_init__(self) -> None:
        for flag, text in (("cpu", self.cpu), ("memory", self.memory), ("storage", self.storage), ("pods", self.pods)):
            if not text:
                continue
            try:
                positive = Quantity(text).milli > 0
            except ValueError:
                positive = False
            if not positive:
                raise ConfigError(f"--quota-{flag} {text} is not a positive quantity such as 2, 500m or 4Gi")

    def hard(self) -> dict[str, Quantity]:
        """By the names a ResourceQuota has. Limits are bounded as requests are: nobody takes more than their share."""
        given = {
            "requests.cpu": self.cpu,
            "limits.cpu": self.cpu,
            "requests.memory": self.memory,
            "limits.memory": self.memory,
            "requests.storage": self.storage,
            "pods": self.pods,
        }
        return {name: Quantity(text) for name, text in given.items() if text}


async def ensure_quota(client: Client, namespace: str, quota: Quota) -> None:
    """Give the namespace this quota; none asked for: what is there stays. Raises ApiError."""
    hard = quota.hard()
    if not hard:
        return
    meta = ObjectMeta(name=NAME, namespace=namespace)
    await _ensure(client, ResourceQuota(metadata=meta, spec=ResourceQuotaSpec(hard=hard)))
    bounded = [name for name, text in (("cpu", quota.cpu), ("memory", quota.memory)) if text]
    if bounded:
        limits = {name: _smaller(_DEFAULT_LIMITS[name], hard[f"limits.{name}"]) for name in bounded}
        requests = {name: _smaller(_DEFAULT_REQUESTS[name], limits[name]) for name in bounded}
        item = LimitRangeItem(type="Container", default=limits, default_request=requests)
        await _ensure(client, LimitRange(metadata=meta, spec=LimitRangeSpec(limits=(item,))))


def _smaller(text: str, bound: Quantity) -> Quantity:
    quantity = Quantity(text)
    return quantity if quantity.milli < bound.milli else bound


async def _ensure(client: Client, wanted: ResourceQuota | LimitRange) -> None:
    try:
        await client.create(wanted)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        kind: type[Any] = type(wanted)
        found = await client.get(kind, NAME, wanted.metadata.namespace or "")
        if found.spec != wanted.spec:
            await client.update(msgspec.structs.replace(found, spec=wanted.spec))
