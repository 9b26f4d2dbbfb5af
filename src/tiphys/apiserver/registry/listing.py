"""The options of LIST and WATCH, and the tokens that continue a paged list."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from tiphys.api import errors, field_errors
from tiphys.api.field_errors import FieldError
from tiphys.api.scheme import Resource
from tiphys.api.selectors import parse_fields, parse_labels, resolve_fields
from tiphys.api.types.meta_v1 import ListMeta
from tiphys.apiserver.routing import RequestInfo, is_true
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.fields import reader_of
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.base.http.messages import Query

EXACT: Final = "Exact"
NOT_OLDER_THAN: Final = "NotOlderThan"
_MATCHES: Final = ("Exact", "NotOlderThan")
_OPTIONS: Final = "ListOptions.meta.k8s.io"
_TOKEN_VERSION: Final = "meta.k8s.io/v1"
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9_-]")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_TOO_OLD: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class ListOptions(msgspec.Struct, frozen=True):
    """A list's or watch's options, checked. `revision` is None when no resourceVersion was given.

    `after`: the key to continue after, from a token; `revision` is then the token's (-1: any).
    """

    limit: int = 0
    revision: int | None = None
    match: str = ""
    continued: bool = False
    after: str = ""
    timeout_seconds: int = 0
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None

    @property
    def exact(self) -> bool:
        """True if the state at exactly `revision` is wanted."""
        if self.continued:
            return self.revision != -1
        unset_match = self.match == "" and self.limit > 0 and bool(self.revision)
        return self.match == EXACT or unset_match


class _Token(msgspec.Struct):
    v: str = ""
    rv: int = 0
    start: str = ""


NO_OPTIONS: Final = ListOptions()


def list_options(query: Query, *, watch: bool = False) -> ListOptions:
    """The query's options. Raises ApiError 400 or 422 in upstream's words.

    A watch on the old path ``/api/v1/watch/…`` is checked as a list, unless it says ``watch=1`` as well.
    """
    if not query.raw and not watch:
        return NO_OPTIONS
    limit = _integer(query.get("limit"))
    timeout_seconds = _integer(query.get("timeoutSeconds"))
    text, match, token = query.get("resourceVersion"), query.get("resourceVersionMatch"), query.get("continue")
    initial = _flag(query, "sendInitialEvents")
    asked = watch and is_true(query.get("watch"))
    wrong = _watch_errors(match, token, initial) if asked else _list_errors(text, match, token, initial)
    if wrong:
        raise errors.invalid(_OPTIONS, "", wrong)
    if asked and initial is None and text in ("", "0"):
        initial = True
    revision, after = parse_revision(text, watch=watch), ""
    if token and not watch:
        decoded = _decode_token(token)
        if revision:
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        revision, after = decoded
    return ListOptions(
        # The oldest clients page through whatever state there is: it is answered whole.
        limit=max(0, limit) if text != "0" or token else 0,
        revision=revision,
        match=match,
        continued=bool(token) and not watch,
        after=after,
        timeout_seconds=timeout_seconds,
        allow_bookmarks=bool(_flag(query, "allowWatchBookmarks")),
        send_initial_events=initial,
    )


def parse_revision(text: str, *, watch: bool = False) -> int | None:
    """A resourceVersion parameter; None for "". Raises ApiError."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        if int(text) < 1 << 64:
            return int(text)
        problem = "value out of range"
    else:
        problem = "invalid syntax"
    said = field_errors.invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": {problem}')
    if watch:
        raise errors.unclassified(str(said))
    raise errors.bad_request(f"invalid resource version: {said}")


def make_filter(info: RequestInfo, query: Query, cache: ResourceCache) -> tuple[Filter, tuple[str, str]]:
    """The filter a request's scope and selectors make, and the selectors' texts. Raises ApiError 400."""
    namespace = info.namespace if cache.resource.namespaced else ""
    label_text, field_text = query.get("labelSelector"), query.get("fieldSelector")
    if not label_text and not field_text:
        return Filter(namespace, info.name), ("", "")
    labels = parse_labels(label_text) if label_text else None
    name, trigger = info.name, None
    requirements: tuple[tuple[str, bool, str], ...] = ()
    if field_text:
        fields = resolve_fields(parse_fields(field_text), info.target or cache.resource)
        if info.name and fields.equalities.get("metadata.name") != info.name and not fields.is_everything:
            raise errors.bad_request("fieldSelector metadata.name doesn't match requested name")
        requirements = fields.requirements
        if cache.format.indexed:
            trigger = fields.equalities.get("spec.nodeName")
        name = name or fields.equalities.get("metadata.name", "")
        namespace = namespace or fields.equalities.get("metadata.namespace", "")
    everything = labels is None or labels.is_everything
    demands = None if labels is None else labels.demands
    matcher = None if everything else labels
    # Each version of a custom resource is selected by fields of its own.
    reader = reader_of(info.target) if info.target is not None and info.target.selectable_fields else cache.fields
    return Filter(namespace, name, matcher, demands, requirements, reader, trigger), (label_text, field_text)


def encode_token(revision: int, last_key: str) -> str:
    """The continue token for what comes after `last_key`."""
    token = msgspec.json.encode(_Token(_TOKEN_VERSION, revision, last_key + "\0"))
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def expired(after: str) -> errors.ApiError:
    """410 for a token whose revision is gone; it carries one that goes on inconsistently."""
    error = errors.expired(_TOO_OLD)
    error.status.metadata = ListMeta(continue_=encode_token(-1, after))
    return error


def head(resource: Resource, revision: int, continue_: str = "", remaining: int | None = None) -> bytes:
    """A list's JSON up to its items."""
    more = f',"continue":"{continue_}"' if continue_ else ""
    if remaining:
        more += f',"remainingItemCount":{remaining}'
    text = f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}","metadata":{{"resourceVersion":"'
    return f'{text}{revision}"{more}}},"items":['.encode()


def _decode_token(text: str) -> tuple[int, str]:
    """A token's revision (-1: any) and the key to go on after."""
    invalid = "invalid continue token: continue key is not valid"
    if found := _NOT_BASE64.search(text):
        raise errors.bad_request(f"{invalid}: illegal base64 data at input byte {found.start()}")
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise errors.bad_request(f"{invalid}: {error}") from error
    if token.v != _TOKEN_VERSION:
        raise errors.bad_request(f"{invalid}: server does not recognize this encoded version {token.v}")
    if not token.rv:
        raise errors.bad_request(f"{invalid}: incorrect encoded start resourceVersion (version {_TOKEN_VERSION})")
    if not token.start:
        raise errors.bad_request(f"{invalid}: encoded start key empty (version {_TOKEN_VERSION})")
    key = token.start.removesuffix("\0")
    if any(part in ("", ".", "..") for part in key.removeprefix("/").split("/")):
        raise errors.bad_request(f"{invalid}: {token.start}")
    return token.rv, key


def _flag(query: Query, name: str) -> bool | None:
    """A boolean parameter: None if it is not there, true if it is there without a value."""
    return (is_true(query.get(name)) or query.get(name) == "") if name in query else None


def _integer(text: str) -> int:
    if not text:
        return 0
    if not _INTEGER.fullmatch(text):
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if not -(1 << 63) <= int(text) < 1 << 63:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def _list_errors(revision: str, match: str, token: str, initial: bool | None) -> list[FieldError]:
    wrong: list[FieldError] = []
    name = "resourceVersionMatch"
    if match and not revision:
        wrong.append(field_errors.forbidden(name, f"{name} is forbidden unless resourceVersion is provided"))
    if match and token:
        wrong.append(field_errors.forbidden(name, f"{name} is forbidden when continue is provided"))
    if match and match not in _MATCHES:
        wrong.append(field_errors.not_supported(name, match, (*_MATCHES, "")))
    if match == EXACT and revision == "0":
        wrong.append(field_errors.forbidden(name, f'{name} "exact" is forbidden for resourceVersion "0"'))
    if initial is not None:
        wrong.append(field_errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return wrong


def _watch_errors(match: str, token: str, initial: bool | None) -> list[FieldError]:
    wrong: list[FieldError] = []
    name = "resourceVersionMatch"
    if initial is not None and match != NOT_OLDER_THAN:
        text = f"sendInitialEvents requires setting {name} to {NOT_OLDER_THAN}"
        wrong.append(field_errors.forbidden(name, text))
    if match and initial is None:
        text = f"{name} is forbidden for watch unless sendInitialEvents is provided"
        wrong.append(field_errors.forbidden(name, text))
    if match and match != NOT_OLDER_THAN:
        wrong.append(field_errors.not_supported(name, match, (NOT_OLDER_THAN,)))
    if match and token:
        wrong.append(field_errors.forbidden(name, f"{name} is forbidden when continue is provided"))
    return wrong
