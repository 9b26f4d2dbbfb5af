"""What happened since the last turn: kinds of events, with their objects if these are few enough to ask about.

happened ──► Events ──once a turn──► kinds ──Plugin.helped_by──► objects ──Plugin.may_help──► which groups to ask
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tiphys.scheduler.framework import Event, Trigger

MAXIMUM_EVENTS: Final = 64
"""Of so many it is looked whether each may help; of more only their kinds count."""
MAXIMUM_QUESTIONS: Final = 4_096
"""So many times (events by groups of pods) plugins are asked in one turn; beyond it only kinds count."""


class Events:
    """Events by kind, each with its object if it has one."""

    def __init__(self) -> None:
        self.trigger = Trigger(0)
        """All their kinds."""
        self._events: list[Event] = []
        #: The kinds of which there was one without an object.
        self._blind = Trigger(0)

    def add(self, trigger: Trigger, old: Any = None, new: Any = None) -> None:
        """`old`, `new`: the object before and after; None: there was, or is, none; both None: who knows."""
        self.trigger |= trigger
        if trigger in self._blind:
            return
        if (old is None and new is None) or len(self._events) >= MAXIMUM_EVENTS:
            self._blind |= trigger
        else:
            self._events.append(Event(trigger, old, new))

    def of(self, kinds: Trigger, groups: int) -> Iterator[Event] | None:
        """The events of these kinds, to be asked about for so many groups; None: too many, or unknown: any may be."""
        if kinds & self._blind or len(self._events) * groups > MAXIMUM_QUESTIONS:
            return None
        return (event for event in self._events if event.trigger & kinds)
