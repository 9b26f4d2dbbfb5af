"""Builders, fakes, hollow nodes, the pytest plugin.

What may enter: what tests and simulations need. Product code never imports it.
"""
