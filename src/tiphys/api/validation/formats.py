"""Checks of values that recur among the kinds: addresses, ports, percentages, paths."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse, required

INT32_MAXIMUM: Final = 2**31 - 1
_IP_MESSAGE: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_MESSAGE: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_ID_MESSAGE: Final = names.range_message(0, INT32_MAXIMUM)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=8192)
def parse_ip(text: str) -> Address | None:
    """An address, leading zeros of IPv4 octets forgiven as upstream does; None if it is none."""
    try:
        if ":" not in text and "." in text:
            text = ".".join(
                octet.lstrip("0") or "0" if octet.isascii() and octet.isdigit() else octet for octet in text.split(".")
            )
        if "%" in text:
            return None
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def parse_cidr(text: str) -> Network | None:
    """A network, host bits forgiven; None if it is none."""
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit():
        return None
    parsed = parse_ip(address)
    try:
        return None if parsed is None else ipaddress.ip_network(f"{parsed}/{length}", strict=False)
    except ValueError:
        return None


def check_ip(text: str, path: str, errors: list[FieldError], known: Collection[str] = ()) -> Address | None:
    """An IP address, returned if it is one. What was `known` before may be written as others would misread it."""
    parsed = parse_ip(text)
    if parsed is None:
        errors.append(invalid(path, text, _IP_MESSAGE))
    elif text not in known:
        if _has_leading_zeros(text):
            errors.append(invalid(path, text, "must not have leading 0s"))
        if _is_mapped(parsed):
            errors.append(invalid(path, text, "must not be an IPv4-mapped IPv6 address"))
    return parsed


def check_cidr(text: str, path: str, errors: list[FieldError], known: Collection[str] = ()) -> Network | None:
    """A network in CIDR notation, returned if it is one. What was `known` before may be ambiguous."""
    parsed = parse_cidr(text)
    if parsed is None:
        errors.append(invalid(path, text, _CIDR_MESSAGE))
    elif text not in known:
        address, _, length = text.partition("/")
        own = parse_ip(address)
        if _has_leading_zeros(address) or (length[0] == "0" and length != "0"):
            errors.append(invalid(path, text, "must not have leading 0s in IP or prefix length"))
        elif _is_mapped(own):
            errors.append(invalid(path, text, "must not have an IPv4-mapped IPv6 address"))
        elif own != parsed.network_address:
            errors.append(invalid(path, text, "must not have bits set beyond the prefix length"))
    return parsed


def _has_leading_zeros(text: str) -> bool:
    return ":" not in text and any(len(octet) > 1 and octet[0] == "0" for octet in text.split("."))


def _is_mapped(address: Address | None) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


def check_special_ip(text: str, address: Address, path: str, errors: list[FieldError]) -> None:
    """An address other hosts can send to: none of the special ranges."""
    if address.is_unspecified:
        errors.append(invalid(path, text, f"may not be unspecified ({text})"))
    if address.is_loopback:
        errors.append(invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        errors.append(invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address.is_multicast and (address.version == 6 or str(address).startswith("224.0.0.")):
        errors.append(invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))


def check_port(port: int, path: str, errors: list[FieldError]) -> None:
    """A port number."""
    if not 1 <= port <= 65535:
        errors.append(invalid(path, port, names.range_message(1, 65535)))


def check_port_or_name(port: int | str | None, path: str, errors: list[FieldError]) -> None:
    """A port number, or the name of a container's port."""
    if isinstance(port, str):
        refuse(names.port_name(port), port, path, errors)
    else:
        check_port(port or 0, path, errors)


def check_id(value: int, path: str, errors: list[FieldError]) -> None:
    """A user or group id."""
    if not 0 <= value <= INT32_MAXIMUM:
        errors.append(invalid(path, value, _ID_MESSAGE))


def check_domain_prefixed_path(text: str, path: str, errors: list[FieldError]) -> None:
    """``example.com/path``, of which upstream names the part that is bad."""
    host, slash, rest = text.partition("/")
    if not text:
        errors.append(required(path))
    elif not slash or not host or not rest:
        errors.append(invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        refuse(names.dns_subdomain(host), host, path, errors)
        refuse(names.url_path(rest), rest, path, errors)


def check_names(name_check: names.NameCheck, text: str, path: str, errors: list[FieldError]) -> None:
    """Whatever `name_check` has against `text`."""
    refuse(name_check(text), text, path, errors)


def check_not_negative_or_percent(value: int | str | None, path: str, errors: list[FieldError]) -> None:
    """An IntOrString that counts or is a percentage."""
    if value is None:
        return
    if isinstance(value, str):
        refuse(names.percent(value), value, path, errors)
    elif value < 0:
        errors.append(invalid(path, value, "must be greater than or equal to 0"))


def percent_of(value: int | str | None) -> int | None:
    """The number before the sign, None if `value` is no percentage."""
    return int(value[:-1]) if isinstance(value, str) and not names.percent(value) else None


def check_at_most_100_percent(value: int | str | None, path: str, errors: list[FieldError]) -> None:
    """A percentage of something that cannot be more than all of it."""
    percentage = percent_of(value)
    if percentage is not None and percentage > 100:
        errors.append(invalid(path, value, "must not be greater than 100%"))


def check_no_backsteps(text: str, path: str, errors: list[FieldError]) -> None:
    """A path that does not climb."""
    if ".." in text and ".." in text.split("/"):
        errors.append(invalid(path, text, "must not contain '..'"))


def check_descending_path(text: str, path: str, errors: list[FieldError]) -> None:
    """A relative path that does not climb."""
    if text.startswith("/"):
        errors.append(invalid(path, text, "must be a relative path"))
    check_no_backsteps(text, path, errors)


def check_non_reserved_path(text: str, path: str, errors: list[FieldError]) -> None:
    """A relative path that does not climb, nor looks like what atomic writers keep beside it."""
    check_descending_path(text, path, errors)
    if text.startswith("..") and not text.startswith("../"):
        errors.append(invalid(path, text, "must not start with '..'"))


def selector_value(selector: Any) -> Any:
    """A label selector as messages print it, matchLabels first."""
    if selector is None:
        return None
    value: dict[str, Any] = {}
    if selector.match_labels:
        value["matchLabels"] = dict(sorted(selector.match_labels.items()))
    if selector.match_expressions:
        value["matchExpressions"] = selector.match_expressions
    return value
