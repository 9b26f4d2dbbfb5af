"""Images: present before a container starts, as its pull policy says."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from tiphys.api.types.core_v1 import ConfigMap, Pod, Secret
from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import AuthConfig, Image, SandboxConfig
from tiphys.kubelet.references import InvalidImageName, normalize, repository_of

DEFAULT_REGISTRY: Final = "docker.io"
SecretLookup = Callable[[Pod, str], Awaitable[ConfigMap | Secret | None]]
Tell = Callable[[str, str, str], None]
"""(event type, reason, message)"""


class ImageError(Exception):
    """The image cannot be had now; `reason` is upstream's waiting reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ImageManager:
    """Pulls images, a bounded number at once, one pull for all who want the same image with the same credentials."""

    def __init__(
        self, runtime: Runtime, lookup: SecretLookup, *, parallel_pulls: int, monotonic: Callable[[], float]
    ) -> None:
        self._runtime = runtime
        self._lookup = lookup
        self._slots = asyncio.Semaphore(parallel_pulls)
        self._monotonic = monotonic
        self._pulling: dict[tuple[str, AuthConfig | None], asyncio.Task[str]] = {}
        self._known: dict[str, Image] = {}
        """Images by the reference containers are created with: who they run as is asked for at every start."""

    def image(self, image_ref: str) -> Image | None:
        """What is known of an image that `ensure` has returned."""
        return self._known.get(image_ref)

    def forget(self, image_ref: str) -> None:
        """The image was removed."""
        self._known.pop(image_ref, None)

    async def ensure(self, pod: Pod, name: str, image: str, policy: str, sandbox: SandboxConfig, tell: Tell) -> str:
        """Have `image` for container `name`; returns what to create the container with. Raises ImageError."""
        try:
            reference = normalize(image)
        except InvalidImageName as error:
            text = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {error}'
            tell("Warning", "InspectFailed", text)
            raise ImageError("InvalidImageName", text) from None
        try:
            present = await self._runtime.image_status(reference)
        except CriError as error:
            tell("Warning", "InspectFailed", f'Failed to inspect image "{image}": {error}')
            raise ImageError("ImageInspectError", f'Failed to inspect image "{image}": {error}') from None
        if present is not None and policy != "Always":
            tell(
                "Normal",
                "Pulled",
                f'Container image "{image}" already present on machine and can be accessed by the pod',
            )
            return self._remember(present)
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", text)
            raise ImageError("ErrImageNeverPull", text)
        tell("Normal", "Pulling", f'Pulling image "{image}"')
        started = self._monotonic()
        try:
            image_ref = await self._pull(pod, reference, sandbox)
            pulled = await self._runtime.image_status(image_ref) or await self._runtime.image_status(reference)
        except CriError as error:
            tell("Warning", "Failed", f'Failed to pull image "{image}": {error}')
            tell("Warning", "Failed", "Error: ErrImagePull")
            raise ImageError("ErrImagePull", f'failed to pull image "{image}": {error}') from None
        seconds = self._monotonic() - started
        size = pulled.size_bytes if pulled is not None else 0
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{image}" in {seconds:.3f}s ({seconds:.3f}s including waiting). '
            f"Image size: {size} bytes.",
        )
        return self._remember(pulled) if pulled is not None else image_ref

    def _remember(self, image: Image) -> str:
        if len(self._known) > 1000:
            self._known.clear()
        self._known[image.id] = image
        return image.id

    async def _pull(self, pod: Pod, reference: str, sandbox: SandboxConfig) -> str:
        """Try each matching credential, then none; raises the first failure."""
        failure: CriError | None = None
        for auth in [*await self._credentials(pod, reference), None]:
            try:
                return await self._pull_once(reference, auth, sandbox)
            except CriError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def _pull_once(self, reference: str, auth: AuthConfig | None, sandbox: SandboxConfig) -> str:
        key = (reference, auth)
        task = self._pulling.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._pull_slotted(reference, auth, sandbox))
            self._pulling[key] = task
            task.add_done_callback(lambda _: self._pulling.pop(key, None))
        return await asyncio.shield(task)

    async def _pull_slotted(self, reference: str, auth: AuthConfig | None, sandbox: SandboxConfig) -> str:
        async with self._slots:
            return await self._runtime.pull_image(reference, auth=auth, sandbox=sandbox)

    async def _credentials(self, pod: Pod, reference: str) -> list[AuthConfig]:
        found: list[AuthConfig] = []
        for ref in pod.spec.image_pull_secrets:
            secret = await self._lookup(pod, ref.name or "") if ref.name else None
            if isinstance(secret, Secret):
                found.extend(credentials(secret, reference))
        return found


def credentials(secret: Secret, reference: str) -> list[AuthConfig]:
    """The credentials of a docker registry secret that match an image's repository; none if it is malformed."""
    text, nested = secret.data.get(".dockerconfigjson"), True
    if text is None:
        text, nested = secret.data.get(".dockercfg"), False
    if text is None:
        return []
    try:
        parsed: Any = msgspec.json.decode(base64.b64decode(text))
        entries: Any = parsed.get("auths", {}) if nested else parsed
        repository = repository_of(reference)
        matching = sorted((h for h in entries if _matches(h, repository)), key=len, reverse=True)
        return [_auth(entries[host]) for host in matching]
    except (msgspec.DecodeError, binascii.Error, AttributeError, TypeError, ValueError):
        return []


def _matches(host: str, repository: str) -> bool:
    bare = host.removeprefix("https://").removeprefix("http://").rstrip("/")
    bare = bare.removesuffix("/v1").removesuffix("/v2")
    if bare == "index.docker.io":
        bare = DEFAULT_REGISTRY
    if bare.startswith("*."):
        registry, _, rest = repository.partition("/")
        pattern, _, path = bare.partition("/")
        return registry.split(".", 1)[-1] == pattern[2:] and rest.startswith(path)
    return repository == bare or repository.startswith(bare + "/")


def _auth(entry: dict[str, str]) -> AuthConfig:
    """Without the server's address: runtimes read it as a URL, and who gets it was decided here."""
    username, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth"):
        username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return AuthConfig(
        username=username,
        password=password,
        identity_token=entry.get("identitytoken", ""),
        registry_token=entry.get("registrytoken", ""),
    )
