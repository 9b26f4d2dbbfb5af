"""Which certificate signing requests are approved without a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from tiphys.api.certificate_requests import (
    API_SERVER_CLIENT,
    API_SERVER_CLIENT_KUBELET,
    CLIENT_USAGES,
    KUBELET_SERVING,
    NODE_PREFIX,
    CertificateRequest,
    RequestError,
    kubelet_client_problem,
    kubelet_serving_problem,
    parse_encoded,
)
from tiphys.api.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from tiphys.api.types.core_v1 import Node

REASON: Final = "AutoApproved"
AGENTS: Final = ("system:kube-proxy", "system:serviceaccount:kube-system:kube-dns")
"""Who else runs on every node: common names that those who may join as nodes get certificates for."""
_ADDRESS_TYPES: Final = ("InternalIP", "ExternalIP")
_NAME_TYPES: Final = ("Hostname", "InternalDNS", "ExternalDNS")


class Permission(NamedTuple):
    """A right its requester needs for a request to be approved, as subresource of ``create
    certificatesigningrequests``; `message` is the approval's."""

    subresource: str
    message: str


_SELF: Final = Permission("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.")
_NODE: Final = Permission("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")
_AGENT: Final = Permission(
    "nodeagentclient", "Auto approving client certificate of a node's agent after SubjectAccessReview."
)
SERVING_MESSAGE: Final = "Auto approving kubelet serving certificate: its names and addresses are the Node's."


def is_open(request: CertificateSigningRequest) -> bool:
    """Whether nobody has decided yet."""
    decided = any(condition.type in ("Approved", "Denied") for condition in request.status.conditions)
    return not decided and not request.status.certificate


def parsed(request: CertificateSigningRequest) -> CertificateRequest | None:
    """What is asked to be signed; None if that cannot be read."""
    try:
        return parse_encoded(request.spec.request)
    except RequestError:
        return None


def permissions(request: CertificateSigningRequest, asked: CertificateRequest) -> Iterator[Permission]:
    """Any one of these suffices; none: the request is not one that is approved by permission."""
    spec = request.spec
    if spec.signer_name == API_SERVER_CLIENT_KUBELET and not kubelet_client_problem(asked, spec.usages):
        if spec.username == asked.common_name:
            yield _SELF
        yield _NODE
    if spec.signer_name == API_SERVER_CLIENT and _is_agent(asked, spec.usages):
        yield _AGENT


def serving_node(request: CertificateSigningRequest, asked: CertificateRequest) -> str:
    """The node that asks for its own kubelet's serving certificate; "" if the request is no such one."""
    spec = request.spec
    if spec.signer_name != KUBELET_SERVING or kubelet_serving_problem(asked, spec.usages):
        return ""
    if spec.username != asked.common_name or "system:nodes" not in spec.groups:
        return ""
    return asked.common_name.removeprefix(NODE_PREFIX)


def serves_as_itself(asked: CertificateRequest, node: Node) -> bool:
    """Whether every name and address asked for is one the node reports."""
    names = {node.metadata.name or ""}
    names |= {address.address for address in node.status.addresses if address.type in _NAME_TYPES}
    addresses = {address.address for address in node.status.addresses if address.type in _ADDRESS_TYPES}
    return set(asked.dns_names) <= names and set(asked.ip_addresses) <= addresses


def approved(request: CertificateSigningRequest, message: str) -> CertificateSigningRequest:
    """The request with its approval."""
    condition = CertificateSigningRequestCondition(type="Approved", status="True", reason=REASON, message=message)
    status = msgspec.structs.replace(request.status, conditions=(*request.status.conditions, condition))
    return msgspec.structs.replace(request, status=status)


def _is_agent(asked: CertificateRequest, usages: tuple[str, ...]) -> bool:
    named = asked.dns_names or asked.ip_addresses or asked.email_addresses or asked.uris
    plain = not asked.organizations and not named
    return plain and asked.common_name in AGENTS and set(usages) - {"key encipherment"} == set(CLIENT_USAGES)
