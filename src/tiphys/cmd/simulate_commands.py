"""`tiphys simulate`: the command line's side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from tiphys.cmd.config import DEFAULT_DATA_DIR, ConfigError

if TYPE_CHECKING:
    from tiphys.scheduler.what_if import Outcome

ORDER: Final = "tiphys.simulate.order"

Drain = Annotated[list[str] | None, typer.Option("--drain", metavar="NODE", help="Evict its pods.")]
Cordon = Annotated[list[str] | None, typer.Option("--cordon", metavar="NODE", help="Place nothing more on it.")]
Uncordon = Annotated[list[str] | None, typer.Option("--uncordon", metavar="NODE", help="Use it again.")]
RemoveNode = Annotated[list[str] | None, typer.Option("--remove-node", metavar="NODE", help="As if it failed.")]
AddNodes = Annotated[list[int] | None, typer.Option("--add-nodes", metavar="N", help="Followed by --like NODE.")]
Like = Annotated[list[str] | None, typer.Option("--like", metavar="NODE", help="What the added nodes are like.")]
Add = Annotated[list[Path] | None, typer.Option("--add", metavar="FILE", help="Create what the manifest says.")]
Count = Annotated[list[int] | None, typer.Option("--count", metavar="N", help="So many of the --add before it.")]
Scale = Annotated[list[str] | None, typer.Option("--scale", metavar="KIND/NAME=N", help="To N replicas.")]
Delete = Annotated[list[str] | None, typer.Option("--delete", metavar="KIND/NAME", help="With what it owns.")]
RescheduleAll = Annotated[bool, typer.Option("--reschedule-all", help="Place every pod anew.")]
Config = Annotated[
    Path | None, typer.Option("--config", "--profile", metavar="FILE", help="A KubeSchedulerConfiguration to use.")
]
Snapshot = Annotated[
    Path | None,
    typer.Option("--snapshot", metavar="FILE", help="Of --save, `kubectl get … -o json|yaml`, `tiphys snapshot save`."),
]
Save = Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the cluster as read; .gz compresses.")]
OneByOne = Annotated[bool, typer.Option("--one-by-one", help="Place pods after each change, not once after all.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides between equally good nodes.")]
Everything = Annotated[bool, typer.Option("--all", help="A line for every pod and node.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Of names without one; default: the kubeconfig's.")]
Output = Annotated[str, typer.Option("--output", "-o", help="text or json.")]
DataDir = Annotated[Path, typer.Option("--data-dir", help="The cluster's data directory.", envvar="TIPHYS_DATA_DIR")]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Credentials; default: $KUBECONFIG, ~/.kube/config, the data directory's."),
]


class InOrder(TyperCommand):
    """Keeps in `context.meta[ORDER]` which options were given, as (name, value), in the order they were given in."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        given = {name: iter(value if isinstance(value, list) else [value]) for name, value in values.items()}
        ctx.meta[ORDER] = [
            (parameter.name, next(given[parameter.name], None)) for parameter in order if parameter.name in given
        ]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    epilog = (
        "Examples:  tiphys simulate --drain node-1   |   tiphys simulate --add web.yaml --count 10   |   "
        "tiphys simulate --snapshot monday.gz --config other.yaml --reschedule-all -o json"
    )
    app.command("simulate", cls=InOrder, epilog=epilog)(simulate)


def simulate_file(file: str | Path, *arguments: str | Path) -> Outcome:
    """What the command finds for ``--snapshot file`` and more arguments. Raises ConfigError or typer's usage errors."""
    from tiphys.cmd.simulate import found, request_of

    app = typer.Typer()
    add_to(app)
    command = typer.main.get_command(app)
    context = command.make_context("simulate", [*map(str, arguments), "--snapshot", str(file)])
    return found(request_of(context.meta[ORDER], context.params))


def simulate(
    context: typer.Context,
    drain: Drain = None,
    cordon: Cordon = None,
    uncordon: Uncordon = None,
    remove_node: RemoveNode = None,
    add_nodes: AddNodes = None,
    like: Like = None,
    add: Add = None,
    count: Count = None,
    scale: Scale = None,
    delete: Delete = None,
    reschedule_all: RescheduleAll = False,
    config: Config = None,
    snapshot: Snapshot = None,
    save: Save = None,
    one_by_one: OneByOne = False,
    seed: Seed = 0,
    everything: Everything = False,
    namespace: Namespace = "",
    output: Output = "text",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say what would run where after changes, moving nothing: the cluster is only read.

    Changes are made in the order they are given in, and may be repeated. Names may be NAMESPACE/KIND/NAME. Exits with 0
    if every pod would have a node, with 1 if some would be pending (gated ones apart), with 2 on errors.
    """
    from tiphys.cmd.simulate import request_of, run

    try:
        fits = run(request_of(context.meta[ORDER], context.params))
    except ConfigError as error:
        typer.echo(f"tiphys: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(0 if fits else 1)
