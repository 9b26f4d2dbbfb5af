"""EndpointSlices of Services with a selector.

What may enter: which pods back a Service, and how they are packed into slices.
"""
