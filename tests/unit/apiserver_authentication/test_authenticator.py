"""Who makes a request."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from tiphys.api.errors import ApiError, forbidden
from tiphys.apiserver.authentication import static_tokens
from tiphys.apiserver.authentication.authenticator import Authenticator
from tiphys.apiserver.authentication.impersonation import Wanted, impersonate
from tiphys.apiserver.authentication.user import ANONYMOUS, User
from tiphys.base.http.messages import Headers, PeerIdentity, Request
from tiphys.testing.clock import FakeClock

TOKENS = static_tokens.parse('secret,jane,42,"dev,ops"\n# a comment\n\nplain,joe,1\n')
JANE = User("jane", "42", ("dev", "ops", "system:authenticated"))


def request(*headers: tuple[bytes, bytes], peer: PeerIdentity | None = None) -> Request:
    return Request("GET", b"/", Headers(headers), peer_certificate=peer)


def authenticator(**options: bool) -> Authenticator:
    return Authenticator(FakeClock(), static_tokens=TOKENS, **options)


def test_a_certificate_names_user_and_groups() -> None:
    peer = PeerIdentity("system:node:a", ("system:nodes",), "ab12")
    user = authenticator().authenticate(request((b"Authorization", b"Bearer wrong"), peer=peer))
    assert user.name == user.groups[0].replace("nodes", "node") + ":a"
    assert user.groups == ("system:nodes", "system:authenticated")
    assert user.extra == {"authentication.kubernetes.io/credential-id": ("X509SHA256=ab12",)}
    assert user.node_name == "a"


def test_a_certificate_ends_even_on_a_connection_that_lasts() -> None:
    asked = authenticator()
    now = FakeClock().now()
    assert asked.authenticate(request(peer=PeerIdentity("jane", not_after=now + 1))).name == "jane"
    with pytest.raises(ApiError) as error:
        asked.authenticate(request(peer=PeerIdentity("jane", not_after=now)))
    assert error.value.code == 401


def test_identities_without_a_fingerprint_are_not_mixed_up() -> None:
    asked = authenticator()
    peers = (PeerIdentity("admin", ("system:masters",)), PeerIdentity("mallory"), PeerIdentity("admin"))
    users = [asked.authenticate(request(peer=peer)) for peer in peers]
    assert [(user.name, user.groups[:-1]) for user in users] == [
        ("admin", ("system:masters",)),
        ("mallory", ()),
        ("admin", ()),
    ]


def test_static_tokens() -> None:
    assert authenticator().authenticate(request((b"authorization", b"Bearer secret"))) == JANE
    assert authenticator().authenticate(request((b"authorization", b"BEARER  plain"))).name == "joe"


def test_a_wrong_token_is_unauthorized_and_no_token_anonymous() -> None:
    with pytest.raises(ApiError) as error:
        authenticator().authenticate(request((b"authorization", b"Bearer wrong")))
    assert (error.value.code, error.value.reason, error.value.message) == (401, "Unauthorized", "Unauthorized")
    assert authenticator().authenticate(request()) is ANONYMOUS
    assert authenticator().authenticate(request((b"authorization", b"Basic abc"))) is ANONYMOUS
    with pytest.raises(ApiError):
        authenticator(allow_anonymous=False).authenticate(request())


def test_browsers_may_send_the_token_as_a_websocket_protocol() -> None:
    text = base64.urlsafe_b64encode(b"secret").rstrip(b"=")
    protocols = b"base64url.bearer.authorization.k8s.io." + text + b", v4.channel.k8s.io"
    made = request((b"upgrade", b"websocket"), (b"sec-websocket-protocol", protocols))
    assert authenticator().authenticate(made) == JANE


@pytest.mark.parametrize("text", ["onlytoken", "a,b", ",user,uid"])
def test_malformed_token_files_name_the_line(text: str) -> None:
    with pytest.raises(ValueError, match="token file:2"):
        static_tokens.parse(f"# first\n{text}\n")


class Checks:
    """Allows everything but what is listed, and notes what it was asked."""

    def __init__(self, *refused: str) -> None:
        self.asked: list[Wanted] = []
        self._refused = refused

    def __call__(self, user: User, wanted: Wanted) -> None:
        self.asked.append(wanted)
        if wanted.name in self._refused:
            raise forbidden(wanted.resource, wanted.name, "no")


def test_impersonation_of_a_user_with_everything() -> None:
    checks = Checks()
    made = request(
        (b"Impersonate-User", b"bob"),
        (b"Impersonate-Group", b"g1"),
        (b"Impersonate-Group", b"g2"),
        (b"Impersonate-Uid", b"7"),
        (b"Impersonate-Extra-" + quote("Acme.Com/Scope", safe="").encode(), b"x"),
    )
    user = impersonate(made, JANE, checks)
    assert user == User("bob", "7", ("g1", "g2", "system:authenticated"), {"acme.com/scope": ("x",)})
    assert checks.asked == [
        Wanted("", "users", "", "", "bob"),
        Wanted("", "groups", "", "", "g1"),
        Wanted("", "groups", "", "", "g2"),
        Wanted("authentication.k8s.io", "userextras", "acme.com/scope", "", "x"),
        Wanted("authentication.k8s.io", "uids", "", "", "7"),
    ]


def test_impersonated_service_accounts_get_their_groups() -> None:
    checks = Checks()
    user = impersonate(request((b"Impersonate-User", b"system:serviceaccount:ns:robot")), JANE, checks)
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert checks.asked == [Wanted("", "serviceaccounts", "", "ns", "robot")]


def test_impersonating_nobody_in_particular() -> None:
    user = impersonate(request((b"Impersonate-User", b"system:anonymous")), JANE, Checks())
    assert user.groups == ("system:unauthenticated",)
    assert impersonate(request(), JANE, Checks()) is JANE


def test_what_is_not_allowed_or_makes_no_sense() -> None:
    with pytest.raises(ApiError) as error:
        impersonate(request((b"Impersonate-User", b"bob"), (b"Impersonate-Group", b"evil")), JANE, Checks("evil"))
    assert error.value.code == 403
    with pytest.raises(ApiError) as error:
        impersonate(request((b"Impersonate-Group", b"g")), JANE, Checks())
    assert error.value.code == 500 and "without impersonating a user" in error.value.message
