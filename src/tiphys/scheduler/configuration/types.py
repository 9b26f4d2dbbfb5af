"""The file's shape, with upstream's names and defaults."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.scheduler.extenders.settings import Extender

API_VERSION: Final = "kubescheduler.config.k8s.io/v1"
KIND: Final = "KubeSchedulerConfiguration"


class _Shape(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    pass


class LeaderElection(_Shape, frozen=True, kw_only=True):
    leader_elect: bool | None = None
    """None: as the command line says."""
    lease_duration: str = "15s"
    renew_deadline: str = "10s"
    retry_period: str = "2s"
    resource_lock: str = "leases"
    resource_name: str = "kube-scheduler"
    resource_namespace: str = "kube-system"


class ClientConnection(_Shape, frozen=True, kw_only=True):
    kubeconfig: str = ""
    accept_content_types: str = ""
    content_type: str = ""
    qps: float = 0.0
    burst: int = 0


class PluginRef(_Shape, frozen=True, kw_only=True):
    name: str = ""
    weight: int | None = None
    """Of its score; None or 0: 1."""


class PluginSet(_Shape, frozen=True, kw_only=True):
    enabled: tuple[PluginRef, ...] = ()
    disabled: tuple[PluginRef, ...] = ()
    """The name ``*`` is all of them."""


class Plugins(_Shape, frozen=True, kw_only=True):
    pre_enqueue: PluginSet = PluginSet()
    queue_sort: PluginSet = PluginSet()
    pre_filter: PluginSet = PluginSet()
    filter: PluginSet = PluginSet()
    post_filter: PluginSet = PluginSet()
    pre_score: PluginSet = PluginSet()
    score: PluginSet = PluginSet()
    reserve: PluginSet = PluginSet()
    permit: PluginSet = PluginSet()
    pre_bind: PluginSet = PluginSet()
    bind: PluginSet = PluginSet()
    post_bind: PluginSet = PluginSet()
    multi_point: PluginSet = PluginSet()
    """At every point that a plugin has."""


class PluginConfig(_Shape, frozen=True, kw_only=True):
    name: str = ""
    args: Any = None
    """As in the file."""


class KubeSchedulerProfile(_Shape, frozen=True, kw_only=True):
    scheduler_name: str = ""
    """Empty: default-scheduler, if there is one profile."""
    percentage_of_nodes_to_score: int | None = None
    plugins: Plugins = Plugins()
    plugin_config: tuple[PluginConfig, ...] = ()


class KubeSchedulerConfiguration(_Shape, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    parallelism: int | None = None
    leader_election: LeaderElection = LeaderElection()
    client_connection: ClientConnection = ClientConnection()
    enable_profiling: bool | None = None
    enable_contention_profiling: bool | None = None
    percentage_of_nodes_to_score: int | None = None
    pod_initial_backoff_seconds: int = 1
    pod_max_backoff_seconds: int = 10
    profiles: tuple[KubeSchedulerProfile, ...] = (KubeSchedulerProfile(),)
    extenders: tuple[Extender, ...] = ()
    delay_cache_until_active: bool = False
