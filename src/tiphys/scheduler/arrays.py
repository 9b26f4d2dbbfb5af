"""The shapes numbers come in. A column has one entry a node, indexed by the node's row."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = slice | Ints
"""Which rows a computation is for: `ALL`, or an array of row numbers."""

ALL = slice(None)
ABSENT = -1
"""In a column of interned values: the node has none. As an index it is the last entry of a lookup table."""
