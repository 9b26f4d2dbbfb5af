"""Signs approved certificate signing requests with the cluster's authority.

What may enter: what each of Kubernetes' own signers signs, and how a certificate is made.
"""
