"""DaemonSets: a pod on every node that fits.

What may enter: which nodes should run one, and replacing pods of older templates.
"""
