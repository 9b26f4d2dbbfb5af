"""Makes pods' resource claims from templates, and takes devices back that nobody uses any more.

What may enter: claims' lives; which devices they get is the scheduler's.
"""
