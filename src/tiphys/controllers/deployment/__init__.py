"""Deployments: rollouts of a template over ReplicaSets.

What may enter: deciding on the ReplicaSets of one Deployment. Pods are the ReplicaSet controller's.
"""
