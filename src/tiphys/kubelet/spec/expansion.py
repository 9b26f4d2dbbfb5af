"""``$(NAME)`` in commands, arguments, environment and subPathExpr. Source: the API reference, Container.command."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """`text` with each ``$(NAME)`` replaced; unknown names stay as written, ``$$`` is a dollar sign."""
    if "$" not in text:
        return text
    result: list[str] = []
    position = 0
    while position < len(text):
        dollar = text.find("$", position)
        if dollar < 0 or dollar + 1 == len(text):
            result.append(text[position:])
            break
        result.append(text[position:dollar])
        following = text[dollar + 1]
        if following == "$":
            result.append("$")
            position = dollar + 2
        elif following == "(":
            end = text.find(")", dollar + 2)
            if end < 0:
                result.append("$(")
                position = dollar + 2
                continue
            value = lookup(text[dollar + 2 : end])
            result.append(text[dollar : end + 1] if value is None else value)
            position = end + 1
        else:
            result.append(text[dollar : dollar + 2])
            position = dollar + 2
    return "".join(result)


def expand_from(text: str, values: Mapping[str, str]) -> str:
    """As `expand`, from a mapping."""
    return expand(text, values.get)


class MissingVariable(ValueError):
    """A subPathExpr names a variable the container does not have."""


def expand_strictly(text: str, values: Mapping[str, str]) -> str:
    """As `expand_from`; raises MissingVariable instead of leaving a name in place."""

    def lookup(name: str) -> str:
        if name not in values:
            raise MissingVariable(f"missing value for {name!r}")
        return values[name]

    return expand(text, lookup)
