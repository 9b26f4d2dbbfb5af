"""Deletes what is owned when its owners are gone, in the order the deletion asked for.

What may enter: the graph of owner references of all resources, and what follows from it.
"""
