"""Pods on the node: who is admitted, whose lifecycle is carried out by which worker, what the API is told.

What may enter: the shell around `lifecycle`: it performs instructions and turns their outcomes into events.
"""
