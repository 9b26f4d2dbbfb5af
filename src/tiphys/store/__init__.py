"""Where state lives: the Backend protocol and its implementations (SQLite, etcd, memory), and snapshots.

What may enter: bytes, keys and revisions; never a kind. Only the apiserver uses it.
"""
