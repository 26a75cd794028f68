"""What `levada ota` shows: the gate, a rollout on its way, the nodes and their modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from levada.guest.text.plain import plain
from levada.twin.cli.console import MARKS, err, out

if TYPE_CHECKING:
    from collections.abc import Callable

    from levada.hil.update.package import ModulePackage
    from levada.twin.mqtt.messages import OtaState
    from levada.twin.ota.gate import GateReport
    from levada.twin.ota.rollout import Rollout
    from levada.twin.ota.suite import FirstDifference, Outcome

__all__ = ["gate", "gate_progress", "nodes", "rollout_end", "rollout_progress", "sending"]

STYLES: Final = {
    "UPDATED": "green",
    "SUCCEEDED": "green",
    "FAILED": "bold red",
    "REJECTED": "bold red",
    "TIMED_OUT": "bold red",
    "CANCELED": "yellow",
}
LISTED: Final = 12
"""Nodes that are told one by one; of more only those that have failed."""


@contextmanager
def gate_progress(total: int) -> Iterator[Callable[[str], None]]:
    """What the gate is doing: a line that is replaced on a terminal, else nothing."""
    if not err.is_terminal:
        yield lambda _text: None
        return
    done = 0
    with err.status("gate") as status:

        def show(text: str) -> None:
            nonlocal done
            done += 1
            status.update(f"gate {done}/{total}  {text}")

        yield show


def sending(package: ModulePackage) -> None:
    """What is to be sent."""
    counter = "not signed" if package.counter is None else f"counter {package.counter}"
    out.print(f"{plain(package.label)}  {len(package.module):,} bytes  {counter}", style="bold")


def gate(report: GateReport, *, override: str = "") -> None:
    """Checks, what would have changed, and why the module is refused, if it is."""
    grid = Table.grid(padding=(0, 2))
    for check in report.checks:
        grid.add_row(MARKS[check.passed][0], check.name, Text(plain(check.text), "dim"))
    out.print(grid)
    if report.trials:
        out.print(_trials(report))
    for name, first in _parted(report):
        said = f"\nfirst different decision, {name}: {first.time}, zone {plain(first.zone)}"
        out.print(said, soft_wrap=True)
        out.print(f"  before  {plain(first.before)}", style="dim", soft_wrap=True)
        out.print(f"  after   {plain(first.after)}", soft_wrap=True)
    if report.failures:
        out.print()
    for failure in report.failures:
        out.print(Text("✗ ", "bold red") + Text(plain(failure)), soft_wrap=True)
    if override:
        out.print(f"sent all the same: {plain(override)}", style="yellow")


def _trials(report: GateReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("before → after")
    for name in ("water [L]", "stress [d]", "openings", "open [h]", "expectations"):
        table.add_column(name, justify="right")
    for trial in report.trials:
        good = not trial.broken
        held = f"{trial.held} hold" if good else f"{len(trial.broken)} broken"
        if trial.after is None:
            held = "cannot run"
        table.add_row(
            MARKS[good][0],
            trial.name,
            *_changes(trial.before, trial.after),
            Text(held, "dim" if good else "red"),
        )
    past, simulated = report.past, report.simulated
    if simulated is not None:
        cells = _changes(simulated.before, simulated.after)
        table.add_row("", "recorded weeks, simulated", *cells, "")
    if past is not None:
        table.add_row(
            MARKS[not past.stopped][0],
            f"recorded weeks, {past.readings:,} readings",
            "",
            "",
            _change(past.before_openings, past.after_openings),
            _change(past.before_open_h, past.after_open_h, ".1f"),
            f"{_day(past.start_ms)} to {_day(past.end_ms)}",
        )
    return table


def _changes(before: Outcome, after: Outcome | None) -> list[Text]:
    if after is None:
        return [Text("")] * 4
    return [
        _change(before.water_l, after.water_l, ",.0f"),
        _change(before.stress_days, after.stress_days, ".1f"),
        _change(before.openings, after.openings),
        _change(before.open_h, after.open_h, ".1f"),
    ]


def _change(before: float, after: float, form: str = ",") -> Text:
    a, b = format(before, form), format(after, form)
    return Text(a, "dim") if a == b else Text(f"{a} → {b}")


def _parted(report: GateReport) -> Iterator[tuple[str, FirstDifference]]:
    """The site's own differences; of the suite the first that has any."""
    if report.past is not None and report.past.first is not None:
        yield "recorded weeks", report.past.first
    for trial in report.trials:
        if trial.first is not None:
            yield trial.name, trial.first
            return


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"


@contextmanager
def rollout_progress(
    total: int,
) -> Iterator[Callable[[Rollout, Mapping[str, OtaState]], None]]:
    """A bar on a terminal; else a line for each node that has come to an end."""
    if not err.is_terminal:
        told: set[str] = set()

        def line(rollout: Rollout, _states: Mapping[str, OtaState]) -> None:
            for e in rollout.executions.values():
                if e.has_ended and e.node not in told:
                    told.add(e.node)
                    err.print(f"{plain(e.node)}  {e.state}  {plain(e.reason)}".rstrip())

        yield line
        return
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(bar_width=30),
        TextColumn("{task.completed}/{task.total}  {task.description}"),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total)

        def show(rollout: Rollout, states: Mapping[str, OtaState]) -> None:
            ended = sum(e.has_ended for e in rollout.executions.values())
            bar.update(task, completed=ended, description=_under_way(rollout, states))

        yield show


def _under_way(rollout: Rollout, states: Mapping[str, OtaState]) -> str:
    counts = "  ".join(f"{n} {state.lower()}" for state, n in rollout.counts().items())
    if len(rollout.running) != 1:
        return counts
    node = rollout.running[0].node
    state = states.get(node)
    if state is None:
        return f"{counts}  {plain(node)} asked"
    share = f" {100 * state.received // state.size} %" if state.size else ""
    return f"{counts}  {plain(node)} {state.state.lower()}{share}"


def rollout_end(rollout: Rollout, where: str) -> None:
    """How it has ended: nodes one by one if they are few, and the last line."""
    executions = list(rollout.executions.values())
    bad = [e for e in executions if e.state not in ("SUCCEEDED", "CANCELED") or e.breaches]
    shown = executions if len(executions) <= LISTED else bad[:LISTED]
    grid = Table.grid(padding=(0, 2))
    for e in shown:
        took = "" if e.ended_ms is None or e.began_ms is None else _seconds(e.ended_ms - e.began_ms)
        why = "; ".join([*([e.reason] if e.reason else []), *e.breaches])
        style = STYLES.get(e.state, "")
        grid.add_row(plain(e.node), Text(e.state, style), Text(took, "dim"), plain(why))
    if shown:
        out.print(grid)
    if len(shown) < len(bad):
        out.print(f"and {len(bad) - len(shown)} more that have not succeeded")
    if rollout.reason:
        out.print(f"stopped: {plain(rollout.reason)}", style="yellow")
    counts = ", ".join(f"{n} {state.lower()}" for state, n in rollout.counts().items())
    out.print(f"\n{rollout.status.lower()}: {counts}  ({where})")


def _seconds(duration_ms: int) -> str:
    return f"{duration_ms / 1000:.1f} s" if duration_ms < 60_000 else f"{duration_ms // 60_000} min"


def nodes(states: Mapping[str, OtaState | None]) -> None:
    """Which module each node runs, and where its update stands."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name in ("node", "module", "SHA-256", "counter", "update", "attempt", "nonce"):
        table.add_column(name)
    for node, state in states.items():
        table.add_row(plain(node), *_node_cells(state))
    out.print(table)


def _node_cells(state: OtaState | None) -> Sequence[Any]:
    if state is None:
        return "", "", "", Text("does not answer", "yellow"), "", ""
    module = f"{state.guest_name or ''} {state.guest_version or ''}".strip() or "unnamed"
    share = f" {100 * state.received // state.size} %" if state.state == "DOWNLOADING" else ""
    said = f"{state.state}{share} {state.reason}".rstrip()
    return (
        plain(module),
        (state.guest_sha256 or "")[:16],
        "" if state.counter is None else str(state.counter),
        Text(said, STYLES.get(state.state, "")),
        state.attempt or "",
        state.nonce or "",
    )
