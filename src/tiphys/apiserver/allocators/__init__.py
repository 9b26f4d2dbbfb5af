"""Addresses and ports of Services: claimed while a write is under way, kept when it is committed."""
