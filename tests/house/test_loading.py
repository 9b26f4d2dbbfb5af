"""What is large and seldom needed is loaded when it is: a component that starts pays nothing for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tiphys.api import cel

_LOADED = "import sys, {module}; print([name for name in {names} if name in sys.modules])"


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("tiphys.cmd.apiserver", ["cel_expr_python", "google.protobuf", "grpc", "numpy", "typer"]),
        ("tiphys.scheduler.scheduler", ["cel_expr_python", "google.protobuf", "grpc", "typer", "tiphys.api.patch"]),
        ("tiphys.cmd.controllers", ["cel_expr_python", "google.protobuf", "grpc", "numpy", "typer"]),
        ("tiphys.cmd.supervisor", ["cel_expr_python", "google.protobuf", "grpc", "numpy", "cryptography", "yaml"]),
    ],
)
def test_a_component_starts_without(module: str, names: list[str]) -> None:
    code = _LOADED.format(module=module, names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_cel_is_there_when_asked_for() -> None:
    environment = cel.Environment({"self": cel.Declared("int")})
    assert environment.compile("self > 1").evaluate({"self": 2}) is True


def test_what_cel_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        cel.Nothing  # noqa: B018
