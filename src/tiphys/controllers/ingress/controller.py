"""Keeps the proxies' configuration (one Secret) and the Ingresses' statuses true."""

from __future__ import annotations

import asyncio
import base64
import datetime
from typing import Any, Final

from tiphys.api.codec import to_dict
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Secret, Service, ServicePort
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.networking_v1 import Ingress, IngressClass, IngressLoadBalancerIngress
from tiphys.base.tasks import Supervisor
from tiphys.client import NORMAL, WARNING, Informer, ObjectKey, key_of
from tiphys.controllers.ingress import nginx
from tiphys.controllers.ingress.certificates import bundle, self_signed
from tiphys.controllers.ingress.reconcile import (
    NAMESPACE,
    SECRET,
    SERVICE,
    TLS_SECRET,
    Plan,
    Problem,
    class_names,
    is_ours,
    plan,
)
from tiphys.controllers.runtime import Environment, KeyedController

GATHER_SECONDS: Final = 0.2
"""How long changes are gathered: a reload starts new workers, so that ten changes at once should not be ten."""
BY_SERVICE: Final = "ingress-service"
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
_CONFIG: Final = ObjectKey("", "configuration")


class IngressController(KeyedController):
    """Does nothing until there is an IngressClass of ours."""

    name = "ingress-controller"
    workers = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("ingress-controller")
        self._ingresses = environment.informer(Ingress)
        self._classes = environment.informer(IngressClass)
        self._services = environment.informer(Service)
        self._slices = environment.informer(EndpointSlice)
        self._secrets: Informer[Secret] = Informer(
            environment.client, Secret, field_selector=f"type={TLS_SECRET}", clock=environment.clock
        )
        self._plan = Plan()
        self._told: set[Problem] = set()
        self._slices.add_index(BY_SERVICE, _service_of)
        for informer in (self._ingresses, self._classes):
            informer.add_handler(on_add=self._changed, on_update=self._updated, on_delete=self._changed)
        self._services.add_handler(
            on_add=self._service_changed, on_update=lambda _, new: self._service_changed(new),
            on_delete=self._service_changed,
        )  # fmt: skip
        self._slices.add_handler(
            on_add=self._slice_changed, on_update=lambda _, new: self._slice_changed(new), on_delete=self._slice_changed
        )
        self._secrets.add_handler(
            on_add=self._secret_changed, on_update=lambda _, new: self._secret_changed(new),
            on_delete=self._secret_changed,
        )  # fmt: skip

    async def run(self) -> None:
        async with Supervisor(self.name) as supervisor:
            supervisor.spawn(self._secrets.run, "secrets")
            await self._secrets.wait_synced()
            self._look()
            await super().run()

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.queue.add_after(_CONFIG, GATHER_SECONDS)

    def _changed(self, _: Any) -> None:
        self._look()

    def _updated(self, old: Any, new: Any) -> None:
        # Statuses are our own writing.
        if old.spec != new.spec or old.metadata.annotations != new.metadata.annotations:
            self._look()

    def _service_changed(self, service: Service) -> None:
        key = key_of(service)
        if (key.namespace, key.name) in self._plan.services or key == (NAMESPACE, SERVICE):
            self._look()

    def _slice_changed(self, slice_: EndpointSlice) -> None:
        for text in _service_of(slice_):
            namespace, _, name = text.partition("/")
            if (namespace, name) in self._plan.services:
                self._look()

    def _secret_changed(self, secret: Secret) -> None:
        if (secret.metadata.namespace or "", secret.metadata.name or "") in self._plan.secrets:
            self._look()

    # -- what a plan is made from ------------------------------------------------------------------------------------

    def service(self, namespace: str, name: str) -> Service | None:
        return self._services.get(name, namespace)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return self._secrets.get(name, namespace)

    def endpoints(self, namespace: str, name: str, port: ServicePort) -> tuple[str, ...]:
        found = set()
        for slice_ in self._slices.by_index(BY_SERVICE, f"{namespace}/{name}"):
            numbers = [p.port for p in slice_.ports if (p.name or "") == (port.name or "") and p.port]
            for endpoint in slice_.endpoints if slice_.address_type == "IPv4" else ():
                if endpoint.conditions.ready is not False:
                    found |= {f"{address}:{number}" for address in endpoint.addresses[:1] for number in numbers}
        return tuple(sorted(found))

    # -- doing -------------------------------------------------------------------------------------------------------

    async def sync(self, key: ObjectKey) -> None:
        names, default = class_names(self._classes.list())
        if not names:
            self._plan = Plan()
            return
        ours = [i for i in self._ingresses.list() if is_ours(i, names, default)]
        self._plan = plan(ours, self, bundle)
        await self._write(self._plan)
        by_key = {(i.metadata.namespace or "", i.metadata.name or ""): i for i in ours}
        for problem in self._plan.problems:
            if problem not in self._told:
                ingress = by_key[problem.namespace, problem.name]
                self._recorder.event(ingress, WARNING, problem.reason, problem.message)
        self._told = set(self._plan.problems)
        await self._publish(ours)

    async def _write(self, made: Plan) -> None:
        current = await self._current()
        default = base64.b64decode(current.data.get(nginx.DEFAULT_CERTIFICATE, "")) if current else b""
        if not default:
            now = datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC)
            default = await asyncio.to_thread(self_signed, now)
        data = {
            n: base64.b64encode(content).decode() for n, content in nginx.files(made, default, self._resolver()).items()
        }
        if current is None:
            meta = ObjectMeta(name=SECRET, namespace=NAMESPACE)
            await self._client.create(Secret(metadata=meta, type="Opaque", data=data))
        elif current.data != data:
            current.data = data
            await self._client.update(current)

    def _resolver(self) -> str:
        service = self._services.get("kube-dns", "kube-system")
        return (service and service.spec.cluster_ip) or ""

    async def _current(self) -> Secret | None:
        try:
            return await self._client.get(Secret, SECRET, NAMESPACE)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def _publish(self, ours: list[Ingress]) -> None:
        """Every Ingress has the addresses of the proxies' Service."""
        service = self._services.get(SERVICE, NAMESPACE)
        published = service.status.load_balancer.ingress if service else ()
        wanted = tuple(IngressLoadBalancerIngress(ip=i.ip, hostname=i.hostname) for i in published)
        for ingress in ours:
            if ingress.status.load_balancer.ingress == wanted:
                continue
            key = key_of(ingress)
            status = {"loadBalancer": {"ingress": [to_dict(one) for one in wanted] or None}}
            try:
                await self._client.patch(
                    Ingress, key.name, key.namespace, {"status": status}, type="merge", subresource="status"
                )
            except ApiError as error:
                if error.code != 404:
                    raise
                continue
            self._recorder.event(ingress, NORMAL, "Sync", "Scheduled for sync")


def _service_of(slice_: EndpointSlice) -> list[str]:
    name = slice_.metadata.labels.get(SERVICE_NAME_LABEL)
    return [f"{slice_.metadata.namespace}/{name}"] if name else []
