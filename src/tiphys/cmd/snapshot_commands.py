"""`tiphys snapshot …`: the command line's side of snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiphys.cmd.config import DEFAULT_DATA_DIR

snapshot_app = typer.Typer(help="Save, inspect and restore a cluster's state.", no_args_is_help=True)

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Where the cluster keeps its state.", envvar="TIPHYS_DATA_DIR")
]


@snapshot_app.command("save", epilog="Example:  tiphys snapshot save monday.snapshot")
def save(file: Path, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Write the whole state, as of one moment, to a new file. The cluster goes on meanwhile."""
    from tiphys.cmd.snapshot import save as run

    run(file, data_dir)


@snapshot_app.command("status", epilog="Example:  tiphys snapshot status monday.snapshot")
def status(file: Path) -> None:
    """Verify a snapshot and say what is in it."""
    from tiphys.cmd.snapshot import show

    show(file)


@snapshot_app.command("restore", epilog="Example:  tiphys snapshot restore monday.snapshot --overwrite")
def restore(
    file: Path,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace state that is there; it is kept.")] = False,
) -> None:
    """Make a snapshot the cluster's state: SQLite's while the cluster is down, etcd's while its members run."""
    from tiphys.cmd.snapshot import restore as run

    run(file, data_dir, overwrite=overwrite)
