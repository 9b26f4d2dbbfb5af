"""Deletes finished Jobs after their time to live.

What may enter: how long what is finished stays.
"""
