"""New Pods: what is refused of where they run, as whom, and under which names, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, good
from tests.conformance.kinds.words import QUALIFIED, UNDERSCORED

C = "spec.containers[0]"
I = "spec.initContainers[0]"  # noqa: E741
INIT = {"name": "i", "image": "x"}


def bad(change: dict[str, Any], *causes: str) -> Row:
    return rows.bad("v1/Pod", change, *causes)


def ok(change: dict[str, Any]) -> Row:
    return good("v1/Pod", change)


PLACEMENT = [
    bad(
        {"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "DoNotSchedule"}]},
        "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
    ),
    bad(
        {
            "spec.topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}
            ]
        },
        "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if "
        "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
    ),
    bad(
        {
            "spec.topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "nodeTaintsPolicy": "Mind"}
            ]
        },
        'spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "Mind": supported values: "Honor", '
        '"Ignore"',
    ),
    bad(
        {
            "spec.topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["a"]}
            ]
        },
        "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not "
        "set",
    ),
    bad(
        {
            "spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]
            * 2
        },
        'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, DoNotSchedule}"',
    ),
    bad(
        {"spec.tolerations": [{"key": "a", "operator": "Equal", "value": "b", "tolerationSeconds": 5}]},
        "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
    ),
    bad(
        {"spec.tolerations": [{"operator": "Equal", "value": "b"}]},
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which '
        'means "match all values and all keys"',
    ),
    bad(
        {"spec.tolerations": [{"key": "a", "operator": "Gt", "value": "1"}]},
        'spec.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"',
    ),
    bad(
        {
            "spec.affinity": {
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z", "matchLabelKeys": ["a"]}]
                }
            }
        },
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden: must "
        "not be specified when labelSelector is not set",
    ),
    bad(
        {
            "spec.affinity": {
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}
                    ]
                }
            }
        },
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid "
        'value: "a": exists in both matchLabelKeys and mismatchLabelKeys',
    ),
    bad(
        {
            "spec.affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchFields": [{"key": "spec.x", "operator": "In", "values": ["a"]}]}]
                    }
                }
            }
        },
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0]"
        '.key: Invalid value: "spec.x": not a valid field selector key',
    ),
    bad(
        {"spec.schedulingGates": [{"name": "a"}, {"name": "a"}]},
        'spec.schedulingGates[1]: Duplicate value: "a"',
    ),
    bad(
        {"spec.schedulingGates": [{"name": "a"}], "spec.nodeName": "n"},
        "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
    ),
]
SECURITY = [
    bad(
        {"spec.securityContext": {"runAsUser": -1}},
        "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    bad(
        {"spec.securityContext": {"supplementalGroups": [1, -2]}},
        "spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and 2147483647, inclusive",
    ),
    bad(
        {"spec.securityContext": {"supplementalGroupsPolicy": "Some"}},
        'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "Some": supported values: "Merge", "Strict"',
    ),
    bad(
        {"spec.securityContext": {"seLinuxChangePolicy": "Never"}},
        'spec.securityContext.seLinuxChangePolicy: Unsupported value: "Never": supported values: "MountOption", '
        '"Recursive"',
    ),
    bad(
        {"spec.securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}, "spec.hostNetwork": True},
        'spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when '
        "'hostNetwork' is true",
    ),
    bad(
        {"spec.securityContext": {"appArmorProfile": {"type": "Localhost"}}},
        "spec.securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is "
        "Localhost",
    ),
    bad(
        {"spec.securityContext": {"appArmorProfile": {"type": "RuntimeDefault", "localhostProfile": "a"}}},
        'spec.securityContext.appArmorProfile.localhostProfile: Invalid value: "a": can only be set when AppArmor type '
        "is Localhost",
    ),
    bad(
        {"spec.shareProcessNamespace": True, "spec.hostPID": True},
        "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot "
        "both be enabled",
    ),
    bad({"spec.hostUsers": False, "spec.hostPID": True}, "spec.HostPID: Forbidden: when `hostUsers` is false"),
    bad({"spec.hostUsers": False, "spec.hostNetwork": True}, "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
    bad(
        {f"{C}.securityContext": {"procMount": "Unmasked"}},
        f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
    ),
    ok({f"{C}.securityContext": {"procMount": "Unmasked"}, "spec.hostUsers": False}),
    bad(
        {f"{C}.securityContext": {"procMount": "Some"}},
        f'{C}.securityContext.procMount: Unsupported value: "Some": supported values: "Default", "Unmasked"',
    ),
    bad({"spec.os": {"name": "beos"}}, 'spec.os: Unsupported value: "beos": supported values: "linux", "windows"'),
    bad(
        {"spec.os": {"name": "linux"}, "spec.securityContext": {"windowsOptions": {"runAsUserName": "a"}}},
        "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
    ),
    bad(
        {"spec.securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}},
        'spec.securityContext.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot contain '
        "more than one backslash",
    ),
    bad(
        {"spec.securityContext": {"windowsOptions": {"hostProcess": True}}},
        "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
    ),
    bad(
        {"spec.os": {"name": "windows"}, "spec.hostIPC": True, f"{C}.securityContext": {"privileged": True}},
        "spec.hostIPC: Forbidden: cannot be set for a windows pod",
        f"{C}.securityContext.privileged: Forbidden: cannot be set for a windows pod",
    ),
]
NAMES = [
    bad({"spec.dnsConfig": {"searches": ["-x"]}}, f'spec.dnsConfig.searches[0]: Invalid value: "-x": {UNDERSCORED}'),
    ok({"spec.dnsConfig": {"searches": ["_tcp.example.com.", "."]}}),
    bad(
        {"spec.dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}},
        'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]: must not have more than '
        "3 nameservers",
    ),
    bad(
        {"spec.dnsConfig": {"nameservers": ["010.0.0.1"]}},
        'spec.dnsConfig.nameservers[0]: Invalid value: "010.0.0.1": must not have leading 0s',
    ),
    bad(
        {"spec.dnsConfig": {"nameservers": ["::ffff:1.2.3.4"]}},
        'spec.dnsConfig.nameservers[0]: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address',
    ),
    bad(
        {"spec.dnsPolicy": "None", "spec.dnsConfig": {}},
        "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
    ),
    bad({"spec.dnsConfig": {"options": [{}]}}, "spec.dnsConfig.options[0]: Required value: must not be empty"),
    bad({"spec.subdomain": "a.b"}, 'spec.subdomain: Invalid value: "a.b": must not contain dots'),
    bad(
        {"spec.hostnameOverride": "a", "spec.setHostnameAsFQDN": True},
        "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
    ),
    bad({"spec.hostnameOverride": "a" * 65}, "spec.hostnameOverride: Too long: may not be more than 64 bytes"),
    bad(
        {"spec.readinessGates": [{"conditionType": "a b"}]},
        f'spec.readinessGates[0].conditionType: Invalid value: "a b": name part {QUALIFIED}',
    ),
    bad(
        {"metadata.annotations": {"controller.kubernetes.io/pod-deletion-cost": "01"}},
        'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "01": must be a 32bit '
        "integer",
    ),
    bad(
        {"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/z": "unconfined"}},
        'metadata.annotations[container.apparmor.security.beta.kubernetes.io/z]: Invalid value: "z": container not '
        "found",
    ),
]
ALL = [row for table in (PLACEMENT, SECURITY, NAMES) for row in table]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_new_pods(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
