"""Aggregation: groups of the API that other servers serve, named by APIService objects.

What may enter: which server a group and version leads to, whether it answers, passing requests on with the identity of
who asks, and what discovery says of it.
"""

from tiphys.apiserver.aggregation.aggregator import Aggregator

__all__ = ["Aggregator"]
