"""How components talk to the apiserver: Client, Informer, Lister, EventRecorder, leader election.

What may enter: transport and caching shared by controllers, and what they share (ownership, expectations); no policy.
"""

from tiphys.client.cache import Indexer, Lister, ObjectCache, ObjectKey, key_of
from tiphys.client.client import Client
from tiphys.client.config import ClientConfig
from tiphys.client.events import NORMAL, WARNING, EventRecorder
from tiphys.client.informer import Informer, SharedInformers
from tiphys.client.leader_election import ElectionConfig, LeaderElector, LeadershipLost
from tiphys.client.transport import HttpTransport, InProcessTransport, Transport
from tiphys.client.view import PartialObject, View, metadata_only, unstructured
from tiphys.client.watch import WatchEvent

__all__ = [
    "NORMAL",
    "WARNING",
    "Client",
    "ClientConfig",
    "ElectionConfig",
    "EventRecorder",
    "HttpTransport",
    "InProcessTransport",
    "Indexer",
    "Informer",
    "LeaderElector",
    "LeadershipLost",
    "Lister",
    "ObjectCache",
    "ObjectKey",
    "PartialObject",
    "SharedInformers",
    "Transport",
    "View",
    "WatchEvent",
    "key_of",
    "metadata_only",
    "unstructured",
]
