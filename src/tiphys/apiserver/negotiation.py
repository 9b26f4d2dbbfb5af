"""Which representation a client accepts: an object or list as it is, as a Table, or its metadata; JSON or another.

Upstream asks twice: its router whether any accepted media type is among those an endpoint produces (parameters do not
count), then its codecs for the best clause whose parameters can be had. Both refusals are 406, in different words.
CBOR is what upstream offers only behind a gate that is off (CBORServingAndStorage, alpha): it is refused here too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tiphys.api import errors
from tiphys.api.types.meta_v1 import Status, StatusDetails

OBJECT: Final = "object"
TABLE: Final = "Table"
METADATA: Final = "PartialObjectMetadata"
JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_PRODUCED: Final = (JSON, YAML, PROTOBUF)
_STREAMED: Final = tuple(f"{media_type};stream=watch" for media_type in (JSON, PROTOBUF))
_WRITTEN: Final = (JSON, YAML)
_AS: Final = {
    "Table": TABLE,
    "PartialObjectMetadata": METADATA,
    "PartialObjectMetadataList": METADATA,
}
_META_VERSIONS: Final = ("v1", "v1beta1")
_REMEMBERED: Final = 512


class Representation(NamedTuple):
    """`form` is OBJECT, TABLE or METADATA; `media_type` JSON, YAML or PROTOBUF. listed: METADATA was asked for of a
    list."""

    form: str = OBJECT
    media_type: str = JSON
    version: str = "v1"
    listed: bool = False

    @property
    def plain(self) -> bool:
        """True if stored bytes can be sent as they are."""
        return self.form == OBJECT and self.media_type == JSON


class _Clause(NamedTuple):
    type: str
    subtype: str
    quality: float
    parameters: dict[str, str]


PLAIN: Final = Representation()


class Offer:
    """What an endpoint can answer. streams: it serves watches too. tables: it converts to Tables; else 406 for them."""

    def __init__(self, *, streams: bool = False, tables: bool = True) -> None:
        self._produced = (*_PRODUCED, *_STREAMED) if streams else _PRODUCED
        self._tables = tables
        self._known: dict[bytes, Representation] = {b"": PLAIN, b"*/*": PLAIN, b"application/json": PLAIN}

    def negotiate(self, accept: bytes) -> Representation:
        """What an Accept header asks for. Raises ApiError 406 if nothing there is is acceptable."""
        found = self._known.get(accept)
        if found is None:
            found = self._choose(accept.decode("latin-1"))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[accept] = found
        return found

    def _choose(self, accept: str) -> Representation:
        named = [text.partition(";")[0].strip() for text in accept.split(",")]
        if not any(name == "*/*" or name in self._produced for name in named):
            raise _no_representation(self._produced)
        for clause in _clauses(accept):
            for media_type in _WRITTEN:
                main, _, sub = media_type.partition("/")
                if clause.type in (main, "*") and clause.subtype in (sub, "*") and not _is_half_wild(clause):
                    found = self._accepted(clause.parameters, media_type)
                    if found is not None:
                        return found
        if (found := self._insisted(accept)) is not None:
            return found
        raise errors.not_acceptable(f"only the following media types are accepted: {', '.join(_PRODUCED)}")

    def _insisted(self, accept: str) -> Representation | None:
        """Protobuf is what a client gets that can do with nothing else: JSON is what is stored."""
        for clause in _clauses(accept):
            if f"{clause.type}/{clause.subtype}" == PROTOBUF and clause.parameters.get("as") != TABLE:
                found = self._accepted(clause.parameters, PROTOBUF)
                if found is not None:
                    return found
        return None

    def _accepted(self, parameters: dict[str, str], media_type: str) -> Representation | None:
        """What a clause with these parameters means in that media type; None if it cannot be had."""
        stream = parameters.get("stream", "")
        if stream and (stream != "watch" or media_type == YAML):
            return None
        if parameters.get("sv", "v1") not in ("", "v1"):
            return None
        if not parameters.keys() & {"as", "g", "v"}:
            return Representation(media_type=media_type)
        kind, version = parameters.get("as", ""), parameters.get("v", "")
        if parameters.get("g") != "meta.k8s.io" or version not in _META_VERSIONS or kind not in _AS:
            return None
        if kind == TABLE and not self._tables:
            return None
        return Representation(_AS[kind], media_type, version, kind.endswith("List"))


OBJECTS: Final = Offer()
LISTS: Final = Offer(streams=True)
BARE: Final = Offer(tables=False)


def negotiate(accept: bytes) -> Representation:
    """What an Accept header asks of an endpoint that answers one object. Raises ApiError 406."""
    return OBJECTS.negotiate(accept)


def negotiate_stream(accept: bytes) -> Representation:
    """What an Accept header asks of a watch, whose events are JSON or protobuf. Raises ApiError 406."""
    found = LISTS.negotiate(accept)
    if found.media_type == YAML:
        raise errors.not_acceptable(f"only the following media types are accepted: {', '.join(_STREAMED)}")
    return found


def _no_representation(produced: tuple[str, ...]) -> errors.ApiError:
    text = f"406: Not Acceptable\n\nAvailable representations: {', '.join(produced)}"
    return errors.ApiError(
        Status(status="Failure", code=406, reason="NotAcceptable", message=text, details=StatusDetails())
    )


def _is_half_wild(clause: _Clause) -> bool:
    """``*/json`` is nothing that matches."""
    return clause.type == "*" and clause.subtype != "*"


def _clauses(accept: str) -> list[_Clause]:
    """The header's clauses, best first; those that are malformed are left out."""
    found = []
    for text in accept.split(","):
        media_type, *parameters = text.split(";")
        main, slash, sub = media_type.strip().partition("/")
        if not slash and main == "*":
            sub = "*"
        elif not sub or "/" in sub:
            continue
        found.append(_clause(main.strip(), sub.strip(), parameters))
    return sorted(found, key=lambda c: (-c.quality, c.type == "*", c.subtype == "*"))


def _clause(main: str, sub: str, parameters: list[str]) -> _Clause:
    pairs: dict[str, str] = {}
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if not value or "=" in value:
            continue
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
        else:
            pairs[name.strip()] = value.strip()
    return _Clause(main, sub, quality, pairs)
