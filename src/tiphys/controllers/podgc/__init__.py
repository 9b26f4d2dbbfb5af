"""Removes pods that nobody else will: of nodes that are gone, never scheduled, or finished and too many.

What may enter: when a pod is garbage.
"""
