"""The core: HTTP, authentication, authorization, admission, registry, watch cache, discovery, OpenAPI.

What may enter: serving the API. The only user of the store.
"""
