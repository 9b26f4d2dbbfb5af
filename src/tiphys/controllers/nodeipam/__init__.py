"""Gives each node a range of pod addresses.

What may enter: which ranges are taken. Routes and CNI configuration are the node's.
"""
