"""The chain: system:masters, then nodes by what runs on them, then RBAC. The first that allows wins."""

from __future__ import annotations

from tiphys.apiserver.authentication.user import MASTERS, User
from tiphys.apiserver.authorization.attributes import Attributes, Decision, RequestLike, of_request, refusal
from tiphys.apiserver.authorization.node import NodeAuthorizer
from tiphys.apiserver.authorization.rbac import RbacAuthorizer
from tiphys.base.http.messages import Query


class Authorizer:
    """Decides on every request. `nodes` is None where no kubelet is to be served."""

    def __init__(self, rbac: RbacAuthorizer, nodes: NodeAuthorizer | None = None) -> None:
        self.rbac = rbac
        self.nodes = nodes

    def check_request(self, user: User, info: RequestLike, query: Query | None = None) -> None:
        """Raise ApiError 403 unless `user` may make this request."""
        if MASTERS not in user.groups:
            self.check(user, of_request(info, query))

    def check(self, user: User, attributes: Attributes) -> None:
        """As `check_request`, for attributes."""
        if not self.allowed(user, attributes):
            raise refusal(user.name, attributes, self.decide(user, attributes).reason)

    def allowed(self, user: User, attributes: Attributes) -> bool:
        """Whether `user` may do it."""
        if MASTERS in user.groups:
            return True
        if self.nodes is not None and user.node_name and self.nodes.decide(user, attributes).allowed:
            return True
        return self.rbac.allowed(user, attributes)

    def decide(self, user: User, attributes: Attributes) -> Decision:
        """As `allowed`, with the reasons of all who were asked."""
        if MASTERS in user.groups:
            return Decision(True)
        reasons = []
        if self.nodes is not None and user.node_name:
            decision = self.nodes.decide(user, attributes)
            if decision.allowed:
                return decision
            reasons.append(decision.reason)
        decision = self.rbac.decide(user, attributes)
        if decision.allowed:
            return decision
        reasons.append(decision.reason)
        return Decision(False, "\n".join(reason for reason in reasons if reason))
