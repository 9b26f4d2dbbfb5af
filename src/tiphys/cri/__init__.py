"""A gRPC client for the Container Runtime Interface.

What may enter: CRI calls and their types; no pod logic. Only the kubelet uses it.
"""
