"""Field numbers of the core group's other kinds. See `numbers` for the notation."""

from __future__ import annotations

from typing import Final

CORE: Final = {
    "core_v1.Binding": "metadata target",
    "core_v1.ObjectReference": "kind namespace name uid apiVersion resourceVersion fieldPath",
    "core_v1.ConfigMap": "metadata data binaryData:b immutable:p",
    "core_v1.Secret": "metadata data:b type stringData immutable:p",
    "core_v1.Namespace": "metadata spec status",
    "core_v1.NamespaceSpec": "finalizers",
    "core_v1.NamespaceStatus": "phase conditions",
    "core_v1.ServiceAccount": "metadata secrets imagePullSecrets automountServiceAccountToken:p",
    "core_v1.ResourceQuota": "metadata spec status",
    "core_v1.ResourceQuotaSpec": "hard scopes scopeSelector",
    "core_v1.ScopeSelector": "matchExpressions",
    "core_v1.ScopedResourceSelectorRequirement": "scopeName operator values",
    "core_v1.LimitRange": "metadata spec",
    "core_v1.LimitRangeSpec": "limits",
    "core_v1.LimitRangeItem": "type max min default defaultRequest maxLimitRequestRatio",
    "core_v1.ReplicationController": "metadata spec status",
    "core_v1.ReplicationControllerSpec": "replicas:p selector template minReadySeconds",
    "core_v1.Event": "metadata involvedObject reason message source firstTimestamp:t lastTimestamp:t count type"
    " eventTime:u series action related reportingComponent reportingInstance",
    "core_v1.EventSource": "component host",
    "core_v1.EventSeries": "count lastObservedTime:u",
    "core_v1.Service": "metadata spec status",
    "core_v1.ServiceSpec": "ports selector clusterIP type externalIPs - sessionAffinity loadBalancerIP"
    " loadBalancerSourceRanges externalName externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses"
    " sessionAffinityConfig - - ipFamilyPolicy:p clusterIPs ipFamilies allocateLoadBalancerNodePorts:p"
    " loadBalancerClass:p internalTrafficPolicy:p trafficDistribution:23p",
    "core_v1.ServicePort": "name protocol port targetPort nodePort appProtocol:p",
    "core_v1.SessionAffinityConfig": "clientIP",
    "core_v1.ClientIPConfig": "timeoutSeconds:p",
    "core_v1.Endpoints": "metadata subsets",
    "core_v1.EndpointSubset": "addresses notReadyAddresses ports",
    "core_v1.EndpointAddress": "ip targetRef hostname nodeName:p",
    "core_v1.EndpointPort": "name port protocol appProtocol:p",
    "core_v1.Node": "metadata spec status",
    "core_v1.NodeSpec": "podCIDR - providerID unschedulable taints - podCIDRs",
    "core_v1.Taint": "key value effect timeAdded:t",
    "core_v1.PersistentVolumeClaim": "metadata spec status",
    "core_v1.PersistentVolumeClaimSpec": "accessModes resources volumeName selector storageClassName:p volumeMode:p"
    " dataSource dataSourceRef volumeAttributesClassName:p",
    "core_v1.VolumeResourceRequirements": "limits requests",
    "core_v1.TypedLocalObjectReference": "apiGroup:p kind name",
    "core_v1.TypedObjectReference": "apiGroup:p kind name namespace:p",
}
