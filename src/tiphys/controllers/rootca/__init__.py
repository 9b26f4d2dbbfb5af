"""Publishes the certificates that pods verify the apiserver by.

What may enter: the ConfigMap ``kube-root-ca.crt`` of each namespace.
"""
