"""A gRPC client for the Container Storage Interface, and for how plugins register with a kubelet.

What may enter: calls, their messages and types; no pod and no claim. The kubelet uses it, and the CSI controllers.
"""
