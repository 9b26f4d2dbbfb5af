"""A cluster, read through the API, as the model that explanations are computed on. Nothing is written."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Pod
from tiphys.client.client import Client
from tiphys.scheduler.explaining import Model
from tiphys.scheduler.profiles import DEFAULT_SCHEDULER_NAME, default_profile
from tiphys.scheduler.snapshot import Snapshot


async def read_model(client: Client, pod: Pod) -> Model:
    """The cluster now, as `pod` meets it. A pod of a scheduler we do not know is judged by the default plugins."""
    snapshot = await Snapshot.read(client)
    profile = snapshot.profiles.get(pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME) or default_profile()
    for other in snapshot.pending:
        # The room promised to a pod that is not less important counts as taken.
        node_name = snapshot.nominations.node_of(other.key)
        if node_name and other.uid != pod.metadata.uid and other.priority >= (pod.spec.priority or 0):
            snapshot.cluster.place(other, node_name)
    return Model(snapshot.cluster, profile, lambda one: snapshot.info(one).template)
