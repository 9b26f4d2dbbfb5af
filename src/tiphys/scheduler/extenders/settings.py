"""What a KubeSchedulerConfiguration says of an extender, with upstream's names and defaults."""

from __future__ import annotations

from typing import Final

import msgspec

DEFAULT_TIMEOUT: Final = "5s"


class _Shape(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    pass


class ExtenderTLSConfig(_Shape, frozen=True, kw_only=True):
    """PEM files, or PEM in base64, which goes before the file."""

    insecure: bool = False
    server_name: str = ""
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    cert_data: str = ""
    key_data: str = ""
    ca_data: str = ""


class ExtenderManagedResource(_Shape, frozen=True, kw_only=True):
    """An extended resource that is the extender's to give."""

    name: str = ""
    ignored_by_scheduler: bool = False
    """Whether nodes need not have it free."""


class Extender(_Shape, frozen=True, kw_only=True):
    url_prefix: str = ""
    filter_verb: str = ""
    preempt_verb: str = ""
    prioritize_verb: str = ""
    weight: int = 0
    bind_verb: str = ""
    enable_https: bool = msgspec.field(default=False, name="enableHTTPS")
    tls_config: ExtenderTLSConfig | None = None
    http_timeout: str = msgspec.field(default=DEFAULT_TIMEOUT, name="httpTimeout")
    node_cache_capable: bool = False
    """Whether it is sent the nodes' names, and not the nodes."""
    managed_resources: tuple[ExtenderManagedResource, ...] = ()
    """It is asked only about pods that request or limit one of these; none: about all."""
    ignorable: bool = False
    """Whether pods are scheduled without it if it does not answer."""
