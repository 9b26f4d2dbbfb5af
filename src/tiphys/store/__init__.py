"""Where state lives: the Backend protocol and its implementations (sqlite, memory).

What may enter: bytes, keys and revisions; never a kind. Only the apiserver uses it.
"""
