"""Keeps the rules of aggregated ClusterRoles."""

from __future__ import annotations

import msgspec

from tiphys.api.types.rbac_v1 import ClusterRole
from tiphys.client import ObjectKey
from tiphys.controllers.clusterroleaggregation.reconcile import aggregated
from tiphys.controllers.runtime import Environment, KeyedController


class ClusterRoleAggregationController(KeyedController):
    name = "clusterrole-aggregation-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._roles = environment.informer(ClusterRole)
        self._roles.add_handler(
            on_add=self._changed, on_update=lambda _, new: self._changed(new), on_delete=self._changed
        )

    async def sync(self, key: ObjectKey) -> None:
        role = self._roles.get(key.name)
        rules = aggregated(role, self._roles.list()) if role else None
        if role is None or rules is None or rules == role.rules:
            return
        await self._client.update(msgspec.structs.replace(role, rules=rules))

    def _changed(self, changed: ClusterRole) -> None:
        for role in self._roles.list():
            if role.aggregation_rule is not None:
                self.enqueue(role)
