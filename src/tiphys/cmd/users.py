"""`tiphys user create | list | delete`: people with a kubeconfig of their own, who see one namespace and no other.

A user is a client certificate (signed through a request, as anybody's), a RoleBinding in each of its namespaces, and
there a ResourceQuota if asked for. Namespaces are guarded by Pod Security admission, so that no pod of a user's takes
the node: without that, whoever may create pods could be root of the cluster.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from tiphys.api.certificate_requests import API_SERVER_CLIENT, CLIENT_USAGES
from tiphys.api.errors import ApiError
from tiphys.api.names import dns_label
from tiphys.api.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from tiphys.api.types.core_v1 import Namespace
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import RoleBinding, RoleRef, Subject
from tiphys.client.client import Client
from tiphys.cmd.administration import Administration, columns
from tiphys.cmd.certificate_files import RequestRefused, Wanted, obtain
from tiphys.cmd.certificates import Identity, write_private
from tiphys.cmd.config import ConfigError
from tiphys.cmd.pki import kubeconfig_text
from tiphys.cmd.user_quota import Quota, ensure_quota

ROLES: Final = ("view", "edit", "admin")
LEVELS: Final = ("privileged", "baseline", "restricted")
LABEL: Final = "tiphys.io/user-binding"
ENFORCE: Final = "pod-security.kubernetes.io/enforce"
BINDING_PREFIX: Final = "tiphys:user:"
_RBAC: Final = "rbac.authorization.k8s.io"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?")
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class UserOptions:
    """What `tiphys user create` was asked for. `days` is how long the certificate lasts at most."""

    name: str
    namespace: str
    role: str
    pod_security: str = "baseline"
    days: int = 365
    quota: Quota = field(default_factory=Quota)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{self.name!r} is no name for a user: use a-z, 0-9 and . _ @ - between them")
        if dns_label(self.namespace):
            raise ConfigError(f"--namespace {self.namespace!r} is no name of a namespace")
        if self.role not in ROLES:
            raise ConfigError(f"--role {self.role}: one of {', '.join(ROLES)}")
        if self.pod_security not in LEVELS:
            raise ConfigError(f"--pod-security {self.pod_security}: one of {', '.join(LEVELS)}")
        if self.days < 1:
            raise ConfigError("--days must be 1 at least")


async def create_user(client: Client, options: UserOptions) -> Identity:
    """Make the user's namespace, rights and quota, and a fresh certificate. Safe to run again; each run makes another
    certificate. Raises ApiError or RequestRefused."""
    await _ensure_namespace(client, options)
    await _ensure_binding(client, options)
    await ensure_quota(client, options.namespace, options.quota)
    return await _certificate(client, options)


def create(
    data_dir: Path, kubeconfig: Path | None, options: UserOptions, output: Path | None, *, server: str = ""
) -> None:
    """`create_user`, then write the kubeconfig to `output` (0600), or print it."""
    with Administration(data_dir, kubeconfig) as cluster:
        ca, address = cluster.ca, server or cluster.public_server()
        try:
            identity = cluster.run(lambda client: create_user(client, options))
        except RequestRefused as error:
            raise ConfigError(str(error)) from None
    text = kubeconfig_text(address, ca, identity, options.name, namespace=options.namespace)
    if output is None:
        sys.stdout.write(text.decode())
        return
    write_private(output, text)
    console.print(f"{options.name} has {options.role} rights in namespace {options.namespace}: {output}")


def show(data_dir: Path, kubeconfig: Path | None) -> None:
    """Print who has which rights where."""
    with Administration(data_dir, kubeconfig) as cluster:
        bindings = cluster.run(lambda client: client.list(RoleBinding, label_selector=LABEL)).items
    rows = [
        (
            subject.name,
            binding.metadata.namespace or "",
            binding.role_ref.name,
            binding.metadata.creation_timestamp or "",
        )
        for binding in sorted(bindings, key=lambda b: (b.metadata.name or "", b.metadata.namespace or ""))
        for subject in binding.subjects
    ]
    console.print(columns(("USER", "NAMESPACE", "ROLE", "CREATED"), rows))


def delete(data_dir: Path, kubeconfig: Path | None, name: str) -> None:
    """Take all rights back that `create` gave. Namespaces and what is in them stay."""
    with Administration(data_dir, kubeconfig) as cluster:
        namespaces = cluster.run(lambda client: remove_user(client, name))
    if not namespaces:
        raise ConfigError(f"there is no user {name}")
    console.print(f"{name} has no rights in {', '.join(namespaces)} any more; the certificate itself ends by its date")


async def remove_user(client: Client, name: str) -> list[str]:
    """Delete the user's bindings; the namespaces they were in, sorted. Raises ApiError."""
    listed = (await client.list(RoleBinding, label_selector=LABEL)).items
    found = [b.metadata.namespace or "" for b in listed if b.metadata.name == BINDING_PREFIX + name]
    for namespace in found:
        await client.delete(RoleBinding, BINDING_PREFIX + name, namespace)
    return sorted(found)


async def _ensure_namespace(client: Client, options: UserOptions) -> None:
    labels = {ENFORCE: options.pod_security, "pod-security.kubernetes.io/warn": options.pod_security}
    try:
        found = await client.get(Namespace, options.namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        await client.create(Namespace(metadata=ObjectMeta(name=options.namespace, labels=labels)))
        return
    # What an administrator chose for a namespace stays.
    if ENFORCE not in found.metadata.labels:
        await client.patch(Namespace, options.namespace, "", {"metadata": {"labels": labels}})


async def _ensure_binding(client: Client, options: UserOptions) -> None:
    wanted = RoleBinding(
        metadata=ObjectMeta(
            name=BINDING_PREFIX + options.name, namespace=options.namespace, labels={LABEL: options.role}
        ),
        role_ref=RoleRef(kind="ClusterRole", api_group=_RBAC, name=options.role),
        subjects=(Subject(kind="User", api_group=_RBAC, name=options.name),),
    )
    try:
        await client.create(wanted)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        found = await client.get(RoleBinding, wanted.metadata.name or "", options.namespace)
        if found.role_ref != wanted.role_ref:
            # A binding's role never changes: another role is another binding.
            await client.delete(RoleBinding, wanted.metadata.name or "", options.namespace)
            await client.create(wanted)


async def _certificate(client: Client, options: UserOptions) -> Identity:
    """Ask, approve as the administrator we are, and take what the cluster signs."""
    with tempfile.TemporaryDirectory(prefix="tiphys-user-") as folder:
        path = Path(folder) / "user.pem"
        wanted = Wanted(path, API_SERVER_CLIENT, CLIENT_USAGES, options.name)

        async def approve(request: CertificateSigningRequest) -> None:
            message = f"Approved by tiphys user create for {options.name}."
            condition = CertificateSigningRequestCondition(
                type="Approved", status="True", reason="TiphysUserCreate", message=message
            )
            status = msgspec.structs.replace(request.status, conditions=(condition,))
            await client.update(msgspec.structs.replace(request, status=status), subresource="approval")

        await obtain(client, wanted, expiration_seconds=options.days * 86400, created=approve)
        pem = await asyncio.to_thread(path.read_bytes)
    certificate, mark, key = pem.partition(b"-----BEGIN PRIVATE KEY-----")
    return Identity(certificate, mark + key)
