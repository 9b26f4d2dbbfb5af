"""Approves certificate signing requests of kubelets: their first, their renewals, and what they serve with."""

from __future__ import annotations

from tiphys.api.types.authorization_v1 import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.api.types.core_v1 import Node
from tiphys.base.logging import get_logger
from tiphys.client import ObjectKey
from tiphys.controllers.certificateapproving.reconcile import (
    SERVING_MESSAGE,
    Permission,
    approved,
    is_open,
    parsed,
    permissions,
    serves_as_itself,
    serving_node,
)
from tiphys.controllers.runtime import Environment, KeyedController

_logger = get_logger(__name__)


class CertificateApprovingController(KeyedController):
    """Requests that are not recognized are left to people. One for serving waits until its Node says who it is."""

    name = "certificatesigningrequest-approving-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._requests = environment.informer(CertificateSigningRequest)
        self._nodes = environment.informer(Node)
        self._waiting: dict[str, set[ObjectKey]] = {}
        self.watch(self._requests)
        self._nodes.add_handler(on_add=self._node_seen, on_update=lambda _, node: self._node_seen(node))

    async def sync(self, key: ObjectKey) -> None:
        request = self._requests.get(key.name)
        if request is None or not is_open(request):
            return
        asked = parsed(request)
        if asked is None:
            return
        for permission in permissions(request, asked):
            if await self._permitted(request, permission):
                await self._approve(request, permission.message)
                return
        node_name = serving_node(request, asked)
        if not node_name:
            return
        node = self._nodes.get(node_name)
        if node is not None and serves_as_itself(asked, node):
            await self._approve(request, SERVING_MESSAGE)
        else:
            self._waiting.setdefault(node_name, set()).add(key)

    async def _approve(self, request: CertificateSigningRequest, message: str) -> None:
        await self._client.update(approved(request, message), subresource="approval")
        _logger.info("certificate signing request approved", request=request.metadata.name, user=request.spec.username)

    async def _permitted(self, request: CertificateSigningRequest, permission: Permission) -> bool:
        spec = request.spec
        attributes = ResourceAttributes(
            group="certificates.k8s.io",
            version="*",
            resource="certificatesigningrequests",
            subresource=permission.subresource,
            verb="create",
        )
        question = SubjectAccessReviewSpec(
            user=spec.username, uid=spec.uid, groups=spec.groups, extra=spec.extra, resource_attributes=attributes
        )
        review = await self._client.create(SubjectAccessReview(spec=question))
        return review.status.allowed

    def _node_seen(self, node: Node) -> None:
        for key in self._waiting.pop(node.metadata.name or "", ()):
            self.queue.add(key)
