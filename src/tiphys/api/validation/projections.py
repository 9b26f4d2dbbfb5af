"""Checks of projected volumes: several sources in one directory, no path twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import (
    ClusterTrustBundleProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    PodCertificateProjection,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
    VolumeProjection,
)
from tiphys.api.validation.formats import check_non_reserved_path
from tiphys.api.validation.selectors import check_label_selector

TOKEN_MINIMUM_SECONDS: Final = 600
TOKEN_MAXIMUM_SECONDS: Final = 1 << 32
CERTIFICATE_MINIMUM_SECONDS: Final = 3600
CERTIFICATE_MAXIMUM_SECONDS: Final = 91 * 86400
CERTIFICATE_OWN_MAXIMUM_SECONDS: Final = 86400
_ONE_TYPE: Final = "may not specify more than 1 volume type per source"
_CONFLICT: Final = "conflicting duplicate paths"
_KEY_TYPES: Final = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")

CheckKeys = Callable[[tuple[KeyToPath, ...], str, list[FieldError]], None]
CheckFile = Callable[[DownwardAPIVolumeFile, str, list[FieldError]], None]


def check_projected(
    volume: ProjectedVolumeSource,
    path: str,
    errors: list[FieldError],
    check_keys: CheckKeys,
    check_file: CheckFile,
) -> None:
    """The sources of one volume, in order; paths are claimed by the first that names them."""
    taken: set[str] = set()
    for index, source in enumerate(volume.sources):
        where = f"{path}.sources[{index}]"
        kinds = _check_files(source, path, where, taken, errors, check_keys, check_file)
        if source.service_account_token is not None:
            kinds += 1
            _check_token(source.service_account_token, path, f"{where}.serviceAccountToken", errors)
        if source.cluster_trust_bundle is not None:
            kinds += 1
            _check_bundle(source.cluster_trust_bundle, path, f"{where}.clusterTrustBundle", taken, errors)
        if source.pod_certificate is not None:
            kinds += 1
            _check_certificate(source.pod_certificate, path, f"{where}.podCertificate", taken, errors)
        if kinds > 1:
            errors.append(forbidden(where, _ONE_TYPE))


def _check_files(
    source: VolumeProjection,
    path: str,
    where: str,
    taken: set[str],
    errors: list[FieldError],
    check_keys: CheckKeys,
    check_file: CheckFile,
) -> int:
    kinds = 0
    for kind, name in ((source.secret, "secret"), (source.config_map, "configMap")):
        if kind is not None:
            kinds += 1
            if not kind.name:
                errors.append(required(f"{where}.{name}.name"))
            if kind.items:
                check_keys(kind.items, f"{where}.{name}.items", errors)
                _claim((item.path for item in kind.items), taken, path, kind.name or "", errors)
    if source.downward_api is not None:
        kinds += 1
        for file in source.downward_api.items:
            check_file(file, f"{where}.downwardAPI", errors)
            _claim((file.path,), taken, path, file.path, errors)
    return kinds


def _claim(paths: Iterable[str], taken: set[str], path: str, value: str, errors: list[FieldError]) -> None:
    for name in paths:
        if name and name in taken:
            errors.append(invalid(path, value, _CONFLICT))
        taken.add(name)


def _check_token(token: ServiceAccountTokenProjection, path: str, where: str, errors: list[FieldError]) -> None:
    seconds = token.expiration_seconds or 0
    if seconds < TOKEN_MINIMUM_SECONDS:
        detail = "may not specify a duration less than 10 minutes"
        errors.append(invalid(f"{where}.expirationSeconds", seconds, detail))
    if seconds > TOKEN_MAXIMUM_SECONDS:
        detail = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid(f"{where}.expirationSeconds", seconds, detail))
    if not token.path:
        # Upstream names the volume here, not the source.
        errors.append(required(f"{path}.path"))
    else:
        check_non_reserved_path(token.path, f"{path}.path", errors)


def _check_bundle(
    bundle: ClusterTrustBundleProjection, path: str, where: str, taken: set[str], errors: list[FieldError]
) -> None:
    if bundle.name is not None and bundle.signer_name is not None:
        errors.append(invalid(where, bundle, "only one of name and signerName may be used"))
    elif bundle.name is not None:
        if not bundle.name:
            errors.append(required(f"{where}.name", "must be a valid object name"))
        if bundle.label_selector is not None:
            detail = "labelSelector must be unset if name is specified"
            errors.append(invalid(f"{where}.labelSelector", bundle.label_selector, detail))
    elif bundle.signer_name is not None:
        if not bundle.signer_name:
            errors.append(required(f"{where}.signerName", "must be a valid signer name"))
        check_label_selector(bundle.label_selector, f"{where}.labelSelector", errors)
    else:
        errors.append(required(where, "either name or signerName must be specified"))
    if not bundle.path:
        errors.append(required(f"{where}.path"))
    else:
        check_non_reserved_path(bundle.path, f"{where}.path", errors)
        _claim((bundle.path,), taken, path, bundle.path, errors)


def _check_certificate(
    certificate: PodCertificateProjection, path: str, where: str, taken: set[str], errors: list[FieldError]
) -> None:
    if not certificate.signer_name:
        errors.append(required(f"{where}.signerName"))
    else:
        refuse(
            names.domain_prefixed_path(certificate.signer_name), certificate.signer_name, f"{where}.signerName", errors
        )
    if certificate.key_type not in _KEY_TYPES:
        errors.append(not_supported(f"{where}.keyType", certificate.key_type, _KEY_TYPES))
    seconds = certificate.max_expiration_seconds
    if seconds is not None:
        if seconds < CERTIFICATE_MINIMUM_SECONDS:
            detail = f"if provided, maxExpirationSeconds must be >= {CERTIFICATE_MINIMUM_SECONDS}"
            errors.append(invalid(f"{where}.maxExpirationSeconds", seconds, detail))
        own = certificate.signer_name.startswith("kubernetes.io/")
        most = CERTIFICATE_OWN_MAXIMUM_SECONDS if own else CERTIFICATE_MAXIMUM_SECONDS
        if seconds > most:
            detail = f"if provided, maxExpirationSeconds must be <= {most}"
            errors.append(invalid(f"{where}.maxExpirationSeconds", seconds, detail))
    paths = (
        (certificate.credential_bundle_path, "credentialBundlePath"),
        (certificate.key_path, "keyPath"),
        (certificate.certificate_chain_path, "certificateChainPath"),
    )
    for value, name in paths:
        if value:
            check_non_reserved_path(value, f"{where}.{name}", errors)
            _claim((value,), taken, path, value, errors)
    if not any(value for value, _ in paths):
        detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        errors.append(required(where, detail))
