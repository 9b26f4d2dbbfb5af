"""Version 2 documents of other servers, merged into this server's: each gives the paths of its group and version, and
what these refer to. Pure.

Definitions of one name that say the same, prose apart, are one. Those that differ keep the name where they were first
and are called ``<name>_v2``, ``<name>_v3`` … after that, everything that refers to them included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tiphys.apiserver.openapi import protobuf

Section = dict[str, Any]
_SECTIONS: Final = ("definitions", "parameters", "responses")
_GVK: Final = "x-kubernetes-group-version-kind"


@dataclass(frozen=True)
class Part:
    """What another server's document says of one group and version. `sections` are ``paths`` and those that paths
    refer to. Parts are equal when their digests are."""

    digest: str
    sections: Mapping[str, Section] = field(compare=False, repr=False)


def part_of(document: Any, path: str) -> Part:
    """The part under `path` (``/apis/<group>/<version>``). Raises ValueError for what could not be served on."""
    if not isinstance(document, dict):
        raise ValueError("not an OpenAPI document")
    known = {section: _section(document, section) for section in ("paths", *_SECTIONS)}
    prefix = f"{path}/"
    paths = {name: item for name, item in known["paths"].items() if name.startswith(prefix)}
    made: dict[str, Section] = {"paths": paths, **{section: {} for section in _SECTIONS}}
    pending: list[Any] = list(paths.values())
    while pending:
        for section, name in _references(pending.pop()):
            if name not in known[section]:
                raise ValueError(f"#/{section}/{name} is referred to and not there")
            if name not in made[section]:
                made[section][name] = known[section][name]
                pending.append(known[section][name])
    try:
        protobuf.encode(made)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not an OpenAPI document: {error}") from error
    return Part(hashlib.sha256(msgspec.json.encode(made)).hexdigest(), made)


def merged(document: Section, parts: Iterable[Part]) -> Section:
    """`document` with all parts, those given first having their names first. Neither is changed."""
    result = {**document}
    for section in ("paths", *_SECTIONS):
        if section in document:
            result[section] = {**document[section]}
    names = _Names(result)
    for part in parts:
        _merge(result, part, names)
    return result


def _merge(result: Section, part: Part, names: _Names) -> None:
    mapping: dict[tuple[str, str], str] = {}
    fresh: list[tuple[str, str]] = []
    signatures = _Signatures(part.sections)
    for section in _SECTIONS:
        for name in part.sections[section]:
            final, is_new = names.final(section, name, signatures.of(section, name), part.sections[section])
            mapping[section, name] = final
            if is_new:
                fresh.append((section, name))
            elif section == "definitions":
                _join_kinds(result[section], final, part.sections[section][name])
    taken = _kinds(result.get("definitions", {}).values())
    for section, name in fresh:
        entry = _renamed(part.sections[section][name], mapping)
        if isinstance(entry.get(_GVK), list):
            # A kind has one definition: the first.
            entry[_GVK] = [kind for kind in entry[_GVK] if _key(kind) not in taken]
        result.setdefault(section, {})[mapping[section, name]] = entry
    paths = result.setdefault("paths", {})
    for path, item in part.sections["paths"].items():
        if path not in paths:
            paths[path] = _renamed(item, mapping)


class _Names:
    """Which names are given, and what is behind them: a name and a signature to the name it goes by."""

    def __init__(self, document: Mapping[str, Section]) -> None:
        self._signatures = _Signatures(document)
        self._given: dict[tuple[str, str], dict[str, str]] = {}
        self._taken = {(section, name) for section in _SECTIONS for name in document.get(section, ())}

    def final(self, section: str, name: str, signature: str, siblings: Mapping[str, Any]) -> tuple[str, bool]:
        """The name for this, and whether it is the first that is so. `siblings` keep their own names free."""
        given = self._given.setdefault((section, name), {})
        if not given and self._signatures.has(section, name):
            given[self._signatures.of(section, name)] = name
        if signature in given:
            return given[signature], False
        final, number = name, 1
        while (section, final) in self._taken or (final != name and final in siblings):
            number += 1
            final = f"{name}_v{number}"
        given[signature] = final
        self._taken.add((section, final))
        return final, True


class _Signatures:
    """What an entry says, with all it refers to, prose apart: equal for entries that mean the same."""

    def __init__(self, sections: Mapping[str, Section]) -> None:
        # Taken now: entries that are added later are under other names.
        self._sections = {section: {**sections.get(section, {})} for section in _SECTIONS}
        self._own: dict[tuple[str, str], tuple[bytes, frozenset[tuple[str, str]]]] = {}

    def has(self, section: str, name: str) -> bool:
        return name in self._sections[section]

    def of(self, section: str, name: str) -> str:
        found: dict[tuple[str, str], bytes] = {}
        pending = [(section, name)]
        while pending:
            key = pending.pop()
            if key not in found:
                found[key], beyond = self._said(key)
                pending.extend(beyond)
        text = b"\0".join(said for _, said in sorted(found.items()))
        return hashlib.sha256(text).hexdigest()

    def _said(self, key: tuple[str, str]) -> tuple[bytes, frozenset[tuple[str, str]]]:
        known = self._own.get(key)
        if known is None:
            section, name = key
            entry = self._sections[section].get(name)
            plain = _without_prose(entry)
            if isinstance(plain, dict):
                plain.pop(_GVK, None)
            text = msgspec.json.encode([section, name, plain], order="sorted")
            known = self._own[key] = text, frozenset(_references(entry))
        return known


def _without_prose(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_prose(item) for item in value]
    if not isinstance(value, dict):
        return value
    # A member named "description" is a schema, not a text.
    return {k: _without_prose(v) for k, v in value.items() if k != "description" or not isinstance(v, str)}


def _section(document: Section, name: str) -> Section:
    found = document.get(name) or {}
    if not isinstance(found, dict) or not all(isinstance(item, dict) for item in found.values()):
        raise ValueError(f"{name} is not a map of objects")
    return found


def _references(value: Any) -> Iterator[tuple[str, str]]:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            target = _target(value.get("$ref"))
            if target is not None:
                yield target
            pending.extend(value.values())


def _target(reference: Any) -> tuple[str, str] | None:
    if not isinstance(reference, str):
        return None
    root, _, rest = reference.partition("/")
    section, _, name = rest.partition("/")
    return (section, name) if root == "#" and section in _SECTIONS and name else None


def _renamed(value: Any, mapping: Mapping[tuple[str, str], str]) -> Any:
    """A copy with references to the names that things go by."""
    if isinstance(value, list):
        return [_renamed(item, mapping) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _renamed(item, mapping) for key, item in value.items()}
    target = _target(value.get("$ref"))
    if target is not None:
        made["$ref"] = f"#/{target[0]}/{mapping[target]}"
    return made


def _join_kinds(definitions: Section, name: str, other: Section) -> None:
    """What is of many groups, such as DeleteOptions, is of the other server's too."""
    own, more = definitions[name].get(_GVK), other.get(_GVK)
    if isinstance(own, list) and isinstance(more, list):
        known = {_key(kind) for kind in own}
        definitions[name] = {**definitions[name], _GVK: [*own, *(kind for kind in more if _key(kind) not in known)]}


def _kinds(definitions: Iterable[Section]) -> set[str]:
    lists = (definition.get(_GVK) for definition in definitions)
    return {_key(kind) for found in lists if isinstance(found, list) for kind in found}


def _key(kind: Any) -> str:
    return msgspec.json.encode(kind, order="sorted").decode()
