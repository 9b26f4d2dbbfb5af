"""Pods' volumes: made, kept up to date, and taken away without a trace.

What may enter: files and mounts on the node, and the API objects they are made from. No container logic.
"""
