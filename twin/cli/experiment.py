"""The command `levada experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["experiment_app"]

experiment_app = typer.Typer()


@experiment_app.command()
def experiment(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="TOML file, see docs/experiments.md.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of the results (default: runs/experiments/NAME); given again, it goes "
            "on where it was interrupted.",
        ),
    ] = None,
    short: Annotated[
        bool,
        typer.Option("--short", help="End after `blocks_min` blocks, whatever the half-width."),
    ] = False,
) -> None:
    """Compare strategies by measurement: real processes, randomised blocks, intervals and tests.

    Writes report.html, table.csv, table.tex, figures (SVG, PDF) and all samples
    as results.parquet. Needs the extra `experiment`.
    """
    from importlib.util import find_spec

    from levada.hil.errors import UsageError

    missing = [name for name in ("scipy", "matplotlib") if find_spec(name) is None]
    if missing:
        raise UsageError(f"{' and '.join(missing)} not installed: pip install 'levada[experiment]'")
    from levada.twin.experiments.campaign import run_experiment
    from levada.twin.experiments.outputs import write_outputs
    from levada.twin.experiments.plan import read_experiment

    plan = read_experiment(file)
    if short:
        plan = plan.but(blocks_max=plan.blocks_min)
    where = out or Path("runs/experiments") / plan.name
    run_experiment(plan, where.absolute(), tell=lambda line: typer.echo(line, err=True))
    for line in write_outputs(plan, where):
        typer.echo(line)
