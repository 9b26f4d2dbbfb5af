"""The ``token`` subresource of service accounts: what a TokenRequest asks for, checked and signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from tiphys.api import errors
from tiphys.api.field_errors import FieldError, invalid, quote
from tiphys.api.types.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestStatus
from tiphys.api.types.core_v1 import Node, Pod, Secret, ServiceAccount
from tiphys.apiserver.authentication.service_account_tokens import Bound, Claims, InvalidToken, ObjectRef, TokenKey
from tiphys.base.clock import parse_rfc3339, rfc3339

MIN_LIFETIME_SECONDS: Final = 600
MAX_LIFETIME_SECONDS: Final = 1 << 32
DEFAULT_LIFETIME_SECONDS: Final = 3600
# Kubelets ask for this many seconds where a pod's author said nothing. Such tokens live for a year, so that clients
# which never read them again keep working; from `warnafter` on their use could be warned of.
WARN_ONLY_SECONDS: Final = 3607
EXTENDED_LIFETIME_SECONDS: Final = 365 * 24 * 3600
# A pod's tokens outlive its deletion by this much, for what it still does while it stops.
DELETION_LEEWAY_SECONDS: Final = 60


class BoundObjects(Protocol):
    """What tokens may be bound to; answers come from memory."""

    def service_account(self, namespace: str, name: str) -> ServiceAccount | None: ...

    def pod(self, namespace: str, name: str) -> Pod | None: ...

    def secret(self, namespace: str, name: str) -> Secret | None: ...

    def node(self, name: str) -> Node | None: ...


class TokenRequests:
    """Answers TokenRequests with `key`; `new_uid` makes token ids."""

    def __init__(self, key: TokenKey, objects: BoundObjects, new_uid: Callable[[], str]) -> None:
        self._key = key
        self._objects = objects
        self._new_uid = new_uid

    def create(self, namespace: str, name: str, request: TokenRequest, now: float, *, node: str = "") -> TokenRequest:
        """`request` with its status: the token and when to ask for the next. Raises ApiError.

        `node` is the node whose kubelet asks: it gets only tokens that end with a pod of its own.
        """
        if node:
            self._check_node(namespace, name, request.spec.bound_object_ref, node)
        account = self._objects.service_account(namespace, name)
        if account is None:
            raise errors.not_found("serviceaccounts", name)
        spec = request.spec
        asked = DEFAULT_LIFETIME_SECONDS if spec.expiration_seconds is None else spec.expiration_seconds
        if problems := _problems(asked):
            raise errors.invalid("TokenRequest.authentication.k8s.io", "", problems)
        bound = Bound(namespace=namespace, serviceaccount=ObjectRef(name, account.metadata.uid or ""))
        if spec.bound_object_ref is not None:
            bound = self._bind(bound, spec.bound_object_ref, name)
        lifetime = asked
        if asked == WARN_ONLY_SECONDS and bound.pod is not None and self._is_for_api(spec.audiences):
            lifetime = EXTENDED_LIFETIME_SECONDS
            bound = msgspec.structs.replace(bound, warnafter=int(now) + asked)
        audiences = spec.audiences or self._key.audiences
        token = self._key.sign(bound, audiences, now=now, lifetime_seconds=lifetime, token_id=self._new_uid())
        return msgspec.structs.replace(
            request,
            spec=msgspec.structs.replace(spec, audiences=tuple(audiences), expiration_seconds=asked),
            status=TokenRequestStatus(token=token, expiration_timestamp=rfc3339(now + asked)),
        )

    def _check_node(self, namespace: str, account: str, reference: BoundObjectReference | None, node: str) -> None:
        pod = None
        if reference is None or reference.kind != "Pod" or reference.api_version != "v1" or not reference.name:
            reason = "not bound to a pod"
        elif not reference.uid:
            reason = "with a pod binding without a uid"
        elif (pod := self._objects.pod(namespace, reference.name)) is None:
            raise errors.not_found("pods", reference.name)
        else:
            reason = "bound to a pod scheduled on a different node"
        if pod is None or pod.spec.node_name != node:
            raise errors.forbidden("serviceaccounts", account, f"node requested token {reason}")

    def _is_for_api(self, audiences: tuple[str, ...]) -> bool:
        return not audiences or all(audience in self._key.audiences for audience in audiences)

    def _bind(self, bound: Bound, reference: BoundObjectReference, account: str) -> Bound:
        kind, name = reference.kind or "", reference.name or ""
        if kind == "Pod" and reference.api_version == "v1":
            pod = self._objects.pod(bound.namespace, name)
            if pod is None:
                raise errors.not_found("pods", name)
            if (pod.spec.service_account_name or "") != account:
                wrong = "to pod running with different serviceaccount name."
                raise errors.bad_request(f"cannot bind token for serviceaccount {quote(account)} {wrong}")
            found = _same("pods", reference, pod.metadata.uid or "")
            node = None
            if pod.spec.node_name:
                host = self._objects.node(pod.spec.node_name)
                node = ObjectRef(pod.spec.node_name, (host.metadata.uid or "") if host is not None else "")
            return msgspec.structs.replace(bound, pod=found, node=node)
        if kind == "Secret" and reference.api_version == "v1":
            secret = self._objects.secret(bound.namespace, name)
            if secret is None:
                raise errors.not_found("secrets", name)
            return msgspec.structs.replace(bound, secret=_same("secrets", reference, secret.metadata.uid or ""))
        if kind == "Node" and reference.api_version == "v1":
            host = self._objects.node(name)
            if host is None:
                raise errors.not_found("nodes", name)
            return msgspec.structs.replace(bound, node=_same("nodes", reference, host.metadata.uid or ""))
        raise errors.bad_request(f"cannot bind token to object of type {reference.api_version or ''}, Kind={kind}")


def check_bound(claims: Claims, objects: BoundObjects, now: float) -> None:
    """Raise InvalidToken unless everything the token is bound to still exists and is the same."""
    bound = claims.bound
    account = objects.service_account(bound.namespace, bound.serviceaccount.name)
    if account is None or (account.metadata.uid or "") != bound.serviceaccount.uid:
        raise InvalidToken("the service account is gone")
    if bound.pod is not None:
        pod = objects.pod(bound.namespace, bound.pod.name)
        if pod is None or (pod.metadata.uid or "") != bound.pod.uid or _past(pod.metadata.deletion_timestamp, now):
            raise InvalidToken("the pod is gone")
    if bound.secret is not None:
        secret = objects.secret(bound.namespace, bound.secret.name)
        if secret is None or (secret.metadata.uid or "") != bound.secret.uid:
            raise InvalidToken("the secret is gone")
    if bound.node is not None and bound.pod is None:
        node = objects.node(bound.node.name)
        if node is None or (node.metadata.uid or "") != bound.node.uid:
            raise InvalidToken("the node is gone")


def _past(deletion_timestamp: str | None, now: float) -> bool:
    return bool(deletion_timestamp) and parse_rfc3339(deletion_timestamp or "") + DELETION_LEEWAY_SECONDS < now


def _same(resource: str, reference: BoundObjectReference, uid: str) -> ObjectRef:
    name = reference.name or ""
    if reference.uid and reference.uid != uid:
        raise errors.conflict(
            resource,
            name,
            f"the UID in the bound object reference ({reference.uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    return ObjectRef(name, uid)


def _problems(seconds: int) -> list[FieldError]:
    if seconds < MIN_LIFETIME_SECONDS:
        return [invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MAX_LIFETIME_SECONDS:
        return [invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
