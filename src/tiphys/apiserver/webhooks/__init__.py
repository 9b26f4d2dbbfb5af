"""Asking other servers to decide or convert: who they are, and one exchange with them.

What may enter: how a webhook's client configuration becomes a connection. What is asked, and what the answer means, is
the asker's business.
"""
