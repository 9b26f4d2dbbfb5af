"""What the kinds that make Pods from a template share: selector, template, restart policy."""

from __future__ import annotations

from typing import Final

from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.core_v1 import PodTemplateSpec
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.api.validation.formats import selector_value
from tiphys.api.validation.pod_spec import check_template
from tiphys.api.validation.selectors import check_label_selector, is_well_formed

_MISMATCH: Final = "`selector` does not match template `labels`"


def is_empty(selector: LabelSelector) -> bool:
    """Whether a selector says nothing."""
    return not selector.match_labels and not selector.match_expressions


def check_selector(selector: LabelSelector, path: str, errors: list[FieldError]) -> None:
    """The selector of a controller: well-formed, and of something."""
    if is_empty(selector):
        errors.append(required(path))
    else:
        check_label_selector(selector, path, errors)


def check_selected_template(
    selector: LabelSelector, template: PodTemplateSpec, kind: str, errors: list[FieldError]
) -> None:
    """A template whose pods its controller selects and keeps running."""
    if is_empty(selector):
        check_labels_selected(selector, template, errors)
    elif not is_well_formed(selector):
        # A selector nobody understands selects nothing to look at.
        errors.append(invalid("spec.selector", selector_value(selector), "invalid label selector"))
        return
    else:
        check_labels_selected(selector, template, errors)
    check_template(template, "spec.template", errors)
    check_kept_running(template, kind, errors)


def check_labels_selected(selector: LabelSelector, template: PodTemplateSpec, errors: list[FieldError]) -> None:
    """The selector selects the template's labels; one that says nothing selects nothing."""
    labels = template.metadata.labels
    if is_empty(selector) or not from_label_selector(selector).matches(labels):
        errors.append(invalid("spec.template.metadata.labels", dict(sorted(labels.items())) or None, _MISMATCH))


def check_not_decremented(new: int | None, old: int | None, errors: list[FieldError]) -> None:
    """How often names collided is counted up only."""
    if old is not None and (new is None or new < old):
        errors.append(invalid("status.collisionCount", new or 0, "cannot be decremented"))


def check_kept_running(template: PodTemplateSpec, kind: str, errors: list[FieldError]) -> None:
    """Pods that are to run for good."""
    spec = template.spec
    if spec.restart_policy != "Always":
        errors.append(not_supported("spec.template.spec.restartPolicy", spec.restart_policy or "", ("Always",)))
    if spec.active_deadline_seconds is not None:
        where = "spec.template.spec.activeDeadlineSeconds"
        errors.append(forbidden(where, f"activeDeadlineSeconds in {kind} is not Supported"))
