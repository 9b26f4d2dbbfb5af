"""The files that ConfigMaps, Secrets and the pod itself become in a volume. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tiphys.api.types.core_v1 import DownwardAPIVolumeFile, KeyToPath, Pod
from tiphys.kubelet.spec.downward import FieldError, NodeFacts, field_value, resource_value
from tiphys.kubelet.volumes.atomic import FileContent


class VolumeError(Exception):
    """A volume cannot be made now; the text is shown to users."""


class MountError(VolumeError):
    """As VolumeError, with a text that already says what was attempted for which volume."""


class ClaimError(VolumeError):
    """What is behind a claim cannot be told; the text is the reason."""


class VolumeWaits(VolumeError):
    """Nothing is wrong: others have to do their part first, and will be heard of. The text says what is missing."""


def keyed_files(
    entries: Mapping[str, bytes], items: Iterable[KeyToPath], default_mode: int, *, optional: bool
) -> dict[str, FileContent]:
    """Every entry under its key, or the listed `items` under their paths. Raises VolumeError for a missing key."""
    chosen = tuple(items)
    if not chosen:
        return {key: FileContent(data, default_mode) for key, data in entries.items()}
    files: dict[str, FileContent] = {}
    for item in chosen:
        if item.key not in entries:
            if optional:
                continue
            raise VolumeError(f"references non-existent config key: {item.key}")
        files[item.path] = FileContent(entries[item.key], default_mode if item.mode is None else item.mode)
    return files


def downward_files(
    pod: Pod, items: Iterable[DownwardAPIVolumeFile], default_mode: int, facts: NodeFacts
) -> dict[str, FileContent]:
    """The pod's own fields and resources as files. Raises VolumeError."""
    files: dict[str, FileContent] = {}
    for item in items:
        try:
            if item.field_ref is not None:
                value = field_value(pod, item.field_ref.field_path, facts)
            elif item.resource_field_ref is not None:
                value = resource_value(pod, item.resource_field_ref, None, facts)
            else:
                continue
        except FieldError as error:
            raise VolumeError(str(error)) from None
        files[item.path] = FileContent(value.encode(), default_mode if item.mode is None else item.mode)
    return files
