"""Bytes that anybody may send as a certificate request are refused in words, whatever they are."""

from __future__ import annotations

import base64
import warnings

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.certificates.requests import pem
from tiphys.api.certificate_requests import CertificateRequest, RequestError, parse, parse_encoded

_LINES = base64.b64decode(pem("system:node:n1", ("system:nodes",), ("n1", "192.0.2.7"))).strip().splitlines()
_DER = base64.b64decode(b"".join(_LINES[1:-1]))
_TBS = parse(b"\n".join(_LINES)).csr.tbs_certrequest_bytes


def read(data: bytes) -> CertificateRequest | None:
    body = base64.encodebytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parser warns of attributes it finds odd
        try:
            return parse(_LINES[0] + b"\n" + body + _LINES[-1])
        except RequestError:
            return None


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(_DER) - 1), st.integers(0, 255)), max_size=4))
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(_DER)
    for place, value in changes:
        data[place] = value
    found = read(bytes(data))
    # What is read is signed by its key: of the signed part nothing has changed then.
    assert found is None or found.csr.tbs_certrequest_bytes == _TBS


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert read(data) is None


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    try:
        parse_encoded(text)
    except RequestError:
        pass
