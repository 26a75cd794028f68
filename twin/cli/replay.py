"""`levada replay`: a tape's readings for a guest again, up to a step, and what it held there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.exit_codes import Exit
from levada.guest.text.plain import plain
from levada.twin.cli import options

if TYPE_CHECKING:
    from levada.sim.results.step_dump import StepDump
    from levada.sim.run.rundir import RunDir

__all__ = ["replay_app"]

replay_app = typer.Typer()


@replay_app.command("replay")
def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory that a run has left.")],
    guest: options.GuestFile = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help='No further than the step at this time or the last before it, such as "2023-07-06 '
            '14:00" in local standard time of the site, or "82 d 14 h" after the start.',
        ),
    ] = None,
    dump: Annotated[
        bool,
        typer.Option(
            "--dump",
            help="Print what the guest did in that step, and its parameters, globals and memory "
            "after it.",
        ),
    ] = False,
    zone: Annotated[
        str, typer.Option("--zone", "-z", help="Of several zones, the one for --dump.")
    ] = "",
) -> None:
    """Feed a tape's readings to a guest again: exact, or where it differs; or look into a step."""
    from levada.sim.results.replay import replay_run
    from levada.sim.results.step_dump import dump_step
    from levada.sim.run.rundir import RunDir, trusted
    from levada.twin.cli import console

    if zone and not dump:
        raise typer.BadParameter("only with --dump", param_hint="--zone")
    recorded = RunDir(run)
    with trusted(recorded):
        until_ms = _moment_ms(recorded, until)
        if dump:
            _show(dump_step(recorded, until_ms, zone=zone, guest=guest), guest)
            return
        outcome = replay_run(recorded, guest, until_ms=until_ms)
    console.replay(outcome)
    raise typer.Exit(Exit.PASS if outcome.exact else Exit.EXPECTATION_FAILED)


def _moment_ms(run: RunDir, text: str | None) -> int | None:
    """A time of the run in ms since 1970; raises BadParameter for what is none."""
    from levada.sim.quantities import parse_duration

    if text is None:
        return None
    start = datetime.fromisoformat(run.summary["start"])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            moment = start + parse_duration(text)
        except (ValueError, OverflowError):
            raise typer.BadParameter(
                f"{text!r}: must be a time such as 2023-07-06T14:00, or a time since the start "
                'such as "82 d 14 h"',
                param_hint="--until",
            ) from None
    if moment.tzinfo is not None:
        raise typer.BadParameter(
            f"{text!r}: times are local standard time of the site: leave the UTC offset out",
            param_hint="--until",
        )
    if moment < start:
        raise typer.BadParameter(
            f"{text!r}: before the start of the run, {start.isoformat()}", param_hint="--until"
        )
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _show(dump: StepDump, guest: Path | None) -> None:
    from levada.sim.results.step_dump import memory_lines
    from levada.twin.cli import console

    for note in dump.notes:
        console.warning(note)
    typer.echo(plain(f"zone {dump.zone}, {dump.time}, run {dump.run} of the guest"))
    if dump.recorded == dump.made:
        _listing("host calls, as recorded", dump.made)
    else:
        _listing("host calls, recorded", dump.recorded)
        _listing(f"host calls of {guest}" if guest else "host calls, replayed", dump.made)
    _listing(
        "parameters",
        [f"{name} = {value} {unit}".rstrip() for name, (value, unit) in dump.parameters.items()],
    )
    _listing("globals", [f"{name} = {_number(value)}" for name, value in dump.globals.items()])
    size = f"{len(dump.memory):,} bytes; rows of zeros are left out" if dump.memory else ""
    _listing(f"memory, {size}" if size else "memory", memory_lines(dump.memory))


def _listing(title: str, lines: Iterable[str]) -> None:
    typer.echo(plain(f"{title}:"))
    empty = True
    for line in lines:
        empty = False
        typer.echo(plain(f"  {line}"))
    if empty:
        typer.echo("  none")


def _number(value: float) -> str:
    return f"{value} (0x{value & 0xFFFFFFFFFFFFFFFF:x})" if isinstance(value, int) else f"{value!r}"
