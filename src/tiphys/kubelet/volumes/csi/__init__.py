"""Volumes of CSI drivers on this node: registered drivers, and their volumes staged, published, grown, taken back.

What may enter: calls to drivers' node service, and what is remembered of them on disk. Attaching is the controllers'.
"""
