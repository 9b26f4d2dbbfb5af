"""Clock, backoff, chance, work queue, workers on demand, task supervision, logging, metrics.

What may enter: things that know no Kubernetes kind. Imports nothing of Tiphys.
"""
