"""Pod networking of a node: CNI configuration and routes between nodes.

What may enter: links, addresses and routes of pods; never Services.
"""
