"""What a kubelet may write."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.unit.apiserver_authorization.cluster import JANE
from tests.unit.apiserver_authorization.test_node import NODE, POD
from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.scheme import by_kind
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.admission.chain import CREATE, DELETE, UPDATE, Lookup
from tiphys.apiserver.admission.node_restriction import NodeRestriction
from tiphys.apiserver.authentication.user import User
from tiphys.apiserver.registry.context import Write


def node(name: str, labels: dict[str, str] | None = None, taint: str = "") -> Node:
    spec = f'{{"taints":[{{"key":"{taint}","effect":"NoSchedule"}}]}}' if taint else "{}"
    made = codec.decode(Node, f'{{"metadata":{{"name":"{name}"}},"spec":{spec}}}'.encode())
    made.metadata.labels = labels or {}
    return made


def lease(name: str, namespace: str) -> Lease:
    return Lease(metadata=ObjectMeta(name=name, namespace=namespace))


def pod(text: str) -> Pod:
    return codec.decode(Pod, text.encode())


MIRROR = '"annotations":{"kubernetes.io/config.mirror":"x"}'
OWNED = pod(f'{{"metadata":{{"name":"m",{MIRROR}}},"spec":{{"nodeName":"a","containers":[]}}}}')
FOREIGN = pod('{"metadata":{"name":"f"},"spec":{"nodeName":"b","containers":[]}}')
SECRET = pod(
    f'{{"metadata":{{"name":"s",{MIRROR}}},"spec":{{"nodeName":"a","containers":[],'
    '"volumes":[{"name":"v","secret":{"secretName":"s"}}]}}'
)


def admit(operation: str, obj: Any, old: Any = None, subresource: str = "", user: User = NODE) -> None:
    subject = obj if obj is not None else old
    meta = subject.metadata
    write = Write(
        operation,
        by_kind(type(subject)),
        meta.namespace or "",
        meta.name or "",
        obj,
        old,
        subresource=subresource,
        user=user,
    )
    NodeRestriction(cast(Lookup, None)).admit(write)


@pytest.mark.parametrize(
    ("operation", "obj", "old", "subresource"),
    [
        (CREATE, node("a", {"kubernetes.io/hostname": "a", "team": "x", "node.kubernetes.io/y": "1"}), None, ""),
        (UPDATE, node("a", {"team": "y"}), node("a", {"team": "x"}), ""),
        (UPDATE, node("a"), node("a"), "status"),
        (CREATE, OWNED, None, ""),
        (DELETE, None, POD, ""),
        (UPDATE, POD, POD, "status"),
        (UPDATE, lease("a", "kube-node-lease"), lease("a", "kube-node-lease"), ""),
    ],
)
def test_its_own(operation: str, obj: Any, old: Any, subresource: str) -> None:
    admit(operation, obj, old, subresource)


@pytest.mark.parametrize(
    ("operation", "obj", "old", "subresource", "message"),
    [
        (UPDATE, node("b"), node("b"), "", 'node "a" is not allowed to modify node "b"'),
        (
            CREATE,
            node("a", {"node-role.kubernetes.io/x": "", "x.k8s.io/y": ""}),
            None,
            "",
            "is not allowed to set the following labels: node-role.kubernetes.io/x, x.k8s.io/y",
        ),
        (
            UPDATE,
            node("a", {"node-restriction.kubernetes.io/zone": "1"}),
            node("a"),
            "",
            "is not allowed to modify labels: node-restriction.kubernetes.io/zone",
        ),
        (UPDATE, node("a"), node("a", taint="t"), "", 'node "a" is not allowed to modify taints'),
        (CREATE, POD, None, "", 'annotation, node "a" can only create mirror pods'),
        (CREATE, SECRET, None, "", 'node "a" can not create pods that reference secrets'),
        (DELETE, None, FOREIGN, "", 'node "a" can only delete pods with spec.nodeName set to itself'),
        (UPDATE, FOREIGN, FOREIGN, "status", "can only update pod status for pods with spec.nodeName set to itself"),
        (UPDATE, POD, POD, "", 'node "a" can only create and delete mirror pods'),
        (
            CREATE,
            lease("a", "kube-system"),
            None,
            "",
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (
            CREATE,
            lease("b", "kube-node-lease"),
            None,
            "",
            "can only access node lease with the same name as the requesting node",
        ),
    ],
)
def test_not_others(operation: str, obj: Any, old: Any, subresource: str, message: str) -> None:
    with pytest.raises(ApiError) as error:
        admit(operation, obj, old, subresource)
    assert error.value.code == 403 and message in error.value.message
    admit(operation, obj, old, subresource, JANE)
