"""Custom resources: kinds that users define, kept as plain data and held to their schema.

What may enter: schemas (pure), what makes a definition an endpoint, and the loop that follows definitions.
"""
