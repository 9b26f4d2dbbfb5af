"""Discovery: which groups, versions and resources this server has, in the old form and the aggregated one.

What may enter: the documents and their caching. They derive from `scheme.Resource` rows alone.
"""

from tiphys.apiserver.discovery.handler import Discovery

__all__ = ["Discovery"]
