"""What each control of the Pod Security Standards says."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.pod_security import LEVELS, summary, violations
from tiphys.api.types.core_v1 import PodSpec

GOOD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def said(level: str, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> str:
    return summary(violations(level, codec.from_dict(PodSpec, spec), annotations or {}))


def one(context: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "i", "securityContext": context or {}, **container}]}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (one(), ""),
        ({**one(), "hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        (one({"privileged": True}), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            one({"capabilities": {"add": ["NET_ADMIN", "CHOWN", "BPF"]}}),
            'non-default capabilities (container "a" must not include "BPF", "NET_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        ({**one(), "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (one(ports=[{"containerPort": 80, "hostPort": 80}]), 'hostPort (container "a" uses hostPort 80)'),
        (
            one(livenessProbe={"httpGet": {"port": 80, "host": "169.254.169.254"}}),
            'probe or lifecycle host (container "a" uses probe or lifecycle host "169.254.169.254")',
        ),
        (
            one({"procMount": "Unmasked"}),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        ({**one({"procMount": "Unmasked"}), "hostUsers": False}, ""),
        (
            one({"seLinuxOptions": {"type": "spc_t", "user": "u"}}),
            'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be '
            "set)",
        ),
        (
            {**one(), "securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            {**one(), "securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            {**one(), "securityContext": {"windowsOptions": {"hostProcess": True}}},
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            one({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline(spec: dict[str, Any], text: str) -> None:
    assert said("baseline", spec) == text
    assert said("privileged", spec) == ""


def test_annotations_that_are_profiles() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert said("baseline", one(), {key: "localhost/own"}) == said("baseline", one(), {key: "runtime/default"}) == ""
    wrong = said("baseline", one(), {key: "unconfined"})
    assert wrong == f'forbidden AppArmor profile (annotation {key}="unconfined")'


def test_restricted_as_upstream_says_it() -> None:
    assert said("restricted", one()) == (
        'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    assert said("restricted", one(GOOD)) == ""


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {**one(GOOD), "volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
            'restricted volume types (volume "v" uses restricted volume type "hostPath")',
        ),
        ({**one(GOOD), "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s"}}]}, ""),
        (
            one({**GOOD, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}),
            'unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            one({**GOOD, "runAsNonRoot": False}),
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        (one({**GOOD, "runAsUser": 0}), 'runAsUser=0 (container "a" must not set runAsUser=0)'),
        (
            {**one({**GOOD, "seccompProfile": None}), "securityContext": {"seccompProfile": {"type": "Localhost"}}},
            "",
        ),
        ({"containers": [], "initContainers": one()["containers"]}, None),
    ],
)
def test_restricted(spec: dict[str, Any], text: str | None) -> None:
    found = said("restricted", spec)
    assert found == text if text is not None else found


def test_levels_only_add() -> None:
    for spec in (one(), one({"privileged": True}), {**one(GOOD), "hostNetwork": True}):
        counts = [bool(said(level, spec)) for level in LEVELS]
        assert counts == sorted(counts)
