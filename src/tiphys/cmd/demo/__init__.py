"""The demo application: its manifests and their deployment.

What may enter: what `tiphys up` shows a newcomer.
"""
