"""Who wants what in the table: items of all Services together, and what changed since the kernel was last told."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.proxy.ruleset import Changes, Item, State

Owner = tuple[str, str]


class Ledger:
    """Items claimed by owners (Services, as namespace and name).

    Owners may share an item (a chain for three endpoints). Where they want it to hold different values (two Services
    with one external address and port), the first to claim it has it. Each call costs the owner's items, never all.
    """

    def __init__(self) -> None:
        self._claims: dict[Item, dict[Owner, str]] = {}
        self._by_owner: dict[Owner, Mapping[Item, str]] = {}
        self._told: dict[Item, str | None] = {}

    def replace(self, owner: Owner, items: Mapping[Item, str]) -> None:
        """From now on this is all the owner wants; an empty mapping forgets it."""
        before = self._by_owner.get(owner, {})
        for item in before.keys() - items.keys():
            self._remember(item)
            claims = self._claims[item]
            del claims[owner]
            if not claims:
                del self._claims[item]
        for item, value in items.items():
            if before.get(item) != value:
                self._remember(item)
                self._claims.setdefault(item, {})[owner] = value
        if items:
            self._by_owner[owner] = items
        else:
            self._by_owner.pop(owner, None)

    def of(self, owner: Owner) -> Mapping[Item, str]:
        """What the owner wants now."""
        return self._by_owner.get(owner, {})

    def owners(self) -> list[Owner]:
        return list(self._by_owner)

    def _value(self, item: Item) -> str | None:
        claims = self._claims.get(item)
        return next(iter(claims.values())) if claims else None

    def _remember(self, item: Item) -> None:
        if item not in self._told:
            self._told[item] = self._value(item)

    def changes(self) -> Changes:
        """What differs from what the kernel was told; ``accept`` it once the kernel has it."""
        pairs = ((item, (before, self._value(item))) for item, before in self._told.items())
        return {item: (before, after) for item, (before, after) in pairs if before != after}

    def accept(self) -> None:
        """The kernel holds the present state."""
        self._told.clear()

    def state(self) -> State:
        """Everything, for a table made anew."""
        return {item: next(iter(claims.values())) for item, claims in self._claims.items()}
