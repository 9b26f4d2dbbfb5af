"""From a pod's spec to what the container runtime is asked for. Pure: no I/O, no clock.

What may enter: translation. What has to be read first (ConfigMaps, images, services) comes in as arguments.
"""
