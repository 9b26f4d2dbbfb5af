"""Ingresses, as the configuration of nginx.

What may enter: hosts, paths, certificates and the Services behind them. nginx runs in pods, on what is written here.

    reconcile.py      Ingresses to sites: which host and path leads where; what is wrong with them
    certificates.py   whether a certificate and a key are such, and of each other
    nginx.py          sites to nginx's configuration
    controller.py     hears of changes, writes the configuration into one Secret, and statuses
"""
