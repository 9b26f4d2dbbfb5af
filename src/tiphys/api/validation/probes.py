"""Checks of probes and lifecycle hooks."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import HTTPGetAction, Lifecycle, LifecycleHandler, PodOS, Probe
from tiphys.api.validation.formats import check_port, check_port_or_name
from tiphys.api.validation.metadata import check_not_negative

_ONE_HANDLER: Final = "may not specify more than 1 handler type"
_POSITIVE: Final = "must be greater than 0"
_SCHEMES: Final = ("HTTP", "HTTPS")
_WINDOWS_SIGNALS: Final = ("SIGKILL", "SIGTERM")
_NAMED_SIGNALS: Final = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)
_LINUX_SIGNALS: Final = tuple(
    sorted(
        (
            *(f"SIG{name}" for name in _NAMED_SIGNALS.split()),
            *(f"SIGRTMIN+{number}" for number in range(1, 16)),
            *(f"SIGRTMAX-{number}" for number in range(1, 15)),
        )
    )
)


def check_liveness_probe(probe: Probe | None, path: str, errors: list[FieldError]) -> None:
    """A liveness or startup probe: one success is enough."""
    if probe is None:
        return
    _check_probe(probe, path, errors)
    if probe.success_threshold != 1:
        errors.append(invalid(f"{path}.successThreshold", probe.success_threshold, "must be 1"))


def check_readiness_probe(probe: Probe | None, path: str, errors: list[FieldError]) -> None:
    """A readiness probe: it stops nothing, so it has no grace period."""
    if probe is None:
        return
    _check_probe(probe, path, errors)
    if probe.termination_grace_period_seconds is not None:
        where = f"{path}.terminationGracePeriodSeconds"
        errors.append(invalid(where, probe.termination_grace_period_seconds, "must not be set for readinessProbes"))


def _check_probe(probe: Probe, path: str, errors: list[FieldError]) -> None:
    handlers = 0
    if probe.exec is not None:
        handlers += 1
        if not probe.exec.command:
            errors.append(required(f"{path}.exec.command"))
    if probe.http_get is not None:
        if handlers:
            errors.append(forbidden(f"{path}.httpGet", _ONE_HANDLER))
        else:
            handlers += 1
            _check_http_get(probe.http_get, f"{path}.httpGet", errors)
    if probe.tcp_socket is not None:
        if handlers:
            errors.append(forbidden(f"{path}.tcpSocket", _ONE_HANDLER))
        else:
            handlers += 1
            check_port_or_name(probe.tcp_socket.port, f"{path}.tcpSocket.port", errors)
    if probe.grpc is not None:
        if handlers:
            errors.append(forbidden(f"{path}.grpc", _ONE_HANDLER))
        else:
            handlers += 1
            check_port(probe.grpc.port, f"{path}.grpc.port", errors)
    if not handlers:
        errors.append(required(path, "must specify a handler type"))
    check_not_negative(probe.initial_delay_seconds, f"{path}.initialDelaySeconds", errors)
    check_not_negative(probe.timeout_seconds, f"{path}.timeoutSeconds", errors)
    check_not_negative(probe.period_seconds, f"{path}.periodSeconds", errors)
    check_not_negative(probe.success_threshold, f"{path}.successThreshold", errors)
    check_not_negative(probe.failure_threshold, f"{path}.failureThreshold", errors)
    grace = probe.termination_grace_period_seconds
    if grace is not None and grace <= 0:
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, _POSITIVE))


def _check_http_get(action: HTTPGetAction, path: str, errors: list[FieldError]) -> None:
    if not action.path:
        errors.append(required(f"{path}.path"))
    check_port_or_name(action.port, f"{path}.port", errors)
    if action.scheme not in _SCHEMES:
        errors.append(not_supported(f"{path}.scheme", action.scheme or "", _SCHEMES))
    for header in action.http_headers:
        refuse(names.http_header(header.name), header.name, f"{path}.httpHeaders", errors)


def check_lifecycle(lifecycle: Lifecycle, grace_seconds: int | None, path: str, errors: list[FieldError]) -> None:
    """The hooks after start and before stop."""
    if lifecycle.post_start is not None:
        _check_hook(lifecycle.post_start, grace_seconds, f"{path}.postStart", errors)
    if lifecycle.pre_stop is not None:
        _check_hook(lifecycle.pre_stop, grace_seconds, f"{path}.preStop", errors)


def check_stop_signal(signal: str, system: PodOS | None, path: str, errors: list[FieldError]) -> None:
    """The signal that stops a container: one its operating system has, so that must be known."""
    if system is None:
        errors.append(forbidden(path, "may not be set for containers with empty `spec.os.name`"))
        return
    supported = {"windows": _WINDOWS_SIGNALS, "linux": _LINUX_SIGNALS}.get(system.name, (signal,))
    if signal not in supported:
        errors.append(not_supported(path, signal, supported))


def _check_hook(hook: LifecycleHandler, grace_seconds: int | None, path: str, errors: list[FieldError]) -> None:
    handlers = 0
    if hook.exec is not None:
        handlers += 1
        if not hook.exec.command:
            errors.append(required(f"{path}.exec.command"))
    if hook.http_get is not None:
        if handlers:
            errors.append(forbidden(f"{path}.httpGet", _ONE_HANDLER))
        else:
            handlers += 1
            _check_http_get(hook.http_get, f"{path}.httpGet", errors)
    if hook.tcp_socket is not None:
        if handlers:
            errors.append(forbidden(f"{path}.tcpSocket", _ONE_HANDLER))
        else:
            handlers += 1
            check_port_or_name(hook.tcp_socket.port, f"{path}.tcpSocket.port", errors)
    if hook.sleep is not None:
        if handlers:
            errors.append(forbidden(f"{path}.sleep", _ONE_HANDLER))
        else:
            handlers += 1
            limit = grace_seconds or 0
            if not 0 <= hook.sleep.seconds <= limit:
                detail = f"must be non-negative and less than terminationGracePeriodSeconds ({limit})"
                errors.append(invalid(f"{path}.sleep", hook.sleep.seconds, detail))
    if not handlers:
        errors.append(required(path, "must specify a handler type"))
