"""Gives approved certificate signing requests their certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tiphys.api.certificate_requests import RequestError, parse_encoded
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.base.logging import get_logger
from tiphys.client import ObjectKey
from tiphys.controllers.certificatesigning.reconcile import SIGNERS, Key, failed, is_due, sign, signed
from tiphys.controllers.runtime import Environment, KeyedController

_logger = get_logger(__name__)


class CertificateSigningController(KeyedController):
    """Kubernetes' four signers with one authority. Does nothing without a certificate and key to sign with."""

    name = "certificatesigningrequest-signing-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        config = environment.config
        self._client = environment.client
        self._clock = environment.clock
        self._longest = timedelta(seconds=config.cluster_signing_duration_seconds)
        self._requests = environment.informer(CertificateSigningRequest)
        if config.cluster_signing_certificate and config.cluster_signing_key:
            self._authority = x509.load_pem_x509_certificate(config.cluster_signing_certificate)
            self._key = _private_key(config.cluster_signing_key)
            self.watch(self._requests)

    async def sync(self, key: ObjectKey) -> None:
        request = self._requests.get(key.name)
        if request is None or not is_due(request):
            return
        await self._client.update_status(self._decided(request))
        _logger.info("certificate signing request handled", request=key.name, signer=request.spec.signer_name)

    def _decided(self, request: CertificateSigningRequest) -> CertificateSigningRequest:
        spec = request.spec
        try:
            asked = parse_encoded(spec.request)
        except RequestError as error:
            return failed(request, "SignerValidationFailure", f"unable to parse csr {request.metadata.name}: {error}")
        if problem := SIGNERS[spec.signer_name](asked, spec.usages):
            return failed(request, "SignerValidationFailure", problem)
        try:
            certificate = sign(
                asked,
                spec.usages,
                spec.expiration_seconds,
                authority=self._authority,
                key=self._key,
                longest=self._longest,
                now=datetime.fromtimestamp(self._clock.now(), UTC),
                serial=x509.random_serial_number(),
            )
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            return failed(request, "SignerValidationFailure", f"the certificate cannot be made: {error}")
        return signed(request, certificate)


def _private_key(pem: bytes) -> Key:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("the cluster's signing key is neither ECDSA, RSA nor Ed25519")
    return key
