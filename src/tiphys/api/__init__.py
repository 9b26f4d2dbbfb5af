"""The kinds: types, quantities, selectors, defaulting, validation, patch.

What may enter: pure functions and data about API objects. No I/O, no clock, no randomness (both are arguments).
"""
