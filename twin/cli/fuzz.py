"""`levada fuzz`: searches for weather, faults and timing in which a guest is not safe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from levada.guest.errors import LevadaError
from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.twin.cli import options
from levada.twin.cli.options import GuestFile
from levada.twin.cli.scenarios import ScenarioFile

if TYPE_CHECKING:
    from levada.sim.fuzz.case import Base
    from levada.sim.fuzz.search import Findings, Told

__all__ = ["fuzz_app"]

PERMITTED = ("sim", "virtual")
LINE_S = 5.0
"""Between two lines of progress, where there is no terminal."""

fuzz_app = typer.Typer()


class ExtraError(LevadaError):
    """An optional dependency is not installed."""

    exit_code = Exit.BAD_INPUT


@fuzz_app.command()
def fuzz(
    scenario: ScenarioFile,
    cases: Annotated[int, typer.Option(min=1, max=10**9, metavar="N", help="Cases to try.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed tries the same cases.")] = 0,
    node: Annotated[
        str,
        typer.Option(
            metavar="NODE",
            help="Where the guest runs: sim, virtual, or virtual:ENGINE such as virtual:xtensa.",
        ),
    ] = "sim",
    guest: GuestFile = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    overlay: options.Overlays = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where failing scenarios go (default: fuzz/NAME)."),
    ] = None,
) -> None:
    """Search for weather, faults and timing that break the safety of the valve.

    Each case is a few days over the site, soil and zones of SCENARIO, whose own faults and
    expectations are left out. A property that does not hold is shrunk to the smallest case and
    saved as DIR/PROPERTY.toml, which `levada run` fails with exit code 1.
    """
    if find_spec("hypothesis") is None:
        raise ExtraError(
            "levada fuzz needs hypothesis: install it with: python -m pip install 'levada[fuzz]'"
        )
    from levada.hil.nodes import NodeMaker
    from levada.sim.fuzz.search import search

    if node.partition(":")[0] not in PERMITTED or node == "virtual:mqtt":
        raise typer.BadParameter(
            f"{node}: permitted are sim, virtual and virtual:ENGINE; a real board keeps the time "
            "of its own timer, and thousands of days would take as long",
            param_hint="--node",
        )
    base = _base(scenario, node, options.overrides(settings, guest), overlay or [])
    folder = out or Path("fuzz") / base.name
    with NodeMaker() as make_node, _progress(base.name, cases) as told:
        found = search(base, cases, seed_=seed, make_node=make_node, told=told)
    _show(found, base, folder, node, seed)
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not found.judged:
        raise typer.Exit(Exit.NOTHING_RAN)
    raise typer.Exit(Exit.EXPECTATION_FAILED if found.failures else Exit.PASS)


def _base(
    scenario: Path, node: str, overrides: list[tuple[str, str]], overlays: list[Path]
) -> Base:
    """The checked scenario; raises ScenarioError, GuestError or WeatherError."""
    from levada.sim.fuzz.case import base_of
    from levada.sim.run import runner
    from levada.sim.scenario import load as scenarios
    from levada.sim.scenario.overlay import absolute

    document = scenarios.read(scenario, overrides, overlays=overlays)
    info = runner.check(document)
    data = document.source.data
    absolute(data, scenario.parent.absolute())
    return base_of(data, runner.read_guest(document.scenario), info, node=node)


@contextmanager
def _progress(title: str, cases: int) -> Iterator[Told]:
    """A bar on a terminal, else a line from time to time."""
    from levada.twin.cli.console import err

    if not err.is_terminal:
        last_s = [monotonic()]

        def line(found: Findings) -> None:
            if monotonic() - last_s[0] >= LINE_S:
                last_s[0] = monotonic()
                err.print(f"{title}: {found.cases:,} of {cases:,} cases  {_state(found)}")

        yield line
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}  {task.fields[state]}"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=cases, state="")
        yield lambda found: bar.update(task, completed=found.cases, state=_state(found))


def _state(found: Findings) -> str:
    """Speed, coverage and failures so far."""
    if found.shrinking:
        return f"shrinking a failure of {found.shrinking}"
    failed = f"  failed: {', '.join(found.failures)}" if found.failures else ""
    speed = found.cases / max(found.seconds, 1e-9)
    covered = found.decisions
    return f"{speed:,.0f} a second  {covered.paths} paths  {covered.sequences} sequences{failed}"


def _show(found: Findings, base: Base, folder: Path, node: str, seed: int) -> None:
    """Cases, decisions, and a row a property; failing scenarios are written on the way."""
    from levada.sim.fuzz.found import write_failure
    from levada.sim.fuzz.properties import PROPERTIES, not_judged
    from levada.twin.cli.console import MARKS, out

    out.print()
    out.print(Text(f"Search over {base.name}", style="bold"))
    out.print(_figures(found, base, node, seed))
    out.print()
    table = Table.grid(padding=(0, 2))
    for property_ in PROPERTIES:
        judged, failure = found.judged[property_.key], found.failures.get(property_.key)
        if failure is not None:
            file = write_failure(failure, property_, base, folder)
            detail = f"case {failure.number:,}, shrunk in {failure.shrunk_in:,}: {file}"
        elif judged:
            detail = f"held in {judged:,} cases"
        else:
            detail = not_judged(base.info, property_) or "nothing to judge in any case"
        mark, style = MARKS[failure is None if judged else None]
        table.add_row(mark, property_.sentence, Text(detail, style))
        if failure is not None:
            table.add_row(
                "", Text(failure.broken.outcome.name, "dim"), failure.broken.outcome.detail
            )
    out.print(table)
    if found.interrupted:
        out.print(f"interrupted after {found.cases:,} cases", style="bold yellow")
    held = sum(found.judged[p.key] > 0 and p.key not in found.failures for p in PROPERTIES)
    out.print()
    out.print(f"{held} held, {len(found.failures)} failed")


def _figures(found: Findings, base: Base, node: str, seed: int) -> Table:
    from levada.sim.fuzz.decisions import decision_text

    covered, metadata = found.decisions, base.info.metadata
    named = f"{metadata.name} {metadata.version}" if metadata else "guest"
    reasons = ", ".join(map(decision_text, covered.reasons)) or "the guest publishes no `why`"
    speed = found.cases / max(found.seconds, 1e-9)
    table = Table.grid(padding=(0, 2))
    for name, value, note in (
        ("guest", named, f"{base.info.sha256[:16]} on {node}"),
        ("cases", f"{found.cases:,}", f"{speed:,.1f} a second, seed {seed}"),
        ("decisions", f"{len(covered.decided)}", "reasons with the state of the valve"),
        ("reasons", f"{len(covered.reasons)}", reasons),
        ("paths", f"{covered.paths:,}", "sequences of host calls in one run of the guest"),
        ("sequences", f"{covered.sequences:,}", "of two and three decisions"),
        ("corpus", f"{found.corpus:,}", "cases that covered something new"),
    ):
        table.add_row(Text(name, "dim"), value, Text(note, "dim"))
    return table
