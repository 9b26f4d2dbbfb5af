"""Image names: their parts, and the full form a runtime is asked for.

Source: the distribution project's reference grammar: ``[registry[:port]/]repository[:tag][@digest]``.
"""

from __future__ import annotations

import re
from typing import Final

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_PART: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE: Final = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")


class InvalidImageName(ValueError):
    """The name is no image reference; the text is upstream's."""


def normalize(image: str) -> str:
    """`image` with its default registry, library and tag filled in: ``busybox`` is docker.io/library/busybox:latest.

    Image ids (``sha256:…``) stay as they are. Raises InvalidImageName.
    """
    if image.startswith("sha256:") and _IDENTIFIER.fullmatch(image[7:]):
        return image
    match = _REFERENCE.fullmatch(image)
    if match is None:
        lowered = _REFERENCE.fullmatch(image.lower())
        if lowered is not None and image != image.lower():
            raise InvalidImageName("invalid reference format: repository name must be lowercase")
        raise InvalidImageName("invalid reference format")
    name, tag, digest = match["name"], match["tag"], match["digest"]
    full = _with_registry(name)
    if digest:
        return f"{full}:{tag}@{digest}" if tag else f"{full}@{digest}"
    return f"{full}:{tag or 'latest'}"


def _with_registry(name: str) -> str:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return f"docker.io/{rest}" if first == "index.docker.io" else name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def repository_of(reference: str) -> str:
    """Registry and path of a normalized reference, without tag and digest."""
    bare = reference.partition("@")[0]
    head, slash, last = bare.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def shown_image(asked: str, told: str) -> str:
    """How a status names the image: as it was asked for, in full. A runtime may tell another of the image's tags."""
    try:
        return normalize(asked)
    except InvalidImageName:
        return told
