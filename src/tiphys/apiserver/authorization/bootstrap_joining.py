"""What machines that join may do: ask for certificates, and read how the cluster is set up.

Upstream leaves these to what installs a cluster; the rights are those kubeadm gives, under names of our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.api.bootstrap_tokens import BOOTSTRAPPERS, CLUSTER_INFO, CLUSTER_INFO_NAMESPACE
from tiphys.api.types.rbac_v1 import ClusterRole
from tiphys.apiserver.authorization.bootstrap_bindings import bind, granted, group, meta
from tiphys.apiserver.authorization.bootstrap_rules import rule
from tiphys.apiserver.authorization.rbac import RbacObject

SETTINGS: Final = "tiphys-config"
"""The ConfigMap in kube-system that says how nodes are to be set up."""
_REQUESTS: Final = "system:certificates.k8s.io:certificatesigningrequests"
_AGENT: Final = "tiphys:node-agent-client"
_GROUP: Final = "certificates.k8s.io"


def objects() -> Iterator[RbacObject]:
    """Roles before the bindings to them."""
    joining, nodes = group(BOOTSTRAPPERS), group("system:nodes")
    everybody = (group("system:unauthenticated"), group("system:authenticated"))
    agent = rule("create", "certificatesigningrequests/nodeagentclient", _GROUP)
    yield ClusterRole(metadata=meta(_AGENT), rules=(agent,))
    yield bind(_AGENT, (joining, nodes))
    yield bind("system:node-bootstrapper", (joining,), "tiphys:kubelet-bootstrap")
    yield bind(f"{_REQUESTS}:nodeclient", (joining,), "tiphys:node-autoapprove-bootstrap")
    yield bind(f"{_REQUESTS}:selfnodeclient", (nodes,), "tiphys:node-autoapprove-certificate-rotation")
    info = rule("get", "configmaps", names=CLUSTER_INFO)
    yield from granted(CLUSTER_INFO_NAMESPACE, "tiphys:cluster-info", (info,), everybody)
    settings = rule("get", "configmaps", names=SETTINGS)
    yield from granted("kube-system", f"tiphys:{SETTINGS}", (settings,), (joining, nodes))
