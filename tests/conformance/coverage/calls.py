"""Each operation called once through the official client, on an object that is there, against a running server."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from kubernetes import client
from kubernetes.client import ApiClient, ApiException

from tests.conformance.api.running import RunningServer
from tests.conformance.coverage.bodies import NAMESPACE, Manifest, manifest_of, name_of
from tests.conformance.coverage.operations import Operation, needed_arguments
from tiphys.api.scheme import RESOURCES, Resource

_KINDS: Final = {(resource.api_version, resource.plural): resource for resource in RESOURCES}
_POD: Final = f"/api/v1/namespaces/{NAMESPACE}/pods/covered"
_POD_IP: Final = "192.0.2.7"
#: Subresources that want the connection upgraded: without that they are refused.
UPGRADED: Final = ("attach", "exec", "portforward")
# The client expects what was sent, and gets a Status, from upstream too: it cannot read that.
_UNREAD: Final = ("create_namespaced_binding", "create_namespaced_pod_binding")


class Result(NamedTuple):
    """code: what was answered, 0 if the client could not read it. text: the client's or the server's words."""

    code: int
    text: str


def resource_of(operation: Operation) -> Resource | None:
    """The resource an operation is about, if this server has it."""
    return _KINDS.get((operation.group_version, operation.plural))


class Caller:
    """Calls operations. address, port: of a server that proxied requests may end at."""

    def __init__(self, server: RunningServer, api_client: ApiClient, address: str, port: int) -> None:
        self._server = server
        self._client = api_client
        self._address = address
        self._port = port

    def prepare(self) -> None:
        """Make what the objects need around them."""
        for path, body in (
            ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
            (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}}),
            ("/api/v1/nodes", {"metadata": {"name": "covered"}, "status": self._node_status()}),
        ):
            self._sent("POST", path, body)

    def call(self, operation: Operation) -> Result:
        """Bring about that the operation can succeed, and call it."""
        resource = resource_of(operation)
        if resource is not None and {"create", "get"} <= set(resource.verbs):
            self._arrange(operation, resource)
        if operation.plural == "bindings":
            self._server.raw("DELETE", f"{_POD}?gracePeriodSeconds=0")
            self._sent("POST", _POD.rpartition("/")[0], manifest_of("v1/Pod", NAMESPACE))
        api = getattr(client, operation.api)(self._client)
        arguments = {
            argument: self._argument(argument, operation, resource)
            for argument in needed_arguments(api, operation.name)
        }
        more = {"_content_type": "application/merge-patch+json"} if operation.name.startswith("patch") else {}
        try:
            if operation.name in _UNREAD:
                return Result(getattr(api, operation.name)(**arguments, _preload_content=False).status, "")
            answer = getattr(api, f"{operation.name}_with_http_info")(**arguments, **more)
        except ApiException as error:
            return Result(error.status or 0, str(error.body))
        except ValueError as error:
            return Result(0, str(error))
        return Result(answer[1], "")

    def _arrange(self, operation: Operation, resource: Resource) -> None:
        path = self._path(resource)
        gone = operation.name.startswith("create") and not operation.subresource
        there = self._server.raw("GET", path).status == HTTPStatus.OK
        if gone and there:
            self._server.raw("DELETE", f"{path}?gracePeriodSeconds=0")
        if not gone and not there:
            self._sent("POST", path.rpartition("/")[0], manifest_of(_key(resource), self._space(resource)))
        if operation.subresource == "proxy":
            self._lead_here(resource)

    def _lead_here(self, resource: Resource) -> None:
        """Make the backend the pod's own server, and the Service's, and the node's."""
        merge = {"Content-Type": "application/merge-patch+json"}
        if resource.plural == "nodes":
            self._server.raw("PATCH", "/api/v1/nodes/covered/status", {"status": self._node_status()}, merge)
            return
        if self._server.raw("GET", _POD).status == HTTPStatus.NOT_FOUND:
            self._sent("POST", _POD.rpartition("/")[0], manifest_of("v1/Pod", NAMESPACE))
        status = {"podIP": _POD_IP, "podIPs": [{"ip": _POD_IP}]}
        self._server.raw("PATCH", f"{_POD}/status", {"status": status}, merge)
        if resource.plural == "services":
            endpoint = {"addresses": [_POD_IP], "targetRef": {"kind": "Pod", "name": "covered"}}
            slice_ = {
                "metadata": {"name": "leading", "labels": {"kubernetes.io/service-name": "covered"}},
                "addressType": "IPv4",
                "ports": [{"name": "", "port": self._port}],
                "endpoints": [endpoint],
            }
            self._server.raw("POST", f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", slice_)

    def _node_status(self) -> Manifest:
        return {"addresses": [{"type": "InternalIP", "address": self._address}]}

    def _argument(self, argument: str, operation: Operation, resource: Resource | None) -> Any:
        if argument == "name":
            assert resource is not None
            return self._name(operation, resource)
        if argument == "namespace":
            return NAMESPACE
        if argument == "body":
            assert resource is not None
            return self._body(operation, resource)
        return _log_file() if argument == "logpath" else "some/path"

    def _name(self, operation: Operation, resource: Resource) -> str:
        if operation.subresource != "proxy" or resource.plural == "services":
            return name_of(_key(resource))
        return f"http:covered:{self._port}"

    def _body(self, operation: Operation, resource: Resource) -> Manifest:
        space, path = self._space(resource), self._path(resource, operation.subresource)
        if operation.name.startswith("patch"):
            return {"metadata": {"annotations": {"covered": "yes"}}}
        if operation.name.startswith("replace"):
            readable = self._server.raw("GET", path)
            found = readable if readable.status == HTTPStatus.OK else self._server.raw("GET", self._path(resource))
            return dict(found.json)
        made = next((s for s in resource.subresources if s.name == operation.subresource), None)
        if made is None:
            return manifest_of(_key(resource), space)
        version = f"{made.group}/{made.version}" if made.group else made.version or resource.api_version
        return {**manifest_of(f"{version}/{made.kind}", space), "metadata": {"name": name_of(_key(resource))}}

    def _space(self, resource: Resource) -> str:
        return NAMESPACE if resource.namespaced else ""

    def _path(self, resource: Resource, subresource: str = "") -> str:
        root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
        space = f"/namespaces/{NAMESPACE}" if resource.namespaced else ""
        tail = f"/{subresource}" if subresource else ""
        return f"{root}{space}/{resource.plural}/{name_of(_key(resource))}{tail}"

    def _sent(self, method: str, path: str, body: Manifest) -> None:
        answer = self._server.raw(method, path, body)
        assert answer.status in (200, 201, 409), f"{method} {path} {json.dumps(body)}: {answer.body!r}"


def _key(resource: Resource) -> str:
    return f"{resource.api_version}/{resource.kind}"


def _log_file() -> str:
    """The name of a file in the machine's log directory."""
    return next(
        entry.name for entry in sorted(Path("/var/log").iterdir()) if entry.is_file() and not entry.is_symlink()
    )
