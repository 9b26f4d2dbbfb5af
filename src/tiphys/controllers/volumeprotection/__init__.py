"""Keeps claims that pods use, and volumes that claims are bound to, until they are free.

What may enter: the finalizers ``kubernetes.io/pvc-protection`` and ``kubernetes.io/pv-protection``.
"""
