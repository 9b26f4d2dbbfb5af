"""URLs, addresses and ranges of addresses."""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.libraries.messages import make
from tiphys.api.cel.type_names import CIDR, IP, URL

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Range = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")


def _url(text: str) -> Any:
    """An absolute URL or path, as Go's ParseRequestURI takes them."""
    problem = f"URL parse error during conversion from string: parse {text!r}: "
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        raise ValueError(f"{problem}net/url: invalid control character in URL")
    try:
        parts = urlsplit(text, allow_fragments=False)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{problem}{error}") from None
    if not text.startswith("/") and not (parts.scheme and text[len(parts.scheme) + 1 :].startswith("/")):
        raise ValueError(f"{problem}invalid URI for request")
    return make(URL, text)


def is_url(text: str) -> bool:
    """Whether a text is an absolute URL or path."""
    try:
        _url(text)
    except ValueError:
        return False
    return True


def _split(value: Any) -> Any:
    return urlsplit(value.text, allow_fragments=False)


def _host(value: Any) -> str:
    return str(_split(value).netloc.rpartition("@")[2])


def _hostname(value: Any) -> str:
    host = _host(value)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _port(value: Any) -> str:
    tail = _host(value).rpartition("]")[2]
    return tail.rpartition(":")[2] if ":" in tail else ""


def _address(text: str) -> _Address:
    problem = f"IP Address {text!r} parse error during conversion from string: "
    if "%" in text:
        raise ValueError(f"IP Address {text!r} with zone value is not allowed")
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{problem}{error}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return address


def _range(text: str) -> _Range:
    problem = f"network address parse error during conversion from string: {text!r}"
    base, slash, bits = text.partition("/")
    if not slash or not bits.isascii() or not bits.isdigit() or (len(bits) > 1 and bits[0] == "0"):
        raise ValueError(problem)
    _address(base)
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(problem) from None


def _is(parse: Any) -> Any:
    def run(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return run


def _of(value: Any) -> _Address:
    return ipaddress.ip_address(value.text)


def _is_global_unicast(value: Any) -> bool:
    at = _of(value)
    special = at.is_unspecified or at.is_loopback or at.is_multicast or at.is_link_local or at == _BROADCAST
    return not special


def _is_local_multicast(value: Any) -> bool:
    at = _of(value)
    if isinstance(at, ipaddress.IPv4Address):
        return at in ipaddress.ip_network("224.0.0.0/24")
    return at.packed[0] == 0xFF and at.packed[1] & 0x0F == 2


def _is_canonical(text: str) -> bool:
    return str(_address(text)) == text


def _network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_interface(value.text).network


def _contains(value: Any, address: _Address) -> bool:
    return address in _network(value)


def _contains_range(value: Any, other: _Range) -> bool:
    network = _network(value)
    inner = other.network
    return network.version == inner.version and network.prefixlen <= inner.prefixlen and other.ip in network


FUNCTIONS: Final = (
    Function("url", "string_to_url", ("string",), URL, _url, is_member=False),
    Function("isURL", "is_url_string", ("string",), "bool", is_url, is_member=False),
    Function("getScheme", "url_get_scheme", (URL,), "string", lambda u: _split(u).scheme),
    Function("getHost", "url_get_host", (URL,), "string", _host),
    Function("getHostname", "url_get_hostname", (URL,), "string", _hostname),
    Function("getPort", "url_get_port", (URL,), "string", _port),
    Function("getEscapedPath", "url_get_escaped_path", (URL,), "string", lambda u: _split(u).path),
    Function(
        *("getQuery", "url_get_query", (URL,), "map(string, list(string))"),
        lambda u: parse_qs(_split(u).query, keep_blank_values=True, max_num_fields=10_000),
    ),
    Function("ip", "string_to_ip", ("string",), IP, lambda s: make(IP, str(_address(s))), is_member=False),
    Function("isIP", "is_ip", ("string",), "bool", _is(_address), is_member=False),
    Function("ip.isCanonical", "ip_is_canonical", ("string",), "bool", _is_canonical, is_member=False),
    Function("family", "ip_family", (IP,), "int", lambda i: _of(i).version),
    Function("isUnspecified", "ip_is_unspecified", (IP,), "bool", lambda i: _of(i).is_unspecified),
    Function("isLoopback", "ip_is_loopback", (IP,), "bool", lambda i: _of(i).is_loopback),
    Function("isLinkLocalMulticast", "ip_is_link_local_multicast", (IP,), "bool", _is_local_multicast),
    Function("isLinkLocalUnicast", "ip_is_link_local_unicast", (IP,), "bool", lambda i: _of(i).is_link_local),
    Function("isGlobalUnicast", "ip_is_global_unicast", (IP,), "bool", _is_global_unicast),
    Function("string", "ip_to_string", (IP,), "string", lambda i: i.text, is_member=False),
    Function("cidr", "string_to_cidr", ("string",), CIDR, lambda s: make(CIDR, str(_range(s))), is_member=False),
    Function("isCIDR", "is_cidr", ("string",), "bool", _is(_range), is_member=False),
    Function("containsIP", "cidr_contains_ip_string", (CIDR, "string"), "bool", lambda c, s: _contains(c, _address(s))),
    Function("containsIP", "cidr_contains_ip_ip", (CIDR, IP), "bool", lambda c, i: _contains(c, _of(i))),
    Function(
        *("containsCIDR", "cidr_contains_cidr_string", (CIDR, "string"), "bool"),
        lambda c, s: _contains_range(c, _range(s)),
    ),
    Function(
        *("containsCIDR", "cidr_contains_cidr", (CIDR, CIDR), "bool"),
        lambda c, o: _contains_range(c, ipaddress.ip_interface(o.text)),
    ),
    Function("ip", "cidr_ip", (CIDR,), IP, lambda c: make(IP, str(ipaddress.ip_interface(c.text).ip))),
    Function("prefixLength", "cidr_prefix_length", (CIDR,), "int", lambda c: _network(c).prefixlen),
    Function("masked", "cidr_masked", (CIDR,), CIDR, lambda c: make(CIDR, str(_network(c)))),
    Function("string", "cidr_to_string", (CIDR,), "string", lambda c: c.text, is_member=False),
)
