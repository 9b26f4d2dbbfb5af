"""Access modes of the API in CSI's terms. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.csi.wire import AccessMode


def access_mode(modes: Iterable[str], *, multi_writer: bool) -> AccessMode:
    """The one CSI mode that allows all of `modes`.

    `multi_writer`: the driver has SINGLE_NODE_MULTI_WRITER, that is, tells one pod of a node from several.
    """
    wanted = set(modes)
    if "ReadWriteMany" in wanted:
        return AccessMode.MULTI_NODE_MULTI_WRITER
    if "ReadOnlyMany" in wanted:
        return AccessMode.MULTI_NODE_SINGLE_WRITER if "ReadWriteOnce" in wanted else AccessMode.MULTI_NODE_READER_ONLY
    if not multi_writer:
        return AccessMode.SINGLE_NODE_WRITER
    once = "ReadWriteOncePod" in wanted
    return AccessMode.SINGLE_NODE_SINGLE_WRITER if once else AccessMode.SINGLE_NODE_MULTI_WRITER
