"""`tiphys apiserver`: by upstream's flags, or with the settings of a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from tiphys.cmd.component_commands import DataDir, UpstreamCommand, seconds_of
from tiphys.cmd.config import DEFAULT_DATA_DIR, ConfigError, host_address

File = Path | None
DEFAULT_PREFIX: Final = "/registry"
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"


def apiserver(
    data_dir: DataDir = None,
    etcd_servers: Annotated[str, typer.Option("--etcd-servers", help="URLs, separated by commas.")] = "",
    etcd_cafile: Annotated[File, typer.Option("--etcd-cafile")] = None,
    etcd_certfile: Annotated[File, typer.Option("--etcd-certfile")] = None,
    etcd_keyfile: Annotated[File, typer.Option("--etcd-keyfile")] = None,
    etcd_prefix: Annotated[str, typer.Option("--etcd-prefix")] = DEFAULT_PREFIX,
    sqlite_file: Annotated[File, typer.Option("--sqlite-file", help="Instead of an etcd.")] = None,
    bind_address: Annotated[str, typer.Option("--bind-address")] = "0.0.0.0",
    secure_port: Annotated[int, typer.Option("--secure-port", min=1, max=65535)] = 6443,
    advertise_address: Annotated[str, typer.Option("--advertise-address", help="Default: the host's first.")] = "",
    tls_cert_file: Annotated[File, typer.Option("--tls-cert-file")] = None,
    tls_private_key_file: Annotated[File, typer.Option("--tls-private-key-file")] = None,
    client_ca_file: Annotated[File, typer.Option("--client-ca-file")] = None,
    kubelet_client_certificate: Annotated[File, typer.Option("--kubelet-client-certificate")] = None,
    kubelet_client_key: Annotated[File, typer.Option("--kubelet-client-key")] = None,
    kubelet_certificate_authority: Annotated[File, typer.Option("--kubelet-certificate-authority")] = None,
    service_account_issuer: Annotated[str, typer.Option("--service-account-issuer")] = _ISSUER,
    service_account_key_file: Annotated[list[Path] | None, typer.Option("--service-account-key-file")] = None,
    service_account_signing_key_file: Annotated[File, typer.Option("--service-account-signing-key-file")] = None,
    api_audiences: Annotated[str, typer.Option("--api-audiences")] = "",
    token_auth_file: Annotated[File, typer.Option("--token-auth-file")] = None,
    anonymous_auth: Annotated[bool, typer.Option("--anonymous-auth/--no-anonymous-auth")] = True,
    requestheader_client_ca_file: Annotated[File, typer.Option("--requestheader-client-ca-file")] = None,
    requestheader_allowed_names: Annotated[str, typer.Option("--requestheader-allowed-names")] = "front-proxy-client",
    proxy_client_cert_file: Annotated[File, typer.Option("--proxy-client-cert-file")] = None,
    proxy_client_key_file: Annotated[File, typer.Option("--proxy-client-key-file")] = None,
    service_cluster_ip_range: Annotated[str, typer.Option("--service-cluster-ip-range")] = "10.96.0.0/12",
    service_node_port_range: Annotated[str, typer.Option("--service-node-port-range")] = "30000-32767",
    max_requests_inflight: Annotated[int, typer.Option("--max-requests-inflight", min=0)] = 2000,
    max_mutating_requests_inflight: Annotated[int, typer.Option("--max-mutating-requests-inflight", min=0)] = 2000,
    request_timeout: Annotated[str, typer.Option("--request-timeout")] = "1m0s",
    shutdown_delay_duration: Annotated[str, typer.Option("--shutdown-delay-duration")] = "0s",
    shutdown_send_retry_after: Annotated[bool, typer.Option("--shutdown-send-retry-after")] = False,
    authorization_mode: Annotated[str, typer.Option("--authorization-mode")] = "",
    requestheader_username_headers: Annotated[str, typer.Option("--requestheader-username-headers")] = "",
    requestheader_group_headers: Annotated[str, typer.Option("--requestheader-group-headers")] = "",
    requestheader_extra_headers_prefix: Annotated[str, typer.Option("--requestheader-extra-headers-prefix")] = "",
    requestheader_uid_headers: Annotated[str, typer.Option("--requestheader-uid-headers")] = "",
) -> None:
    """Run the apiserver alone: on an etcd or a SQLite file, or with the settings of a data directory."""
    if not etcd_servers and sqlite_file is None:
        from tiphys.cmd.process import main

        main(["apiserver"], data_dir or DEFAULT_DATA_DIR)
        return
    from tiphys.apiserver.config import ApiServerConfig
    from tiphys.cmd import apiserver_alone as alone

    file_of = alone.file_of
    alone.check_fixed(
        authorization_mode,
        requestheader_username_headers,
        requestheader_group_headers,
        requestheader_extra_headers_prefix,
        requestheader_uid_headers,
    )
    if tls_cert_file is None or tls_private_key_file is None:
        raise ConfigError("an apiserver serves by TLS only: give --tls-cert-file and --tls-private-key-file")
    config = ApiServerConfig(
        bind_address=bind_address,
        port=secure_port,
        advertise_address=advertise_address or host_address() or "",
        certificate=file_of("--tls-cert-file", tls_cert_file),
        key=file_of("--tls-private-key-file", tls_private_key_file),
        client_ca=file_of("--client-ca-file", client_ca_file),
        kubelet_ca=file_of("--kubelet-certificate-authority", kubelet_certificate_authority),
        kubelet_client_certificate=file_of("--kubelet-client-certificate", kubelet_client_certificate),
        kubelet_client_key=file_of("--kubelet-client-key", kubelet_client_key),
        service_account_issuer=service_account_issuer,
        service_account_keys=alone.files_of("--service-account-key-file", service_account_key_file or ()),
        service_account_signing_key=file_of("--service-account-signing-key-file", service_account_signing_key_file),
        api_audiences=tuple(filter(None, api_audiences.split(","))),
        anonymous=anonymous_auth,
        tokens=alone.tokens_of(token_auth_file),
        requestheader_client_ca=file_of("--requestheader-client-ca-file", requestheader_client_ca_file),
        requestheader_allowed_names=tuple(filter(None, requestheader_allowed_names.split(","))),
        proxy_client_certificate=file_of("--proxy-client-cert-file", proxy_client_cert_file),
        proxy_client_key=file_of("--proxy-client-key-file", proxy_client_key_file),
        service_cidr=service_cluster_ip_range,
        node_ports=alone.port_range(service_node_port_range),
        max_requests_inflight=max_requests_inflight,
        max_mutating_requests_inflight=max_mutating_requests_inflight,
        request_timeout_seconds=float(seconds_of("--request-timeout", request_timeout)),
        shutdown_delay_seconds=float(seconds_of("--shutdown-delay-duration", shutdown_delay_duration)),
        shutdown_send_retry_after=shutdown_send_retry_after,
    )
    servers = tuple(filter(None, etcd_servers.split(",")))
    store = alone.Store(servers, etcd_cafile, etcd_certfile, etcd_keyfile, etcd_prefix, sqlite_file)
    alone.run(config, store)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    epilog = "Examples:  tiphys apiserver --data-dir /srv/a   |   tiphys apiserver --etcd-servers https://a:2379 …"
    app.command("apiserver", cls=UpstreamCommand, epilog=epilog)(apiserver)
