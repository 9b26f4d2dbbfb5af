"""What a request asks for, as authorization sees it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tiphys.api import errors
from tiphys.api.errors import ApiError
from tiphys.api.field_errors import quote
from tiphys.base.http.messages import Query


class RequestLike(Protocol):
    """The apiserver's RequestInfo, or anything with these."""

    verb: str
    path: str
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str
    name: str


class Attributes(NamedTuple):
    """A resource request (`resource` not empty), or one for a path. The selectors are the query's text."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    version: str = ""
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Decision(NamedTuple):
    """`reason` says why, for people and access reviews; it may be empty. Not allowed is not denied: upstream's
    authorizers here never deny what another might allow."""

    allowed: bool
    reason: str = ""


_SELECTING = frozenset({"list", "watch", "deletecollection"})


def of_request(info: RequestLike, query: Query | None = None) -> Attributes:
    """The attributes of an HTTP request. A collection request that selects one object by ``metadata.name`` counts as
    being about that object."""
    name = info.name
    selector = labels = ""
    if query is not None and query and info.verb in _SELECTING:
        selector, labels = query.get("fieldSelector"), query.get("labelSelector")
        if selector and not name:
            name = selected(selector, "metadata.name")
    return Attributes(
        info.verb,
        info.group,
        info.resource,
        info.subresource,
        info.namespace,
        name,
        info.version,
        info.path,
        selector,
        labels,
    )


def selected(selector: str, field: str) -> str:
    """The value a selector of fields or labels requires of `field`; "" if it requires none by equality."""
    for requirement in selector.split(","):
        name, equals, value = requirement.partition("=")
        if equals and name.strip() == field and not value.startswith("!"):
            return value.removeprefix("=").strip()
    return ""


def refusal(user_name: str, attributes: Attributes, reason: str = "") -> ApiError:
    """403 in upstream's words."""
    user, verb = quote(user_name), attributes.verb
    if not attributes.resource:
        text = f"User {user} cannot {verb} path {quote(attributes.path)}"
        return errors.forbidden("", "", f"{text}: {reason}" if reason else text)
    what = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    text = f"User {user} cannot {verb} resource {quote(what)} in API group {quote(attributes.group)}"
    if attributes.namespace:
        text += f" in the namespace {quote(attributes.namespace)}"
    else:
        text += " at the cluster scope"
    qualified = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    return errors.forbidden(qualified, attributes.name, f"{text}: {reason}" if reason else text)
