"""What a body may cost before it is read: how deep it nests, and what its YAML aliases expand to.

Readers of JSON and YAML call themselves for every level: too deep a JSON text raises RecursionError in whoever reads
it next, too deep a YAML text overflows the C stack and takes the process with it. Both are refused here, and this
module does not call itself.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

from tiphys.api import errors

# Far above any real object, and far enough below Python's recursion limit that whoever decodes, copies or compares a
# stored object later can, from wherever they do.
MAX_DEPTH: Final = 200
# Of YAML text with its aliases written out: as much as a JSON body may have.
MAX_EXPANDED_BYTES: Final = 3 * 1024 * 1024
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def check_json(body: bytes) -> None:
    """Raise ApiError 400 for JSON text that nests deeper than MAX_DEPTH. Two counts at C speed for common bodies."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for match in _TOKEN.finditer(body):
        first = body[match.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise errors.bad_request("json: exceeded max depth")
        elif first in b"]}":
            depth -= 1


def check_yaml(body: bytes) -> None:
    """Raise ApiError 400 for YAML text that nests too deep, expands to too much or contains itself; yaml.YAMLError for
    what is no YAML."""
    sizes: dict[str | None, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # (anchor, size of the document before it)
    total = 0
    for event in yaml.parse(body, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise errors.bad_request(f"yaml: anchor '{event.anchor}' value contains itself")
            total += sizes.get(event.anchor, 0)
            if total > MAX_EXPANDED_BYTES:
                raise errors.bad_request("yaml: document contains excessive aliasing")
        elif isinstance(event, yaml.ScalarEvent):
            size = len(event.value) + 1
            total += size
            if event.anchor is not None:
                sizes[event.anchor] = size
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 2
            if len(open_nodes) > MAX_DEPTH:
                raise errors.bad_request("yaml: exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before
