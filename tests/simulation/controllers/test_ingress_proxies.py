"""The proxies' configuration follows Ingresses, Services, endpoints and certificates, and rests when they do."""

from __future__ import annotations

import asyncio
import base64
import datetime
from typing import Any

import pytest

from tests.simulation.controllers.test_over_time import Counted
from tests.simulation.controllers.test_under_faults import bare, rolled_out
from tests.simulation.controllers.world import World, world
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Event, LoadBalancerIngress, Namespace, Secret, Service
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.networking_v1 import Ingress, IngressClass
from tiphys.client import Client
from tiphys.controllers.ingress.certificates import self_signed
from tiphys.controllers.ingress.reconcile import NAMESPACE, SECRET, SERVICE
from tiphys.testing import builders, virtual_time

PEM = base64.b64encode(self_signed(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))).decode()


async def start(w: World) -> None:
    await w.client.create(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
    wire = {"metadata": {"name": "tiphys"}, "spec": {"controller": "tiphys.io/ingress"}}
    await w.client.create(from_dict(IngressClass, wire))
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    front = {"type": "LoadBalancer", "loadBalancerClass": "example.com/x", "ports": ports}
    made = await w.client.create(
        from_dict(Service, {"metadata": {"name": SERVICE, "namespace": NAMESPACE}, "spec": front})
    )
    made.status.load_balancer.ingress = (LoadBalancerIngress(ip="203.0.113.7"),)
    await w.client.update_status(made)


async def publish(w: World, **spec: Any) -> None:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": "web.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    wanted = {"ingressClassName": "tiphys", "rules": [rule], **spec}
    await w.client.create(from_dict(Ingress, {"metadata": {"name": "web", "namespace": "x"}, "spec": wanted}))


async def configuration(w: World) -> str:
    found = await w.client.get(Secret, SECRET, NAMESPACE)
    return base64.b64decode(found.data["nginx.conf"]).decode()


async def says(w: World, text: str) -> bool:
    if await w.is_gone(Secret, SECRET, NAMESPACE):
        return False
    return text in await configuration(w)


async def told(w: World, reason: str) -> bool:
    events = (await w.client.list(Event, "x")).items
    return any(e.reason == reason and e.involved_object.kind == "Ingress" for e in events)


@pytest.mark.parametrize("faults", [0.0, 0.1])
def test_from_nothing_to_served_and_back(faults: float) -> None:
    async def scenario() -> None:
        async with world(faults=faults) as w:
            await start(w)
            await w.until(lambda: says(w, "healthz"))
            await publish(w, tls=[{"hosts": ["web.example.com"], "secretName": "web-tls"}])
            await w.until(lambda: says(w, 'server_name "web.example.com"'))
            await w.until(lambda: told(w, "ServiceNotFound"))
            await w.until(lambda: told(w, "SecretNotFound"))
            assert await says(w, "return 503")
            ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]
            wire = {"metadata": {"name": "web", "namespace": "x"}, "spec": {"ports": ports, "selector": {"app": "web"}}}
            service = await w.client.create(from_dict(Service, wire))
            await w.client.create(bare(builders.deployment(replicas=2)))
            await w.until(lambda: rolled_out(w, "web", 2))
            await w.until(lambda: says(w, f"server {service.spec.cluster_ip}:80"))
            meta = ObjectMeta(name="web-tls", namespace="x")
            await w.client.create(
                Secret(metadata=meta, type="kubernetes.io/tls", data={"tls.crt": PEM, "tls.key": PEM})
            )
            await w.until(lambda: shows_its_own(w))
            found = await w.client.get(Ingress, "web", "x")
            await w.until(lambda: has_address(w))
            assert found.spec.ingress_class_name == "tiphys"
            await w.client.delete(Ingress, "web", "x")
            await w.until(lambda: forgotten(w, "web.example.com"))

    async def has_address(w: World) -> bool:
        status = (await w.client.get(Ingress, "web", "x")).status
        return [i.ip for i in status.load_balancer.ingress] == ["203.0.113.7"]

    async def shows_its_own(w: World) -> bool:
        server = (await configuration(w)).partition('server_name "web.example.com"')[2].partition("location")[0]
        return "ssl_certificate" in server and "default.pem" not in server

    async def forgotten(w: World, text: str) -> bool:
        return text not in await configuration(w)

    virtual_time.run(scenario())


def test_changes_of_endpoints_alone_write_nothing() -> None:
    async def scenario() -> None:
        async with world() as w:
            await start(w)
            await publish(w)
            ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]
            wire = {"metadata": {"name": "web", "namespace": "x"}, "spec": {"ports": ports, "selector": {"app": "web"}}}
            await w.client.create(from_dict(Service, wire))
            await w.client.create(bare(builders.deployment(replicas=2)))
            await w.until(lambda: rolled_out(w, "web", 2))
            await w.until(lambda: says(w, "x_web_80"))
            await asyncio.sleep(5)
            before = (await w.client.get(Secret, SECRET, NAMESPACE)).metadata.resource_version
            pods = await w.pods(app="web")
            await w.client.delete(type(pods[0]), pods[0].metadata.name or "", "x")
            await asyncio.sleep(30)
            assert (await w.client.get(Secret, SECRET, NAMESPACE)).metadata.resource_version == before
            asked = Counted(Client(w.network))
            await asyncio.sleep(200)
            assert asked.methods == {}

    virtual_time.run(scenario())
