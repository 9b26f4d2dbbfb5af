"""The checks of events.k8s.io/v1."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.types.events_v1 import Event
from tiphys.api.validation.events import validate_new_event, validate_new_event_update

CREATE: Final[dict[type, Any]] = {Event: validate_new_event}
UPDATE: Final[dict[type, Any]] = {Event: validate_new_event_update}
