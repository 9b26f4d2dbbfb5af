"""Asks for volumes to be attached where pods are, and detached when no pod there uses them.

What may enter: VolumeAttachments and what nodes report. Who performs them is the driver's attacher.
"""
