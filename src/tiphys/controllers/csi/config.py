"""What ``tiphys csi-controller`` is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CsiControllerConfig:
    """`strict_topology`: a volume for a pod is made where the pod was placed, and nowhere else."""

    identity: str = "tiphys"
    leader_elect: bool = True
    leader_election_namespace: str = "kube-system"
    strict_topology: bool = True
    extra_create_metadata: bool = False
    """Tell the driver the names of claim and volume as parameters."""
