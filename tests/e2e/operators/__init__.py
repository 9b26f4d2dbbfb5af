"""Operators, charts and clients of others, unmodified, against a running cluster.

They bring an environment of their own, as they would have: `requirements/operators.txt` locks it and
`environment.py` makes it.
"""
