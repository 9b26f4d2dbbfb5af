"""Who owns whom, over all resources. Pure: observations in, uids to look at out.

An owner that is referred to and was never seen is a virtual node: it is looked up, and is absent or becomes real.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tiphys.api.scheme import Resource
from tiphys.api.types.meta_v1 import OwnerReference

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
MAX_ABSENT: Final = 500


@dataclass(slots=True, eq=False)
class Node:
    """One object. `dependents` are uids of nodes that name it as an owner; `resource` is None while virtual."""

    uid: str
    namespace: str = ""
    name: str = ""
    resource: Resource | None = None
    resource_version: str = ""
    owners: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    deleting: bool = False
    dependents: set[str] = field(default_factory=set)
    reference: OwnerReference | None = None
    """How a dependent refers to it, while virtual."""

    @property
    def virtual(self) -> bool:
        return self.resource is None

    @property
    def deleting_dependents(self) -> bool:
        """Whether it waits for its dependents to be deleted first."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        """Whether it waits for its dependents to be let go first."""
        return self.deleting and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether this dependent keeps `owner_uid`, which waits for its dependents, from going."""
        return any(ref.uid == owner_uid and ref.block_owner_deletion for ref in self.owners)


class Graph:
    """All nodes by uid. Mutators return the uids whose situation may have changed."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()

    def observed(
        self,
        resource: Resource,
        *,
        uid: str,
        namespace: str,
        name: str,
        resource_version: str,
        owners: tuple[OwnerReference, ...],
        finalizers: tuple[str, ...],
        deleting: bool,
    ) -> set[str]:
        """An object was added or changed."""
        node = self.nodes.get(uid)
        fresh = node is None or node.virtual
        if node is None:
            node = self.nodes[uid] = Node(uid)
        before = (node.owners, node.finalizers, node.deleting)
        old_owners = {ref.uid for ref in node.owners}
        node.resource, node.namespace, node.name = resource, namespace, name
        node.resource_version, node.finalizers, node.deleting = resource_version, finalizers, deleting
        node.owners, node.reference = owners, None
        touched = self._link(node, old_owners)
        if not fresh and before == (owners, finalizers, deleting):
            return touched
        if deleting or any(not self._is_solid(node, ref) for ref in owners):
            touched.add(uid)
        if node.deleting_dependents:
            touched |= node.dependents
        if not fresh and before[0] != owners:
            # It may not block its owners any longer.
            touched |= {owner for owner in old_owners if owner in self.nodes}
        return touched

    def _is_solid(self, node: Node, ref: OwnerReference) -> bool:
        owner = self.nodes.get(ref.uid)
        return (
            owner is not None
            and not owner.virtual
            and owner.namespace in ("", node.namespace)
            and not owner.deleting_dependents
        )

    def _link(self, node: Node, old_owners: set[str]) -> set[str]:
        touched: set[str] = set()
        new_owners = {ref.uid for ref in node.owners}
        for uid in old_owners - new_owners:
            owner = self.nodes.get(uid)
            if owner is not None:
                owner.dependents.discard(node.uid)
                if owner.virtual and not owner.dependents:
                    del self.nodes[uid]
        for ref in node.owners:
            owner = self.nodes.get(ref.uid)
            if owner is None:
                owner = self.nodes[ref.uid] = Node(ref.uid, node.namespace, ref.name, reference=ref)
                touched.add(ref.uid)
            owner.dependents.add(node.uid)
        return touched

    def removed(self, uid: str) -> set[str]:
        """An object is gone, or a virtual one was found not to exist."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return set()
        self._remember_absent(node.namespace, uid)
        touched = set(node.dependents)
        for ref in node.owners:
            owner = self.nodes.get(ref.uid)
            if owner is None:
                continue
            owner.dependents.discard(uid)
            if owner.virtual and not owner.dependents:
                del self.nodes[ref.uid]
            elif owner.deleting:
                touched.add(ref.uid)
        if node.dependents:
            # Dependents still name it: a node without a resource keeps them findable until they are gone.
            self.nodes[uid] = Node(uid, node.namespace, node.name, dependents=node.dependents)
        return touched

    def is_absent(self, namespace: str, uid: str) -> bool:
        """Whether this owner is known to be gone."""
        return (namespace, uid) in self._absent or ("", uid) in self._absent

    def remember_absent(self, namespace: str, uid: str) -> None:
        """An owner that objects of `namespace` name does not exist."""
        self._remember_absent(namespace, uid)

    def _remember_absent(self, namespace: str, uid: str) -> None:
        self._absent[namespace, uid] = None
        self._absent.move_to_end((namespace, uid))
        while len(self._absent) > MAX_ABSENT:
            self._absent.popitem(last=False)

    def dependents(self, uid: str) -> list[Node]:
        """The nodes that name `uid` as an owner."""
        node = self.nodes.get(uid)
        return [self.nodes[d] for d in node.dependents if d in self.nodes] if node else []

    def of_resource(self, resource: Resource) -> Iterable[Node]:
        """The real nodes of one resource."""
        return [node for node in self.nodes.values() if node.resource == resource]
