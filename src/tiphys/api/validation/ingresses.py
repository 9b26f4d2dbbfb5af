"""Checks of Ingresses."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, not_supported, refuse, required
from tiphys.api.types.networking_v1 import HTTPIngressPath, Ingress, IngressBackend, IngressServiceBackend
from tiphys.api.validation.formats import check_ip, check_port, parse_ip
from tiphys.api.validation.metadata import check_metadata_update

CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES: Final = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES: Final = ("/..", "/.")


def check_ingress(obj: Ingress, errors: list[FieldError], *, is_new: bool) -> None:
    """Rules, backends, certificates."""
    spec = obj.spec
    if not spec.rules and spec.default_backend is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid("spec", None if not spec.rules else [], detail))
    if spec.default_backend is not None:
        _check_backend(spec.default_backend, "spec.defaultBackend", errors)
    for index, rule in enumerate(spec.rules):
        path = f"spec.rules[{index}]"
        if rule.host:
            if parse_ip(rule.host) is not None:
                errors.append(invalid(f"{path}.host", rule.host, "must be a DNS name, not an IP address"))
            check = names.wildcard_subdomain if "*" in rule.host else names.dns_subdomain
            refuse(check(rule.host), rule.host, f"{path}.host", errors)
        if rule.http is not None:
            if not rule.http.paths:
                errors.append(required(f"{path}.http.paths"))
            for position, item in enumerate(rule.http.paths):
                _check_path(item, f"{path}.http.paths[{position}]", errors)
    for index, tls in enumerate(spec.tls):
        path = f"spec.tls[{index}]"
        for position, host in enumerate(tls.hosts):
            check = names.wildcard_subdomain if "*" in host else names.dns_subdomain
            refuse(check(host), host, f"{path}.hosts[{position}]", errors)
        if tls.secret_name:
            refuse(names.dns_subdomain(tls.secret_name), tls.secret_name, f"{path}.secretName", errors)
    if spec.ingress_class_name is not None:
        name = spec.ingress_class_name
        refuse(names.dns_subdomain(name), name, "spec.ingressClassName", errors)
        value = obj.metadata.annotations.get(CLASS_ANNOTATION, name)
        if is_new and value != name:
            detail = "must match `ingressClassName` when both are specified"
            errors.append(invalid(f"annotations.{CLASS_ANNOTATION}", value, detail))


def _check_path(item: HTTPIngressPath, path: str, errors: list[FieldError]) -> None:
    if not item.path_type:
        errors.append(required(f"{path}.pathType", "pathType must be specified"))
        return
    text = item.path or ""
    if item.path_type in ("Exact", "Prefix"):
        if not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
        problems = [f"must not contain '{sequence}'" for sequence in _BAD_SEQUENCES if sequence in text]
        problems.extend(f"cannot end with '{suffix}'" for suffix in _BAD_SUFFIXES if text.endswith(suffix))
        refuse(problems, text, f"{path}.path", errors)
    elif item.path_type == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
    else:
        errors.append(not_supported(f"{path}.pathType", item.path_type, _PATH_TYPES))
    _check_backend(item.backend, f"{path}.backend", errors)


def _check_backend(backend: IngressBackend, path: str, errors: list[FieldError]) -> None:
    if backend.resource is not None and backend.service is not None:
        errors.append(invalid(path, "", "cannot set both resource and service backends"))
    elif backend.resource is not None:
        if backend.resource.api_group:
            group = backend.resource.api_group
            refuse(names.dns_subdomain(group), group, f"{path}.resource.apiGroup", errors)
        for value, name in ((backend.resource.kind, "kind"), (backend.resource.name, "name")):
            if not value:
                errors.append(required(f"{path}.resource.{name}"))
    elif backend.service is None:
        errors.append(required(path, "must specify a service or resource backend"))
    else:
        _check_service(backend.service, f"{path}.service", errors)


def _check_service(service: IngressServiceBackend, path: str, errors: list[FieldError]) -> None:
    if not service.name:
        errors.append(required(f"{path}.name"))
    else:
        refuse(names.dns_1035_label(service.name), service.name, f"{path}.name", errors)
    number = service.port.number if service.port is not None else None
    name = service.port.name if service.port is not None else None
    if number and name:
        errors.append(invalid(f"{path}.port", "", "cannot set both port name & port number"))
    elif name:
        refuse(names.port_name(name), name, f"{path}.port.name", errors)
    elif number:
        check_port(number, f"{path}.port.number", errors)
    else:
        errors.append(required(f"{path}.port", "port name or number is required"))


def validate_ingress_status(new: Ingress, old: Ingress) -> list[FieldError]:
    """An Ingress whose status replaces that of `old`: where its load balancer is."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    known = [point.ip for point in old.status.load_balancer.ingress if point.ip]
    for index, point in enumerate(new.status.load_balancer.ingress):
        path = f"status.loadBalancer.ingress[{index}]"
        if point.ip:
            check_ip(point.ip, f"{path}.ip", errors, known)
        if point.hostname:
            refuse(names.dns_subdomain(point.hostname), point.hostname, f"{path}.hostname", errors)
            if parse_ip(point.hostname) is not None:
                errors.append(invalid(f"{path}.hostname", point.hostname, "must be a DNS name, not an IP address"))
    return errors
