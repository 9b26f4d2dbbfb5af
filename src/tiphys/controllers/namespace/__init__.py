"""Empties and finalizes namespaces that are being deleted.

What may enter: the order and the reporting of a namespace's end.
"""
