"""Behaviours of sig-cli, by the conformance suite's names: stock kubectl on a cluster with one node."""
