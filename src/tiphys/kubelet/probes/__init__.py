"""Asking containers how they are: startup, liveness and readiness probes.

What may enter: ways to ask, and the counting of answers. What follows from them is the lifecycle's business.
"""
