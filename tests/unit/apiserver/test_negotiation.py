"""What clients accept."""

from __future__ import annotations

import pytest

from tiphys.api.errors import ApiError
from tiphys.apiserver.negotiation import METADATA, OBJECT, TABLE, negotiate


@pytest.mark.parametrize(
    ("accept", "form", "media_type"),
    [
        ("", OBJECT, "application/json"),
        ("*/*", OBJECT, "application/json"),
        ("application/json", OBJECT, "application/json"),
        ("application/yaml", OBJECT, "application/yaml"),
        ("application/vnd.kubernetes.protobuf,application/json", OBJECT, "application/json"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", TABLE, "application/json"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", METADATA, "application/json"),
        ("application/json;q=0.1,application/yaml;q=0.9", OBJECT, "application/yaml"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io, application/yaml", OBJECT, "application/yaml"),
    ],
)
def test_negotiate(accept: str, form: str, media_type: str) -> None:
    found = negotiate(accept.encode())
    assert (found.form, found.media_type) == (form, media_type)


def test_nothing_acceptable() -> None:
    with pytest.raises(ApiError) as refused:
        negotiate(b"text/xml")
    assert refused.value.code == 406
