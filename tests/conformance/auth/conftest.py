"""The apiserver in process, as its own tests have it."""

from tests.unit.apiserver.conftest import api

__all__ = ["api"]
