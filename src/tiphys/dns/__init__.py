"""Cluster DNS: records and the server.

What may enter: names of Services and pods as DNS answers.
"""
