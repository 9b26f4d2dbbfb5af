"""Patches and field ownership, on plain JSON data: documents go in, new documents come out, none is changed in place.

What may enter: the four patch languages, field sets and managedFields. Schema facts come in compiled (`plans`).
Refusals are `ApiError`s in upstream's words.
"""

from tiphys.api.patch.applying import server_side_apply
from tiphys.api.patch.json_patch import json_patch
from tiphys.api.patch.managers import manager_name
from tiphys.api.patch.merge_patch import merge_patch
from tiphys.api.patch.plans import Plan, of_definition, of_structural_schema
from tiphys.api.patch.strategic import strategic_merge
from tiphys.api.patch.tracked import Tracked, of_custom, of_kind
from tiphys.api.patch.tracking import update_managed_fields

__all__ = [
    "Plan",
    "Tracked",
    "json_patch",
    "manager_name",
    "merge_patch",
    "of_custom",
    "of_definition",
    "of_kind",
    "of_structural_schema",
    "server_side_apply",
    "strategic_merge",
    "update_managed_fields",
]
