"""Request bodies in protobuf, which Go clients send for built-in kinds: the wire format and each field's number.

What may enter: decoding to the plain data JSON would have given. Answers are JSON, which the same clients accept.
"""

from tiphys.apiserver.protobuf.decoding import MEDIA_TYPE, Malformed, decode, knows

__all__ = ["MEDIA_TYPE", "Malformed", "decode", "knows"]
