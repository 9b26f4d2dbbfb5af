"""Composition roots: configuration, PKI bootstrap, wiring of components into processes, supervision.

What may enter: assembly; no behaviour of the system itself.
"""
