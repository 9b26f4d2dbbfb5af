"""Endpoints of Services with a selector: the older form, kept for its readers.

What may enter: which pods back a Service, as subsets of equal ports.
"""
