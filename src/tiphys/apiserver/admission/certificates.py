"""Certificate signing requests: who asks is written down by the server, and only who may approves and signs.

SignerPermissions is upstream's CertificateApproval and CertificateSigning in one; RequesterAdmission is what upstream
has in its strategy, together with CertificateSubjectRestriction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from tiphys.api.certificate_requests import API_SERVER_CLIENT, MASTERS_GROUP, RequestError, parse_encoded
from tiphys.api.field_errors import quote
from tiphys.api.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Base, refuse
from tiphys.apiserver.authentication.user import User
from tiphys.apiserver.authorization.attributes import Attributes
from tiphys.apiserver.authorization.authorizer import Authorizer
from tiphys.apiserver.registry.context import Write

GROUP: Final = "certificates.k8s.io"
PLURAL: Final = "certificatesigningrequests"


class RequesterAdmission(Base):
    """Stamps the requester into new requests and times into new conditions; `now` is the time as API text."""

    def __init__(self, now: Callable[[], str]) -> None:
        self._now = now

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return (group, plural) == (GROUP, PLURAL) and operation in (CREATE, UPDATE)

    def admit(self, write: Write) -> None:
        request: CertificateSigningRequest = write.obj
        if write.operation == CREATE:
            user: User = write.user
            request.spec.username = user.name or None
            request.spec.uid = user.uid or None
            request.spec.groups = user.groups
            request.spec.extra = dict(user.extra)
        elif write.subresource:
            old: CertificateSigningRequest = write.old
            conditions = tuple(self._timed(condition, old) for condition in request.status.conditions)
            request.status = replace(request.status, conditions=conditions)

    def validate(self, write: Write) -> None:
        request: CertificateSigningRequest = write.obj
        if write.operation != CREATE or request.spec.signer_name != API_SERVER_CLIENT:
            return
        try:
            asked = parse_encoded(request.spec.request)
        except RequestError as error:
            raise refuse(write, f"failed to parse CSR: {error}") from None
        if MASTERS_GROUP in asked.organizations:
            text = f"use of {API_SERVER_CLIENT} signer with {MASTERS_GROUP} group is not allowed"
            raise refuse(write, text)

    def _timed(
        self, condition: CertificateSigningRequestCondition, old: CertificateSigningRequest
    ) -> CertificateSigningRequestCondition:
        changes = {}
        if not condition.last_update_time:
            changes["last_update_time"] = self._now()
        if not condition.last_transition_time:
            same = (c for c in old.status.conditions if (c.type, c.status) == (condition.type, condition.status))
            changes["last_transition_time"] = next((c.last_transition_time for c in same), None) or self._now()
        return replace(condition, **changes) if changes else condition


class SignerPermissions(Base):
    """Approving and signing need ``approve`` and ``sign`` on the signer, by its name or as ``domain/*``."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return (group, plural) == (GROUP, PLURAL) and operation == UPDATE and subresource in ("approval", "status")

    def validate(self, write: Write) -> None:
        new: CertificateSigningRequest = write.obj
        old: CertificateSigningRequest = write.old
        verb = "approve"
        if write.subresource == "status":
            if new.status == old.status:
                return
            verb = "sign"
        signer = old.spec.signer_name
        if not self._permitted(write.user, verb, signer):
            raise refuse(write, f"user not permitted to {verb} requests with signerName {quote(signer)}")

    def _permitted(self, user: User, verb: str, signer: str) -> bool:
        domain = signer.partition("/")[0]
        return any(
            self._authorizer.allowed(user, Attributes(verb, GROUP, "signers", "", "", name, "*"))
            for name in (signer, f"{domain}/*")
        )
