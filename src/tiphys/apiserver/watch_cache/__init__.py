"""The watch cache: what GET, LIST and WATCH are answered from.

Fed by committed store events only, so that nothing is served that could still be lost. Holds bytes, never decoded
objects. May import the store's protocol, `tiphys.api` and `tiphys.base`; knows no HTTP beyond a chunk's framing.
"""
