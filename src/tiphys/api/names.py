"""What names, label keys and values, and other identifiers may look like.

Every check returns messages in upstream's words, empty if the text is fine. Texts that recur in object after object
(label keys, qualified names) are remembered; names, which do not, are matched anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_UNDERSCORED_LABEL: Final = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED: Final = rf"{_UNDERSCORED_LABEL}(\.{_UNDERSCORED_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED})?"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_C_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
_WILDCARD: Final = rf"\*\.{_SUBDOMAIN}"
_HTTP_HEADER: Final = "[-A-Za-z0-9]+"
_PERCENT: Final = "[0-9]+%"
_PATH: Final = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

SUBDOMAIN_MAXIMUM: Final = 253
LABEL_MAXIMUM: Final = 63
PORT_NAME_MAXIMUM: Final = 15
GENERATED_SUFFIX_LENGTH: Final = 5
GENERATED_BASE_MAXIMUM: Final = LABEL_MAXIMUM - GENERATED_SUFFIX_LENGTH

_match_label: Final = re.compile(_LABEL).fullmatch
_match_subdomain: Final = re.compile(_SUBDOMAIN).fullmatch
_match_underscored: Final = re.compile(_UNDERSCORED).fullmatch
_match_label_1035: Final = re.compile(_LABEL_1035).fullmatch
_match_qualified: Final = re.compile(_QUALIFIED).fullmatch
_match_config_key: Final = re.compile(_CONFIG_KEY).fullmatch
_match_c_identifier: Final = re.compile(_C_IDENTIFIER).fullmatch
_match_wildcard: Final = re.compile(_WILDCARD).fullmatch
_match_http_header: Final = re.compile(_HTTP_HEADER).fullmatch
_match_percent: Final = re.compile(_PERCENT).fullmatch
_match_port_name: Final = re.compile("[-a-z0-9]+").fullmatch
_match_env_name: Final = re.compile(r"[ -<>-~]+").fullmatch
_match_path: Final = re.compile(_PATH).fullmatch

Messages = tuple[str, ...]
NameCheck = Callable[[str], Messages]

OK: Final[Messages] = ()
NON_EMPTY: Final = "must be non-empty"


def too_long_message(maximum: int) -> str:
    """Upstream's words for a name over `maximum` characters."""
    return f"must be no more than {maximum} characters"


def range_message(low: int, high: int) -> str:
    """Upstream's words for a number outside ``low..high``."""
    return f"must be between {low} and {high}, inclusive"


def _regex_message(what: str, pattern: str, *examples: str) -> str:
    listed = " or ".join(f"'{example}', " for example in examples)
    return f"{what} (e.g. {listed}regex used for validation is '{pattern}')"


_LABEL_MESSAGE: Final = _regex_message(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_MESSAGE: Final = _regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_UNDERSCORED_MESSAGE: Final = _regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
    "start and end with an alphanumeric character",
    _UNDERSCORED,
    "example.com",
)
_LABEL_1035_MESSAGE: Final = _regex_message(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_WILDCARD_MESSAGE: Final = _regex_message(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
_QUALIFIED_MESSAGE: Final = _regex_message(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE_MESSAGE: Final = _regex_message(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_MESSAGE: Final = _regex_message(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_C_IDENTIFIER_MESSAGE: Final = _regex_message(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_'",
    _C_IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)
_HTTP_HEADER_MESSAGE: Final = _regex_message(
    "a valid HTTP header must consist of alphanumeric characters or '-'", _HTTP_HEADER, "X-Header-Name"
)
_PERCENT_MESSAGE: Final = _regex_message(
    "a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%"
)
_ENV_NAME_MESSAGE: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)


def dns_label(text: str) -> Messages:
    """RFC 1123 label: namespaces, containers, volumes, hostnames."""
    if len(text) <= LABEL_MAXIMUM and _match_label(text):
        return OK
    messages = [] if len(text) <= LABEL_MAXIMUM else [too_long_message(LABEL_MAXIMUM)]
    if not _match_label(text):
        messages.append("must not contain dots" if _match_subdomain(text) else _LABEL_MESSAGE)
    return tuple(messages)


def dns_subdomain(text: str) -> Messages:
    """RFC 1123 subdomain: the names of most kinds."""
    if len(text) <= SUBDOMAIN_MAXIMUM and _match_subdomain(text):
        return OK
    messages = [] if len(text) <= SUBDOMAIN_MAXIMUM else [too_long_message(SUBDOMAIN_MAXIMUM)]
    if not _match_subdomain(text):
        messages.append(_SUBDOMAIN_MESSAGE)
    return tuple(messages)


def underscored_subdomain(text: str) -> Messages:
    """A subdomain whose labels may have underscores: where a resolver searches."""
    messages = [] if len(text) <= SUBDOMAIN_MAXIMUM else [too_long_message(SUBDOMAIN_MAXIMUM)]
    if not _match_underscored(text):
        messages.append(_UNDERSCORED_MESSAGE)
    return tuple(messages)


def dns_1035_label(text: str) -> Messages:
    """RFC 1035 label: Services, which become host names."""
    messages = [] if len(text) <= LABEL_MAXIMUM else [too_long_message(LABEL_MAXIMUM)]
    if not _match_label_1035(text):
        messages.append(_LABEL_1035_MESSAGE)
    return tuple(messages)


def wildcard_subdomain(text: str) -> Messages:
    """``*.example.com``: hosts of Ingresses."""
    messages = [] if len(text) <= SUBDOMAIN_MAXIMUM else [too_long_message(SUBDOMAIN_MAXIMUM)]
    if not _match_wildcard(text):
        messages.append(_WILDCARD_MESSAGE)
    return tuple(messages)


def path_segment(text: str) -> Messages:
    """Anything that can stand between two slashes of a URL: names of RBAC objects."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{bad}'" for bad in ("/", "%") if bad in text)


@lru_cache(maxsize=8192)
def qualified_name(text: str) -> Messages:
    """``name`` or ``prefix.example.com/name``: keys of labels and annotations, conditions, taints."""
    prefix, slash, name = text.partition("/")
    if not slash:
        name, prefix = prefix, ""
    elif "/" in name:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a qualified name {_QUALIFIED_MESSAGE} {optional}",)
    messages: list[str] = []
    if slash and not prefix:
        messages.append(f"prefix part {NON_EMPTY}")
    elif slash:
        messages.extend(f"prefix part {message}" for message in dns_subdomain(prefix))
    if not name:
        messages.append(f"name part {NON_EMPTY}")
    elif len(name) > LABEL_MAXIMUM:
        messages.append(f"name part {too_long_message(LABEL_MAXIMUM)}")
    if not _match_qualified(name):
        messages.append(f"name part {_QUALIFIED_MESSAGE}")
    return tuple(messages)


@lru_cache(maxsize=8192)
def label_value(text: str) -> Messages:
    """The value of a label."""
    messages = [] if len(text) <= LABEL_MAXIMUM else [too_long_message(LABEL_MAXIMUM)]
    if text and not _match_qualified(text):
        messages.append(_LABEL_VALUE_MESSAGE)
    return tuple(messages)


def fully_qualified_name(text: str) -> Messages:
    """A subdomain of at least three parts: names of webhooks."""
    messages = dns_subdomain(text)
    if not messages and text.count(".") < 2:
        return ("should be a domain with at least three segments separated by dots",)
    return messages


def url_path(text: str) -> Messages:
    """What may follow the host in a URL."""
    return OK if _match_path(text) else (_regex_message("Invalid path", _PATH),)


def domain_prefixed_path(text: str) -> Messages:
    """``example.com/path``: names of finalizing and signing parties."""
    if not text:
        return (NON_EMPTY,)
    domain, slash, path = text.partition("/")
    if not slash or not domain or not path:
        return ('must be a domain-prefixed path (such as "acme.io/foo")',)
    messages = [f"prefix part {message}" for message in dns_subdomain(domain)]
    if not _match_path(path):
        messages.append(_regex_message("Invalid path", _PATH))
    return tuple(messages)


def config_key(text: str) -> Messages:
    """A key of a ConfigMap or Secret, which may become a file name."""
    messages = [] if len(text) <= SUBDOMAIN_MAXIMUM else [too_long_message(SUBDOMAIN_MAXIMUM)]
    if not _match_config_key(text):
        messages.append(_CONFIG_KEY_MESSAGE)
    if text == ".":
        messages.append("must not be '.'")
    elif text == "..":
        messages.append("must not be '..'")
    elif text.startswith(".."):
        messages.append("must not start with '..'")
    return tuple(messages)


def environment_name(text: str) -> Messages:
    """The name of an environment variable."""
    return OK if _match_env_name(text) else (_ENV_NAME_MESSAGE,)


def c_identifier(text: str) -> Messages:
    """An identifier as in C."""
    return OK if _match_c_identifier(text) else (_C_IDENTIFIER_MESSAGE,)


def http_header(text: str) -> Messages:
    """The name of an HTTP header."""
    return OK if _match_http_header(text) else (_HTTP_HEADER_MESSAGE,)


def percent(text: str) -> Messages:
    """``25%``."""
    return OK if _match_percent(text) else (_PERCENT_MESSAGE,)


@lru_cache(maxsize=1024)
def port_name(text: str) -> Messages:
    """The name of a container's port (IANA_SVC_NAME)."""
    messages = [] if len(text) <= PORT_NAME_MAXIMUM else [too_long_message(PORT_NAME_MAXIMUM)]
    if not _match_port_name(text):
        messages.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= character <= "z" for character in text):
        messages.append("must contain at least one letter (a-z)")
    if "--" in text:
        messages.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        messages.append("must not begin or end with a hyphen")
    return tuple(messages)


def port_number(port: int) -> Messages:
    """A TCP or UDP port."""
    return OK if 1 <= port <= 65535 else (range_message(1, 65535),)


def as_prefix(text: str) -> str:
    """`text` with a trailing dash made good: what a generateName is checked as."""
    return f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text


def generated(base: str, suffix: str) -> str:
    """The name for a generateName `base` and five random characters."""
    return base[:GENERATED_BASE_MAXIMUM] + suffix
