"""Looking templates up by label misses none that matters, whatever came and went."""

from __future__ import annotations

import random

from tests.unit.scheduler.objects import pod
from tiphys.api.types.core_v1 import Affinity, PodAffinityTerm, PodAntiAffinity
from tiphys.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement
from tiphys.scheduler.relations import Relations
from tiphys.scheduler.template import Template, Templates
from tiphys.scheduler.terms import Namespaces

_SELECTORS = (
    LabelSelector(),
    LabelSelector(match_labels={"app": "a"}),
    LabelSelector(match_labels={"app": "b", "tier": "x"}),
    LabelSelector(match_expressions=(LabelSelectorRequirement(key="app", operator="In", values=("a", "b")),)),
    LabelSelector(match_expressions=(LabelSelectorRequirement(key="tier", operator="DoesNotExist"),)),
    None,
)


def _template(rng: random.Random, templates: Templates, number: int) -> Template:
    labels = {"app": rng.choice("abc"), "number": str(number)} | (
        {"tier": rng.choice("xy")} if rng.random() < 0.5 else {}
    )
    terms = tuple(
        PodAffinityTerm(topology_key="zone", label_selector=rng.choice(_SELECTORS)) for _ in range(rng.randrange(3))
    )
    anti = PodAntiAffinity(required_during_scheduling_ignored_during_execution=terms)
    return templates.of(pod("p", labels=labels, affinity=Affinity(pod_anti_affinity=anti)))


def test_no_template_that_matters_is_missed() -> None:
    rng, templates, namespaces = random.Random(5), Templates(), Namespaces()
    everyone = [_template(rng, templates, number) for number in range(40)]
    relations, placed = Relations(), set[Template]()
    for _ in range(600):
        template = rng.choice(everyone)
        if template in placed:
            placed.remove(template)
            relations.remove(template)
        else:
            placed.add(template)
            relations.add(template)
        for other in rng.sample(everyone, 5):
            about = {t for t in placed if any(term.matches(other, namespaces) for term in t.anti_affinity)}
            assert about <= set(relations.bearing_on(other)) <= placed
            for term in other.anti_affinity:
                assert {t for t in placed if term.matches(t, namespaces)} <= set(relations.having(term.pairs)) <= placed
    for template in list(placed):
        relations.remove(template)
    assert not relations.having(()) and not relations._having and not relations._about and not relations._filed
