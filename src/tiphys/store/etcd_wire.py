"""etcd's messages and calls, declared by their published numbers: no kept PyPI package has them for today's protobuf.

Source: etcd's API v3.4 (packages ``mvccpb`` and ``etcdserverpb``). On the wire messages have no names, so one file and
one package hold them all; enumerations travel as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiphys.base.protobuf import Fields, declare

_MESSAGES: Final[Mapping[str, Fields]] = {
    "Header": (("cluster_id", 1, "uint64"), ("member_id", 2, "uint64"), ("revision", 3, "int64")),
    "KeyValue": (
        ("key", 1, "bytes"),
        ("create_revision", 2, "int64"),
        ("mod_revision", 3, "int64"),
        ("version", 4, "int64"),
        ("value", 5, "bytes"),
        ("lease", 6, "int64"),
    ),
    "Event": (("type", 1, "int32"), ("kv", 2, "KeyValue"), ("prev_kv", 3, "KeyValue")),
    "RangeRequest": (
        ("key", 1, "bytes"),
        ("range_end", 2, "bytes"),
        ("limit", 3, "int64"),
        ("revision", 4, "int64"),
        ("serializable", 7, "bool"),
        ("keys_only", 8, "bool"),
        ("count_only", 9, "bool"),
    ),
    "RangeResponse": (
        ("header", 1, "Header"),
        ("kvs", 2, "repeated KeyValue"),
        ("more", 3, "bool"),
        ("count", 4, "int64"),
    ),
    "PutRequest": (("key", 1, "bytes"), ("value", 2, "bytes"), ("lease", 3, "int64"), ("prev_kv", 4, "bool")),
    "PutResponse": (("header", 1, "Header"), ("prev_kv", 2, "KeyValue")),
    "DeleteRangeRequest": (("key", 1, "bytes"), ("range_end", 2, "bytes"), ("prev_kv", 3, "bool")),
    "DeleteRangeResponse": (("header", 1, "Header"), ("deleted", 2, "int64"), ("prev_kvs", 3, "repeated KeyValue")),
    "Compare": (
        ("result", 1, "int32"),
        ("target", 2, "int32"),
        ("key", 3, "bytes"),
        ("mod_revision", 6, "oneof int64"),
    ),
    "RequestOp": (
        ("request_range", 1, "oneof RangeRequest"),
        ("request_put", 2, "oneof PutRequest"),
        ("request_delete_range", 3, "oneof DeleteRangeRequest"),
    ),
    "ResponseOp": (
        ("response_range", 1, "oneof RangeResponse"),
        ("response_put", 2, "oneof PutResponse"),
        ("response_delete_range", 3, "oneof DeleteRangeResponse"),
    ),
    "TxnRequest": (
        ("compare", 1, "repeated Compare"),
        ("success", 2, "repeated RequestOp"),
        ("failure", 3, "repeated RequestOp"),
    ),
    "TxnResponse": (("header", 1, "Header"), ("succeeded", 2, "bool"), ("responses", 3, "repeated ResponseOp")),
    "CompactionRequest": (("revision", 1, "int64"), ("physical", 2, "bool")),
    "CompactionResponse": (("header", 1, "Header"),),
    "WatchCreateRequest": (
        ("key", 1, "bytes"),
        ("range_end", 2, "bytes"),
        ("start_revision", 3, "int64"),
        ("progress_notify", 4, "bool"),
        ("prev_kv", 6, "bool"),
    ),
    "WatchRequest": (("create_request", 1, "oneof WatchCreateRequest"),),
    "WatchResponse": (
        ("header", 1, "Header"),
        ("watch_id", 2, "int64"),
        ("created", 3, "bool"),
        ("canceled", 4, "bool"),
        ("compact_revision", 5, "int64"),
        ("cancel_reason", 6, "string"),
        ("events", 11, "repeated Event"),
    ),
    "StatusRequest": (),
    "StatusResponse": (
        ("header", 1, "Header"),
        ("version", 2, "string"),
        ("db_size", 3, "int64"),
        ("leader", 4, "uint64"),
    ),
    "SnapshotRequest": (),
    "SnapshotResponse": (("header", 1, "Header"), ("remaining_bytes", 2, "uint64"), ("blob", 3, "bytes")),
}

COMPARE_EQUAL: Final = 0
COMPARE_MOD_REVISION: Final = 2
EVENT_DELETE: Final = 1
ALL_KEYS: Final = b"\0"
"""As key and as range_end: every key there is."""

METHODS: Final[Mapping[str, tuple[str, str, str]]] = {
    "range": ("/etcdserverpb.KV/Range", "RangeRequest", "RangeResponse"),
    "txn": ("/etcdserverpb.KV/Txn", "TxnRequest", "TxnResponse"),
    "compact": ("/etcdserverpb.KV/Compact", "CompactionRequest", "CompactionResponse"),
    "status": ("/etcdserverpb.Maintenance/Status", "StatusRequest", "StatusResponse"),
}
"""Unary calls: path, request, response."""
WATCH: Final = ("/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse")
SNAPSHOT: Final = ("/etcdserverpb.Maintenance/Snapshot", "SnapshotRequest", "SnapshotResponse")


MESSAGE: Final = declare("tiphys.etcd", _MESSAGES)
"""Message classes by name."""
