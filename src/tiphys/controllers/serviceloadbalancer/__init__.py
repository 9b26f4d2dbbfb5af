"""Gives Services of type LoadBalancer their addresses.

What may enter: which address whom. That packets to it arrive is the proxy's work.
"""
