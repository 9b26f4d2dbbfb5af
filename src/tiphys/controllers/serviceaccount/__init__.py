"""Gives every namespace its default service account.

What may enter: service accounts that exist by themselves. Tokens are asked for, not kept.
"""
