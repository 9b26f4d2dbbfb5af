"""OpenAPI: the schemas and operations of what is served, for kubectl's explain, apply and validation.

What may enter: building the documents from schema facts and `scheme.Resource` rows, on demand, and serving them.
"""

from tiphys.apiserver.openapi.handler import OpenApi

__all__ = ["OpenApi"]
