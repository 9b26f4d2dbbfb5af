"""TLS with the certificates a cluster makes for itself."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.http.serving import serving
from tiphys.base.http import tls
from tiphys.base.http.client import HttpClient
from tiphys.base.http.messages import PeerIdentity, Request, Response
from tiphys.base.http.tls import client_context, fingerprints, peer_identity, server_context
from tiphys.cmd.certificates import Authority, Profile

NOW = datetime.now(UTC)


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> Authority:
    return Authority.load_or_create(tmp_path / "ca.crt", tmp_path / "ca.key", "test", NOW)


def who(request: Request) -> Response:
    peer = request.peer_certificate
    return Response(200, b"nobody" if peer is None else f"{peer.common_name} {peer.organizations}".encode())


def context(authority: Authority) -> ssl.SSLContext:
    identity = authority.issue(Profile("server", names=("127.0.0.1", "api.example")), NOW)
    return server_context(identity.certificate, identity.key, client_ca=authority.pem)


async def test_the_server_knows_who_a_verified_client_is(authority: Authority) -> None:
    admin = authority.issue(Profile("jane", ("a", "b")), NOW)
    async with serving(who, tls=context(authority)) as (_, port):
        for tls, expected in (
            (client_context(ca=authority.pem), b"nobody"),
            (client_context(ca=authority.pem, certificate=admin.certificate, key=admin.key), b"jane ('a', 'b')"),
        ):
            client = HttpClient(f"https://127.0.0.1:{port}", tls)
            assert (await client.request("GET", "/")).body == expected
            large = await client.request("POST", "/", b"x" * 1_000_000)
            assert large.body == expected
            await client.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_authorities_of_a_peer_are_known_when_a_session_is_taken_up_again(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    other = Authority.load_or_create(tmp_path / "o.crt", tmp_path / "o.key", "other", NOW)
    identity = authority.issue(Profile("server", names=("api.example",)), NOW)
    server = server_context(identity.certificate, identity.key, client_ca=authority.pem + other.pem)
    for issuer in (authority, other):
        jane = issuer.issue(Profile("jane"), NOW)
        client = client_context(ca=authority.pem, certificate=jane.certificate, key=jane.key)
        client.maximum_version = version
        first, session = handshake(server, client, None)
        again, _ = handshake(server, client, session)
        assert first is not None and again == first
        assert set(first.authorities) == fingerprints(issuer.pem)
        if version == ssl.TLSVersion.TLSv1_2:
            tls._verified.clear()
            forgotten, _ = handshake(server, client, session)
            assert forgotten is not None and forgotten.authorities == ("unknown",)


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[PeerIdentity | None, ssl.SSLSession | None]:
    """Who the server says the client is, and the session to take up again."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="api.example", session=session)
    for _ in range(4):
        for side in (theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return peer_identity(ours), theirs.session


async def test_a_client_of_another_authority_is_turned_away(authority: Authority, tmp_path: Path) -> None:
    other = Authority.load_or_create(tmp_path / "o.crt", tmp_path / "o.key", "other", NOW)
    liar = other.issue(Profile("jane", ("system:masters",)), NOW)
    async with serving(who, tls=context(authority)) as (_, port):
        tls = client_context(ca=authority.pem, certificate=liar.certificate, key=liar.key)
        client = HttpClient(f"https://127.0.0.1:{port}", tls)
        with pytest.raises(OSError):
            await client.request("GET", "/")
        await client.close()


async def test_a_server_is_checked_by_authority_and_name(authority: Authority, tmp_path: Path) -> None:
    other = Authority.load_or_create(tmp_path / "o.crt", tmp_path / "o.key", "other", NOW)
    async with serving(who, tls=context(authority)) as (_, port):
        url = f"https://127.0.0.1:{port}"
        named = HttpClient(url, client_context(ca=authority.pem), server_name="api.example")
        assert (await named.request("GET", "/")).status == 200
        for bad in (
            HttpClient(url, client_context(ca=other.pem)),
            HttpClient(url, client_context(ca=authority.pem), server_name="elsewhere"),
        ):
            with pytest.raises(ssl.SSLCertVerificationError):
                await bad.request("GET", "/")
            await bad.close()
        trusting = HttpClient(url, client_context(verify=False))
        assert (await trusting.request("GET", "/")).status == 200
        await named.close()
        await trusting.close()


async def test_a_renewed_certificate_is_shown_to_new_connections(authority: Authority) -> None:
    fresh = authority.issue(Profile("server", names=("renewed.example",)), NOW)
    async with serving(who, tls=context(authority)) as (server, port):
        server.set_tls_identity(fresh.certificate, fresh.key)
        tls = client_context(ca=authority.pem)
        client = HttpClient(f"https://127.0.0.1:{port}", tls, server_name="renewed.example")
        assert (await client.request("GET", "/")).status == 200
        await client.close()


def test_old_protocol_versions_are_not_spoken(authority: Authority) -> None:
    assert context(authority).minimum_version == ssl.TLSVersion.TLSv1_2
