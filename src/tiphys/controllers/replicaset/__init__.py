"""ReplicaSets and ReplicationControllers: as many pods of a template as asked for.

What may enter: deciding on one set's pods. Rollouts are the deployment controller's.
"""
