"""Paths below an object that are not the object itself: scale, binding, eviction, tokens, reviews, streams."""
