"""Behaviours of sig-apps and of quotas, by the conformance suite's names, on a cluster with one node."""
