"""Field numbers of the other groups' kinds. See `numbers` for the notation."""

from __future__ import annotations

from typing import Final

WORKLOADS: Final = {
    "apps_v1.Deployment": "metadata spec status",
    "apps_v1.DeploymentSpec": "replicas:p selector template strategy minReadySeconds revisionHistoryLimit:p paused -"
    " progressDeadlineSeconds:p",
    "apps_v1.DeploymentStrategy": "type rollingUpdate",
    "apps_v1.RollingUpdateDeployment": "maxUnavailable maxSurge",
    "apps_v1.ReplicaSet": "metadata spec status",
    "apps_v1.ReplicaSetSpec": "replicas:p selector template minReadySeconds",
    "apps_v1.DaemonSet": "metadata spec status",
    "apps_v1.DaemonSetSpec": "selector template updateStrategy minReadySeconds - revisionHistoryLimit:p",
    "apps_v1.DaemonSetUpdateStrategy": "type rollingUpdate",
    "apps_v1.RollingUpdateDaemonSet": "maxUnavailable maxSurge",
    "apps_v1.StatefulSet": "metadata spec status",
    "apps_v1.StatefulSetSpec": "replicas:p selector template volumeClaimTemplates serviceName podManagementPolicy"
    " updateStrategy revisionHistoryLimit:p minReadySeconds persistentVolumeClaimRetentionPolicy ordinals",
    "apps_v1.StatefulSetUpdateStrategy": "type rollingUpdate",
    "apps_v1.RollingUpdateStatefulSetStrategy": "partition:p maxUnavailable",
    "apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy": "whenDeleted whenScaled",
    "apps_v1.StatefulSetOrdinals": "start",
    "apps_v1.ControllerRevision": "metadata data revision",
    "batch_v1.Job": "metadata spec status",
    "batch_v1.JobSpec": "parallelism:p completions:p activeDeadlineSeconds:p selector manualSelector:p template"
    " backoffLimit:p ttlSecondsAfterFinished:p completionMode:p suspend:p podFailurePolicy backoffLimitPerIndex:p"
    " maxFailedIndexes:p podReplacementPolicy:p managedBy:p successPolicy",
    "batch_v1.PodFailurePolicy": "rules",
    "batch_v1.PodFailurePolicyRule": "action onExitCodes onPodConditions",
    "batch_v1.PodFailurePolicyOnExitCodesRequirement": "containerName:p operator values",
    "batch_v1.PodFailurePolicyOnPodConditionsPattern": "type status",
    "batch_v1.SuccessPolicy": "rules",
    "batch_v1.SuccessPolicyRule": "succeededIndexes:p succeededCount:p",
    "batch_v1.CronJob": "metadata spec status",
    "batch_v1.CronJobSpec": "schedule startingDeadlineSeconds:p concurrencyPolicy suspend:p jobTemplate"
    " successfulJobsHistoryLimit:p failedJobsHistoryLimit:p timeZone:p",
    "batch_v1.JobTemplateSpec": "metadata spec",
    "policy_v1.PodDisruptionBudget": "metadata spec status",
    "policy_v1.PodDisruptionBudgetSpec": "minAvailable selector maxUnavailable unhealthyPodEvictionPolicy:p",
    "autoscaling_v1.HorizontalPodAutoscaler": "metadata spec status",
    "autoscaling_v1.HorizontalPodAutoscalerSpec": "scaleTargetRef minReplicas:p maxReplicas"
    " targetCPUUtilizationPercentage:p",
    "autoscaling_v1.CrossVersionObjectReference": "kind name apiVersion",
    "autoscaling_v2.HorizontalPodAutoscaler": "metadata spec status",
    "autoscaling_v2.HorizontalPodAutoscalerSpec": "scaleTargetRef minReplicas:p maxReplicas metrics behavior",
    "autoscaling_v2.CrossVersionObjectReference": "kind name apiVersion",
    "autoscaling_v2.MetricSpec": "type object pods resource external - containerResource",
    "autoscaling_v2.ResourceMetricSource": "name target",
    "autoscaling_v2.MetricTarget": "type value averageValue averageUtilization:p",
    "scheduling_v1.PriorityClass": "metadata value globalDefault description preemptionPolicy:p",
    "coordination_v1.Lease": "metadata spec",
    "coordination_v1.LeaseSpec": "holderIdentity:p leaseDurationSeconds:p acquireTime:u renewTime:u leaseTransitions:p"
    " strategy:p preferredHolder:p",
}

RULES: Final = {
    "rbac_v1.Role": "metadata rules",
    "rbac_v1.ClusterRole": "metadata rules aggregationRule",
    "rbac_v1.AggregationRule": "clusterRoleSelectors",
    "rbac_v1.PolicyRule": "verbs apiGroups resources resourceNames nonResourceURLs",
    "rbac_v1.RoleBinding": "metadata subjects roleRef",
    "rbac_v1.ClusterRoleBinding": "metadata subjects roleRef",
    "rbac_v1.Subject": "kind apiGroup name namespace",
    "rbac_v1.RoleRef": "apiGroup kind name",
    "networking_v1.Ingress": "metadata spec status",
    "networking_v1.IngressSpec": "defaultBackend tls rules ingressClassName:p",
    "networking_v1.IngressTLS": "hosts secretName",
    "networking_v1.IngressRule": "host *IngressRuleValue",
    "networking_v1.IngressRuleValue": "http",
    "networking_v1.HTTPIngressRuleValue": "paths",
    "networking_v1.HTTPIngressPath": "path backend pathType:p",
    "networking_v1.IngressBackend": "- - resource service",
    "networking_v1.IngressServiceBackend": "name port",
    "networking_v1.ServiceBackendPort": "name number",
    "networking_v1.NetworkPolicy": "metadata spec",
    "networking_v1.NetworkPolicySpec": "podSelector ingress egress policyTypes",
    "networking_v1.NetworkPolicyIngressRule": "ports from",
    "networking_v1.NetworkPolicyEgressRule": "ports to",
    "networking_v1.NetworkPolicyPort": "protocol:p port endPort:p",
    "networking_v1.NetworkPolicyPeer": "podSelector namespaceSelector ipBlock",
    "networking_v1.IPBlock": "cidr except",
    "certificates_v1.CertificateSigningRequest": "metadata spec status",
    "certificates_v1.CertificateSigningRequestSpec": "request:b username uid groups usages extra signerName"
    " expirationSeconds:p",
    "certificates_v1.CertificateSigningRequestStatus": "conditions certificate:b",
    "certificates_v1.CertificateSigningRequestCondition": "type reason message lastUpdateTime:t lastTransitionTime:t"
    " status",
    "discovery_v1.EndpointSlice": "metadata endpoints ports addressType",
    "discovery_v1.Endpoint": "addresses conditions hostname:p targetRef deprecatedTopology nodeName:p zone:p hints",
    "discovery_v1.EndpointConditions": "ready:p serving:p terminating:p",
    "discovery_v1.EndpointPort": "name:p protocol:p port:p appProtocol:p",
    "storage_v1.StorageClass": "metadata provisioner parameters reclaimPolicy:p mountOptions allowVolumeExpansion:p"
    " volumeBindingMode:p allowedTopologies",
}
