"""Runs pods on a node: pod workers, PLEG, probes, volumes, images, status, node server. A guide is in docs/kubelet.md.

What may enter: what a node does for its pods. The only user of CRI.
"""
