"""`levada tape`: what a guest asked its host, and what it was told."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.abi import Call

if TYPE_CHECKING:
    from levada.sim.results.tape_lines import TapeLine
    from levada.sim.scenario.model import Scenario

__all__ = ["shows_logs", "tape_app"]


class TapeFormat(StrEnum):
    """How lines are written."""

    TABLE = "table"
    JSONL = "jsonl"


tape_app = typer.Typer()


@tape_app.command("tape")
def tape(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Directory that a run has left, or a tape's file.")
    ],
    zone: Annotated[str, typer.Option("--zone", "-z", help="Only this zone.")] = "",
    last: Annotated[
        int | None, typer.Option("--last", "-n", min=1, help="Only the last ones.")
    ] = None,
    grep: Annotated[
        str, typer.Option("--grep", "-g", help="Only what this regular expression is found in.")
    ] = "",
    form: Annotated[
        TapeFormat, typer.Option("--format", "-f", help="How lines are written.")
    ] = TapeFormat.TABLE,
) -> None:
    """Print a run's host calls and logs: what the guest asked, and what it was told."""
    from levada.sim.results.tape_lines import tape_lines, tape_of
    from levada.twin.cli import console

    found = tape_of(run)
    width = max(map(len, found.zones), default=0)
    count = 0
    for line in tape_lines(found, zone=zone, pattern=grep, last=last):
        count += 1
        typer.echo(line.to_json() if form is TapeFormat.JSONL else _row(line, width))
    if found.truncated:
        console.warning(f"{found.path}: the file is cut off")
    if not count and (zone or grep):
        console.warning(f"{found.path}: nothing on this tape is chosen by that")


def shows_logs(scenario: Scenario) -> Callable[[int, bytes], None]:
    """Prints what guests log of the records that it is given, with the index of their zone."""
    from levada.sim.results.tape_lines import TapeCursor
    from levada.sim.scenario.expand import expand

    zones = [zone.name for zone in expand(scenario)]
    width = max(map(len, zones))
    cursor = TapeCursor(zones, scenario.period.start_ms)

    def show(zone: int, records: bytes) -> None:
        for line in cursor.lines(zone, records):
            if line.record.call in (Call.WASM_LOG, Call.LOG_INT):
                typer.echo(_row(line, width))

    return show


def _row(line: TapeLine, width: int) -> str:
    return f"{line.time:<19}  {line.zone:<{width}}  {line.text}"
