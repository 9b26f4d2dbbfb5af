"""Pods, kubelets, drivers and dying nodes in any order: what the attach-detach decisions must never do."""

from __future__ import annotations

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tiphys.controllers.attachdetach.reconcile import FORCE_DETACH_SECONDS, Attachment, Place, decide

NODES: Final = ("a", "b", "c")
node_names = st.sampled_from(NODES)


class Model(RuleBasedStateMachine):
    """One volume for one node at a time. A kubelet uses it when it is attached there, reported, and wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: set[str] = set()
        self.attachments: dict[str, Attachment] = {}
        self.reported: set[str] = set()
        self.in_use: set[str] = set()
        self.dead: set[str] = set()
        self.out_of_service: set[str] = set()
        self.unwanted: dict[str, float] = {}

    @rule(node=node_names)
    def pod_comes(self, node: str) -> None:
        if node not in self.dead:
            self.wanted.add(node)

    @rule(node=node_names)
    def pod_goes(self, node: str) -> None:
        self.wanted.discard(node)

    @rule(node=node_names)
    def node_dies(self, node: str) -> None:
        self.dead.add(node)

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def dead_node_is_declared_so(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from(sorted(self.dead)))
        self.out_of_service.add(node)
        self.wanted.discard(node)

    @rule(seconds=st.sampled_from([1.0, 60.0, FORCE_DETACH_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        for node in self.unwanted:
            self.unwanted[node] += seconds

    @rule(node=node_names)
    def kubelet_mounts(self, node: str) -> None:
        if node in self.wanted and node in self.reported and node not in self.dead:
            self.in_use.add(node)

    @rule(node=node_names)
    def kubelet_unmounts(self, node: str) -> None:
        if node not in self.wanted and node not in self.dead:
            self.in_use.discard(node)

    @rule()
    def driver_works(self) -> None:
        for node, attachment in list(self.attachments.items()):
            if attachment.deleting:
                del self.attachments[node]
                # The driver fences: a dead node's use ends here.
                self.in_use.discard(node)
            elif not attachment.attached:
                self.attachments[node] = Attachment(attachment.name, attached=True)

    @rule()
    def controller_works(self) -> None:
        for node in list(self.unwanted):
            if node in self.wanted or node not in self.attachments:
                del self.unwanted[node]
        for node in self.attachments.keys() - self.wanted:
            self.unwanted.setdefault(node, 0.0)
        places = {n: Place(n in self.in_use, n not in self.dead, n in self.out_of_service) for n in NODES}
        decision = decide(self.wanted, self.attachments, places, self.unwanted, shared=False)
        for node in decision.attach:
            assert not self.attachments, "another node may still have it"
            self.attachments[node] = Attachment(node, attached=False)
        for node, attachment in self.attachments.items():
            usable = attachment.attached and not attachment.deleting and node not in decision.leave
            (self.reported.add if usable else self.reported.discard)(node)
        for node in decision.detach:
            if node in self.in_use:
                assert node in self.dead, "a living node uses it"
            self.attachments[node] = Attachment(node, self.attachments[node].attached, deleting=True)
            self.reported.discard(node)

    @invariant()
    def in_one_place(self) -> None:
        assert len(self.attachments) <= 1
        assert len(self.in_use - self.dead) <= 1
        assert self.in_use <= self.attachments.keys()

    def teardown(self) -> None:
        """Left alone with living nodes, whoever wants it gets it."""
        self.dead.clear()
        for _ in range(12):
            for node in NODES:
                self.kubelet_unmounts(node)
            self.controller_works()
            self.driver_works()
        if self.wanted:
            assert len(self.reported & self.wanted) == 1
        else:
            assert not self.attachments


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAttachDetach = Model.TestCase
