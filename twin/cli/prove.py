"""`levada prove`: every promise of `docs/faults.md`, with what was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.exit_codes import Exit

if TYPE_CHECKING:
    from levada.twin.proof import Proof

__all__ = ["prove_app"]

prove_app = typer.Typer()

SHOWN = 20
"""Tests of a group that failed or were left out are named up to so many."""


@prove_app.command("prove")
def prove_command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what takes minutes: a quarter of an hour.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the figures to this file, as JSON.")
    ] = None,
) -> None:
    """Try to break every promise: updates, sandbox, valve, delivery, store.

    Runs the tests of each row of docs/faults.md, in a clone of the project, and counts what they
    tried: power cuts, hostile modules, killed processes, damaged frames.
    """
    from levada.twin.cli.output_file import check_output
    from levada.twin.proof import prove, source_tree

    if out is not None:
        check_output(out, "--out")
    with _progress() as progress:
        proof = prove(source_tree(), quick=quick, progress=progress)
    if out is not None:
        out.write_text(proof.to_json(), "utf-8")
    _show(proof)
    raise typer.Exit(Exit.PASS if proof.holds else Exit.EXPECTATION_FAILED)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    from levada.twin.cli import console

    if not console.err.is_terminal:
        console.err.print("the tests of all rows are run ...")
        yield lambda _done, _of: None
        return
    with console.err.status("the tests are collected") as status:
        yield lambda done, of: status.update(f"{done:,} of {of:,} tests")


def _show(proof: Proof) -> None:
    from rich.table import Table
    from rich.text import Text

    from levada.twin.cli import console

    table = Table("", "rows", "tests", "failed", "left out", box=None, pad_edge=False)
    table.header_style = "dim"
    for column in table.columns[1:]:
        column.justify = "right"
    for group in proof.groups:
        mark = Text("✗ ", "bold red") if group.failed else Text("✓ ", "green")
        counts = (group.rows, group.passed, len(group.failed), len(group.skipped))
        table.add_row(mark + group.title, *(f"{count:,}" for count in counts))
    console.out.print(table)
    console.out.print()
    figures = Table("", "tried", "found", box=None, pad_edge=False)
    figures.header_style = "dim"
    for column in figures.columns[1:]:
        column.justify = "right"
    for figure in proof.figures:
        style = "bold red" if figure.found else ""
        figures.add_row(figure.name, f"{figure.tried:,}", Text(f"{figure.found:,}", style))
    console.out.print(figures)
    console.out.print()
    for group in proof.groups:
        _name(group.failed, "failed", "red")
        _name(group.skipped, "left out", "yellow")
    how = "quick form, " if proof.quick else ""
    console.out.print(f"{how}{proof.date}, {proof.machine}, {proof.seconds:,.0f} s", style="dim")


def _name(tests: list[str], what: str, style: str) -> None:
    from levada.twin.cli import console

    for test in tests[:SHOWN]:
        console.out.print(f"{what}: {test}", style=style, soft_wrap=True, markup=False)
    if len(tests) > SHOWN:
        console.out.print(f"and {len(tests) - SHOWN:,} more", style=style)
