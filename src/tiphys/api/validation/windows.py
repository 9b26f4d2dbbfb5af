"""Checks of what only Windows has: credentials by name, users of domains, processes of the host."""

from __future__ import annotations

import re
from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse
from tiphys.api.types.core_v1 import Container, EphemeralContainer, PodSpec, WindowsSecurityContextOptions

_SPEC_MAXIMUM_KIBIBYTES: Final = 64
_DOMAIN_MAXIMUM: Final = 256
_USER_MAXIMUM: Final = 104
_LABEL: Final = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_find_control: Final = re.compile(r"[\x00-\x1f\x7f]").search
_match_net_bios: Final = re.compile(r"""[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}""").fullmatch
_match_domain: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*").fullmatch
_find_bad_in_user: Final = re.compile(r"""["/\\:;|=,+*?<>@\[\]]""").search
_USER: Final = "runAsUserName's User"
_DOMAIN: Final = "runAsUserName's Domain"


def check_windows_options(options: WindowsSecurityContextOptions, path: str, errors: list[FieldError]) -> None:
    """Credentials and the user processes run as."""
    name = options.gmsa_credential_spec_name
    if name is not None:
        refuse(names.dns_subdomain(name), name, f"{path}.gmsaCredentialSpecName", errors)
    spec = options.gmsa_credential_spec
    if spec is not None:
        where = f"{path}.gmsaCredentialSpec"
        if not spec:
            errors.append(invalid(where, spec, "gmsaCredentialSpec cannot be an empty string"))
        elif len(spec.encode()) > _SPEC_MAXIMUM_KIBIBYTES * 1024:
            detail = f"gmsaCredentialSpec size must be under {_SPEC_MAXIMUM_KIBIBYTES} KiB"
            errors.append(invalid(where, spec, detail))
    if options.run_as_user_name is not None:
        refuse(_user_problems(options.run_as_user_name), options.run_as_user_name, f"{path}.runAsUserName", errors)


def _user_problems(text: str) -> list[str]:
    if not text:
        return ["runAsUserName cannot be an empty string"]
    if _find_control(text):
        return ["runAsUserName cannot contain control characters"]
    if text.count("\\") > 1:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, separator, user = text.rpartition("\\")
    problems = []
    if len(domain) >= _DOMAIN_MAXIMUM:
        problems.append(f"{_DOMAIN} length must be under {_DOMAIN_MAXIMUM} characters")
    if separator and not (_match_net_bios(domain) or _match_domain(domain)):
        problems.append(f"{_DOMAIN} doesn't match the NetBios nor the DNS format")
    if not user:
        problems.append(f"{_USER} cannot be empty")
    elif len(user) > _USER_MAXIMUM:
        problems.append(f"{_USER} length must not be longer than {_USER_MAXIMUM} characters")
    if user and not user.strip(". "):
        problems.append(f"{_USER} cannot contain only periods or spaces")
    if _find_bad_in_user(user):
        problems.append(f"""{_USER} cannot contain the following characters: "/\\:;|=,+*?<>@[]""")
    return problems


def check_host_processes(
    spec: PodSpec, containers: list[tuple[str, Container | EphemeralContainer]], path: str, errors: list[FieldError]
) -> None:
    """All containers are processes of the host, and on its network, or none is."""
    options = spec.security_context.windows_options if spec.security_context is not None else None
    pods = options.host_process if options is not None else None
    inside = 0
    for place, container in containers:
        context = container.security_context
        own = context.windows_options.host_process if context is not None and context.windows_options else None
        if pods is not None and own is not None and pods != own:
            detail = f"pod hostProcess value must be identical if both are specified, was {str(pods).lower()}"
            errors.append(invalid(f"{place}.securityContext.windowsOptions.hostProcess", own, detail))
        inside += bool(pods if own is None else own)
    if inside:
        if inside != len(containers):
            detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
            errors.append(invalid(path, "", detail))
        if not spec.host_network:
            detail = "hostNetwork must be true if pod contains any hostProcess containers"
            errors.append(invalid(f"{path}.hostNetwork", False, detail))
