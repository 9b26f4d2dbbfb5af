"""Label and field selectors: parsing of their text, matching, and what an index can use of them.

What may enter: the two languages and nothing about storage. Parse errors are `ApiError`s with upstream's words.
"""

from tiphys.api.selectors.fields import FieldRequirement, FieldSelector, parse_fields
from tiphys.api.selectors.labels import EVERYTHING, NOTHING, Requirement, Selector, from_label_selector, from_labels
from tiphys.api.selectors.parser import parse_labels
from tiphys.api.selectors.supported import resolve_fields

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "FieldRequirement",
    "FieldSelector",
    "Requirement",
    "Selector",
    "from_label_selector",
    "from_labels",
    "parse_fields",
    "parse_labels",
    "resolve_fields",
]
