"""Making sandboxes and containers: everything read, written and asked for on the way up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap, EphemeralContainer, Pod, Secret, VolumeMount
from tiphys.api.types.node_v1 import RuntimeClass
from tiphys.cri.errors import CriError
from tiphys.cri.types import ContainerConfig, Device, Mount, MountPropagation, SandboxConfig
from tiphys.kubelet.lifecycle.events import ContainerRefused, ContainerStarted, Health, SandboxStarted, Sighting
from tiphys.kubelet.lifecycle.instructions import StartContainer, StartSandbox
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.pods.services import NodeServices
from tiphys.kubelet.pods.sightings import sandbox_sighting, sighting
from tiphys.kubelet.spec.container import container_config
from tiphys.kubelet.spec.dns import hosts_file, pod_dns
from tiphys.kubelet.spec.environment import ConfigError, environment, referenced
from tiphys.kubelet.spec.expansion import MissingVariable, expand_strictly
from tiphys.kubelet.spec.names import CONTAINER_NAME, DEFAULT_MESSAGE_PATH, POD_UID, hostname_of, uid_of
from tiphys.kubelet.spec.sandbox import sandbox_config

NETWORK_WAIT_SECONDS = 30.0
Tell = Callable[[str, str, str], None]
_PROPAGATION = {
    "HostToContainer": MountPropagation.HOST_TO_CONTAINER,
    "Bidirectional": MountPropagation.BIDIRECTIONAL,
}


def config_of_sandbox(node: NodeServices, pod: Pod, attempt: int) -> SandboxConfig:
    config = node.config
    return sandbox_config(
        pod,
        attempt=attempt,
        dns=pod_dns(pod, node.node_dns(), config.cluster_dns, config.cluster_domain),
        log_root=str(config.logs_dir),
        cgroup_parent=node.cgroups.path(pod) if node.cgroups is not None else "",
        cluster_domain=config.cluster_domain,
    )


async def start_sandbox(node: NodeServices, pod: Pod, order: StartSandbox) -> SandboxStarted:
    """Raises CriError, ApiError (an unknown RuntimeClass) and OSError."""
    if order.replaces:
        await node.runtime.stop_sandbox(order.replaces)
        await node.runtime.remove_sandbox(order.replaces)
    handler = ""
    if pod.spec.runtime_class_name:
        handler = (await node.client.get(RuntimeClass, pod.spec.runtime_class_name)).handler
    sandbox = config_of_sandbox(node, pod, order.attempt)
    Path(sandbox.log_directory).mkdir(mode=0o755, parents=True, exist_ok=True)
    if not pod.spec.host_network:
        # On a node that is just coming up the network is moments away; asking before would only fail.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(node.network.wait(), NETWORK_WAIT_SECONDS)
    async with node.start_slots:
        try:
            id = await node.runtime.run_sandbox(sandbox, runtime_handler=handler)
            status = await node.runtime.sandbox_status(id)
        except CriError:
            await _discard_sandbox(node, pod, order.attempt)
            raise
    node.acted()
    return SandboxStarted(sandbox_sighting(status))


async def _discard_sandbox(node: NodeServices, pod: Pod, attempt: int) -> None:
    """Remove what a failed start has left: a call that timed out here may have succeeded there."""
    with contextlib.suppress(CriError):
        for sandbox in await node.runtime.list_sandboxes(labels={POD_UID: uid_of(pod)}):
            if sandbox.attempt == attempt:
                await node.runtime.stop_sandbox(sandbox.id)
                await node.runtime.remove_sandbox(sandbox.id)


async def _discard_container(node: NodeServices, pod: Pod, name: str, attempt: int) -> None:
    """As `_discard_sandbox`: the name of an instance that was made unnoticed would stay taken."""
    with contextlib.suppress(CriError):
        for container in await node.runtime.list_containers(labels={POD_UID: uid_of(pod), CONTAINER_NAME: name}):
            if container.attempt == attempt:
                await node.runtime.remove_container(container.id)


async def start_container(
    node: NodeServices,
    pod: Pod,
    container: AnyContainer,
    order: StartContainer,
    pod_ips: tuple[str, ...],
    target_id: str,
    tell: Tell,
) -> ContainerStarted | ContainerRefused:
    """Create and start one instance; failures come back as ContainerRefused with upstream's reasons."""
    try:
        config = await _container_config(node, pod, container, order, pod_ips, target_id)
    except (ConfigError, MissingVariable) as error:
        tell("Warning", "Failed", f"Error: {error}")
        return ContainerRefused(order.name, "CreateContainerConfigError", str(error))
    except (ApiError, OSError) as error:
        tell("Warning", "Failed", f"Error: {error}")
        return ContainerRefused(order.name, "CreateContainerConfigError", str(error))
    sandbox = config_of_sandbox(node, pod, order.sandbox_attempt)
    Path(sandbox.log_directory, container.name).mkdir(mode=0o755, parents=True, exist_ok=True)
    async with node.start_slots:
        try:
            id = await node.runtime.create_container(order.sandbox_id, config, sandbox)
        except CriError as error:
            tell("Warning", "Failed", f"Error: {error.message}")
            await _discard_container(node, pod, order.name, order.attempt)
            return ContainerRefused(order.name, "CreateContainerError", error.message)
        tell("Normal", "Created", "Container created")
        try:
            await node.runtime.start_container(id)
        except CriError as error:
            tell("Warning", "Failed", f"Error: {error.message}")
            return ContainerRefused(order.name, "RunContainerError", error.message, await _remains(node, id))
        try:
            status = await node.runtime.container_status(id)
        except CriError as error:
            await _discard_container(node, pod, order.name, order.attempt)
            return ContainerRefused(order.name, "RunContainerError", error.message)
        tell("Normal", "Started", "Container started")
    node.acted()
    return ContainerStarted(await sighting(status))


async def _remains(node: NodeServices, id: str) -> Sighting | None:
    """What the runtime kept of a start that failed; an instance that never ran is removed."""
    try:
        seen = await sighting(await node.runtime.container_status(id))
        if seen.health is Health.EXITED:
            return seen
        await node.runtime.remove_container(id)
    except CriError:
        pass
    return None


async def _container_config(
    node: NodeServices,
    pod: Pod,
    container: AnyContainer,
    order: StartContainer,
    pod_ips: tuple[str, ...],
    target_id: str,
) -> ContainerConfig:
    objects: dict[tuple[str, str], ConfigMap | Secret | None] = {}
    for kind, name in sorted(referenced(pod, container)):
        objects[kind, name] = await node.get_object(pod, kind, name)
    facts = node.node_facts(pod, pod_ips)
    variables = environment(pod, container, node.services(), lambda kind, name: objects[kind, name], facts)
    mounts = _mounts(node, pod, container, order.attempt, variables, pod_ips)
    return container_config(
        pod,
        container,
        attempt=order.attempt,
        image_ref=order.image_ref,
        image=node.images.image(order.image_ref),
        variables=variables,
        mounts=mounts,
        devices=_devices(node, pod, container),
        target_id=target_id,
        memory_capacity_bytes=node.memory_capacity_bytes,
    )


def _mounts(
    node: NodeServices,
    pod: Pod,
    container: AnyContainer,
    attempt: int,
    variables: dict[str, str],
    pod_ips: tuple[str, ...],
) -> list[Mount]:
    mounts = [
        _volume_mount(node, pod, container.name, index, mount, variables)
        for index, mount in enumerate(container.volume_mounts)
    ]
    taken = {mount.container_path for mount in mounts}
    folder = node.volumes.pod_dir(uid_of(pod))
    if "/etc/hosts" not in taken and not isinstance(container, EphemeralContainer):
        mounts.append(Mount("/etc/hosts", str(_write_hosts(node, pod, folder, pod_ips))))
    path = container.termination_message_path or DEFAULT_MESSAGE_PATH
    message = folder / "containers" / container.name / str(attempt)
    message.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    message.write_bytes(b"")
    message.chmod(0o666)
    mounts.append(Mount(path, str(message)))
    return mounts


def _devices(node: NodeServices, pod: Pod, container: AnyContainer) -> list[Device]:
    """Volumes in Block mode. Raises ConfigError."""
    devices = []
    for wanted in container.volume_devices:
        volume = node.volumes.mounted(uid_of(pod)).get(wanted.name)
        if volume is None or not volume.device:
            raise ConfigError(f'cannot find volume "{wanted.name}" to pass into container "{container.name}"')
        permissions = "r" if volume.read_only else "mrw"
        devices.append(Device(wanted.device_path, str(volume.path.resolve()), permissions))
    return devices


def _write_hosts(node: NodeServices, pod: Pod, folder: Path, pod_ips: tuple[str, ...]) -> Path:
    hostname, domain = hostname_of(pod, node.config.cluster_domain)
    own = Path("/etc/hosts").read_text() if pod.spec.host_network else ""
    path = folder / "etc-hosts"
    # Written in place: a new file would not be the one that running containers have mounted.
    path.write_text(hosts_file(pod, pod_ips, hostname, domain, own))
    path.chmod(0o644)
    return path


def _volume_mount(
    node: NodeServices, pod: Pod, container: str, index: int, mount: VolumeMount, variables: dict[str, str]
) -> Mount:
    mounted = node.volumes.mounted(uid_of(pod)).get(mount.name)
    if mounted is None:
        raise ConfigError(f'cannot find volume "{mount.name}" to mount into container "{container}"')
    read_only = bool(mount.read_only) or mounted.read_only
    part = expand_strictly(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
    path = mounted.path
    if part:
        if part.startswith("/") or ".." in Path(part).parts:
            raise ConfigError(f"subPath {part!r} must be a relative path without '..'")
        try:
            path = node.volumes.sub_path(pod, mount.name, container, index, part, read_only=read_only)
        except OSError as error:
            raise ConfigError(
                f'failed to prepare subPath for volumeMount "{mount.name}" of container "{container}": {error}'
            ) from error
    return Mount(
        container_path=mount.mount_path if mount.mount_path.startswith("/") else f"/{mount.mount_path}",
        host_path=str(path),
        readonly=read_only,
        propagation=_PROPAGATION.get(mount.mount_propagation or "", MountPropagation.PRIVATE),
        recursive_read_only=read_only and mount.recursive_read_only in ("Enabled", "IfPossible"),
    )
