"""Sites as nginx's configuration, and the script its pods run. Pure.

The files are one Secret, mounted at DIRECTORY: a change of it is one swap of a link, upon which nginx reloads. A reload
keeps every connection: old workers finish what they have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tiphys.controllers.ingress.reconcile import ANY_HOST, Plan, Route, Site

DIRECTORY: Final = "/etc/ingress"
DEFAULT_CERTIFICATE: Final = "default.pem"
HEALTH_PORT: Final = 10254
TRIES: Final = 3
"""How often a ClusterIP is tried: each connection may meet another endpoint, and one may have died a moment ago."""

RUN_SCRIPT: Final = f"""\
#!/bin/sh
# Runs nginx, and lets it reload whenever the configuration is another.
conf={DIRECTORY}/nginx.conf
inotifywait -m -q -e moved_to --format %f {DIRECTORY} | while read -r _; do
  nginx -t -q -c "$conf" && nginx -s reload -c "$conf"
done &
exec nginx -c "$conf" -g 'daemon off;'
"""

_HEAD: Final = f"""\
user www-data;
worker_processes auto;
worker_shutdown_timeout 600s;
error_log stderr warn;
pid /run/nginx.pid;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off;
  server_tokens off;
  sendfile on;
  tcp_nodelay on;
  merge_slashes off;
  keepalive_timeout 75s;
  keepalive_requests 10000;
  client_max_body_size 0;
  client_header_buffer_size 4k;
  large_client_header_buffers 4 32k;
  server_names_hash_bucket_size 256;
  server_names_hash_max_size 4096;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:tls:10m;
  ssl_prefer_server_ciphers off;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  proxy_http_version 1.1;
  proxy_buffering off;
  proxy_request_buffering off;
  proxy_connect_timeout 1s;
  proxy_read_timeout 3600s;
  proxy_send_timeout 3600s;
  proxy_next_upstream error timeout;
  proxy_next_upstream_tries {TRIES};
  proxy_set_header Host $http_host;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $connection_upgrade;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Request-ID $request_id;
  server {{ listen {HEALTH_PORT}; location = /healthz {{ return 200 "ok\\n"; }} location / {{ return 404; }} }}
"""


def files(plan: Plan, default_certificate: bytes, resolver: str) -> dict[str, bytes]:
    """Every file of the Secret by name. ``resolver`` is the DNS server's address for external names; "" for none."""
    asked = [f"  resolver {resolver} valid=30s ipv6=off;"] if resolver else []
    found = {
        "nginx.conf": "\n".join([_HEAD, *asked, *_upstreams(plan), *_servers(plan), "}", ""]).encode(),
        "run.sh": RUN_SCRIPT.encode(),
        DEFAULT_CERTIFICATE: default_certificate,
    }
    used = {site.certificate for site in plan.sites.values()}
    return found | {name: pem for name, pem in sorted(plan.certificates.items()) if name in used}


def _upstreams(plan: Plan) -> Iterator[str]:
    for name, servers in sorted(plan.upstreams.items()):
        # The same server several times, so that a refused connection is tried again and not answered with an error.
        listed = servers * TRIES if len(servers) == 1 else servers
        lines = "".join(f" server {server} max_fails=0;" for server in listed)
        yield f"  upstream {quoted(name)} {{{lines} keepalive 64; keepalive_timeout 10s; }}"


def _servers(plan: Plan) -> Iterator[str]:
    for host, site in sorted(plan.sites.items()):
        default = " default_server" if host == ANY_HOST else ""
        yield "  server {"
        yield f"    listen 80{default}; listen 443 ssl http2{default};"
        yield f"    server_name {_server_name(host)};"
        yield f"    ssl_certificate {DIRECTORY}/{site.certificate or DEFAULT_CERTIFICATE};"
        yield f"    ssl_certificate_key {DIRECTORY}/{site.certificate or DEFAULT_CERTIFICATE};"
        yield from _locations(site, plan)
        yield "  }"


def _server_name(host: str) -> str:
    if host == ANY_HOST:
        return "_"
    if host.startswith("*."):
        # nginx's own wildcard would match any number of labels.
        return quoted(f"~^[^.]+{re.escape(host[1:])}$")
    return quoted(host)


def _locations(site: Site, plan: Plan) -> Iterator[str]:
    for _, route in sorted(site.routes.items()):
        yield _location(route, plan)
    if ("/", False) not in site.routes:
        fallback = site.fallback
        if fallback is None and site.host != ANY_HOST:
            fallback = plan.sites[ANY_HOST].fallback
        yield "    location / { return 404; }" if fallback is None else _location(Route("/", False, fallback), plan)


def _location(route: Route, plan: Plan) -> str:
    if not route.upstream:
        action = "return 503;"
    elif route.upstream in plan.external:
        # A variable is looked up when a request comes: a name that is unknown now must not spoil the configuration.
        host, target = plan.external[route.upstream].rpartition(":")[0], plan.external[route.upstream]
        action = f"set $external {quoted(target)}; proxy_set_header Host {quoted(host)}; proxy_pass http://$external;"
    else:
        action = f"proxy_pass http://{route.upstream};"
    return f"    location {'= ' if route.exact else '^~ '}{quoted(route.path)} {{ {action} }}"


def quoted(text: str) -> str:
    """One word of the configuration, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "").replace("\r", "")
    return f'"{escaped}"'
