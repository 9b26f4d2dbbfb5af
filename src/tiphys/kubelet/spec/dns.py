"""A pod's /etc/resolv.conf and /etc/hosts. Source: the documentation, "DNS for Services and Pods"."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Pod
from tiphys.cri.types import DnsConfig

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARS = 2048
CLUSTER_OPTIONS = ("ndots:5",)


def parse_resolv_conf(text: str) -> DnsConfig:
    """The nameservers, search list and options of a resolv.conf; the last ``search`` line counts."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if not words:
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = tuple(w.rstrip(".") if w != "." else w for w in words[1:])
        elif words[0] == "options":
            options = tuple(words[1:])
    return DnsConfig(tuple(servers), searches, options)


def pod_dns(pod: Pod, node: DnsConfig, cluster_dns: tuple[str, ...], cluster_domain: str) -> DnsConfig:
    """What the pod's dnsPolicy and dnsConfig make of the node's and the cluster's DNS."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    cluster_first = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.host_network)
    if policy == "None":
        base = DnsConfig()
    elif cluster_first and cluster_dns:
        own = (
            f"{pod.metadata.namespace}.svc.{cluster_domain}",
            f"svc.{cluster_domain}",
            cluster_domain,
        )
        base = DnsConfig(cluster_dns, (*own, *node.searches), CLUSTER_OPTIONS)
    else:
        base = node
    more = pod.spec.dns_config
    if more is None:
        return _bounded(base)
    options = {o.partition(":")[0]: o for o in base.options}
    for option in more.options:
        name = option.name or ""
        options[name] = name if option.value is None else f"{name}:{option.value}"
    return _bounded(
        DnsConfig(
            tuple(dict.fromkeys((*base.servers, *more.nameservers))),
            tuple(dict.fromkeys((*base.searches, *more.searches))),
            tuple(options.values()),
        )
    )


def _bounded(config: DnsConfig) -> DnsConfig:
    searches: list[str] = []
    length = 0
    for search in config.searches[:MAX_SEARCHES]:
        length += len(search) + 1
        if length > MAX_SEARCH_CHARS + 1:
            break
        searches.append(search)
    return DnsConfig(config.servers[:MAX_NAMESERVERS], tuple(searches), config.options)


def hosts_file(pod: Pod, pod_ips: tuple[str, ...], hostname: str, domain: str, node_hosts: str) -> str:
    """The content of /etc/hosts; host-network pods see the node's, with the pod's aliases."""
    if pod.spec.host_network:
        lines = ["# Kubernetes-managed hosts file (host network).", node_hosts.rstrip("\n")]
    else:
        names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::\tip6-localnet",
            "fe00::\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
            *(f"{ip}\t{names}" for ip in pod_ips),
        ]
    if pod.spec.host_aliases:
        lines.append("")
        lines.append("# Entries added by HostAliases.")
        lines.extend(f"{alias.ip}\t" + "\t".join(alias.hostnames) for alias in pod.spec.host_aliases)
    return "\n".join(lines) + "\n"
