"""Notices nodes that stopped reporting, and taints nodes by their conditions.

What may enter: the health of nodes. Evicting pods by taints is the taint eviction controller's.
"""
