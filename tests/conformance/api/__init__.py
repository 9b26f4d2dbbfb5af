"""Behaviours of the API itself, asked of a running server over HTTPS; no nodes, no containers."""
