"""The metrics server, put together: ``MetricsServer(client, config).run()``."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, TypeVar

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.api.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.http.server import HttpServer
from tiphys.base.http.tls import client_context, server_context
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.informer import Informer
from tiphys.metrics.api import MetricsApi
from tiphys.metrics.config import NAMESPACE, PORT_NAME, SERVICE, MetricsServerConfig
from tiphys.metrics.delegation import CONFIG_MAP, Delegated, FrontProxy
from tiphys.metrics.kubelets import Kubelets

_logger = get_logger(__name__)
T = TypeVar("T")
_MANAGED_BY: Final = {
    "kubernetes.io/service-name": SERVICE,
    "endpointslice.kubernetes.io/managed-by": "metrics-server.tiphys.io",
}
_FAREWELL_SECONDS: Final = 2.0


class MetricsServer:
    """Any number may run: each has an EndpointSlice of its own at the Service, which it keeps while it runs."""

    def __init__(self, client: Client, config: MetricsServerConfig, *, clock: Clock | None = None) -> None:
        self._client = client
        self._config = config
        self._clock = clock or SystemClock()
        self.port = 0

    async def run(self) -> None:
        """Serve until cancelled. Waits for an apiserver that says who its front proxies are."""
        backoff = Backoff(initial_seconds=0.2, maximum_seconds=5.0)
        while True:
            try:
                published = await self._client.get(ConfigMap, CONFIG_MAP, NAMESPACE)
                front_proxy = FrontProxy.of(published)
            except (ApiError, OSError, TimeoutError, ValueError) as error:
                _logger.info("waiting for the apiserver", error=str(error) or type(error).__name__)
                await self._clock.sleep(backoff.next_seconds())
                continue
            await self._serve(published, front_proxy)
            _logger.info("front proxies changed: serving anew")

    async def _serve(self, published: ConfigMap, front_proxy: FrontProxy) -> None:
        """Serve until what is published of front proxies changes."""
        config = self._config
        access = config.kubelet_access
        to_kubelets = client_context(ca=access.ca_data, certificate=access.client_cert_data, key=access.client_key_data)
        kubelets = Kubelets(self._client, to_kubelets, self._clock)
        api = MetricsApi(self._client, kubelets, Delegated(self._client, front_proxy, self._clock))
        tls = server_context(config.certificate, config.key, client_ca=front_proxy.ca)
        server = HttpServer(api.handle, tls=tls)
        self.port = await server.start(config.bind_address, config.port)
        _logger.info("serving", address=config.address, port=self.port)
        try:
            await self._keep_published(published)
        finally:
            with contextlib.suppress(ApiError, OSError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await self._client.delete(EndpointSlice, self._slice_name, NAMESPACE)
            await server.close(grace_seconds=1.0)
            await kubelets.close()

    @property
    def _slice_name(self) -> str:
        return f"{SERVICE}-{self._config.identity}"

    async def _keep_published(self, served: ConfigMap) -> None:
        """Be an endpoint of the Service, again whenever somebody removes or changes it. Returns when `served`, by which
        we know front proxies, is out of date."""
        changed = asyncio.Event()
        own = self._one(EndpointSlice, self._slice_name, changed)
        settings = self._one(ConfigMap, CONFIG_MAP, changed)
        async with Supervisor("metrics-server") as tasks:
            tasks.spawn(own.run, "endpoint")
            tasks.spawn(settings.run, "front-proxies")
            await own.wait_synced()
            await settings.wait_synced()
            while True:
                changed.clear()
                current = settings.get(CONFIG_MAP, NAMESPACE)
                if current is not None and current.data != served.data:
                    return
                await self._publish(own.get(self._slice_name, NAMESPACE))
                await changed.wait()

    def _one(self, kind: type[T], name: str, changed: asyncio.Event) -> Informer[T]:
        """An informer of one object."""
        informer = Informer(
            self._client, kind, namespace=NAMESPACE, field_selector=f"metadata.name={name}", clock=self._clock
        )
        informer.add_handler(
            on_add=lambda _: changed.set(), on_update=lambda *_: changed.set(), on_delete=lambda _: changed.set()
        )
        return informer

    async def _publish(self, found: EndpointSlice | None) -> None:
        wanted = EndpointSlice(
            metadata=ObjectMeta(name=self._slice_name, namespace=NAMESPACE, labels=dict(_MANAGED_BY)),
            address_type="IPv6" if ":" in self._config.address else "IPv4",
            endpoints=(
                Endpoint(
                    addresses=(self._config.address,),
                    conditions=EndpointConditions(ready=True, serving=True, terminating=False),
                ),
            ),
            ports=(EndpointPort(name=PORT_NAME, port=self.port, protocol="TCP"),),
        )
        try:
            if found is None:
                await self._client.create(wanted)
            elif (found.endpoints, found.ports) != (wanted.endpoints, wanted.ports):
                await self._client.update(msgspec.structs.replace(wanted, metadata=found.metadata))
        except ApiError as error:
            # Somebody else was quicker; the informer will show what is there now.
            if error.code not in (404, 409):
                raise
