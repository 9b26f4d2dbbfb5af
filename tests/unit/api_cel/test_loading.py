"""The runtime is loaded for the first expression: a server without any pays nothing for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tiphys.api import cel

_LOADED = "import sys, {module}; print('cel_expr_python' in sys.modules)"


@pytest.mark.parametrize("module", ["tiphys.apiserver.server", "tiphys.scheduler.scheduler", "tiphys.cmd.apiserver"])
def test_a_component_starts_without_it(module: str) -> None:
    code = _LOADED.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_it_is_there_when_asked_for() -> None:
    environment = cel.Environment({"self": cel.Declared("int")})
    assert environment.compile("self > 1").evaluate({"self": 2}) is True


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        cel.Nothing  # noqa: B018
