"""What tokens are bound to, in dictionaries."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Node, Pod, PodSpec, Secret, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta


class Objects:
    """BoundObjects: namespace ns has the account robot, its pod p on node n, and a secret s."""

    def __init__(self) -> None:
        self.accounts = {("ns", "robot"): ServiceAccount(metadata=_meta("robot", "sa-uid"))}
        spec = PodSpec(service_account_name="robot", node_name="n")
        self.pods = {
            ("ns", "p"): Pod(metadata=_meta("p", "pod-uid"), spec=spec),
            ("ns", "other"): Pod(metadata=_meta("other", "o"), spec=PodSpec(service_account_name="else")),
        }
        self.secrets = {("ns", "s"): Secret(metadata=_meta("s", "secret-uid"))}
        self.nodes = {"n": Node(metadata=ObjectMeta(name="n", uid="node-uid"))}

    def service_account(self, namespace: str, name: str) -> ServiceAccount | None:
        return self.accounts.get((namespace, name))

    def pod(self, namespace: str, name: str) -> Pod | None:
        return self.pods.get((namespace, name))

    def secret(self, namespace: str, name: str) -> Secret | None:
        return self.secrets.get((namespace, name))

    def node(self, name: str) -> Node | None:
        return self.nodes.get(name)


def _meta(name: str, uid: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="ns", uid=uid)
