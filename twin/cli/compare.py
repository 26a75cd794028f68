"""`levada compare`: seasons side by side, or call by call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levada.guest.exit_codes import Exit
from levada.twin.cli import options

__all__ = ["compare_app"]

compare_app = typer.Typer()


@compare_app.command("compare")
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Directories that runs have left; of one, its zones are compared.",
        ),
    ],
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Two runs, call by call, then signals beyond their tolerance."
        ),
    ] = False,
    tolerance: options.Tolerances = None,
) -> None:
    """Compare runs: water, stress, drainage, energy side by side; or whether two are the same."""
    from levada.sim.results.compare import compare_runs
    from levada.sim.results.side_by_side import side_by_side
    from levada.sim.run.rundir import RunDir, trusted
    from levada.twin.cli import console

    allowed = options.tolerances(tolerance)
    if allowed and not exact:
        raise typer.BadParameter("only with --exact", param_hint="--tolerance")
    if exact and len(runs) != 2:
        raise typer.BadParameter(f"{len(runs)} runs: --exact compares two", param_hint="RUN")
    found = [RunDir(run) for run in runs]
    with trusted(*found):
        if not exact:
            console.side_by_side(side_by_side(found))
            return
        comparison = compare_runs(found[0], found[1], allowed)
        stopped = [console.stopped(run.summary, str(run.path)) for run in found]
    console.comparison(comparison)
    passed = comparison.equal and not any(stopped)
    raise typer.Exit(Exit.PASS if passed else Exit.EXPECTATION_FAILED)
