"""`tiphys why`: the command line's side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiphys.cmd.config import DEFAULT_DATA_DIR


def add_to(app: typer.Typer) -> None:
    app.command("why", epilog="Examples:  tiphys why pod/web-0   |   tiphys why deployment/web -n shop -o json")(why)


def why(
    target: Annotated[str, typer.Argument(help="pod/NAME, or deployment/NAME or another workload's.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where; default: the kubeconfig's.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    config: Annotated[
        Path | None, typer.Option("--config", help="The KubeSchedulerConfiguration that the scheduler runs with.")
    ] = None,
    snapshot: Annotated[
        Path | None, typer.Option("--snapshot", help="A file of `tiphys simulate --save` instead of a cluster.")
    ] = None,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="The cluster's data directory.", envvar="TIPHYS_DATA_DIR")
    ] = DEFAULT_DATA_DIR,
    kubeconfig: Annotated[
        Path | None,
        typer.Option("--kubeconfig", help="Credentials; default: $KUBECONFIG, ~/.kube/config, the data directory's."),
    ] = None,
) -> None:
    """Say why a pod is pending, and what would make it fit. Reads only; works against any Kubernetes."""
    from tiphys.cmd.why import Request
    from tiphys.cmd.why import why as run

    run(Request(target, namespace, output, config, snapshot, data_dir, kubeconfig))
