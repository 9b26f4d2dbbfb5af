"""Who is asking: client certificates, service account and static tokens, anonymous, impersonation; token reviews.

What may enter: turning credentials into a User. Never what the user may do.
"""
