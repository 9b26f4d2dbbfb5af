"""Deletes bootstrap tokens that have expired.

What may enter: when one goes.
"""
