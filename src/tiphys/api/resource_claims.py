"""What those who deal with ResourceClaims agree on: who allocates, who cleans up."""

from __future__ import annotations

from typing import Final

CLAIM_NAME: Final = "resource.kubernetes.io/pod-claim-name"
"""Annotation of a claim made from a template: what the pod calls it."""
FINALIZER: Final = "resource.kubernetes.io/delete-protection"
"""On a claim that has devices: they must be given back before it goes."""
MAXIMUM_USERS: Final = 256
"""Of one claim."""
