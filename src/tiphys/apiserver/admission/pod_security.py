"""PodSecurity: a namespace's labels say which of the Pod Security Standards its pods must meet.

    pod-security.kubernetes.io/enforce    pods that do not are refused
    pod-security.kubernetes.io/warn       pods and templates that do not get a warning
    …-version                             of the standards; the newest is what is known here

Templates of workloads are never refused: their pods would be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tiphys.api import errors
from tiphys.api.field_errors import FieldError, invalid
from tiphys.api.pod_security import LEVELS, PRIVILEGED, Violation, summary, violations
from tiphys.api.types.core_v1 import Namespace, Pod, PodTemplateSpec
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Base, Lookup, refuse
from tiphys.apiserver.registry.context import Write

PREFIX: Final = "pod-security.kubernetes.io/"
MODES: Final = ("enforce", "audit", "warn")
LATEST: Final = "latest"
MAX_PODS_SHOWN: Final = 10
"""Of those that a tightened namespace has already: warnings have to be read."""
MAX_PODS_LOOKED_AT: Final = 3000
_VERSION: Final = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_TEMPLATES: Final = frozenset(
    {
        ("", "podtemplates"),
        ("", "replicationcontrollers"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
    }
)


class PodSecurity(Base):
    """For pods, what makes pods, and the namespaces that say what they may be."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        if operation not in (CREATE, UPDATE):
            return False
        if (group, plural) == ("", "pods"):
            return subresource in ("", "ephemeralcontainers")
        return not subresource and ((group, plural) == ("", "namespaces") or (group, plural) in _TEMPLATES)

    def validate(self, write: Write) -> None:
        plural = write.resource.plural
        if plural == "namespaces":
            self._namespace(write)
        elif plural == "pods":
            self._pod(write)
        else:
            self._template(write)

    def _pod(self, write: Write) -> None:
        pod: Pod = write.obj
        if write.operation == UPDATE and not write.subresource and not _profiles_changed(pod, write.old):
            return
        labels = self._labels(write)
        level, found = _found(labels, "enforce", pod)
        if found:
            raise refuse(write, f'violates PodSecurity "{level}": {summary(found)}')
        self._warn(write, labels, pod)

    def _template(self, write: Write) -> None:
        template = _template_of(write.obj)
        if template is None or (write.old is not None and _template_of(write.old) == template):
            return
        self._warn(write, self._labels(write), template)

    def _warn(self, write: Write, labels: Mapping[str, str], what: Pod | PodTemplateSpec) -> None:
        level, found = _found(labels, "warn", what)
        if found:
            write.warnings.append(f'would violate PodSecurity "{level}": {summary(found)}')

    def _namespace(self, write: Write) -> None:
        namespace: Namespace = write.obj
        new, old = namespace.metadata.labels, write.old.metadata.labels if write.old is not None else {}
        problems = _label_problems(new)
        if problems and problems != _label_problems(old):
            raise errors.invalid("Namespace", namespace.metadata.name or "", problems)
        if write.old is None or problems:
            return
        level, before = _level(new, "enforce"), _level(old, "enforce")
        if LEVELS.index(level) > LEVELS.index(before):
            self._existing(write, namespace.metadata.name or "", level, _shown(new, "enforce"))

    def _existing(self, write: Write, name: str, level: str, shown: str) -> None:
        """Warn of pods that were let in before: they stay."""
        grouped: dict[str, list[str]] = {}
        for number, pod in enumerate(self._lookup.list(Pod, name)):
            if number >= MAX_PODS_LOOKED_AT:
                break
            found = violations(level, pod.spec, pod.metadata.annotations)
            if found:
                grouped.setdefault(", ".join(one.reason for one in found), []).append(pod.metadata.name or "")
        if not grouped:
            return
        write.warnings.append(
            f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{shown}"'
        )
        for reasons, names in sorted(grouped.items(), key=lambda item: item[1][0])[:MAX_PODS_SHOWN]:
            more = len(names) - 1
            others = f" (and {more} other pod{'' if more == 1 else 's'})" if more else ""
            write.warnings.append(f"{names[0]}{others}: {reasons}")

    def _labels(self, write: Write) -> Mapping[str, str]:
        namespace = self._lookup.get(Namespace, write.namespace)
        return namespace.metadata.labels if namespace is not None else {}


def _found(labels: Mapping[str, str], mode: str, what: Pod | PodTemplateSpec) -> tuple[str, list[Violation]]:
    """(level as messages show it, what it forbids)."""
    level = _level(labels, mode)
    if level == PRIVILEGED:
        return level, []
    return _shown(labels, mode), violations(level, what.spec, what.metadata.annotations)


def _level(labels: Mapping[str, str], mode: str) -> str:
    """A label that means nothing means the worst to enforce, as upstream has it, and nothing to warn of."""
    level = labels.get(PREFIX + mode, PRIVILEGED)
    return level if level in LEVELS else ("restricted" if mode == "enforce" else PRIVILEGED)


def _shown(labels: Mapping[str, str], mode: str) -> str:
    return f"{_level(labels, mode)}:{labels.get(f'{PREFIX}{mode}-version', LATEST)}"


def _label_problems(labels: Mapping[str, str]) -> list[FieldError]:
    problems = []
    for mode in MODES:
        key, version_key = PREFIX + mode, f"{PREFIX}{mode}-version"
        if (level := labels.get(key)) is not None and level not in LEVELS:
            problems.append(invalid(f"metadata.labels[{key}]", level, f"must be one of {', '.join(LEVELS)}"))
        if (version := labels.get(version_key)) is not None and not _VERSION.fullmatch(version):
            problems.append(invalid(f"metadata.labels[{version_key}]", version, 'must be "latest" or "v1.x"'))
    return problems


def _profiles_changed(new: Pod, old: Pod) -> bool:
    """Of a running pod's spec nothing that matters here can change; annotations that are profiles can."""

    def profiles(pod: Pod) -> dict[str, str]:
        return {key: value for key, value in pod.metadata.annotations.items() if key.startswith(_APP_ARMOR)}

    return profiles(new) != profiles(old)


def _template_of(obj: Any) -> PodTemplateSpec | None:
    if obj.kind == "PodTemplate":
        found: PodTemplateSpec = obj.template
        return found
    if obj.kind == "CronJob":
        return _template_of_spec(obj.spec.job_template.spec)
    return _template_of_spec(obj.spec)


def _template_of_spec(spec: Any) -> PodTemplateSpec | None:
    template: PodTemplateSpec | None = spec.template
    return template
