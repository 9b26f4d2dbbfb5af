"""What a pod may learn of itself: fieldRef and resourceFieldRef values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Container, Pod, ResourceFieldSelector


class FieldError(ValueError):
    """A path or resource that does not exist; the text is the user's to read."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of the pod's place: its addresses, the node's, and what the node can give."""

    node_ip: str
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, Quantity] | None = None
    node_ips: tuple[str, ...] = ()


def field_value(pod: Pod, path: str, facts: NodeFacts) -> str:
    """The value of a fieldRef path; raises FieldError for unknown ones."""
    meta = pod.metadata
    if path.endswith("']") and path.startswith(("metadata.annotations['", "metadata.labels['")):
        kind, _, key = path[:-2].partition("['")
        source = meta.annotations if kind == "metadata.annotations" else meta.labels
        return source.get(key, "")
    simple = {
        "metadata.name": meta.name or "",
        "metadata.namespace": meta.namespace or "",
        "metadata.uid": meta.uid or "",
        "spec.nodeName": pod.spec.node_name or "",
        "spec.serviceAccountName": pod.spec.service_account_name or "",
        "status.hostIP": facts.node_ip,
        "status.hostIPs": ",".join(facts.node_ips or (facts.node_ip,)),
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path in simple:
        return simple[path]
    if path == "metadata.labels":
        return _map_text(meta.labels)
    if path == "metadata.annotations":
        return _map_text(meta.annotations)
    raise FieldError(f"unsupported fieldPath: {path}")


def _map_text(values: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(values.items()))


def _quoted(text: str) -> str:
    """As Go's %q prints it."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\u{ord(c):04x}") for c in text) + '"'


def resource_value(pod: Pod, ref: ResourceFieldSelector, own: Container | None, facts: NodeFacts) -> str:
    """The value of a resourceFieldRef: whole divisors, rounded up. A missing limit reads as the node's allocatable."""
    container = own
    if ref.container_name:
        every = (*pod.spec.init_containers, *pod.spec.containers)
        container = next((c for c in every if c.name == ref.container_name), None)
    if container is None:
        raise FieldError(f"container {ref.container_name} not found")
    kind, _, resource = ref.resource.partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise FieldError(f"unsupported container resource : {ref.resource}")
    source = container.resources.limits if kind == "limits" else container.resources.requests
    quantity = source.get(resource)
    if quantity is None:
        allocatable = facts.allocatable or {}
        if kind == "limits" and resource in ("cpu", "memory", "ephemeral-storage"):
            quantity = allocatable.get(resource, Quantity("0"))
        else:
            quantity = Quantity("0")
    divisor = ref.divisor if ref.divisor and ref.divisor != "0" else Quantity("1")
    if resource == "cpu":
        return str(-(-quantity.milli // divisor.milli))
    return str(-(-quantity.value // divisor.value))
