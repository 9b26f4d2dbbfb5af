"""ServiceAccount: every pod runs as one, and has its token mounted unless it declines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.api.types.core_v1 import (
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    ObjectFieldSelector,
    Pod,
    ProjectedVolumeSource,
    ServiceAccount,
    ServiceAccountTokenProjection,
    Volume,
    VolumeMount,
    VolumeProjection,
)
from tiphys.apiserver.admission.chain import CREATE, Base, Lookup, refuse
from tiphys.apiserver.registry.context import NotYet, Write

_DEFAULT: Final = "default"
_MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS: Final = 3607
_DEFAULT_MODE: Final = 0o644
MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"


class ServiceAccountAdmission(Base):
    """For pods, on creation. `suffix` makes the random part of the token volume's name."""

    def __init__(self, lookup: Lookup, suffix: Callable[[], str]) -> None:
        self._lookup = lookup
        self._suffix = suffix

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return plural == "pods" and not group and operation == CREATE and not subresource

    def admit(self, write: Write) -> None:
        pod: Pod = write.obj
        if MIRROR_ANNOTATION in pod.metadata.annotations:
            self._check_mirror(write, pod)
            return
        spec = pod.spec
        name = spec.service_account_name or spec.service_account or _DEFAULT
        spec.service_account_name = spec.service_account = name
        account = self._lookup.get(ServiceAccount, name, write.namespace)
        if account is None:
            error = refuse(
                write,
                f'error looking up service account {write.namespace}/{name}: serviceaccount "{name}" not found',
            )
            raise NotYet(error.status) if name == _DEFAULT else error
        if self._mounts_token(pod, account):
            self._mount_token(pod)
        if not spec.image_pull_secrets:
            spec.image_pull_secrets = account.image_pull_secrets

    def _check_mirror(self, write: Write, pod: Pod) -> None:
        if pod.spec.service_account_name:
            raise refuse(write, "a mirror pod may not reference service accounts")
        for volume in pod.spec.volumes:
            if volume.secret is not None:
                raise refuse(write, "a mirror pod may not reference secrets")
            if volume.projected is not None and any(s.service_account_token for s in volume.projected.sources):
                raise refuse(write, "a mirror pod may not use ServiceAccountToken volume projections")

    def _mounts_token(self, pod: Pod, account: ServiceAccount) -> bool:
        for choice in (pod.spec.automount_service_account_token, account.automount_service_account_token):
            if choice is not None:
                return choice
        return True

    def _mount_token(self, pod: Pod) -> None:
        name = next((v.name for v in pod.spec.volumes if v.name.startswith("kube-api-access-")), "")
        made = not name
        if made:
            name = f"kube-api-access-{self._suffix()}"
        mount = VolumeMount(name=name, mount_path=_MOUNT_PATH, read_only=True)
        needed = False
        for container in (*pod.spec.init_containers, *pod.spec.containers):
            if all(m.mount_path != _MOUNT_PATH for m in container.volume_mounts):
                container.volume_mounts = (*container.volume_mounts, mount)
                needed = True
        if needed and made:
            pod.spec.volumes = (*pod.spec.volumes, _token_volume(name))


def _token_volume(name: str) -> Volume:
    namespace = DownwardAPIVolumeFile(
        path="namespace", field_ref=ObjectFieldSelector(api_version="v1", field_path="metadata.namespace")
    )
    sources = (
        VolumeProjection(
            service_account_token=ServiceAccountTokenProjection(path="token", expiration_seconds=_TOKEN_SECONDS)
        ),
        VolumeProjection(
            config_map=ConfigMapProjection(name="kube-root-ca.crt", items=(KeyToPath(key="ca.crt", path="ca.crt"),))
        ),
        VolumeProjection(downward_api=DownwardAPIProjection(items=(namespace,))),
    )
    return Volume(name=name, projected=ProjectedVolumeSource(default_mode=_DEFAULT_MODE, sources=sources))
