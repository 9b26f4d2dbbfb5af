"""What may be wrong with extenders, in upstream's words, and what they mean for the plugins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid
from tiphys.api.validation.resources import is_extended
from tiphys.scheduler.durations import seconds
from tiphys.scheduler.extenders.settings import Extender, ExtenderTLSConfig
from tiphys.scheduler.plugin_args import NodeResourcesFitArgs

_FIT: Final = "NodeResourcesFit"


def check_extenders(extenders: Sequence[Extender], errors: list[FieldError]) -> None:
    """All of them; also what is not built, by name."""
    managed: set[str] = set()
    for index, extender in enumerate(extenders):
        path = f"extenders[{index}]"
        _check_address(extender, path, errors)
        if extender.prioritize_verb and extender.weight <= 0:
            errors.append(invalid(f"{path}.weight", extender.weight, "must have a positive weight applied to it"))
        if extender.preempt_verb:
            errors.append(forbidden(f"{path}.preemptVerb", "extenders are not asked about preemption"))
        for place, resource in enumerate(extender.managed_resources):
            where = f"{path}.managedResources[{place}].name"
            _check_resource(resource.name, where, errors)
            if resource.name in managed:
                errors.append(invalid(where, resource.name, "duplicate extender managed resource name"))
            managed.add(resource.name)
    binders = sum(bool(extender.bind_verb) for extender in extenders)
    if binders > 1:
        found = f"found {binders} extenders implementing bind"
        errors.append(invalid("extenders", found, "only one extender can implement bind"))


def _check_address(extender: Extender, path: str, errors: list[FieldError]) -> None:
    try:
        url = urlsplit(extender.url_prefix)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable or url.query or url.fragment:
        errors.append(invalid(f"{path}.urlPrefix", extender.url_prefix, "must be an http or https URL without a query"))
    length = seconds(extender.http_timeout)
    if length is None or length < 0:
        errors.append(invalid(f"{path}.httpTimeout", extender.http_timeout, "must be zero or positive"))
    tls = extender.tls_config or ExtenderTLSConfig()
    for field, data in (("certData", tls.cert_data), ("keyData", tls.key_data), ("caData", tls.ca_data)):
        try:
            base64.b64decode(data, validate=True)
        except binascii.Error:
            # A key is not to be repeated.
            errors.append(invalid(f"{path}.tlsConfig.{field}", "", "must be base64"))


def _check_resource(name: str, path: str, errors: list[FieldError]) -> None:
    wrong = names.qualified_name(name)
    errors += [invalid(path, name, words) for words in wrong]
    if not wrong and not is_extended(name):
        errors.append(invalid(path, name, "is an invalid extended resource name"))


def ignoring(args: dict[str, Any], extenders: Sequence[Extender]) -> dict[str, Any]:
    """A profile's args, so that nodes need not have what extenders manage and the scheduler is to ignore."""
    ignored = [each.name for extender in extenders for each in extender.managed_resources if each.ignored_by_scheduler]
    if not ignored:
        return args
    fit = args.get(_FIT) or NodeResourcesFitArgs()
    return {**args, _FIT: replace(fit, ignored_resources=tuple(dict.fromkeys((*fit.ignored_resources, *ignored))))}
