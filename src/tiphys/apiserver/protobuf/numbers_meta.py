"""Field numbers of what all kinds share, and of kinds asked and not stored. `numbers` explains the notation."""

from __future__ import annotations

from typing import Final

META: Final = {
    "meta_v1.ObjectMeta": "name generateName namespace selfLink uid resourceVersion generation creationTimestamp:t"
    " deletionTimestamp:t deletionGracePeriodSeconds:p labels annotations ownerReferences finalizers - - managedFields",
    "meta_v1.OwnerReference": "kind - name uid apiVersion controller:p blockOwnerDeletion:p",
    "meta_v1.ManagedFieldsEntry": "manager operation apiVersion time:t - fieldsType fieldsV1 subresource",
    "meta_v1.LabelSelector": "matchLabels matchExpressions",
    "meta_v1.LabelSelectorRequirement": "key operator values",
    "meta_v1.FieldSelectorRequirement": "key operator values",
    "meta_v1.DeleteOptions": "gracePeriodSeconds:p preconditions orphanDependents:p propagationPolicy:p dryRun"
    " ignoreStoreReadErrorWithClusterBreakingPotential:p",
    "meta_v1.Preconditions": "uid:p resourceVersion:p",
    "meta_v1.Condition": "type status observedGeneration lastTransitionTime:t reason message",
}

REVIEWS: Final = {
    "authentication_v1.TokenReview": "metadata spec status",
    "authentication_v1.TokenReviewSpec": "token audiences",
    "authentication_v1.SelfSubjectReview": "metadata status",
    "authentication_v1.TokenRequest": "metadata spec status",
    "authentication_v1.TokenRequestSpec": "audiences - boundObjectRef expirationSeconds:p",
    "authentication_v1.BoundObjectReference": "kind apiVersion name uid",
    "authorization_v1.SubjectAccessReview": "metadata spec status",
    "authorization_v1.LocalSubjectAccessReview": "metadata spec status",
    "authorization_v1.SelfSubjectAccessReview": "metadata spec status",
    "authorization_v1.SelfSubjectRulesReview": "metadata spec status",
    "authorization_v1.SubjectAccessReviewSpec": "resourceAttributes nonResourceAttributes user groups extra uid",
    "authorization_v1.SelfSubjectAccessReviewSpec": "resourceAttributes nonResourceAttributes",
    "authorization_v1.SelfSubjectRulesReviewSpec": "namespace",
    "authorization_v1.ResourceAttributes": "namespace verb group version resource subresource name fieldSelector"
    " labelSelector",
    "authorization_v1.NonResourceAttributes": "path verb",
    "authorization_v1.FieldSelectorAttributes": "rawSelector requirements",
    "authorization_v1.LabelSelectorAttributes": "rawSelector requirements",
    "policy_v1.Eviction": "metadata deleteOptions",
    "autoscaling_v1.Scale": "metadata spec status",
    "autoscaling_v1.ScaleSpec": "replicas",
}
