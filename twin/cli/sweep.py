"""`levada sweep`: every combination of some settings, with many seeds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.twin.cli import options
from levada.twin.cli.options import GuestFile
from levada.twin.cli.scenarios import ScenarioFile

if TYPE_CHECKING:
    from levada.sim.sweep.sweep import Progress, Sweep, SweepState

__all__ = ["sweep_app"]

LINE_S = 5.0
"""Between two lines of progress, where there is no terminal."""
SHOWN = 3
"""Failed runs that are named."""

sweep_app = typer.Typer()


@sweep_app.command()
def sweep(
    scenario: ScenarioFile,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="KEY=VALUES",
            help="A key and its values, FIRST:LAST:STEP or VALUE,VALUE; may be repeated, and every "
            "combination is run.",
        ),
    ] = None,
    seeds: Annotated[
        str,
        typer.Option(metavar="N", help="So many seeds from the scenario's on, or FIRST:LAST."),
    ] = "1",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes (default: one for each processor)."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a Dask cluster, such as tcp://10.0.0.2:8786."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    guest: GuestFile = None,
    overlay: options.Overlays = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of it (default: sweeps/NAME).")
    ] = None,
) -> None:
    """Run every combination of some settings, with many seeds.

    The folder keeps each run as it ends, so the same command goes on with what is missing after
    it was stopped or killed, and refuses to mix runs that were defined otherwise. The results are
    Parquet, a row for each zone of each run.
    """
    from levada.sim.scenario.load import read
    from levada.sim.sweep.design import parameter, seeds_of
    from levada.sim.sweep.sweep import Sweep, cluster

    given, overlays = options.overrides(settings, guest), overlay or []
    parameters = [parameter(text) for text in param or []]
    first = read(scenario, given, overlays=overlays).scenario.seed
    made = Sweep(
        out or Path("sweeps") / scenario.stem,
        scenario.absolute(),
        parameters,
        seeds=seeds_of(seeds, first),
        settings=given,
        overlays=[path.absolute() for path in overlays],
    )
    try:
        with _progress(scenario.stem) as told:
            if scheduler is None:
                held = made.run(workers or os.cpu_count() or 1, progress=told)
            else:
                with cluster(scheduler) as (executor, threads):
                    held = made.run(threads, executor=executor, progress=told)
    except KeyboardInterrupt:
        _say_interrupted(made)
        raise typer.Exit(INTERRUPTED) from None
    _show(made)
    raise typer.Exit(Exit.PASS if held else Exit.EXPECTATION_FAILED)


@contextmanager
def _progress(title: str) -> Iterator[Progress]:
    """A bar on a terminal, else a line from time to time, both with the time that is left."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from levada.twin.cli.console import err

    if not err.is_terminal:
        begun: list[tuple[float, int]] = []
        last_s = [monotonic()]

        def line(state: SweepState) -> None:
            now_s = monotonic()
            ended = state.done + state.failed
            begun.append((now_s, ended)) if not begun else None
            if now_s - last_s[0] < LINE_S:
                return
            last_s[0] = now_s
            speed = (ended - begun[0][1]) / (now_s - begun[0][0])
            left = f", {(state.runs - ended) / speed:,.0f} s left" if speed else ""
            err.print(f"{title}: {ended:,} of {state.runs:,} runs  {_words(state)}{left}")

        yield line
        return
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} runs  {task.fields[state]}"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None, state="")
        yield lambda state: bar.update(
            task, total=state.runs, completed=state.done + state.failed, state=_words(state)
        )


def _words(state: SweepState) -> str:
    failed = f", {state.failed:,} failed" if state.failed else ""
    return f"{state.in_flight} in flight{failed}"


def _say_interrupted(made: Sweep) -> None:
    from levada.twin.cli.console import err

    missing = len(made.folder.missing())
    err.print(
        f"interrupted: {len(made.jobs) - missing:,} of {len(made.jobs):,} runs are kept in "
        f"{made.folder.path}; the same command goes on"
    )


def _show(made: Sweep) -> None:
    from levada.twin.cli.console import out

    failed = made.folder.failed()
    out.print(f"{len(made.jobs) - len(failed):,} runs, {len(failed):,} failed")
    for job, why in failed[:SHOWN]:
        values = " ".join(f"{key}={value}" for key, value in job.values)
        out.print(f"  seed {job.seed} {values}: {why}", markup=False)
    if len(failed) > SHOWN:
        out.print(f"  and {len(failed) - SHOWN:,} more, in the column `failed`")
    results = made.folder.path / "results"
    out.print(f"results {results}", soft_wrap=True)
    query = f"SELECT * FROM '{results}/**/*.parquet' LIMIT 5"
    out.print(f'query   duckdb -c "{query}"', soft_wrap=True, markup=False)
