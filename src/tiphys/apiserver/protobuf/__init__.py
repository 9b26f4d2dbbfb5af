"""Built-in kinds in protobuf: what Go clients send, and what a client gets that accepts nothing else.

What may enter: the wire format, both ways between it and JSON's plain data, and each field's number. Clients that take
JSON too are answered in JSON, which is stored that way.
"""

from tiphys.apiserver.protobuf.decoding import MEDIA_TYPE, Malformed, decode, knows
from tiphys.apiserver.protobuf.encoding import encode, encodes, not_encoded
from tiphys.apiserver.protobuf.streams import STREAM_TYPE, framed

__all__ = ["MEDIA_TYPE", "STREAM_TYPE", "Malformed", "decode", "encode", "encodes", "framed", "knows", "not_encoded"]
