"""Image references, pull policies, credentials."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from tests.unit.kubelet.player import pod
from tiphys.api.types.core_v1 import Pod, Secret
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import SandboxConfig
from tiphys.kubelet.images import ImageError, ImageManager, credentials
from tiphys.kubelet.references import InvalidImageName, normalize, repository_of, shown_image
from tiphys.testing.fake_cri import FakeRuntime

SANDBOX = SandboxConfig(name="p", namespace="ns", uid="u1")


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/app", "docker.io/user/app:latest"),
        ("localhost/x:1", "localhost/x:1"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("index.docker.io/library/x:1", "docker.io/library/x:1"),
        ("x@sha256:" + "a" * 64, "docker.io/library/x@sha256:" + "a" * 64),
        ("sha256:" + "a" * 64, "sha256:" + "a" * 64),
    ],
)
def test_references_in_full(image: str, full: str) -> None:
    assert normalize(image) == full


@pytest.mark.parametrize("image", ["Bad//Name", "Upper", "a:b:c", "", "x@sha256:short"])
def test_what_is_no_reference(image: str) -> None:
    with pytest.raises(InvalidImageName, match="invalid reference format"):
        normalize(image)
    assert shown_image(image, "told") == "told"


def test_a_repository_has_no_tag() -> None:
    assert repository_of("127.0.0.1:5000/a/b:1") == "127.0.0.1:5000/a/b"


class World:
    def __init__(self, *images: str) -> None:
        self.runtime = FakeRuntime(images=images)
        self.told: list[tuple[str, str]] = []
        self.secret: Secret | None = None
        self.manager = ImageManager(self.runtime, self._lookup, parallel_pulls=2, monotonic=lambda: 0.0)

    async def _lookup(self, subject: Pod, name: str) -> Secret | None:
        return self.secret

    async def ensure(self, image: str, policy: str, subject: Pod | None = None) -> str:
        return await self.manager.ensure(
            subject or pod(), "web", image, policy, SANDBOX, lambda _, reason, text: self.told.append((reason, text))
        )


async def test_a_present_image_is_not_pulled() -> None:
    world = World("busybox:1.36")
    ref = await world.ensure("busybox:1.36", "IfNotPresent")
    assert ref.startswith("sha256:")
    assert "pull_image" not in world.runtime.calls
    assert [reason for reason, _ in world.told] == ["Pulled"]
    assert world.manager.image(ref) is not None


async def test_always_pulls_what_is_present() -> None:
    world = World("busybox")
    await world.ensure("busybox", "Always")
    assert "pull_image" in world.runtime.calls
    assert [reason for reason, _ in world.told] == ["Pulling", "Pulled"]
    assert world.told[1][1].startswith('Successfully pulled image "busybox" in 0.000s')


@pytest.mark.parametrize(
    ("image", "policy", "reason", "message"),
    [
        ("x:1", "Never", "ErrImageNeverPull", 'Container image "x:1" is not present with pull policy of Never'),
        ("X//y", "IfNotPresent", "InvalidImageName", "Failed to apply default image tag"),
        ("x:1", "IfNotPresent", "ErrImagePull", 'failed to pull image "x:1": rpc error: code = NotFound'),
    ],
)
async def test_refusals_have_upstreams_reasons(image: str, policy: str, reason: str, message: str) -> None:
    with pytest.raises(ImageError) as raised:
        await World().ensure(image, policy)
    assert raised.value.reason == reason
    assert raised.value.message.startswith(message)


async def test_a_runtime_that_does_not_answer() -> None:
    world = World()
    world.runtime.fail("image_status", CriError(CriCode.UNAVAILABLE, "down"))
    with pytest.raises(ImageError, match="down") as raised:
        await world.ensure("x", "IfNotPresent")
    assert raised.value.reason == "ImageInspectError"


def docker_config(entries: dict[str, Any]) -> Secret:
    text = msgspec.json.encode({"auths": entries})
    return Secret(data={".dockerconfigjson": base64.b64encode(text).decode()})


def test_credentials_match_by_registry_and_path() -> None:
    auth = base64.b64encode(b"user:pass:word").decode()
    secret = docker_config(
        {
            "https://index.docker.io/v1/": {"auth": auth},
            "example.org": {"username": "a", "password": "b"},
            "example.org/team": {"username": "t", "password": "p"},
            "*.registry.io": {"username": "w", "password": "x"},
        }
    )
    assert [(c.username, c.password) for c in credentials(secret, normalize("busybox"))] == [("user", "pass:word")]
    assert [c.username for c in credentials(secret, "example.org/team/x:1")] == ["t", "a"]
    assert [c.username for c in credentials(secret, "eu.registry.io/x:1")] == ["w"]
    assert credentials(secret, "elsewhere.net/x:1") == []
    assert credentials(Secret(data={".dockerconfigjson": "%%%"}), "x") == []


async def test_one_pull_serves_all_who_wait_for_it() -> None:
    import asyncio

    world = World()
    world.runtime.pullable.add("docker.io/library/x:1")
    refs = await asyncio.gather(*(world.ensure("x:1", "IfNotPresent") for _ in range(5)))
    assert len(set(refs)) == 1
    assert world.runtime.calls.count("pull_image") == 1
