"""The other kinds of the core group: what is refused of new ones, in upstream's words."""

from __future__ import annotations

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, bad, good
from tests.conformance.kinds.words import CONFIG_KEY, PORT, QUALIFIED

SVC, NODE, NS, RQ, LR = "v1/Service", "v1/Node", "v1/Namespace", "v1/ResourceQuota", "v1/LimitRange"
CM, SEC, EP, PV, PVC = "v1/ConfigMap", "v1/Secret", "v1/Endpoints", "v1/PersistentVolume", "v1/PersistentVolumeClaim"
ONLY_LB = "may only be used when `type` is 'LoadBalancer'"
NEGATIVE = "must be greater than or equal to 0"
SERVICES = [
    bad(
        SVC,
        {"spec.ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
        'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":1,"TargetPort":0,'
        '"NodePort":0}',
    ),
    bad(
        SVC,
        {"spec.ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
        'spec.ports[1].name: Duplicate value: "a"',
    ),
    bad(
        SVC,
        {"spec.ports[0].protocol": "ICMP"},
        'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    bad(
        SVC,
        {"spec.ports[0].nodePort": 30001},
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    bad(
        SVC,
        {"spec.ports[0].appProtocol": "a b"},
        f'spec.ports[0].appProtocol: Invalid value: "a b": name part {QUALIFIED}',
    ),
    bad(
        SVC,
        {"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must "
        "be greater than 0 and less than "
        "86400",
    ),
    bad(
        SVC,
        {"spec.ipFamilyPolicy": "Some"},
        'spec.ipFamilyPolicy: Unsupported value: "Some": supported values: "PreferDualStack", "RequireDualStack", '
        '"SingleStack"',
    ),
    bad(SVC, {"spec.loadBalancerClass": "a/b"}, f"spec.loadBalancerClass: Forbidden: {ONLY_LB}"),
    bad(SVC, {"spec.allocateLoadBalancerNodePorts": True}, f"spec.allocateLoadBalancerNodePorts: Forbidden: {ONLY_LB}"),
    bad(SVC, {"spec.loadBalancerSourceRanges": ["10.0.0.0/8"]}, f"spec.LoadBalancerSourceRanges: Forbidden: {ONLY_LB}"),
    bad(
        SVC,
        {"spec.type": "LoadBalancer", "spec.loadBalancerSourceRanges": ["10.0.0.1/8"]},
        'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1/8": must not have '
        "bits set beyond the prefix length",
    ),
    bad(
        SVC,
        {"spec.externalTrafficPolicy": "Local"},
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ),
    bad(
        SVC,
        {"spec.type": "NodePort", "spec.externalTrafficPolicy": "Near"},
        'spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
    ),
    bad(
        SVC,
        {"spec.internalTrafficPolicy": "Near"},
        'spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
    ),
    bad(
        SVC,
        {"spec.trafficDistribution": "Far"},
        'spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose", "PreferSameZone", '
        '"PreferSameNode"',
    ),
    good(SVC, {"spec.trafficDistribution": "PreferSameNode"}),
    bad(
        SVC,
        {"spec.healthCheckNodePort": 31000},
        "spec.healthCheckNodePort: Invalid value: 31000: may only be set when `type` is 'LoadBalancer' and "
        "`externalTrafficPolicy` is 'Local'",
    ),
    bad(
        SVC,
        {"spec.externalIPs": ["0.0.0.0"]},
        'spec.externalIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
    ),
    bad(
        SVC,
        {"spec.externalIPs": ["010.1.1.1"]},
        'spec.externalIPs[0]: Invalid value: "010.1.1.1": must not have leading 0s',
    ),
    bad(
        SVC,
        {"spec.clusterIP": "None", "spec.clusterIPs": ["None", "10.96.7.7"]},
        'spec.clusterIPs: Invalid value: ["None","10.96.7.7"]: \'None\' must be the first and only value',
    ),
    bad(
        SVC,
        {"spec.clusterIP": "10.96.7.7", "spec.clusterIPs": ["10.96.7.8"]},
        'spec.clusterIPs: Invalid value: ["10.96.7.8"]: first value must match `clusterIP`',
    ),
    bad(
        SVC,
        {"spec.type": "ExternalName", "spec.externalName": "a.example.com", "spec.ipFamilyPolicy": "SingleStack"},
        "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
    ),
    bad(
        SVC,
        {"spec.ports[0].port": 70000},
        f"spec.ports[0].port: Invalid value: 70000: {PORT}",
        f"spec.ports[0].targetPort: Invalid value: 70000: {PORT}",
    ),
]
QUOTAS = [
    bad(
        RQ,
        {"spec": {"hard": {"services": "1"}, "scopes": ["BestEffort"]}},
        'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
    ),
    good(RQ, {"spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}}),
    bad(
        RQ,
        {"spec": {"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}},
        'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
    ),
    bad(RQ, {"spec": {"scopes": ["Some"]}}, 'spec.scopes: Invalid value: ["Some"]: unsupported scope'),
    bad(
        RQ,
        {"spec": {"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}},
        'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes',
    ),
    bad(
        RQ,
        {"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}},
        "spec.scopeSelector.matchExpressions.values: Required value: must be at least "
        "one value when `operator` is 'In' "
        "or 'NotIn' for scope selector",
    ),
    bad(
        RQ,
        {"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "DoesNotExist"}]}}},
        "spec.scopeSelector.matchExpressions.operator: Invalid value: \"DoesNotExist\": must be 'Exists' when scope is "
        "any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
        "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
    ),
    bad(
        RQ,
        {"spec": {"hard": {"apples": "1"}}},
        'spec.hard[apples]: Invalid value: "apples": must be a standard resource type or fully qualified',
        'spec.hard[apples]: Invalid value: "apples": must be a standard resource for quota',
    ),
    bad(RQ, {"spec": {"hard": {"pods": "1500m"}}}, 'spec.hard[pods]: Invalid value: "1500m": must be an integer'),
    bad(
        LR,
        {"spec.limits": [{"type": "Pod", "default": {"cpu": "1"}}]},
        "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
    ),
    bad(
        LR,
        {"spec.limits": [{"type": "Pod"}, {"type": "Pod"}]},
        'spec.limits[1].type: Duplicate value: "Pod"',
    ),
    bad(
        LR,
        {"spec.limits": [{"type": "PersistentVolumeClaim"}]},
        "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was "
        "provided",
    ),
    bad(
        LR,
        {"spec.limits": [{"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}]},
        'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
    ),
    bad(
        LR,
        {"spec.limits": [{"type": "Some"}]},
        'spec.limits[0].type: Invalid value: "Some": must be a standard limit type or fully qualified',
    ),
]
OTHERS = [
    bad(NODE, {"spec.taints": [{"key": "a"}]}, "metadata.taints[0].effect: Required value"),
    bad(
        NODE,
        {"spec.taints": [{"key": "a", "effect": "NoExecute"}] * 2},
        "metadata.taints[1]: Duplicate value: "
        '{"Key":"a","Value":"","Effect":"NoExecute","TimeAdded":null}: taints must '
        "be unique by key and effect pair",
    ),
    bad(
        NODE,
        {"spec.podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]},
        'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no '
        "more than one CIDR for each IP family",
    ),
    bad(NS, {"metadata.name": "a.b"}, 'metadata.name: Invalid value: "a.b": must not contain dots'),
    bad(
        NS,
        {"spec": {"finalizers": ["some"]}},
        'spec.finalizers: Invalid value: "some": name is neither a standard finalizer name nor is it fully qualified',
    ),
    bad(CM, {"data": {"a/b": ""}}, f'data[a/b]: Invalid value: "a/b": {CONFIG_KEY}'),
    bad(CM, {"binaryData": {"..": "YQ=="}}, "binaryData[..]: Invalid value: \"..\": must not be '..'"),
    bad(SEC, {"type": "kubernetes.io/tls"}, "data[tls.crt]: Required value", "data[tls.key]: Required value"),
    bad(SEC, {"type": "kubernetes.io/ssh-auth"}, "data[ssh-privatekey]: Required value"),
    bad(SEC, {"type": "kubernetes.io/basic-auth"}, "data[username]: Required value", "data[password]: Required value"),
    bad(SEC, {"type": "kubernetes.io/dockercfg"}, "data[.dockercfg]: Required value"),
    good(SEC, {"type": "kubernetes.io/basic-auth", "data": {"username": "YQ=="}}),
    bad(
        EP,
        {"subsets": [{"ports": [{"port": 1}]}]},
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
    ),
    bad(
        EP,
        {"subsets[0].addresses[0].ip": "127.0.0.1"},
        'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the '
        "loopback range (127.0.0.0/8, ::1/128)",
    ),
    bad(
        EP,
        {"subsets[0].ports": [{"port": 1}, {"port": 2}]},
        "subsets[0].ports[0].name: Required value",
        "subsets[0].ports[1].name: Required value",
    ),
    bad(PV, {"spec.accessModes": []}, "spec.accessModes: Required value"),
    bad(
        PV, {"spec.capacity": {"storage": "0"}}, 'spec.capacity[storage]: Invalid value: "0": must be greater than zero'
    ),
    bad(PV, {"spec.hostPath": ...}, "spec: Required value: must specify a volume type"),
    bad(
        PV, {"spec.nfs": {"server": "s", "path": "/p"}}, "spec.nfs: Forbidden: may not specify more than 1 volume type"
    ),
    bad(
        PV,
        {"spec.hostPath": ..., "spec.local": {"path": "/l"}},
        "spec.nodeAffinity: Required value: Local volume requires node affinity",
    ),
    bad(
        PV,
        {"spec.persistentVolumeReclaimPolicy": "Burn"},
        'spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported '
        'values: "Delete", "Recycle", "Retain"',
    ),
    bad(
        PVC,
        {"spec.accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]},
        "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
    ),
    bad(PVC, {"spec.resources": {}}, "spec.resources[storage]: Required value"),
    bad(
        PVC,
        {"spec.resources.requests.storage": "-1"},
        'spec.resources[storage]: Invalid value: "-1": must be greater than zero',
    ),
    bad(
        PVC,
        {"spec.volumeMode": "Tape"},
        'spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"',
    ),
    bad(
        PVC,
        {"spec.storageClassName": "a", "spec.selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        "spec.selector.matchExpressions[0].values: Required value: must be specified "
        "when `operator` is 'In' or 'NotIn'",
    ),
]
ALL = [*SERVICES, *QUOTAS, *OTHERS]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_new_objects(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
