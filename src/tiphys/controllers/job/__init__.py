"""Jobs: pods that run to completion, counted exactly once.

What may enter: deciding on the pods of one Job. When Jobs start (CronJob) and go (TTL) is others'.
"""
