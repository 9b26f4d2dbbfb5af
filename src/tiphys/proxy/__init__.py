"""Services and EndpointSlices to an nft ruleset.

What may enter: Service routing on a node; one module alone talks to nft.
"""
