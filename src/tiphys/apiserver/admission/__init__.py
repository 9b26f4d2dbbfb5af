"""Admission: an ordered chain of small plugins that complete or refuse writes, as upstream's defaults do.

A plugin reads the caches and changes the write's new object in place; it does no I/O and keeps no state.
"""
