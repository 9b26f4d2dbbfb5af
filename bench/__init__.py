"""Measurements of the hot paths, printed beside upstream's figures and our goals. Run with `make bench`.

What may enter: one module a group, each with ``async def run(report: Report)``; figures, never assertions.
"""
