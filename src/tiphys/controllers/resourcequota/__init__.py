"""What ResourceQuotas count as used.

What may enter: the quotas' status. Refusing what is over a quota is the apiserver's.
"""
