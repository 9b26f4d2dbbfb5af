"""Evicts pods from nodes with NoExecute taints that they do not tolerate, or no longer.

What may enter: taints, tolerations and their times.
"""
