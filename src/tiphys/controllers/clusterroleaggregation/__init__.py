"""ClusterRoles that are the union of others.

What may enter: aggregation rules.
"""
