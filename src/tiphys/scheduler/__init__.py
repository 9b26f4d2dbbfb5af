"""Assigns pods to nodes: queue, cache of NumPy columns, framework and plugins.

What may enter: placement decisions; effects go through the API only.
"""
