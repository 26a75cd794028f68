"""`levada guest attack`: hostile modules on every engine that is here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.exit_codes import Exit
from levada.twin.cli.output_file import check_output

if TYPE_CHECKING:
    from rich.text import Text

    from levada.guest.attacks.outcome import AttackVerdict
    from levada.guest.attacks.report import AttackReport

__all__ = ["attack"]

WIDE: int = 100
"""Columns of a terminal that has room for what each module tries."""


def attack(
    case: Annotated[
        list[str] | None,
        typer.Argument(metavar="CASE...", help="Rows (S1) or modules to try (default: all)."),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="python and fast (this computer's host), or a virtual board: wasm3, wasmtime, "
            "native, aarch64, xtensa, wamr; may be repeated (default: all that are here).",
        ),
    ] = None,
    mutants: Annotated[
        int, typer.Option(min=0, metavar="N", help="Modules changed by chance, on each engine.")
    ] = 200,
    seed: Annotated[int | None, typer.Option(help="Seed of these changes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write attack.json and attack.md there; DIR is made."),
    ] = None,
) -> None:
    """Attack every engine that is here with hostile modules, and see what each does to them.

    Each must be refused, stopped or contained, the same everywhere; docs/sandbox.md says how.
    """
    from levada.guest.attacks.mutants import SEED
    from levada.guest.attacks.page import markdown
    from levada.hil.attacks import attack as attack_all
    from levada.twin.cli import console

    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        for name in ("attack.json", "attack.md"):
            check_output(report / name, "--report")
    with _progress() as progress:
        found = attack_all(
            engine or (),
            case or (),
            mutants=mutants,
            seed=SEED if seed is None else seed,
            progress=progress,
        )
    text = json.dumps(found.to_dict(), indent=2) + "\n"
    if report is not None:
        (report / "attack.json").write_text(text, "utf-8")
        (report / "attack.md").write_text(markdown(found), "utf-8")
    if as_json:
        typer.echo(text, nl=False)
    else:
        _show(found)
        if report is not None:
            console.out.print(f"report {report / 'attack.md'}", soft_wrap=True)
    raise typer.Exit(Exit.EXPECTATION_FAILED if found.failed else Exit.PASS)


@contextmanager
def _progress() -> Iterator[Callable[[str, str], None]]:
    """What is tried just now on a terminal, else a line for each engine."""
    from levada.twin.cli import console

    if console.err.is_terminal:
        with console.err.status("") as status:
            yield lambda target, what: status.update(f"{target}: {what}")
        return
    told: list[str] = []

    def line(target: str, _what: str) -> None:
        if target not in told:
            told.append(target)
            console.err.print(f"{target} ...")

    yield line


def _show(report: AttackReport) -> None:
    """The table, what differs, and the figures."""
    from rich.table import Table
    from rich.text import Text

    from levada.guest.attacks.page import expected
    from levada.twin.cli import console

    out = console.out
    names = [target.name for target in report.targets]
    room = out.width - 8 * len(names) > WIDE
    heads = ["", "module", *(["what it tries"] if room else []), "must be", *names]
    table = Table(*heads, box=None, pad_edge=False, header_style="dim")
    table.columns[1].overflow = "fold"
    for column in table.columns[-len(names) :]:
        column.justify, column.no_wrap = "right", True
    last = ""
    for number, case in enumerate(report.cases):
        cells = [_cell(target.verdicts[number]) for target in report.targets]
        row = Text(case.row if case.row != last else "", "bold")
        last = case.row
        table.add_row(row, case.name, *([case.tries] if room else []), expected(case), *cells)
    out.print(table)
    out.print(
        "time until the module is refused, or the guest returns or is stopped [ms]", style="dim"
    )
    out.print()
    _figures(report)
    for allowed in report.allowed:
        out.print(Text.assemble(("*", "yellow"), f" {allowed}"), soft_wrap=True)
    for name, reason in report.not_tried.items():
        out.print(Text(f"not tried: {name}: {reason.splitlines()[0]}", "yellow"), soft_wrap=True)
    for target in report.targets:
        for verdict in target.verdicts:
            for fault in verdict.faults:
                where = f"✗  {verdict.case.row} {verdict.case.name} on {target.name}: "
                out.print(Text(where + fault, "red"), soft_wrap=True)
    colour = "bold red" if report.failed else "green"
    out.print(f"{report.tried:,} tried, {report.failed:,} failed", style=colour)


def _cell(verdict: AttackVerdict) -> Text:
    """The time and a mark."""
    from rich.text import Text

    from levada.guest.attacks.page import time_text

    if not verdict.passed:
        return Text(f"{verdict.outcome.kind} ✗", "bold red")
    mark = ("*", "yellow") if verdict.because else ("✓", "green")
    return Text.assemble(f"{time_text(verdict)} ", mark)


def _figures(report: AttackReport) -> None:
    """A row for each target."""
    from rich.table import Table

    from levada.twin.cli import console

    heads = (
        "",
        "engine",
        "endless loop",
        "mutants",
        "refused",
        "stopped",
        "ran",
        "crashes",
        "other",
    )
    table = Table(*heads, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[2:]:
        column.justify = "right"
    for target in report.targets:
        mutants = target.mutants
        kinds = [mutants.kinds[kind] for kind in ("refused", "stopped", "contained")]
        cut = "-" if target.cut_ms is None else f"{target.cut_ms:.1f} ms"
        counts = (mutants.tried, *kinds, len(mutants.crashed), len(mutants.differ))
        table.add_row(target.name, target.engine, cut, *(f"{count:,}" for count in counts))
    console.out.print(table)
