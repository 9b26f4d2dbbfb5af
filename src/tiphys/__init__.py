"""Tiphys: a container orchestrator that speaks the Kubernetes API. See docs/architecture.md for the map."""
