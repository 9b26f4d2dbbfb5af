"""The scale subresource of custom resources: their definition says by paths where replicas and selector are."""

from __future__ import annotations

from typing import Any

from tiphys.api import codec, errors
from tiphys.api.types.apiextensions_v1 import CustomResourceSubresourceScale
from tiphys.api.types.autoscaling_v1 import Scale
from tiphys.apiserver.subresources.scale import made


class CustomScale:
    """Reads and writes by the paths of a definition, ``.spec.replicas`` and the like: names alone, no indexes."""

    def __init__(self, paths: CustomResourceSubresourceScale) -> None:
        self._wanted = _names(paths.spec_replicas_path)
        self._there = _names(paths.status_replicas_path)
        self._selector = _names(paths.label_selector_path or "")
        self._wanted_path = paths.spec_replicas_path

    def read(self, obj: Any) -> Scale:
        """The object's Scale. Raises ApiError 500 as long as the object does not say how many are wanted."""
        data = codec.to_dict(obj)
        wanted = _at(data, self._wanted)
        if not isinstance(wanted, int) or isinstance(wanted, bool):
            raise errors.internal(f'the spec replicas field "{self._wanted_path}" does not exist')
        there, selector = _at(data, self._there), _at(data, self._selector)
        return made(
            obj.metadata,
            wanted,
            there if isinstance(there, int) and not isinstance(there, bool) else 0,
            selector if isinstance(selector, str) else "",
        )

    def write(self, obj: Any, replicas: int) -> None:
        """Ask for so many, in place. Members of a custom object are plain data and its own."""
        first, *rest = self._wanted
        fields = {
            name: attribute for attribute, name in zip(obj.__struct_fields__, obj.__struct_encode_fields__, strict=True)
        }
        value = getattr(obj, fields[first], None)
        holder = value if isinstance(value, dict) else {}
        setattr(obj, fields[first], holder)
        for name in rest[:-1]:
            inner = holder.get(name)
            holder[name] = inner if isinstance(inner, dict) else {}
            holder = holder[name]
        holder[rest[-1]] = replicas


def _names(path: str) -> list[str]:
    return [name for name in path.split(".") if name]


def _at(data: Any, names: list[str]) -> Any:
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data if names else None
