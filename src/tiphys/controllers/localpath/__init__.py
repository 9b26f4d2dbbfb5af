"""The embedded provisioner of volumes that are directories on nodes.

What may enter: which directory on which node a claim gets, and when one is to go. It touches no disk: nodes' agents do
(`tiphys.kubelet.local_path`).
"""
