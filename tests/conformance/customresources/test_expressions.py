"""Expressions of built-in kinds compile when they are written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client import ApiClient, ApiException

from tests.conformance.api.running import Answer

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
BAD = "... [] bad expression"
_numbers = itertools.count(1)


def condition(expression: str, name: str = "expression-1") -> client.V1MatchCondition:
    return client.V1MatchCondition(name=name, expression=expression)


def configuration(kind: str, conditions: list[client.V1MatchCondition]) -> Any:
    """A configuration of one webhook; `kind` is Validating or Mutating."""
    webhook = getattr(client, f"V1{kind}Webhook")(
        name="a.example.com",
        rules=[
            client.V1RuleWithOperations(
                operations=["CREATE"], api_groups=[""], api_versions=["v1"], resources=["configmaps"]
            )
        ],
        client_config=client.AdmissionregistrationV1WebhookClientConfig(url="https://127.0.0.1:1/never"),
        side_effects="None",
        admission_review_versions=["v1"],
        # Nothing is sent to it: no namespace has the label.
        namespace_selector=client.V1LabelSelector(match_labels={"never": "here"}),
        match_conditions=conditions,
    )
    name = f"conditions-{next(_numbers)}"
    return getattr(client, f"V1{kind}WebhookConfiguration")(metadata=client.V1ObjectMeta(name=name), webhooks=[webhook])


class Webhooks:
    """The official client's methods for one kind of configuration."""

    def __init__(self, api_client: ApiClient, kind: str) -> None:
        self._api = client.AdmissionregistrationV1Api(api_client)
        self._word = f"{kind.lower()}_webhook_configuration"
        self.kind = kind

    def create(self, *conditions: client.V1MatchCondition) -> Any:
        return getattr(self._api, f"create_{self._word}")(configuration(self.kind, list(conditions)))

    def patch(self, name: str, body: Any) -> Any:
        return getattr(self._api, f"patch_{self._word}")(name, body)

    def delete(self, name: str) -> None:
        getattr(self._api, f"delete_{self._word}")(name)


@pytest.fixture(params=["Validating", "Mutating"])
def webhooks(api_client: ApiClient, request: pytest.FixtureRequest) -> Iterator[Webhooks]:
    yield Webhooks(api_client, request.param)


def test_match_conditions_are_kept(webhooks: Webhooks) -> None:
    """Kept as they were given, and changed.

    '[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update validating
    webhook configurations with match conditions [Conformance]'
    '[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update mutating
    webhook configurations with match conditions [Conformance]'
    """
    first = condition("!(request.resource.group == 'coordination.k8s.io' && request.resource.resource == 'leases')")
    made = webhooks.create(first)
    assert [c.expression for c in made.webhooks[0].match_conditions] == [first.expression]
    second = [{"name": "expression-2", "expression": "object.metadata.name != 'a' || request.dryRun"}]
    change = [{"op": "replace", "path": "/webhooks/0/matchConditions", "value": second}]
    changed = webhooks.patch(made.metadata.name, change)
    assert [c.name for c in changed.webhooks[0].match_conditions] == ["expression-2"]
    webhooks.delete(made.metadata.name)


def test_bad_match_conditions_are_refused(webhooks: Webhooks) -> None:
    """What does not compile is refused.

    '[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject validating webhook
    configurations with invalid match conditions [Conformance]'
    '[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject mutating webhook
    configurations with invalid match conditions [Conformance]'
    """
    with pytest.raises(ApiException) as failure:
        webhooks.create(condition(BAD))
    assert failure.value.status == 422
    assert "compilation failed" in failure.value.body
    assert "webhooks[0].matchConditions[0].expression" in failure.value.body


def policy(**spec: Any) -> dict[str, Any]:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": f"policy-{next(_numbers)}"},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, **spec},
    }


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "syntax": ({"validations": [{"expression": BAD}]}, "spec.validations[0].expression", "compilation failed: ERROR"),
    "type": (
        {"validations": [{"expression": "object.spec.replicas"}]},
        "spec.validations[0].expression",
        "must evaluate to bool but got dyn",
    ),
    "no params": (
        {"validations": [{"expression": "params.limit > 1"}]},
        "spec.validations[0].expression",
        "undeclared reference to 'params' (in container '')",
    ),
    "unknown variable": (
        {"variables": [{"name": "a", "expression": "1"}], "validations": [{"expression": "variables.b == 1"}]},
        "spec.validations[0].expression",
        "undefined field 'b'",
    ),
    "typed variable": (
        {"variables": [{"name": "a", "expression": "1"}], "validations": [{"expression": "variables.a == 'x'"}]},
        "spec.validations[0].expression",
        "found no matching overload",
    ),
    "message": (
        {"validations": [{"expression": "true", "messageExpression": "1"}]},
        "spec.validations[0].messageExpression",
        "must evaluate to string but got int",
    ),
    "condition": (
        {"validations": [{"expression": "true"}], "matchConditions": [{"name": "a", "expression": "1"}]},
        "spec.matchConditions[0].expression",
        "must evaluate to bool but got int",
    ),
}


@pytest.mark.parametrize(("spec", "field", "message"), REFUSED.values(), ids=REFUSED)
def test_policies_are_refused(raw: Callable[..., Answer], spec: dict[str, Any], field: str, message: str) -> None:
    answer = raw("POST", POLICIES, policy(**spec))
    assert answer.status == 422, answer.json
    ((where, text),) = [(c["field"], c["message"]) for c in answer.json["details"]["causes"]]
    assert where == field
    assert message in text


def test_policies_that_compile_are_kept(raw: Callable[..., Answer]) -> None:
    body = policy(
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        variables=[
            {"name": "most", "expression": "int(params.data['most'])"},
            {"name": "fits", "expression": "object.spec.replicas <= variables.most"},
        ],
        validations=[
            {
                "expression": "variables.fits || authorizer.requestResource.check('scale').allowed()",
                "messageExpression": "'at most ' + string(variables.most)",
            }
        ],
        auditAnnotations=[{"key": "who", "valueExpression": "request.userInfo.username"}],
    )
    answer = raw("POST", POLICIES, body)
    assert answer.status == 201, answer.json
    assert raw("DELETE", f"{POLICIES}/{body['metadata']['name']}").status == 200


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("device.driver == 'gpu.example.com' && device.attributes['gpu.example.com'].memory > 1", ""),
        ("device.capacity['gpu.example.com'].memory.compareTo(quantity('1Gi')) >= 0", ""),
        ("device.nope", "undefined field 'nope'"),
        ("'a'", "must evaluate to bool or the unknown type, not string"),
    ],
)
def test_selectors_of_devices(raw: Callable[..., Answer], expression: str, message: str) -> None:
    name = f"class-{next(_numbers)}"
    selectors = [{"cel": {"expression": expression}}]
    body = {"kind": "DeviceClass", "metadata": {"name": name}, "spec": {"selectors": selectors}}
    answer = raw("POST", CLASSES, {"apiVersion": "resource.k8s.io/v1", **body})
    assert answer.status == (422 if message else 201), answer.json
    if message:
        ((where, text),) = [(c["field"], c["message"]) for c in answer.json["details"]["causes"]]
        assert where == "spec.selectors[0].cel.expression"
        assert message in text
