"""The registry: what each verb does to each kind, above the store and below HTTP.

Everything generic is driven by `tiphys.api.scheme.RESOURCES`; what is special to a kind is a strategy or a subresource.
"""
