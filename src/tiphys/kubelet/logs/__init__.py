"""Container logs: the files the runtime writes, read, followed and rotated.

What may enter: the CRI log format and its files.
"""
