"""How many pods of a PodDisruptionBudget may be disrupted now.

What may enter: the budgets' status. Evictions are the apiserver's.
"""
