"""The user's commands.

What may enter: parsing and printing; it talks HTTP like any stranger.
"""
