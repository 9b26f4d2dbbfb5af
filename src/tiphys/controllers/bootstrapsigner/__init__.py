"""Signs the ConfigMap cluster-info with each bootstrap token.

What may enter: the signatures, and nothing else of that ConfigMap.
"""
