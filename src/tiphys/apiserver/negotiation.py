"""Which representation a client accepts: an object or list as it is, as a Table, or its metadata; JSON or YAML."""

from __future__ import annotations

from typing import Final, NamedTuple

from tiphys.api import errors
from tiphys.api.types.meta_v1 import Status, StatusDetails

OBJECT: Final = "object"
TABLE: Final = "Table"
METADATA: Final = "PartialObjectMetadata"
_JSON: Final = "application/json"
_YAML: Final = "application/yaml"
_OFFERED: Final = ", ".join(
    (
        _JSON,
        _YAML,
        "application/vnd.kubernetes.protobuf",
        "application/json;stream=watch",
        "application/vnd.kubernetes.protobuf;stream=watch",
    )
)
_AS: Final = {
    "Table": TABLE,
    "PartialObjectMetadata": METADATA,
    "PartialObjectMetadataList": METADATA,
}
_REMEMBERED: Final = 512


class Representation(NamedTuple):
    """`form` is OBJECT, TABLE or METADATA; `media_type` application/json or application/yaml."""

    form: str = OBJECT
    media_type: str = _JSON
    version: str = "v1"

    @property
    def plain(self) -> bool:
        """True if stored bytes can be sent as they are."""
        return self.form == OBJECT and self.media_type == _JSON


PLAIN: Final = Representation()
_known: dict[bytes, Representation] = {b"": PLAIN, b"*/*": PLAIN, b"application/json": PLAIN}


def negotiate(accept: bytes) -> Representation:
    """What an Accept header asks for. Raises ApiError 406 if nothing we have is acceptable."""
    found = _known.get(accept)
    if found is None:
        found = _parse(accept.decode("latin-1"))
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[accept] = found
    return found


def _parse(accept: str) -> Representation:
    clauses = [_clause(text) for text in accept.split(",")]
    for media_type, parameters in sorted(clauses, key=lambda clause: -_quality(clause[1])):
        wildcard = media_type in ("*/*", "application/*")
        if media_type not in (_JSON, _YAML) and not wildcard:
            continue
        wanted = parameters.get("as", "")
        if wanted and (parameters.get("g", "meta.k8s.io") != "meta.k8s.io" or wanted not in _AS):
            continue
        version = parameters.get("v", "v1")
        if wanted and version not in ("v1", "v1beta1"):
            continue
        return Representation(_AS.get(wanted, OBJECT), _JSON if wildcard else media_type, version)
    raise errors.ApiError(_not_acceptable())


def _not_acceptable() -> Status:
    text = f"406: Not Acceptable\n\nAvailable representations: {_OFFERED}"
    return Status(status="Failure", code=406, reason="NotAcceptable", message=text, details=StatusDetails())


def _clause(text: str) -> tuple[str, dict[str, str]]:
    media_type, *parameters = (part.strip() for part in text.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return media_type.lower(), {name: value for name, _, value in pairs}


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
