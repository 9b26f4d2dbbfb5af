"""Routes of the node server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tiphys.api import codec
from tiphys.api.codec import ObjectList
from tiphys.api.types.core_v1 import Pod
from tiphys.base import metrics
from tiphys.base.clock import Clock
from tiphys.base.http.messages import Request, Response
from tiphys.base.http.server import HttpServer
from tiphys.base.logging import get_logger
from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.lifecycle.state import Step
from tiphys.kubelet.pods.manager import PodManager
from tiphys.kubelet.pods.worker import PodWorker
from tiphys.kubelet.server import streams
from tiphys.kubelet.server.answers import Refused, plain
from tiphys.kubelet.server.authorization import Denied, NodeAuthorizer
from tiphys.kubelet.server.logs import container_logs
from tiphys.kubelet.server.measured import Measured

RUN_TIMEOUT_SECONDS: Final = 60.0
_logger = get_logger(__name__)


class NodeServer:
    """``/pods /healthz /containerLogs /exec /attach /portForward /run /stats/summary``, and below ``/metrics``
    ``resource`` and ``cadvisor``."""

    def __init__(
        self,
        runtime: Runtime,
        config: KubeletConfig,
        pods: PodManager,
        authorizer: NodeAuthorizer,
        clock: Clock,
        healthy: Callable[[], str],
    ) -> None:
        """`healthy` says what is wrong ("" for nothing)."""
        self._runtime = runtime
        self._config = config
        self._pods = pods
        self._authorizer = authorizer
        self._clock = clock
        self._healthy = healthy
        self._measured = Measured(pods, config, clock)
        self._server: HttpServer | None = None
        self._routes: dict[str, Callable[[Request, list[str]], Awaitable[Response]]] = {
            "healthz": self._healthz,
            "pods": self._list_pods,
            "runningpods": self._list_pods,
            "containerLogs": self._container_logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
            "run": self._run,
            "stats": self._stats,
            "metrics": self._metrics,
        }

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = HttpServer(self.handle, tls=self._config.server_tls)
        return await self._server.start(self._config.bind_address, self._config.port)

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close(grace_seconds=1.0)

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises."""
        try:
            await self._authorizer.check(request)
            first, *rest = request.path.strip("/").split("/")
            route = self._routes.get(first)
            if route is None:
                return plain("404 page not found\n", 404)
            return await route(request, rest)
        except Denied as denied:
            return plain(str(denied), denied.status)
        except Refused as refused:
            return refused.response()
        except CriError as error:
            return plain(str(error), 500)

    def _worker(self, namespace: str, name: str, uid: str = "") -> PodWorker:
        worker = self._pods.get(uid) if uid else self._pods.by_name(namespace, name)
        if worker is None:
            raise Refused(404, f'pod "{name}" not found')
        return worker

    def _container(self, rest: list[str]) -> tuple[PodWorker, str]:
        """The pod and container of ``{namespace}/{pod}[/{uid}]/{container}``. Raises Refused."""
        if len(rest) not in (3, 4):
            raise Refused(404, "404 page not found\n")
        worker = self._worker(rest[0], rest[1], rest[2] if len(rest) == 4 else "")
        return worker, rest[-1]

    def _running(self, rest: list[str]) -> str:
        """The id of the container's running instance. Raises Refused."""
        worker, name = self._container(rest)
        state = worker.lifecycle.state.containers.get(name)
        if state is None:
            raise Refused(404, f'container not found ("{name}")')
        if state.step not in (Step.RUNNING, Step.STOPPING) or not state.id:
            raise Refused(404, f'container not found ("{name}")')
        return state.id

    async def _healthz(self, request: Request, rest: list[str]) -> Response:
        wrong = self._healthy()
        return plain(wrong, 500) if wrong else plain("ok")

    async def _list_pods(self, request: Request, rest: list[str]) -> Response:
        pods = tuple(
            codec.from_dict(Pod, {**codec.to_dict(w.api_pod), "status": codec.to_dict(w.status())})
            for w in self._pods.all()
        )
        return Response(200, codec.encode(ObjectList[Pod](kind="PodList", api_version="v1", items=pods)))

    async def _container_logs(self, request: Request, rest: list[str]) -> Response:
        worker, name = self._container(rest)
        return container_logs(worker, name, request.query, self._config.logs_dir, self._clock)

    async def _exec(self, request: Request, rest: list[str]) -> Response:
        return await streams.upgraded(request, await streams.exec_url(self._runtime, request, self._running(rest)))

    async def _attach(self, request: Request, rest: list[str]) -> Response:
        return await streams.upgraded(request, await streams.attach_url(self._runtime, request, self._running(rest)))

    async def _port_forward(self, request: Request, rest: list[str]) -> Response:
        if len(rest) not in (2, 3):
            raise Refused(404, "404 page not found\n")
        sandbox = self._worker(rest[0], rest[1], rest[2] if len(rest) == 3 else "").ready_sandbox()
        if not sandbox:
            raise Refused(404, f'pod "{rest[1]}" is not running')
        return await streams.upgraded(request, await streams.port_forward_url(self._runtime, request, sandbox))

    async def _run(self, request: Request, rest: list[str]) -> Response:
        command = request.query.get("cmd").split()
        if not command:
            raise Refused(400, "you must specify a command")
        result = await self._runtime.exec_sync(self._running(rest), command, timeout_seconds=RUN_TIMEOUT_SECONDS)
        status = 200 if result.exit_code == 0 else 500
        return Response(status, result.stdout + result.stderr, "text/plain; charset=utf-8")

    async def _stats(self, request: Request, rest: list[str]) -> Response:
        if rest not in ([], ["summary"]):
            raise Refused(404, "404 page not found\n")
        return Response(200, codec.encode_any(await self._measured.summary()))

    async def _metrics(self, request: Request, rest: list[str]) -> Response:
        if rest == ["resource"]:
            body = await self._measured.resource_metrics()
        elif rest == ["cadvisor"]:
            body = await self._measured.cadvisor_metrics()
        elif rest == ["probes"]:
            body = b""
        elif not rest:
            body = metrics.render()
        else:
            raise Refused(404, "404 page not found\n")
        return Response(200, body, metrics.CONTENT_TYPE)
