"""Patches through a running server: the four languages, apply's conflicts, preconditions, dry runs."""
