"""Cluster roles for people and for everyone: rules by role name."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.rbac_v1 import PolicyRule
from tiphys.apiserver.authorization.bootstrap_rules import paths, rule

USER_ROLES: Final[dict[str, tuple[PolicyRule, ...]]] = {
    "admin": (),
    "cluster-admin": (
        rule("*", "*", "*"),
        paths("*", "*"),
    ),
    "edit": (),
    "system:aggregate-to-admin": (
        rule("create", "localsubjectaccessreviews", "authorization.k8s.io"),
        rule(
            "create delete deletecollection get list patch update watch",
            "rolebindings roles",
            "rbac.authorization.k8s.io",
        ),
    ),
    "system:aggregate-to-edit": (
        rule("get list watch", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        rule("impersonate", "serviceaccounts"),
        rule("create delete deletecollection patch update", "pods pods/attach pods/exec pods/portforward pods/proxy"),
        rule("create", "pods/eviction"),
        rule(
            "create delete deletecollection patch update",
            "configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "
            "secrets serviceaccounts services services/proxy",
        ),
        rule("create", "serviceaccounts/token"),
        rule("create delete deletecollection patch update", "events", "core events.k8s.io"),
        rule(
            "create delete deletecollection patch update",
            "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "
            "statefulsets statefulsets/scale",
            "apps",
        ),
        rule("create delete deletecollection patch update", "horizontalpodautoscalers", "autoscaling"),
        rule("create delete deletecollection patch update", "cronjobs jobs", "batch"),
        rule(
            "create delete deletecollection patch update",
            "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies "
            "replicasets replicasets/scale replicationcontrollers/scale",
            "extensions",
        ),
        rule("create delete deletecollection patch update", "poddisruptionbudgets", "policy"),
        rule("create delete deletecollection patch update", "ingresses networkpolicies", "networking.k8s.io"),
        rule("create delete deletecollection get list patch update watch", "leases", "coordination.k8s.io"),
        rule("create delete deletecollection patch update", "resourceclaims resourceclaimtemplates", "resource.k8s.io"),
    ),
    "system:aggregate-to-view": (
        rule(
            "get list watch",
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
            "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
        ),
        rule(
            "get list watch",
            "bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
            "resourcequotas resourcequotas/status",
        ),
        rule("get list watch", "namespaces"),
        rule("get list watch", "events", "core events.k8s.io"),
        rule("get list watch", "endpointslices", "discovery.k8s.io"),
        rule(
            "get list watch",
            "controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
            "deployments/status replicasets replicasets/scale replicasets/status statefulsets "
            "statefulsets/scale statefulsets/status",
            "apps",
        ),
        rule("get list watch", "horizontalpodautoscalers horizontalpodautoscalers/status", "autoscaling"),
        rule("get list watch", "cronjobs cronjobs/status jobs jobs/status", "batch"),
        rule(
            "get list watch",
            "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses "
            "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
            "replicationcontrollers/scale",
            "extensions",
        ),
        rule("get list watch", "poddisruptionbudgets poddisruptionbudgets/status", "policy"),
        rule("get list watch", "ingresses ingresses/status networkpolicies", "networking.k8s.io"),
        rule("get list watch", "resourceclaims resourceclaims/status resourceclaimtemplates", "resource.k8s.io"),
    ),
    "system:basic-user": (
        rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", "authorization.k8s.io"),
        rule("create", "selfsubjectreviews", "authentication.k8s.io"),
    ),
    "system:discovery": (
        paths("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"),
    ),
    "system:monitoring": (
        paths("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
        rule("get", "nodes/metrics"),
    ),
    "system:public-info-viewer": (paths("get", "/healthz /livez /readyz /version /version/"),),
    "view": (),
}
