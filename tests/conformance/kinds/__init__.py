"""How each kind behaves: what is filled in, refused, kept, and the life of one object.

`lifecycle` takes one object of every kind through all its verbs; `bodies` has the smallest valid body of each.
`rows` runs tables of requests and what upstream answers to them.
"""
