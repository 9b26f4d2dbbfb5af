"""Deletes certificate signing requests that nobody needs any more.

What may enter: how long one stays.
"""
