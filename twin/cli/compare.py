"""`levada compare`: seasons side by side, or call by call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.exit_codes import Exit
from levada.guest.text.plain import plain
from levada.twin.cli import options
from levada.twin.cli.output_file import check_output

if TYPE_CHECKING:
    from levada.sim.run.rundir import RunDir

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
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with curves over one another."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a table of days: values, differences."),
    ] = None,
    by_day: Annotated[
        bool, typer.Option("--by-day", help="Print the days that differ from the first run's.")
    ] = False,
) -> None:
    """Compare runs: water, stress, drainage, energy side by side; or whether two are the same."""
    from levada.sim.results.compare import compare_runs
    from levada.sim.results.side_by_side import side_by_side
    from levada.sim.run.rundir import RunDir, trusted
    from levada.twin.cli import console

    allowed = options.tolerances(tolerance)
    if allowed and not exact:
        raise typer.BadParameter("only with --exact", param_hint="--tolerance")
    for path, option in ((html, "--html"), (csv, "--csv")):
        check_output(path, option)
    if exact and (html or csv or by_day):
        raise typer.BadParameter("not with --html, --csv or --by-day", param_hint="--exact")
    if exact and len(runs) != 2:
        raise typer.BadParameter(f"{len(runs)} runs: --exact compares two", param_hint="RUN")
    found = [RunDir(run) for run in runs]
    with trusted(*found):
        if not exact:
            console.side_by_side(side_by_side(found))
            _days(found, html, csv, by_day=by_day)
            return
        comparison = compare_runs(found[0], found[1], allowed)
        stopped = [console.stopped(run.summary, str(run.path)) for run in found]
    console.comparison(comparison)
    passed = comparison.equal and not any(stopped)
    raise typer.Exit(Exit.PASS if passed else Exit.EXPECTATION_FAILED)


def _days(runs: list[RunDir], html: Path | None, csv: Path | None, *, by_day: bool) -> None:
    """What is asked for of the days: a table on the terminal, a file of values, a page."""
    from levada.sim.results.compare_page import write_page
    from levada.sim.results.daily import daily_series, days_apart, write_csv

    if by_day:
        for line in days_apart(daily_series(runs)):
            typer.echo(plain(line))
    if csv is not None:
        typer.echo(f"{csv}: {write_csv(daily_series(runs), csv)} rows")
    if html is not None:
        write_page(runs, html)
        typer.echo(html)
