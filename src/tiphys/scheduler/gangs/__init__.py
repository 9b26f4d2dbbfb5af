"""Gangs: pods of a group of which at least so many are placed together, or none.

membership (who belongs where, pure) ── watching (the PodGroups) ── cycle (places a gang in one go, or not at all)
"""
