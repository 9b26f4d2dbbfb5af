"""`tiphys token create | list | delete`: bootstrap tokens, by which machines join."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import shlex
import string
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from rich.console import Console

from tiphys.api import bootstrap_tokens
from tiphys.api.bootstrap_tokens import Token
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap, Secret
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.client.client import Client
from tiphys.cmd.administration import Administration, columns
from tiphys.cmd.config import ConfigError
from tiphys.cmd.join import ca_hash

DEFAULT_TTL: Final = "24h"
_ALPHABET: Final = string.ascii_lowercase + string.digits
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SELECTOR: Final = f"type={bootstrap_tokens.SECRET_TYPE}"
_SIGNED_SECONDS: Final = 5.0
console = Console(highlight=False, soft_wrap=True)
err_console = Console(stderr=True, highlight=False, soft_wrap=True)


def new_token() -> str:
    """A random token."""
    return ".".join("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (6, 16))


def seconds_of(text: str) -> int:
    """``24h``, ``90m``, ``1h30m``, ``2d`` or ``0`` as seconds. Raises ConfigError."""
    if text == "0":
        return 0
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(f"--ttl {text} is not a duration such as 24h or 1h30m (0: the token lasts)")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def secret_of(token: str, *, ttl_seconds: int, description: str, groups: Sequence[str], now: float) -> Secret:
    """The Secret that makes `token` known. Raises ConfigError for what is no token or no group of bootstrappers."""
    halves = bootstrap_tokens.split(token)
    if halves is None:
        raise ConfigError("a token is six characters, a dot and sixteen characters of a-z and 0-9")
    for group in groups:
        if not bootstrap_tokens.is_group(group):
            raise ConfigError(f"--groups {group}: groups of tokens begin with {bootstrap_tokens.BOOTSTRAPPERS}:")
    data = {
        "token-id": halves[0],
        "token-secret": halves[1],
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": ",".join(groups),
    }
    if description:
        data["description"] = description
    if ttl_seconds:
        data["expiration"] = rfc3339(now + ttl_seconds)
    return Secret(
        metadata=ObjectMeta(name=bootstrap_tokens.secret_name(halves[0]), namespace=bootstrap_tokens.NAMESPACE),
        type=bootstrap_tokens.SECRET_TYPE,
        data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    )


async def create_token(client: Client, *, ttl_seconds: int, token: str = "", description: str = "") -> str:
    """Make a token known to the cluster; returns it. Raises ApiError."""
    made = token or new_token()
    groups = (bootstrap_tokens.DEFAULT_GROUP,)
    await client.create(
        secret_of(made, ttl_seconds=ttl_seconds, description=description, groups=groups, now=time.time())
    )
    return made


async def _until_signed(client: Client, token: str) -> None:
    """Let the controllers sign cluster-info, so that who joins at once is not told that the token is unknown. Where
    no controllers run nothing can be waited for."""
    key = bootstrap_tokens.SIGNATURE_PREFIX + token.partition(".")[0]
    try:
        async with asyncio.timeout(_SIGNED_SECONDS):
            events = client.watch(
                ConfigMap,
                bootstrap_tokens.CLUSTER_INFO_NAMESPACE,
                field_selector=f"metadata.name={bootstrap_tokens.CLUSTER_INFO}",
            )
            async with aclosing(events):  # type: ignore[type-var]
                async for event in events:
                    if key in event.object.data:
                        return
    except TimeoutError:
        err_console.print("cluster-info is not signed with the token yet: do the controllers run?")


def join_command(server: str, token: str, ca: bytes) -> str:
    """What to run on the machine that joins."""
    return shlex.join(["tiphys", "join", server, "--token", token, "--discovery-token-ca-cert-hash", ca_hash(ca)])


def create(
    data_dir: Path, kubeconfig: Path | None, *, ttl: str, token: str, description: str, print_join_command: bool
) -> None:
    """Create a token and print it, or the whole command that joins with it."""
    seconds = seconds_of(ttl)
    if token and bootstrap_tokens.split(token) is None:
        raise ConfigError("a token is six characters, a dot and sixteen characters of a-z and 0-9")
    with Administration(data_dir, kubeconfig) as cluster:
        try:
            made = cluster.run(
                lambda client: create_token(client, ttl_seconds=seconds, token=token, description=description)
            )
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            raise ConfigError(f"there is a token {token.partition('.')[0]} already: delete it first") from None
        cluster.run(lambda client: _until_signed(client, made))
        console.print(join_command(cluster.public_server(), made, cluster.ca) if print_join_command else made)


def show(data_dir: Path, kubeconfig: Path | None) -> None:
    """Print the tokens there are; never their secret halves."""
    with Administration(data_dir, kubeconfig) as cluster:
        listed = cluster.run(
            lambda client: client.list(Secret, bootstrap_tokens.NAMESPACE, field_selector=_SELECTOR)
        ).items
    rows = [_row(token, time.time()) for token in map(bootstrap_tokens.of_secret, listed) if token is not None]
    console.print(columns(("TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"), rows))


def delete(data_dir: Path, kubeconfig: Path | None, tokens: Sequence[str]) -> None:
    """Delete tokens, each given whole or by the part before the dot."""
    ids = [text.partition(".")[0] for text in tokens]
    for text, token_id in zip(tokens, ids, strict=True):
        if bootstrap_tokens.split(f"{token_id}.{'0' * 16}") is None:
            raise ConfigError(f"{text} is no token")
    with Administration(data_dir, kubeconfig) as cluster:
        for token_id in ids:
            name = bootstrap_tokens.secret_name(token_id)
            try:
                cluster.run(lambda client, name=name: client.delete(Secret, name, bootstrap_tokens.NAMESPACE))  # type: ignore[misc]
            except ApiError as error:
                if error.code != 404:
                    raise
                raise ConfigError(f"there is no token {token_id}") from None
            console.print(f"token {token_id} deleted")


def _row(token: Token, now: float) -> tuple[str, ...]:
    usages = [name for name, on in (("authentication", token.authenticates), ("signing", token.signs)) if on]
    lasts = "forever"
    if token.expiration:
        try:
            remaining = max(0, int(parse_rfc3339(token.expiration) - now))
            lasts = f"{remaining // 3600}h{remaining % 3600 // 60:02}m" if remaining else "expired"
        except ValueError:
            lasts = "invalid"
    return (
        f"{token.id}.…",
        lasts,
        token.expiration or "never",
        ",".join(usages),
        token.description or "none",
        ",".join(token.groups),
    )
