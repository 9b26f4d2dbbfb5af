"""StatefulSets: pods with identities, made and replaced in order, with claims of their own.

What may enter: the pods and claims of one StatefulSet.
"""
