"""Why a pod has no node, and what would give it one: from a pod and the cluster's columns, computed and not guessed.

What may enter: reasons, groups of nodes, remedies and the words for them. No I/O, no clock. A remedy is only offered
after the filters were run again with it, and the cluster is left as it was. Nothing is imported here: the scheduler
needs `carried` alone.
"""
