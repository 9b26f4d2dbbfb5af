"""Clock, backoff, chance, work queue, task supervision, logging, metrics.

What may enter: things that know no Kubernetes kind. Imports nothing of Tiphys.
"""
