"""Kubernetes' own functions in CEL, one module a subject; each lists its functions as rows of `Function`.

A row is declared to the checker with its precise types and, if it has a `run`, given to the runtime. Functions see
plain Python values (and the messages of `messages`) and return such; a ValueError is CEL's error.
"""

from __future__ import annotations

from typing import Final

from tiphys.api.cel.libraries.authorization import FUNCTIONS as AUTHORIZATION
from tiphys.api.cel.libraries.formats import FUNCTIONS as FORMATS
from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.libraries.lists import FUNCTIONS as LISTS
from tiphys.api.cel.libraries.network import FUNCTIONS as NETWORK
from tiphys.api.cel.libraries.patches import FUNCTIONS as PATCHES
from tiphys.api.cel.libraries.quantities import FUNCTIONS as QUANTITIES
from tiphys.api.cel.libraries.semver import FUNCTIONS as SEMVER
from tiphys.api.cel.libraries.sets import FUNCTIONS as SETS
from tiphys.api.cel.libraries.texts import FUNCTIONS as TEXTS

FUNCTIONS: Final[tuple[Function, ...]] = (
    *(*LISTS, *SETS, *TEXTS, *NETWORK, *QUANTITIES, *SEMVER, *FORMATS),
    *(*AUTHORIZATION, *PATCHES),
)
