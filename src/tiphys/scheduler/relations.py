"""Which templates that pods on nodes have may have to do with a given one, found by label.

A thousand applications each keep away from their like: to know what bears on one of them, nobody has to look at the
other thousand. An affinity term or a constraint that demands ``app=x`` is about templates with that label alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tiphys.scheduler.template import Template
from tiphys.scheduler.terms import AffinityTerm, Pair


class Relations:
    """Of the templates placed: who has a label, and whose terms are about whom. Both answers may be too many."""

    def __init__(self) -> None:
        self._all: dict[Template, None] = {}
        self._having: dict[Pair, dict[Template, None]] = {}
        #: Templates by a label that one of their terms demands, with the number of such terms; None: it demands none.
        self._about: dict[Pair | None, dict[Template, int]] = {}
        #: The entries of each in `_about`.
        self._filed: dict[Template, list[Pair | None]] = {}

    def add(self, template: Template) -> None:
        """The first pod of the template is on a node."""
        self._all[template] = None
        for pair in template.labels.items():
            self._having.setdefault(pair, {})[template] = None
        if template.has_terms:
            terms = (*template.affinity, *template.anti_affinity, *template.preferences)
            filed = self._filed[template] = [self._rarest(term) for term in terms]
            for key in filed:
                about = self._about.setdefault(key, {})
                about[template] = about.get(template, 0) + 1

    def remove(self, template: Template) -> None:
        """The last one is gone."""
        del self._all[template]
        for pair in template.labels.items():
            having = self._having[pair]
            del having[template]
            if not having:
                del self._having[pair]
        for key in self._filed.pop(template, ()):
            about = self._about[key]
            about[template] -= 1
            if not about[template]:
                del about[template]
                if not about:
                    del self._about[key]

    def having(self, pairs: Sequence[Pair]) -> Collection[Template]:
        """At least the templates placed that have all these labels."""
        if not pairs:
            return self._all
        return min((self._having.get(pair, {}) for pair in pairs), key=len)

    def bearing_on(self, template: Template) -> Collection[Template]:
        """At least the templates placed with a term about such pods."""
        found = dict.fromkeys(self._about.get(None, ()))
        for pair in template.labels.items():
            found.update(dict.fromkeys(self._about.get(pair, ())))
        return found

    def _rarest(self, term: AffinityTerm) -> Pair | None:
        return min(term.pairs, key=lambda pair: len(self._about.get(pair, ())), default=None)
