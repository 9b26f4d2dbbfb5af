"""The node's own HTTPS server: logs, exec, attach, port-forward, run, statistics, for the apiserver and monitors.

What may enter: requests about what runs here. Who may ask is `authorization`'s.
"""
