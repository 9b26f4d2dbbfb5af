"""``resource-claim-controller``: claims from templates, and the end of claims' use."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from tiphys.api.errors import ApiError
from tiphys.api.resource_claims import CLAIM_NAME, FINALIZER, claim_names
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate
from tiphys.client import WARNING, ObjectKey
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.resourceclaim.reconcile import (
    cleaned,
    is_done,
    is_made_for,
    made,
    owner_of,
    unreserved,
    wanted,
    with_user,
    without_protection,
)
from tiphys.controllers.runtime import Environment, KeyedController

_BY_OWNER = "resourceclaim/owner"
_BY_UID = "resourceclaim/uid"
_BY_TEMPLATE = "resourceclaim/template"
_BY_CLAIM = "resourceclaim/claim"
_CLAIM = "claim/"
"""Keys are pods'; a claim's has this before its name, which no pod's name can have."""


class ResourceClaimController(KeyedController):
    """A pod is looked at for what it lacks; a claim for whether somebody uses it."""

    name = "resource-claim-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._recorder = environment.recorder("resource_claim")
        self._pods = environment.informer(Pod)
        self._claims = environment.informer(ResourceClaim)
        #: Claims that were made and are not seen yet, by the pod's uid and what it calls them: they are made once.
        self._made: dict[tuple[str, str], ResourceClaim] = {}
        self._templates = environment.informer(ResourceClaimTemplate)
        self._pods.add_index(_BY_UID, _uid)
        self._pods.add_index(_BY_TEMPLATE, _templates_of)
        self._pods.add_index(_BY_CLAIM, _claims_of)
        self._claims.add_index(_BY_OWNER, _owner)
        self._pods.add_handler(
            on_add=self._pod_seen, on_update=lambda _, new: self._pod_seen(new), on_delete=self._pod_gone
        )
        self._claims.add_handler(
            on_add=self._claim_seen, on_update=lambda _, new: self._claim_seen(new), on_delete=self._claim_gone
        )
        self._templates.add_handler(on_add=self._template_seen)

    async def sync(self, key: ObjectKey) -> None:
        if key.name.startswith(_CLAIM):
            await self._sync_claim(key.namespace, key.name.removeprefix(_CLAIM))
        elif (pod := self._pods.get(key.name, key.namespace)) is not None:
            await self._sync_pod(pod)

    async def _sync_pod(self, pod: Pod) -> None:
        await self._make_claims(pod)
        for name in unreserved(pod, lambda name: self._claims.get(name, pod.metadata.namespace or "")):
            claim = self._claims.get(name, pod.metadata.namespace or "")
            assert claim is not None
            await self._client.update_status(replace(claim, status=with_user(claim, pod)))

    async def _make_claims(self, pod: Pod) -> None:
        found = []
        for name, template_name in wanted(pod):
            template = self._templates.get(template_name, pod.metadata.namespace or "")
            known = (c for c in self._claims.by_index(_BY_OWNER, pod.metadata.uid or "") if is_made_for(c, pod, name))
            claim = next(known, None) or self._made.get((pod.metadata.uid or "", name))
            if claim is None and template is None:
                text = f'PodResourceClaim {name}: resource claim template "{template_name}" not found'
                self._recorder.event(pod, WARNING, "FailedResourceClaimCreation", text)
                continue
            if claim is None and template is not None:
                try:
                    claim = await self._client.create(made(pod, name, template))
                    self._made[pod.metadata.uid or "", name] = claim
                except ApiError as error:
                    if is_terminating_namespace(error):
                        return
                    text = f"PodResourceClaim {name}: {error}"
                    self._recorder.event(pod, WARNING, "FailedResourceClaimCreation", text)
                    raise
            assert claim is not None
            found.append({"name": name, "resourceClaimName": claim.metadata.name})
        if found:
            meta = pod.metadata
            body = {"metadata": {"uid": meta.uid}, "status": {"resourceClaimStatuses": found}}
            try:
                await self._client.patch(
                    Pod, meta.name or "", meta.namespace or "", body, type="strategic", subresource="status"
                )
            except ApiError as error:
                if error.code not in (404, 409):
                    raise

    async def _sync_claim(self, namespace: str, name: str) -> None:
        claim = self._claims.get(name, namespace)
        if claim is None:
            return
        gone = {user.uid for user in claim.status.reserved_for if not await self._is_used_by(user, namespace)}
        status = cleaned(claim, lambda user: user.uid not in gone)
        if status is not None:
            claim = await self._client.update_status(replace(claim, status=status))
        # The scheduler protects a claim before it gives it devices: what goes, or gave them back, is past that.
        is_past = claim.metadata.deletion_timestamp is not None or status is not None
        if is_past and claim.status.allocation is None and FINALIZER in claim.metadata.finalizers:
            kept = replace(claim.metadata, finalizers=without_protection(claim.metadata.finalizers))
            claim = await self._client.update(replace(claim, metadata=kept))
        owner = owner_of(claim)
        if owner is not None and claim.metadata.deletion_timestamp is None and not claim.status.reserved_for:
            pods = self._pods.by_index(_BY_UID, owner)
            if any(is_done(pod) for pod in pods):
                meta = claim.metadata
                try:
                    await self._client.delete(ResourceClaim, meta.name or "", namespace, uid=meta.uid or "")
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise

    async def _is_used_by(self, user: ResourceClaimConsumerReference, namespace: str) -> bool:
        if user.resource != "pods" or user.api_group:
            return True
        pod = self._pods.get(user.name, namespace)
        if pod is None or pod.metadata.uid != user.uid:
            # Claims and pods are watched apart: the pod may be so new that only the apiserver knows it.
            try:
                pod = await self._client.get(Pod, user.name, namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
                return False
        return pod.metadata.uid == user.uid and not is_done(pod)

    def _pod_seen(self, pod: Pod) -> None:
        if not pod.spec.resource_claims:
            return
        if any(True for _ in wanted(pod)) or self._lacks_reservation(pod):
            self.enqueue(pod)
        if is_done(pod):
            self._pod_gone(pod)

    def _lacks_reservation(self, pod: Pod) -> bool:
        namespace = pod.metadata.namespace or ""
        return any(True for _ in unreserved(pod, lambda name: self._claims.get(name, namespace)))

    def _pod_gone(self, pod: Pod) -> None:
        for claim in pod.spec.resource_claims:
            self._made.pop((pod.metadata.uid or "", claim.name), None)
        for name in claim_names(pod):
            self.queue.add(ObjectKey(pod.metadata.namespace or "", f"{_CLAIM}{name}"))

    def _claim_seen(self, claim: ResourceClaim) -> None:
        if (owner := owner_of(claim)) is not None:
            self._made.pop((owner, claim.metadata.annotations.get(CLAIM_NAME, "")), None)
        for pod in self._pods.by_index(_BY_CLAIM, f"{claim.metadata.namespace}/{claim.metadata.name}"):
            if self._lacks_reservation(pod):
                self.enqueue(pod)
        if claim.status.reserved_for or claim.metadata.deletion_timestamp is not None or owner_of(claim) is not None:
            self.queue.add(ObjectKey(claim.metadata.namespace or "", f"{_CLAIM}{claim.metadata.name}"))

    def _claim_gone(self, claim: ResourceClaim) -> None:
        owner = owner_of(claim)
        for pod in self._pods.by_index(_BY_UID, owner) if owner is not None else ():
            self._pod_seen(pod)

    def _template_seen(self, template: ResourceClaimTemplate) -> None:
        key = f"{template.metadata.namespace}/{template.metadata.name}"
        for pod in self._pods.by_index(_BY_TEMPLATE, key):
            self._pod_seen(pod)


def _uid(pod: Pod) -> Iterable[str]:
    return (pod.metadata.uid or "",) if pod.spec.resource_claims else ()


def _templates_of(pod: Pod) -> Iterable[str]:
    names = (claim.resource_claim_template_name for claim in pod.spec.resource_claims)
    return [f"{pod.metadata.namespace}/{name}" for name in names if name]


def _claims_of(pod: Pod) -> Iterable[str]:
    return [f"{pod.metadata.namespace}/{name}" for name in claim_names(pod)]


def _owner(claim: ResourceClaim) -> Iterable[str]:
    owner = owner_of(claim)
    return (owner,) if owner is not None else ()
