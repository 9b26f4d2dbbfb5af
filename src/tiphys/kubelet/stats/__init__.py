"""Use of the node and of what runs on it: CPU, memory, network, files.

What may enter: readings of cgroups, /proc, filesystems and the runtime, and the forms they are told in. Everything is
read when somebody asks; nothing is measured meanwhile.
"""
