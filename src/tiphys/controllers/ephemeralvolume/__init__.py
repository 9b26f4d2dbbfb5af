"""Makes the claims of pods' generic ephemeral volumes.

What may enter: claims that pods own; their binding is the persistentvolume-binder's.
"""
