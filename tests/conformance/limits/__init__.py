"""Limits and protocol, through a running server: what is refused, in which words, and what clients may send."""
