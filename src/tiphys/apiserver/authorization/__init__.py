"""Who may do what: RBAC, the node authorizer, NodeRestriction, access reviews, the roles a cluster starts with.

What may enter: decisions on a User and a request's attributes. Never who the user is.
"""
