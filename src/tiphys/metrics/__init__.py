"""The metrics server: metrics.k8s.io, the use of nodes and pods as their kubelets measure it, for kubectl and the
HorizontalPodAutoscaler.

What may enter: asking kubelets, rates from two readings, and the API that serves them. It is an ordinary server of an
aggregated group: it meets the others through the API alone, and upstream's can take its place.
"""
