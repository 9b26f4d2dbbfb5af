"""Conditions that others wrote over: a node that was silent says itself that it is back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiphys.api.types.core_v1 import Node, NodeCondition, NodeStatus
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.node.reporter import NodeReporter
from tiphys.testing.clock import FakeClock


def condition(kind: str, status: str, reason: str = "KubeletReady") -> NodeCondition:
    return NodeCondition(type=kind, status=status, reason=reason)


def reporter(tmp_path: Path) -> NodeReporter:
    nothing: Any = None
    made = NodeReporter(nothing, nothing, KubeletConfig("n", "192.0.2.7", tmp_path), nothing, FakeClock())
    made._conditions = {"Ready": condition("Ready", "True")}
    return made


def node(*conditions: NodeCondition) -> Node:
    return Node(status=NodeStatus(conditions=conditions))


def test_one_s_own_words_are_no_news(tmp_path: Path) -> None:
    made = reporter(tmp_path)
    made.seen(node(condition("Ready", "True"), condition("SomeoneElse", "Unknown")))
    assert not made._wake.is_set()


def test_a_status_written_by_others_is_looked_at_again_at_once(tmp_path: Path) -> None:
    made = reporter(tmp_path)
    made.seen(node(condition("Ready", "Unknown", "NodeStatusUnknown")))
    assert made._wake.is_set()
    ours = NodeStatus(conditions=(condition("Ready", "True"),))
    assert made._conditions_changed(ours), "and ours is written over it"


def test_conditions_that_were_removed_are_written_again(tmp_path: Path) -> None:
    made = reporter(tmp_path)
    made.seen(node())
    assert made._conditions_changed(NodeStatus(conditions=(condition("Ready", "True"),)))
