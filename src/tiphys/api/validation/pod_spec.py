"""Checks of pod specs, in Pods and in templates."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    refuse,
    required,
    too_long,
)
from tiphys.api.types.core_v1 import PodSpec, PodTemplateSpec, ResourceRequirements
from tiphys.api.validation.containers import (
    PodScope,
    check_containers,
    check_ephemeral_containers,
    check_init_containers,
)
from tiphys.api.validation.formats import INT32_MAXIMUM, check_ip
from tiphys.api.validation.metadata import check_annotations, check_label_name, check_labels
from tiphys.api.validation.placement import check_affinity, check_spread, check_tolerations
from tiphys.api.validation.pod_annotations import check_pod_annotations, check_profiles_agree
from tiphys.api.validation.pod_resources import check_pod_resources
from tiphys.api.validation.resources import check_requirements
from tiphys.api.validation.security import check_os, check_pod_security, containers_by_path
from tiphys.api.validation.volumes import check_volumes
from tiphys.api.validation.windows import check_host_processes

RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION_POLICIES: Final = ("PreemptLowerPriority", "Never")
_HOST_NAME_MAXIMUM: Final = 64
_NAMESERVERS_MAXIMUM: Final = 3
_SEARCHES_MAXIMUM: Final = 32
_SEARCH_CHARACTERS_MAXIMUM: Final = 2048


def check_template(template: PodTemplateSpec, path: str, errors: list[FieldError]) -> None:
    """What Pods are made from: labels, annotations and a spec."""
    meta = template.metadata
    if meta.labels:
        check_labels(meta.labels, f"{path}.labels", errors)
    if meta.annotations:
        check_annotations(meta.annotations, f"{path}.annotations", errors)
        check_pod_annotations(meta.annotations, template.spec, f"{path}.annotations", errors)
    check_pod_spec(template.spec, f"{path}.spec", errors, is_pod=False)
    if meta.annotations:
        check_profiles_agree(meta, template.spec, f"{path}.spec", errors)
    if template.spec.ephemeral_containers:
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))


def check_pod_spec(spec: PodSpec, path: str, errors: list[FieldError], *, is_pod: bool, pod_name: str = "") -> None:
    """Append what is wrong with a spec, in the order of upstream's checks. Only Pods have a `pod_name`."""
    volumes = check_volumes(spec.volumes, f"{path}.volumes", errors, pod_name) if spec.volumes else {}
    claims = _check_resource_claims(spec, f"{path}.resourceClaims", errors) if spec.resource_claims else frozenset()
    scope = PodScope(spec, volumes, claims, errors)
    check_containers(scope, f"{path}.containers")
    if spec.init_containers:
        check_init_containers(scope, f"{path}.initContainers")
    if spec.ephemeral_containers:
        check_ephemeral_containers(scope, f"{path}.ephemeralContainers")
    if spec.resources is not None:
        check_pod_resources(spec, claims, path, errors)
    if spec.host_network:
        _check_host_network(spec, path, errors, is_pod=is_pod)
    if spec.restart_policy not in RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", spec.restart_policy or "", RESTART_POLICIES))
    if spec.dns_policy not in _DNS_POLICIES:
        errors.append(not_supported(f"{path}.dnsPolicy", spec.dns_policy or "", _DNS_POLICIES))
    if spec.node_selector:
        check_labels(spec.node_selector, f"{path}.nodeSelector", errors)
    if spec.security_context is not None:
        check_pod_security(spec, spec.security_context, f"{path}.securityContext", errors)
        if spec.security_context.windows_options is not None:
            scope.is_windows = True
    if spec.affinity is not None:
        check_affinity(spec.affinity, f"{path}.affinity", errors)
    if spec.dns_config is not None or spec.dns_policy == "None":
        _check_dns_config(spec, f"{path}.dnsConfig", errors)
    for index, gate in enumerate(spec.readiness_gates):
        check_label_name(gate.condition_type, f"{path}.readinessGates[{index}].conditionType", errors)
    if spec.scheduling_gates:
        _check_gates(spec, f"{path}.schedulingGates", errors)
    if spec.topology_spread_constraints:
        check_spread(spec.topology_spread_constraints, f"{path}.topologySpreadConstraints", errors)
    if scope.is_windows:
        check_host_processes(spec, containers_by_path(spec, path), path, errors)
    if spec.host_users is False:
        _check_user_namespace(spec, path, errors)
    if spec.hostname_override is not None:
        _check_hostname_override(spec, path, errors)
    _check_identity(spec, path, errors)
    if spec.tolerations:
        check_tolerations(spec.tolerations, f"{path}.tolerations", errors)
    _check_rest(scope, path)


def _check_user_namespace(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    # Upstream spells the last two paths with a capital.
    for value, name in ((spec.host_network, "hostNetwork"), (spec.host_pid, "HostPID"), (spec.host_ipc, "HostIPC")):
        if value:
            errors.append(forbidden(f"{path}.{name}", "when `hostUsers` is false"))
    for place, container in containers_by_path(spec, path):
        if container.volume_devices:
            errors.append(forbidden(f"{place}.volumeDevices", "when `hostUsers` is false"))


def _check_identity(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    if spec.service_account_name:
        name = spec.service_account_name
        refuse(names.dns_subdomain(name), name, f"{path}.serviceAccountName", errors)
    if spec.node_name:
        refuse(names.dns_subdomain(spec.node_name), spec.node_name, f"{path}.nodeName", errors)
    deadline = spec.active_deadline_seconds
    if deadline is not None and not 1 <= deadline <= INT32_MAXIMUM:
        errors.append(invalid(f"{path}.activeDeadlineSeconds", deadline, names.range_message(1, INT32_MAXIMUM)))
    if spec.hostname:
        refuse(names.dns_label(spec.hostname), spec.hostname, f"{path}.hostname", errors)
    if spec.subdomain:
        refuse(names.dns_label(spec.subdomain), spec.subdomain, f"{path}.subdomain", errors)


def _check_rest(scope: PodScope, path: str) -> None:
    spec, errors = scope.spec, scope.errors
    for index, alias in enumerate(spec.host_aliases):
        check_ip(alias.ip, f"{path}.hostAliases[{index}].ip", errors)
        for position, hostname in enumerate(alias.hostnames):
            where = f"{path}.hostAliases[{index}].hostnames[{position}]"
            refuse(names.dns_subdomain(hostname), hostname, where, errors)
    if spec.priority_class_name:
        name = spec.priority_class_name
        refuse(names.dns_subdomain(name), name, f"{path}.priorityClassName", errors)
    if spec.runtime_class_name is not None:
        name = spec.runtime_class_name
        refuse(names.dns_subdomain(name), name, f"{path}.runtimeClassName", errors)
    if spec.preemption_policy is not None and spec.preemption_policy not in _PREEMPTION_POLICIES:
        errors.append(not_supported(f"{path}.preemptionPolicy", spec.preemption_policy, _PREEMPTION_POLICIES))
    if spec.overhead:
        check_requirements(ResourceRequirements(limits=spec.overhead), frozenset(), f"{path}.overhead", errors)
    if spec.os is not None:
        check_os(spec, path, errors)
    if scope.names_files:
        _check_file_volumes(spec, path, errors)


def _check_file_volumes(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    """Files that variables are read from are in volumes that live as long as the pod."""
    sources = {volume.name: volume for volume in spec.volumes}
    for place, container in containers_by_path(spec, path):
        for index, variable in enumerate(container.env):
            if variable.value_from is None or variable.value_from.file_key_ref is None:
                continue
            name = variable.value_from.file_key_ref.volume_name
            where = f"{place}.env[{index}].valueFrom.fileKeyRef.volumeName"
            if name not in sources:
                errors.append(not_found(where, name))
            elif sources[name].empty_dir is None:
                errors.append(invalid(where, name, "referenced volume must be of type emptyDir"))


def _check_hostname_override(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    name = spec.hostname_override or ""
    where = f"{path}.hostnameOverride"
    if spec.set_hostname_as_fqdn:
        errors.append(forbidden(where, "may not be specified when setHostnameAsFQDN is true"))
    if spec.host_network:
        errors.append(forbidden(where, "may not be specified when hostNetwork is true"))
    if len(name) > _HOST_NAME_MAXIMUM:
        errors.append(too_long(where, _HOST_NAME_MAXIMUM))
    refuse(names.dns_subdomain(name), name, where, errors)


def _check_resource_claims(spec: PodSpec, path: str, errors: list[FieldError]) -> frozenset[str]:
    known: set[str] = set()
    for index, claim in enumerate(spec.resource_claims):
        where = f"{path}[{index}]"
        if not claim.name:
            errors.append(required(f"{where}.name"))
        elif claim.name in known:
            errors.append(duplicate(f"{where}.name", claim.name))
        else:
            refuse(names.dns_label(claim.name), claim.name, f"{where}.name", errors)
            known.add(claim.name)
        direct, template = claim.resource_claim_name, claim.resource_claim_template_name
        if direct is not None and template is not None:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(invalid(where, claim, detail))
        if direct is None and template is None:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid(where, claim, detail))
        if direct is not None:
            refuse(names.dns_subdomain(direct), direct, f"{where}.resourceClaimName", errors)
        if template is not None:
            refuse(names.dns_subdomain(template), template, f"{where}.resourceClaimTemplateName", errors)
    return frozenset(known)


def _check_host_network(spec: PodSpec, path: str, errors: list[FieldError], *, is_pod: bool) -> None:
    for index, container in enumerate(spec.containers):
        for position, port in enumerate(container.ports):
            host_port = port.host_port or 0
            # Templates may leave it open: it is filled in when the Pod is made.
            if host_port != port.container_port and (is_pod or host_port):
                where = f"{path}.containers[{index}].ports[{position}].hostPort"
                errors.append(invalid(where, host_port, "must match `containerPort` when `hostNetwork` is true"))


def _check_dns_config(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    config = spec.dns_config
    if spec.dns_policy == "None":
        if config is None:
            errors.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.nameservers:
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(required(f"{path}.nameservers", detail))
            return
    if config is None:
        return
    if len(config.nameservers) > _NAMESERVERS_MAXIMUM:
        detail = f"must not have more than {_NAMESERVERS_MAXIMUM} nameservers"
        errors.append(invalid(f"{path}.nameservers", list(config.nameservers), detail))
    for index, address in enumerate(config.nameservers):
        check_ip(address, f"{path}.nameservers[{index}]", errors)
    if len(config.searches) > _SEARCHES_MAXIMUM:
        detail = f"must not have more than {_SEARCHES_MAXIMUM} search paths"
        errors.append(invalid(f"{path}.searches", list(config.searches), detail))
    if len(" ".join(config.searches)) > _SEARCH_CHARACTERS_MAXIMUM:
        detail = (
            f"must not have more than {_SEARCH_CHARACTERS_MAXIMUM} characters (including spaces) in the search list"
        )
        errors.append(invalid(f"{path}.searches", list(config.searches), detail))
    for index, search in enumerate(config.searches):
        if search != ".":
            bare = search.removesuffix(".")
            refuse(names.underscored_subdomain(bare), bare, f"{path}.searches[{index}]", errors)
    for index, option in enumerate(config.options):
        if not option.name:
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))


def _check_gates(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(spec.scheduling_gates):
        check_label_name(gate.name, f"{path}[{index}]", errors)
        if gate.name in seen:
            errors.append(duplicate(f"{path}[{index}]", gate.name))
        seen.add(gate.name)
