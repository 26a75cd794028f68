"""What the command line shows: progress, results, differences, errors."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from levada.guest.text.plain import plain
from levada.guest.text.redaction import redacted
from levada.sim.results.grid import grid_sentence

if TYPE_CHECKING:
    from levada.guest.module.inspect import ModuleInfo
    from levada.hil.diff import Diff
    from levada.sim.devices.power_recording import EnergyFit
    from levada.sim.results.compare import Comparison
    from levada.sim.results.replay import Replay
    from levada.sim.results.side_by_side import ComparedRun
    from levada.sim.run.runner import Progress
    from levada.sim.scenario.model import Scenario
    from levada.twin.cli.doctor import Finding

__all__ = [
    "comparison",
    "diff",
    "error",
    "examination",
    "fit",
    "internal",
    "module",
    "node_progress",
    "outcome",
    "progress",
    "replay",
    "side_by_side",
    "stopped",
    "void",
    "warning",
]

MARKS = {
    True: (Text("✓", "green"), "dim"),
    False: (Text("✗", "bold red"), "red"),
    None: (Text("–", "yellow"), "dim"),
}
"""Of an expectation: passed, failed, not judged."""
LINKS = 8
"""So many are shown of a field of boards."""
ENDLESS = re.compile(r"\S{1000,}")
SHOWN = 80
"""So much is repeated of a word without end, such as a number of five thousand digits."""
RESTARTS = 3
"""So many are told of one device."""

UNCUT = 10_000
"""Columns of what is no terminal: a file or a pipe takes lines of any length, and cuts nothing."""


def _console(*, stderr: bool) -> Console:
    made = Console(stderr=stderr, highlight=False, markup=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = UNCUT
    return made


out = _console(stderr=False)
err = _console(stderr=True)


@contextmanager
def progress(scenario: Scenario, *, quiet: bool) -> Iterator[Progress]:
    """Progress of a run: a bar with simulated date and speed on a terminal, else plain lines."""
    title = scenario.name
    if quiet:
        yield lambda *_: None
    elif err.is_terminal:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[note]}"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        )
        with bar:
            task = bar.add_task(title, total=1.0, note="")

            def show(time_ms: int, fraction: float, speed: float, note: str) -> None:
                bar.update(
                    task, completed=fraction, note=note or f"{_date(time_ms)}  {speed:,.0f} x"
                )

            yield show
    else:
        last_s = [monotonic() - 4.0]

        def line(time_ms: int, fraction: float, speed: float, note: str) -> None:
            if note:
                err.print(note)
            elif monotonic() - last_s[0] >= 5.0:
                last_s[0] = monotonic()
                err.print(f"{title}: {_date(time_ms)}  {fraction:4.0%}  {speed:,.0f} x")

        yield line


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")


def _grid(*heads: str, gap: int = 2) -> Table:
    """A table without lines, `gap` characters between its columns, that never cuts a cell."""
    return Table.grid(*(Column(head, overflow="fold") for head in heads), padding=(0, gap))


def guest_stops(summary: dict[str, Any]) -> None:
    """A line for every guest that was stopped."""
    from levada.sim.run import stops

    colour = "bold red" if stops.fails(summary) else "yellow"
    for line in stops.lines(summary):
        out.print(Text(line, colour), soft_wrap=True)


def outcome(summary: dict[str, Any], path: Path, *, quiet: bool) -> None:
    """The figures of a run, its expectations, and where everything is."""
    guest_stops(summary)
    expectations = summary["expectations"]
    failed = [e for e in expectations if e["passed"] is False]
    passed = [e for e in expectations if e["passed"]]
    if not quiet:
        out.print()
        out.print(Text(summary["title"] or summary["scenario"], style="bold"))
        out.print(_figures(summary))
        _baselines(summary)
        _continuum(summary)
        _links(summary["link"] or {})
        table = _grid("", "", "")
        for item in expectations:
            mark, style = MARKS[item["passed"]]
            table.add_row(mark, item["name"], Text(item["detail"], style))
        out.print(table)
        out.print()
        marks = ("guest_sha256", "tape_digest", "trace_digest")
        parts: list[tuple[str, str]] = []
        for key in marks:
            parts += [(key.partition("_")[0], "dim"), (f" {summary[key][:16]}  ", "")]
        out.print(Text.assemble(*parts, ("seed", "dim"), f" {summary['seed']}"))
        report = plain(str(path / "report.html"))
        out.print(Text.assemble(("report", "dim"), f" {report}"), soft_wrap=True)
        if (sentence := grid_sentence(summary)) is not None:
            out.print(Text.assemble(("grid", "dim"), f"   {sentence}"), soft_wrap=True)
        weather = summary["weather"]
        for note in [*summary.get("notes", ()), *weather["notes"], *weather["filled"]]:
            out.print(Text.assemble(("note", "yellow"), f"   {plain(note)}"), soft_wrap=True)
    if summary["partial"]:
        out.print(f"interrupted on {summary['ended']}: the run is partial", style="bold yellow")
    out.print(f"{len(passed)} passed, {len(failed)} failed")


def _baselines(summary: dict[str, Any]) -> None:
    """The guest beside the baselines, a row each, and what it saved or cost against each."""
    from levada.sim.results.baselines import baseline_table

    found = baseline_table(summary)
    if found is None:
        return
    heads = ["", "gross mm", "ET mm", "drainage", "runoff", "days dry + wet"]
    heads += ["yield %", found.productivity_unit] if found.has_yield else []
    table = _grid(*heads)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row(*(Text(head, "dim") for head in heads))
    for row in found.rows:
        cells = [row.name, row.gross_mm, row.et_mm, row.drainage_mm, row.runoff_mm]
        cells.append(row.stress_days)
        cells += [row.yield_pct, row.productivity] if found.has_yield else []
        table.add_row(*cells)
    out.print(table)
    for sentence in (found.note, *found.sentences) if found.note else found.sentences:
        out.print(sentence, soft_wrap=True)
    out.print()


def _continuum(summary: dict[str, Any]) -> None:
    """The way to the cloud in three lines, if there was one."""
    from levada.sim.results.continuum import continuum

    found = continuum(summary)
    if found is None:
        return
    way = " → ".join(f"{tier.name.lower()} ({tier.engine})" for tier in found.tiers)
    out.print(Text.assemble(("continuum", "dim"), f"   {way}"), soft_wrap=True)
    if found.hops:
        last = found.hops[-1]
        times = f"median {last.median}, 95 % within {last.p95}, longest {last.longest}"
        if not found.takes_time:
            times = "no time passes: no [[link]] of the scenario takes any"
        out.print(Text.assemble(("on the way", "dim"), f"  {times}"), soft_wrap=True)
    out.print(Text.assemble(("messages", "dim"), f"    {found.verdict}"), soft_wrap=True)


def node_progress(node: str) -> Progress:
    """Says once that a node has begun, and notes."""
    err.print(f"{node} ...")
    return lambda _time_ms, _fraction, _speed, note: err.print(note) if note else None


def stopped(summary: dict[str, Any], whose: str) -> bool:
    """Whether a run has failed because its guest was stopped; says how."""
    from levada.sim.run import stops

    if not stops.fails(summary):
        return False
    for line in stops.lines(summary):
        out.print(Text(f"{whose}: {line}", "bold red"), soft_wrap=True)
    return True


def diff(found: Diff) -> None:
    """Nodes side by side: identical, or where each first differs from the first."""
    reference = found.runs[0]
    table = _grid("", "", "", "")
    for run in found.runs:
        tape = f"tape {run.summary['tape_digest'][:16]}"
        table.add_row(Text(run.node, "bold"), run.engine, tape, f"{run.summary['wall_s']:.1f} s")
    out.print(table)
    for run in found.runs:
        _restarts(run.summary["link"] or {}, f"{run.node}, ")
    if found.equal:
        out.print(f"identical over {found.calls:,} calls", style="green")
    for run in found.runs:
        if run.difference is not None:
            out.print(
                Text(f"{run.node} does not do what {reference.node} does, zone {run.zone}:", "red")
            )
            out.print(Text(str(run.difference)))
            for one in (reference, run):
                if restart := one.restart_by(run.difference, run.zone):
                    why = (
                        f"{one.node} had started again by then ({restart}): this accuses no engine"
                    )
                    out.print(Text(why, "yellow"), soft_wrap=True)


def void(summary: dict[str, Any]) -> bool:
    """Whether the run does not count because of a link; says why."""
    reasons = {zone: link["void"] for zone, link in (summary["link"] or {}).items()}
    for zone, reason in reasons.items():
        if reason:
            err.print(f"The run is void, zone {zone}: {reason}", style="bold red")
    return any(reasons.values())


def _links(links: dict[str, Any]) -> None:
    """What the links to devices were like, the worst first, a row each; then what was amiss."""
    if not links:
        return
    worst = sorted(links, key=lambda z: (-len(links[z]["restarts"]), -links[z]["retries"]))
    heads = ("link", "round trip", "99 of 100", "retries", "CRC errors", "resyncs", "engine")
    table = _grid(*heads)
    for column in table.columns[1:-1]:
        column.justify = "right"
    table.add_row(*(Text(head, "dim") for head in heads))
    for zone in worst[:LINKS]:
        link = links[zone]
        table.add_row(
            zone,
            f"{link['round_trip_p50_ms']:.3g} ms",
            f"{link['round_trip_p99_ms']:.3g} ms",
            *(
                Text(f"{link[count]:,}", "yellow" if link[count] else "")
                for count in ("retries", "crc_errors", "resyncs")
            ),
            Text(link["engine"], "dim"),
        )
    out.print(table)
    if len(worst) > LINKS:
        out.print(f"{len(worst) - LINKS} more links", style="dim")
    _restarts(links)


def _restarts(links: dict[str, Any], whose: str = "") -> None:
    for zone, link in links.items():
        for restart in link["restarts"][:RESTARTS]:
            when, _, reason = restart.partition(": ")
            what = f"{whose}zone {zone}: {reason} at {when.replace('T', ' ')}, started again"
            out.print(Text(what, "bold red"), soft_wrap=True)
        if (more := len(link["restarts"]) - RESTARTS) > 0:
            out.print(Text(f"{whose}zone {zone}: started again {more} more times", "bold red"))


def _period(summary: dict[str, Any]) -> str:
    last = datetime.fromisoformat(summary["end"]) - timedelta(seconds=1)
    return f"{summary['start'][:10]} to {last:%Y-%m-%d}"


def _figures(summary: dict[str, Any]) -> Table:
    zones = len(summary["zones"])
    table = _grid("", "", "")
    rows = [
        (
            "period",
            _period(summary),
            f"{summary['days']:g} days",
        ),
        ("zones", f"{zones}", f"{summary['steps']:,} guest steps"),
        (
            "irrigation",
            f"{summary['irrigation_mm']:.1f} mm",
            f"{summary['valve_openings']} valve openings",
        ),
        *_use(summary),
        ("rain", f"{summary['rain_mm']:.1f} mm", f"runoff {summary['runoff_mm']:.1f} mm"),
        ("ET", f"{summary['et_mm']:.1f} mm", f"{summary['stress_days']:g} days of stress"),
        (
            "drainage",
            f"{summary['drainage_mm']:.1f} mm",
            f"storage {summary['storage_change_mm']:+.1f} mm",
        ),
        ("balance", f"{summary['balance_error_mm']:.1e} mm", "error of the water balance"),
        ("energy", f"{summary['energy_j']:,.0f} J", "all nodes; model, not measured"),
        ("speed", f"{summary['field_days_per_s']:,.0f} field-days/s", f"{summary['wall_s']:.2f} s"),
    ]
    for name, value, note in rows:
        table.add_row(Text(name, "dim"), value, Text(note, "dim"))
    return table


def side_by_side(columns: Sequence[ComparedRun]) -> None:
    """Figures of runs in columns; what differs from the first in brackets."""
    from levada.sim.results.side_by_side import table as rows

    table = Table.grid(
        Column(""),
        *(Column(plain(column.name), justify="right", overflow="fold") for column in columns),
        padding=(0, 2),
    )
    table.show_header = True
    for name, unit, values, differences in rows(columns):
        cells = [
            Text.assemble(value, (f" ({difference})", "yellow") if difference else "")
            for value, difference in zip(values, differences, strict=True)
        ]
        table.add_row(Text(f"{name} [{unit}]" if unit else name, "dim"), *cells)
    passed, failed = MARKS[True][0], MARKS[False][0]
    verdicts = [
        Text.assemble(f"{c.passed} ", passed, *((f"  {c.failed} ", failed) if c.failed else ()))
        for c in columns
    ]
    table.add_row(Text("expectations", "dim"), *verdicts)
    out.print(table, soft_wrap=True)
    periods = {column.period for column in columns}
    if len(periods) > 1:
        warning("these runs are not of one period: their sums are not of equally many days")


def _use(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What became of the water that the valves let pass, and of the yield."""
    use, relative = summary["irrigation_use"], summary["relative_yield"]
    rows = []
    if use["application_efficiency"] is not None:
        lost = [
            f"{name} {use[key]:.1f} mm"
            for name, key in (("spray", "spray_loss_mm"), ("leaves", "interception_mm"))
            if use[key] > 0.0
        ]
        note = f"application efficiency {100.0 * use['application_efficiency']:.0f} %"
        rows.append(("gross", f"{use['gross_mm']:.1f} mm", ", ".join([note, *lost])))
    if relative is not None:
        rows.append(
            ("yield", f"{100.0 * relative:.1f} %", "of a crop never short of water, FAO-33")
        )
    return rows


def comparison(result: Comparison) -> None:
    """First divergent host call, then the signals that differ."""
    if not result.calls and result.tape is None:
        out.print("host calls: none to compare")
    elif result.tape is None:
        out.print(f"host calls: identical over {result.calls:,} calls")
    else:
        out.print(f"host calls of zone {result.zone} differ", style="bold red")
        out.print(str(result.tape))
    for note in result.notes:
        out.print(note, style="yellow")
    if not result.signals:
        out.print("signals: equal within tolerance")
        return
    heads = ("signal", "zone", "first at", "A", "B", "largest", "allowed")
    table = _grid(*heads, gap=1)
    table.show_header = True
    for s in result.signals:
        table.add_row(
            s.signal,
            s.zone,
            s.first,
            f"{s.a:.6g}",
            f"{s.b:.6g}",
            f"{s.largest:.3g}",
            f"{s.allowed:.3g}",
        )
    out.print(table)


def replay(result: Replay) -> None:
    """Whether the guest did the same again."""
    for note in result.notes:
        out.print(note, style="yellow")
    if result.exact:
        out.print(f"exact: {result.steps:,} steps, {result.calls:,} calls, {result.zones} zone(s)")
    elif result.difference is None:
        out.print(f"the same over {result.calls:,} calls, but the recording is not whole")
    else:
        out.print(f"zone {result.zone} differs", style="bold red")
        out.print(str(result.difference))


def module(info: ModuleInfo, path: Path) -> None:
    """Everything about a guest module."""
    from levada.guest.module.inspect import render

    out.print(render(info, str(path)))


def examination(findings: Sequence[Finding]) -> None:
    """The findings of the doctor."""
    table = _grid("", "", "", "")
    for f in findings:
        mark, _ = MARKS[True if f.ok else None if f.optional else False]
        table.add_row(mark, f.name, Text(f.detail), Text(f.purpose, "dim"))
    out.print(table)


def fit(result: EnergyFit, path: Path) -> None:
    """What a power meter's recording says of the node."""
    err.print(
        f"energy profile fitted to {path.name}: {result.wakes} wakes, {result.bursts} radio "
        f"bursts, residual of a wake {result.wake_residual:.1%}, "
        f"of the total {result.total_residual:.1%}"
    )
    for note in result.notes:
        err.print(f"  {note}")


def error(problem: BaseException) -> None:
    """One clear message."""
    said = ENDLESS.sub(lambda match: f"{match.group()[:SHOWN]}...", plain(redacted(problem)))
    err.print(Text("error: ", "bold red") + Text(said), soft_wrap=True)


def warning(text: str) -> None:
    """What does not change what a command has found."""
    err.print(Text("warning: ", "yellow") + Text(plain(redacted(text))), soft_wrap=True)


def internal(problem: BaseException) -> None:
    """A fault of ours: everything that helps to report it."""
    err.print(
        Text("internal error: ", "bold red")
        + Text(plain(redacted(f"{type(problem).__name__}: {problem}")))
    )
    err.print(redacted("".join(traceback.format_exception(problem))), markup=False, style="dim")
    err.print("This is a fault of levada; please report it with the lines above.")
    sys.stderr.flush()
