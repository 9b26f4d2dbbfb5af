"""Networking, leases, RBAC, scheduling, nodes, API services, flow control: what is refused, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, bad, good, update
from tests.conformance.kinds.words import LABEL, PORT, QUALIFIED, SUBDOMAIN

NET, RBAC = "networking.k8s.io/v1/", "rbac.authorization.k8s.io/v1/"
ING, CLASS, NP, IP, CIDR = (
    f"{NET}Ingress",
    f"{NET}IngressClass",
    f"{NET}NetworkPolicy",
    f"{NET}IPAddress",
    f"{NET}ServiceCIDR",
)
SLICE, LEASE = "discovery.k8s.io/v1/EndpointSlice", "coordination.k8s.io/v1/Lease"
ROLE, CROLE, RB, CRB = f"{RBAC}Role", f"{RBAC}ClusterRole", f"{RBAC}RoleBinding", f"{RBAC}ClusterRoleBinding"
PC, RC = "scheduling.k8s.io/v1/PriorityClass", "node.k8s.io/v1/RuntimeClass"
FLOW = "flowcontrol.apiserver.k8s.io/v1/FlowSchema"
LEVEL = "flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration"
API = "apiregistration.k8s.io/v1/APIService"
GROUP = "rbac.authorization.k8s.io"
BACKEND: dict[str, Any] = {"service": {"name": "s", "port": {"number": 80}}}
PATH: dict[str, Any] = {"path": "/", "pathType": "Prefix", "backend": BACKEND}


def ingress_path(**change: Any) -> dict[str, Any]:
    return {"spec.rules": [{"http": {"paths": [{**PATH, **change}]}}]}


AT = "spec.rules[0].http.paths[0]"
NETWORK = [
    bad(
        ING,
        {"spec.defaultBackend": ...},
        "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
    ),
    bad(
        ING,
        {"spec.rules": [{"host": "10.0.0.1", "http": {"paths": [PATH]}}]},
        'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ),
    bad(
        ING,
        {"spec.rules": [{"host": "A_b"}]},
        f'spec.rules[0].host: Invalid value: "A_b": {SUBDOMAIN}',
    ),
    bad(ING, {"spec.rules": [{"http": {"paths": []}}]}, "spec.rules[0].http.paths: Required value"),
    bad(ING, ingress_path(path="a"), f'{AT}.path: Invalid value: "a": must be an absolute path'),
    bad(ING, ingress_path(path="/a//b"), f"{AT}.path: Invalid value: \"/a//b\": must not contain '//'"),
    bad(ING, ingress_path(path="/a/.."), f"{AT}.path: Invalid value: \"/a/..\": cannot end with '/..'"),
    bad(ING, ingress_path(pathType=None), f"{AT}.pathType: Required value: pathType must be specified"),
    bad(
        ING,
        ingress_path(pathType="Regex"),
        f'{AT}.pathType: Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"',
    ),
    bad(ING, ingress_path(backend={}), f"{AT}.backend: Required value: must specify a service or resource backend"),
    bad(
        ING,
        {"spec.defaultBackend": {**BACKEND, "resource": {"kind": "K", "name": "n"}}},
        'spec.defaultBackend: Invalid value: "": cannot set both resource and service backends',
    ),
    bad(
        ING,
        {"spec.defaultBackend.service.port": {}},
        "spec.defaultBackend.service.port: Required value: port name or number is required",
    ),
    bad(
        ING,
        {"spec.defaultBackend.service.port": {"number": 1, "name": "a"}},
        'spec.defaultBackend.service.port: Invalid value: "": cannot set both port name & port number',
    ),
    bad(
        ING,
        {"spec.defaultBackend.service.port": {"number": 70000}},
        f"spec.defaultBackend.service.port.number: Invalid value: 70000: {PORT}",
    ),
    bad(ING, {"spec.defaultBackend.service.name": ""}, "spec.defaultBackend.service.name: Required value"),
    bad(ING, {"spec.tls": [{"secretName": "A"}]}, f'spec.tls[0].secretName: Invalid value: "A": {SUBDOMAIN}'),
    bad(
        ING,
        {"spec.ingressClassName": "a", "metadata.annotations": {"kubernetes.io/ingress.class": "b"}},
        'annotations.kubernetes.io/ingress.class: Invalid value: "b": must match `ingressClassName` when both are '
        "specified",
    ),
    update(
        ING,
        {},
        {"status": {"loadBalancer": {"ingress": [{"ip": "a"}]}}},
        'status.loadBalancer.ingress[0].ip: Invalid value: "a": must be a valid IP address, (e.g. 10.9.8.7 or '
        "2001:db8::ffff)",
        part="status",
    ),
    bad(CLASS, {"spec.controller": ""}, "spec.controller: Required value"),
    update(
        CLASS,
        {},
        {"spec.controller": "example.com/d"},
        'spec.controller: Invalid value: "example.com/d": field is immutable',
    ),
    bad(
        CLASS,
        {"spec.parameters": {"kind": "K", "name": "n", "scope": "Namespace"}},
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
    ),
    bad(
        CLASS,
        {"spec.parameters": {"kind": "K", "name": "n", "scope": "All"}},
        'spec.parameters.scope: Unsupported value: "All": supported values: "Cluster", "Namespace"',
    ),
    bad(
        CLASS,
        {"spec.parameters": {"kind": "K", "name": "n", "namespace": "x"}},
        "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
    ),
    bad(
        NP,
        {"spec.policyTypes": ["Inward"]},
        'spec.policyTypes[0]: Unsupported value: "Inward": supported values: "Egress", "Ingress"',
    ),
    bad(
        NP,
        {"spec.ingress": [{"from": [{}]}]},
        "spec.ingress[0].from[0]: Required value: must specify a peer",
    ),
    bad(
        NP,
        {"spec.ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]},
        "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
    ),
    bad(
        NP,
        {"spec.ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]},
        'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
    ),
    bad(
        NP,
        {"spec.egress": [{"ports": [{"port": 5, "endPort": 4}]}]},
        "spec.egress[0].ports[0].endPort: Invalid value: 4: must be greater than or equal to `port`",
    ),
    bad(
        NP,
        {"spec.egress": [{"ports": [{"protocol": "ICMP"}]}]},
        'spec.egress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    bad(IP, {}, 'metadata.name: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    bad(
        IP,
        {"spec.parentRef": ...},
        "spec.parentRef: Required value",
        name="192.168.1.1",
    ),
    bad(IP, {"spec.parentRef.name": ""}, "spec.parentRef.name: Required value", name="192.168.1.2"),
    bad(CIDR, {"spec.cidrs": []}, "spec.cidrs: Required value: at least one CIDR required"),
    bad(
        CIDR,
        {"spec.cidrs": ["10.1.0.0/16", "10.2.0.0/16"]},
        'spec.cidrs: Invalid value: ["10.1.0.0/16","10.2.0.0/16"]: may specify no more than one IP for each IP family, '
        "i.e 192.168.0.0/24 and 2001:db8::/64",
    ),
    bad(
        CIDR,
        {"spec.cidrs": ["10.1.0.1/16"]},
        'spec.cidrs[0]: Invalid value: "10.1.0.1/16": must not have bits set beyond the prefix length',
    ),
    bad(SLICE, {"addressType": ""}, "addressType: Required value"),
    bad(
        SLICE,
        {"endpoints[0].addresses": []},
        "endpoints[0].addresses: Required value: must contain at least 1 address",
    ),
    bad(
        SLICE,
        {"endpoints[0].addresses": ["127.0.0.1"]},
        'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, '
        "::1/128)",
    ),
    bad(SLICE, {"endpoints[0].hostname": "A"}, f'endpoints[0].hostname: Invalid value: "A": {LABEL}'),
    bad(SLICE, {"ports[1]": {"port": 81}}, 'ports[1].name: Duplicate value: ""'),
    bad(
        SLICE,
        {"ports[0].protocol": "ICMP"},
        'ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    bad(
        SLICE,
        {"endpoints[0].hints": {"forZones": [{"name": "a"}, {"name": "a"}]}},
        'endpoints[0].hints.forZones[1].name: Duplicate value: "a"',
    ),
    bad(
        SLICE,
        {"endpoints[0].hints": {"forZones": [{"name": f"z{i}"} for i in range(9)]}},
        "endpoints[0].hints.forZones: Too many: 9: must have at most 8 items",
    ),
    bad(
        SLICE,
        {"addressType": "IPv5"},
        'addressType: Unsupported value: "IPv5": supported values: "FQDN", "IPv4", "IPv6"',
    ),
    bad(
        LEASE,
        {"spec.leaseDurationSeconds": 0},
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
    ),
    bad(
        LEASE,
        {"spec.leaseTransitions": -1},
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ),
    bad(
        LEASE,
        {"spec.preferredHolder": "b"},
        "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
    ),
]
RIGHTS = [
    bad(ROLE, {"rules[0].verbs": []}, "rules[0].verbs: Required value: verbs must contain at least one value"),
    bad(
        ROLE,
        {"rules[0].apiGroups": []},
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
    ),
    bad(
        ROLE,
        {"rules[0].resources": []},
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ),
    bad(
        ROLE,
        {"rules[0]": {"verbs": ["get"], "nonResourceURLs": ["/a"]}},
        'rules[0].nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs',
    ),
    bad(
        CROLE,
        {"rules[0].nonResourceURLs": ["/a"]},
        'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular resources and '
        "non-resource URLs",
    ),
    bad(
        CROLE,
        {"aggregationRule": {}},
        "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
        "aggregationRule is non-nil",
    ),
    bad(
        RB,
        {"roleRef.apiGroup": "a"},
        f'roleRef.apiGroup: Unsupported value: "a": supported values: "{GROUP}"',
    ),
    bad(RB, {"roleRef.kind": "X"}, 'roleRef.kind: Unsupported value: "X": supported values: "Role", "ClusterRole"'),
    bad(CRB, {"roleRef.kind": "Role"}, 'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'),
    bad(RB, {"roleRef.name": ""}, "roleRef.name: Required value"),
    bad(RB, {"roleRef.name": "a/b"}, "roleRef.name: Invalid value: \"a/b\": may not contain '/'"),
    bad(
        RB,
        {"subjects[0].kind": "Robot"},
        'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    ),
    bad(CRB, {"subjects": [{"kind": "ServiceAccount", "name": "a"}]}, "subjects[0].namespace: Required value"),
    bad(
        CRB,
        {"subjects": [{"kind": "ServiceAccount", "name": "A", "namespace": "n"}]},
        f'subjects[0].name: Invalid value: "A": {SUBDOMAIN}',
    ),
    bad(
        CRB,
        {"subjects": [{"kind": "User", "name": "a", "apiGroup": "x"}]},
        f'subjects[0].apiGroup: Unsupported value: "x": supported values: "{GROUP}"',
    ),
    update(
        CRB,
        {},
        {"roleRef.name": "edit"},
        f'roleRef: Invalid value: {{"APIGroup":"{GROUP}","Kind":"ClusterRole","Name":"edit"}}: cannot change roleRef',
    ),
]
CLUSTER = [
    bad(
        PC,
        {"value": 1_000_000_001},
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
    ),
    bad(
        PC,
        {"preemptionPolicy": "Always"},
        'preemptionPolicy: Unsupported value: "Always": supported values: "PreemptLowerPriority", "Never"',
    ),
    bad(
        PC,
        {},
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
        "system-x is not a known system priority class",
        name="system-x",
    ),
    update(PC, {}, {"value": 6}, "value: Forbidden: may not be changed in an update."),
    update(PC, {}, {"preemptionPolicy": "Never"}, 'preemptionPolicy: Invalid value: "Never": field is immutable'),
    bad(RC, {"handler": ""}, "handler: Required value"),
    bad(RC, {"handler": "A"}, f'handler: Invalid value: "A": {LABEL}'),
    update(RC, {}, {"handler": "g"}, 'handler: Invalid value: "g": field is immutable'),
    bad(
        RC,
        {"scheduling": {"nodeSelector": {"a b": "c"}}},
        f'scheduling.nodeSelector: Invalid value: "a b": name part {QUALIFIED}',
    ),
    bad(
        FLOW,
        {"spec.matchingPrecedence": 10001},
        "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
    ),
    bad(
        FLOW,
        {"spec.matchingPrecedence": 1},
        "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
    ),
    bad(
        FLOW,
        {"spec.priorityLevelConfiguration.name": ""},
        "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
    ),
    bad(
        FLOW,
        {"spec.rules[0].subjects": []},
        "spec.rules[0].subjects: Required value: subjects must contain at least one value",
    ),
    bad(
        FLOW,
        {"spec.rules[0].resourceRules": ...},
        "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
    ),
    bad(
        FLOW,
        {"spec.rules[0].resourceRules[0].namespaces": ...},
        "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must "
        "supply at least one namespace",
    ),
    bad(
        FLOW,
        {"spec.rules[0].subjects[0].user": ...},
        "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
    ),
    bad(
        FLOW,
        {"spec.rules[0].subjects[0].group": {"name": "g"}},
        "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
    ),
    bad(
        FLOW,
        {"spec.rules[0].resourceRules[0].verbs": ["*", "get"]},
        'spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other '
        "verbs",
    ),
    bad(
        FLOW,
        {"spec.rules[0].resourceRules[0].verbs": ["fetch"]},
        'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["fetch"]: supported values: "create", "delete", '
        '"deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
    ),
    good(FLOW, {"spec.rules[0].resourceRules[0].clusterScope": True}),
    bad(
        LEVEL,
        {"spec.type": "Exempt"},
        "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if `name` is 'exempt'",
        "spec.limited: Forbidden: must be nil if the type is not Limited",
    ),
    bad(
        LEVEL,
        {"spec.limited.nominalConcurrencyShares": -1},
        "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
    ),
    bad(
        LEVEL,
        {"spec.limited.lendablePercent": 101},
        "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
    ),
    bad(
        LEVEL,
        {"spec.limited.limitResponse": {"type": "Queue", "queuing": {"queues": 2, "handSize": 3}}},
        "spec.limited.limitResponse.queuing.handSize: Invalid value: 3: should not be greater than queues (2)",
    ),
    bad(
        API,
        {},
        'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "x.life.example.com"',
    ),
    bad(
        API,
        {"spec.groupPriorityMinimum": 20001},
        "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
        name="v1.life.example.com",
    ),
    bad(
        API,
        {"spec.service": {"namespace": "n", "name": ""}},
        "spec.service.name: Required value",
        name="v1.life.example.com",
    ),
    bad(
        API,
        {"spec.service": {"namespace": "n", "name": "s"}, "spec.insecureSkipTLSVerify": True, "spec.caBundle": "YQ=="},
        "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        name="v1.life.example.com",
    ),
]
ALL = [*NETWORK, *RIGHTS, *CLUSTER]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_objects(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
