"""Connections through the apiserver: exec, attach, port-forward and logs to kubelets, proxies to pods and services.

What may enter: passing bytes and translating between WebSocket and SPDY. Which node it is and whether it is allowed
is decided before. Start at `upgrade.proxy_upgrade`, `logs.proxy_stream`, `reverse_proxy.reverse_proxy`.
"""
