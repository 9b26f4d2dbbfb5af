"""Front proxies: whom their headers make, and who is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from tiphys.api.errors import ApiError
from tiphys.apiserver.authentication.authenticator import Authenticator
from tiphys.apiserver.authentication.front_proxy import FrontProxies, told
from tiphys.apiserver.authentication.user import ANONYMOUS, User
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.client import HttpClient
from tiphys.base.http.messages import HeaderList, Headers, PeerIdentity, Request
from tiphys.base.http.tls import client_context, fingerprints
from tiphys.cmd.certificates import Authority, Identity, Profile
from tiphys.store.memory import MemoryBackend
from tiphys.testing.clock import FakeClock

NOW = datetime.now(UTC)
NAMES = ("front-proxy-client",)
JANE: HeaderList = ((b"X-Remote-User", b"jane"), (b"X-Remote-Group", b"dev"))
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass(frozen=True)
class Authorities:
    front: Authority
    users: Authority

    def proxies(self, *names: str) -> FrontProxies:
        return FrontProxies(self.front.pem, self.users.pem, names)

    def peer(self, authority: Authority, name: str) -> PeerIdentity:
        return PeerIdentity(name, ("o",), name, authorities=tuple(fingerprints(authority.pem)))


@pytest.fixture(name="made")
def _made(tmp_path: Path) -> Authorities:
    def make(name: str) -> Authority:
        return Authority.load_or_create(tmp_path / f"{name}.crt", tmp_path / f"{name}.key", name, NOW)

    return Authorities(make("front-proxy-ca"), make("kubernetes"))


def ask(asked: Authenticator, peer: PeerIdentity | None, *headers: tuple[bytes, bytes]) -> User | int:
    """The user, or the refusal's code."""
    try:
        return asked.authenticate(Request("GET", b"/", Headers(headers), peer_certificate=peer))
    except ApiError as error:
        return error.code


def test_headers_make_a_user() -> None:
    headers = (
        *JANE,
        (b"X-Remote-Group", b"ops"),
        (b"X-Remote-Uid", b"42"),
        (b"X-Remote-Extra-Acme.com%2Fproject", b"one"),
        (b"X-Remote-Extra-Acme.com%2Fproject", b"two"),
        (b"X-Remote-Extra-Scopes", b"\xc3\xa9"),
    )
    extra = {"acme.com/project": ("one", "two"), "scopes": ("é",)}
    assert told(Headers(headers)) == User("jane", "42", ("dev", "ops", "system:authenticated"), extra)
    anonymous = ((b"X-Remote-User", b"system:anonymous"), (b"X-Remote-Group", b"system:unauthenticated"))
    assert told(Headers(anonymous)) == ANONYMOUS
    assert told(Headers(((b"X-Remote-Group", b"system:masters"),))) is None


def test_only_front_proxies_are_believed(made: Authorities) -> None:
    asked = Authenticator(FakeClock(), front_proxies=made.proxies(*NAMES))
    proxy, joe = made.peer(made.front, NAMES[0]), made.peer(made.users, "joe")
    for _ in range(2):
        found = ask(asked, proxy, *JANE)
        assert isinstance(found, User) and (found.name, found.groups) == ("jane", ("dev", "system:authenticated"))
        found = ask(asked, proxy, (b"X-Remote-User", b"joan"))
        assert isinstance(found, User) and found.name == "joan", "each request is another's"
        found = ask(asked, joe, *JANE)
        assert isinstance(found, User) and (found.name, found.groups) == ("joe", ("o", "system:authenticated"))
        found = ask(asked, made.peer(made.users, NAMES[0]), *JANE)
        assert isinstance(found, User) and found.name == NAMES[0], "the name alone makes no front proxy"
        found = ask(asked, PeerIdentity(NAMES[0]), *JANE)
        assert isinstance(found, User) and found.name == NAMES[0], "nor does it in this process"
        assert ask(asked, None, *JANE) == ANONYMOUS


def test_their_authority_makes_no_users(made: Authorities) -> None:
    static = {"token": User("joe")}
    asked = Authenticator(FakeClock(), front_proxies=made.proxies(*NAMES), static_tokens=static)
    for name in ("admin", ""):
        assert ask(asked, made.peer(made.front, name), *JANE) == 401
    proxy = made.peer(made.front, NAMES[0])
    assert ask(asked, proxy) == 401, "it asks for nobody"
    assert ask(asked, proxy, (b"Authorization", b"Bearer token")) == User("joe")
    assert ask(asked, changed(proxy, not_after=0.0), *JANE) == 401
    assert ask(asked, changed(proxy, authorities=("unknown",)), *JANE) == 401


def changed(peer: PeerIdentity, **changes: Any) -> PeerIdentity:
    fields = {name: getattr(peer, name) for name in ("common_name", "organizations", "fingerprint_sha256")}
    return PeerIdentity(**{**fields, "authorities": peer.authorities, **changes})


def test_no_names_allow_any_unless_users_have_the_same_authority(made: Authorities) -> None:
    assert made.proxies().trusts(made.peer(made.front, "whoever"))
    with pytest.raises(ValueError, match="--requestheader-allowed-names"):
        FrontProxies(made.front.pem + made.users.pem, made.users.pem, ())
    both = FrontProxies(made.users.pem, made.users.pem, NAMES)
    asked = Authenticator(FakeClock(), front_proxies=both)
    found = ask(asked, made.peer(made.users, NAMES[0]), *JANE)
    assert isinstance(found, User) and found.name == "jane"
    for headers, name in ((JANE, "joe"), ((), NAMES[0])):
        found = ask(asked, made.peer(made.users, name), *headers)
        assert isinstance(found, User) and found.name == name


@dataclass(frozen=True)
class Running:
    port: int
    made: Authorities

    async def ask(self, identity: Identity | None, *headers: tuple[bytes, bytes]) -> dict[str, Any] | int:
        """Who the server takes one for, or the refusal's code."""
        tls = client_context(
            ca=self.made.users.pem,
            certificate=identity.certificate if identity else b"",
            key=identity.key if identity else b"",
        )
        client = HttpClient(f"https://127.0.0.1:{self.port}", tls)
        body = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
        try:
            answer = await client.request("POST", REVIEW, body, ((b"Content-Type", b"application/json"), *headers))
        finally:
            await client.close()
        if answer.status != 201:
            return answer.status
        user: dict[str, Any] = msgspec.json.decode(answer.body)["status"]["userInfo"]
        return user


@pytest.fixture(name="running")
async def _running(made: Authorities) -> AsyncIterator[Running]:
    serving = made.users.issue(Profile("kube-apiserver", names=("127.0.0.1",)), NOW)
    config = ApiServerConfig(
        bind_address="127.0.0.1",
        port=0,
        certificate=serving.certificate,
        key=serving.key,
        client_ca=made.users.pem,
        requestheader_client_ca=made.front.pem,
    )
    server = ApiServer(config, MemoryBackend())
    await server.start()
    try:
        yield Running(server.port, made)
    finally:
        await server.close()


def intermediate(authority: Authority, path: Path) -> Authority:
    """An authority that `authority` vouches for."""
    own = Authority.load_or_create(path / "i.crt", path / "i.key", "intermediate", NOW)
    key = own._key
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intermediate")]))
        .issuer_name(authority._certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority._key, hashes.SHA256())
    )
    return Authority(certificate, key)


async def test_over_tls(running: Running, tmp_path: Path) -> None:
    made = running.made
    proxy = made.front.issue(Profile(NAMES[0]), NOW)
    jane = await running.ask(proxy, *JANE)
    assert isinstance(jane, dict)
    assert (jane["username"], jane["groups"]) == ("jane", ["dev", "system:authenticated"])
    assert await running.ask(proxy) == 401
    joe = await running.ask(made.users.issue(Profile("joe"), NOW), *JANE)
    assert isinstance(joe, dict) and joe["username"] == "joe"
    liar = await running.ask(made.users.issue(Profile(NAMES[0]), NOW), *JANE)
    assert isinstance(liar, dict) and liar["username"] == NAMES[0]
    assert await running.ask(made.front.issue(Profile("admin", ("system:masters",)), NOW), *JANE) == 401
    assert await running.ask(None, *JANE) == 403, "anonymous"

    between = intermediate(made.front, tmp_path)
    admin = between.issue(Profile("admin", ("system:masters",)), NOW)
    assert await running.ask(Identity(admin.certificate + between.pem, admin.key)) == 401
    second = between.issue(Profile(NAMES[0]), NOW)
    jane = await running.ask(Identity(second.certificate + between.pem, second.key), *JANE)
    assert isinstance(jane, dict) and jane["username"] == "jane"
