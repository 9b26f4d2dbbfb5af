"""Nobody grants what they do not have: roles and bindings are held against the rights of who writes them."""

from __future__ import annotations

from tiphys.apiserver.admission.chain import DELETE, Base
from tiphys.apiserver.authorization.authorizer import Authorizer
from tiphys.apiserver.authorization.escalation import GROUP, check_binding, check_role
from tiphys.apiserver.registry.context import Write


class PrivilegeEscalation(Base):
    """For roles and bindings."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return group == GROUP and operation != DELETE

    def validate(self, write: Write) -> None:
        check = check_role if write.resource.plural in ("roles", "clusterroles") else check_binding
        check(self._authorizer, write.user, write.obj, write.old)
