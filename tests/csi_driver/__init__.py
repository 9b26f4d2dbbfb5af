"""A CSI driver that works: disks are files behind loop devices, so that their sizes hold. For tests, in Python.

Several nodes of one machine share the folder the disks are in, as hosts share a storage network: a disk moves from node
to node by being attached there, and the driver refuses to have it on two at once.
"""
