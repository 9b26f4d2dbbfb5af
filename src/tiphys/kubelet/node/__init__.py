"""The node itself, as the API sees it: registration, status, lease.

What may enter: facts of the host and how they are reported.
"""
