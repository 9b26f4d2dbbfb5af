"""EndpointSlices for Endpoints that people write themselves.

What may enter: copying one form into the other.
"""
