"""Names of the types that the libraries add."""

from __future__ import annotations

from typing import Final

QUANTITY: Final = "kubernetes.Quantity"
URL: Final = "kubernetes.URL"
SEMVER: Final = "kubernetes.Semver"
FORMAT: Final = "kubernetes.NamedFormat"
IP: Final = "net.IP"
CIDR: Final = "net.CIDR"
AUTHORIZER: Final = "kubernetes.authorization.Authorizer"
PATH_CHECK: Final = "kubernetes.authorization.PathCheck"
GROUP_CHECK: Final = "kubernetes.authorization.GroupCheck"
RESOURCE_CHECK: Final = "kubernetes.authorization.ResourceCheck"
DECISION: Final = "kubernetes.authorization.Decision"
OPAQUE: Final = frozenset(
    (QUANTITY, URL, SEMVER, FORMAT, IP, CIDR, AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION)
)
PATCH: Final = "JSONPatch"
