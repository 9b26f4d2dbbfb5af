"""Evicts pods from devices with NoExecute taints that their claims do not tolerate, or no longer.

What may enter: taints of devices, tolerations of claims, and their times.
"""
