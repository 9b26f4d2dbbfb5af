"""Binds claims to volumes, and says what becomes of a volume whose claim is gone.

What may enter: the binding of PersistentVolumes and PersistentVolumeClaims. `reconcile` decides, `binding` says what
the objects are then, `known` is the newest that is known of them, `controller` performs.
"""
