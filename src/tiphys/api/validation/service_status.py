"""Checks of what a load balancer reports of a Service."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import LoadBalancerStatus, Service
from tiphys.api.validation.formats import check_ip, parse_ip
from tiphys.api.validation.metadata import check_metadata_update

_MODES: Final = ("Proxy", "VIP")


def validate_service_status(new: Service, old: Service) -> list[FieldError]:
    """A Service whose status replaces that of `old`."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    known = [ingress.ip for ingress in old.status.load_balancer.ingress if ingress.ip]
    path = "status.loadBalancer.ingress"
    if new.spec.type != "LoadBalancer" and new.status.load_balancer.ingress:
        errors.append(forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'"))
    else:
        _check_ingresses(new.status.load_balancer, known, path, errors)
    return errors


def _check_ingresses(status: LoadBalancerStatus, known: list[str], path: str, errors: list[FieldError]) -> None:
    for index, ingress in enumerate(status.ingress):
        where = f"{path}[{index}]"
        if ingress.ip:
            check_ip(ingress.ip, f"{where}.ip", errors, known)
        if ingress.ip_mode is None:
            if ingress.ip:
                errors.append(required(f"{where}.ipMode", "must be specified when `ip` is set"))
        elif not ingress.ip:
            errors.append(forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set"))
        elif ingress.ip_mode not in _MODES:
            errors.append(not_supported(f"{where}.ipMode", ingress.ip_mode, _MODES))
        if ingress.hostname:
            refuse(names.dns_subdomain(ingress.hostname), ingress.hostname, f"{where}.hostname", errors)
            if parse_ip(ingress.hostname) is not None:
                detail = "must be a DNS name, not an IP address"
                errors.append(invalid(f"{where}.hostname", ingress.hostname, detail))
