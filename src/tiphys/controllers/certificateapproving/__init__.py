"""Approves nodes' certificate signing requests.

What may enter: whether a request is one that a node may make, and whom to ask for leave.
"""
