"""report.html, table.csv, table.tex and figures of an experiment."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined

from levada.twin.errors import TwinError
from levada.twin.experiments.analysis import Analysis, Cell, analyse, energy_rows
from levada.twin.experiments.campaign import RECORD, RESULTS
from levada.twin.experiments.figures import draw
from levada.twin.experiments.plan import Experiment
from levada.twin.experiments.statistics import Interval

__all__ = ["ShownTable", "included_table", "write_outputs"]


class ShownTable(NamedTuple):
    """A table of the report."""

    title: str
    note: str
    head: list[str]
    rows: list[list[str]]


def write_outputs(experiment: Experiment, where: Path) -> list[str]:
    """Write everything that is made of the samples in `where`; lines that say what was found."""
    tables = [included_table(Path(file)) for file in experiment.tables]
    analysis = analyse(experiment, pq.read_table(where / RESULTS))
    record = json.loads((where / RECORD).read_text("utf-8"))
    figures = draw(analysis, where / "figures")
    _write_csv(analysis, where)
    (where / "table.tex").write_text(_latex(experiment, analysis), encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("levada.twin.experiments", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    warnings = list(_warnings(experiment, analysis))
    text = environment.get_template("experiment.html").render(
        plan=experiment,
        facts=_facts(experiment, analysis, record),
        warnings=warnings,
        figures=[(f.stem, base64.b64encode(f.read_bytes()).decode("ascii")) for f in figures],
        tables=[*_tables(experiment, analysis), _pairs(analysis), _energy(where), *tables],
        method=_method(analysis),
    )
    (where / "report.html").write_text(text, encoding="utf-8")
    return [*_headline(experiment, analysis), *warnings, str(where / "report.html")]


def _number(value: float) -> str:
    """Three significant digits; a dash for what is not known."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def _between(interval: Interval) -> str:
    low, value, high = map(_number, (interval.low, interval.value, interval.high))
    return f"{value} [{low}, {high}]"


def _facts(experiment: Experiment, analysis: Analysis, record: dict[str, Any]) -> str:
    machine = record["machine"]
    modules = ", ".join(sorted({digest[:12] for digest in record["modules"].values()}))
    return (
        f"{record['starts'][0]}; {machine['cores']} cores of {machine['cpu']}, Linux "
        f"{machine['kernel']}, governor {machine['governor']}; levada "
        f"{machine['versions'].get('levada', '?')}, wasmtime {machine['versions']['wasmtime']}; "
        f"scenario {Path(experiment.scenario).stem}, module {modules}, seed {experiment.seed}; "
        f"{analysis.trials} trials of {experiment.messages} messages at "
        f"{experiment.rate_per_s:g} a second"
    )


def _warnings(experiment: Experiment, analysis: Analysis) -> Iterator[str]:
    if analysis.busy_trials:
        yield (
            f"Busy machine: in {analysis.busy_trials} of {analysis.trials} trials others used more "
            f"than a tenth of its cores (median {analysis.others_pct:.0f} %)."
        )
    if not analysis.half_width_pct <= experiment.half_width_pct:
        yield (
            f"The half-width of {experiment.half_width_pct:g} % was not reached: that of the "
            f"median latency is {analysis.half_width_pct:.1f} %."
        )
    if analysis.least_p_adjusted > 0.05:
        yield (
            "Too few processes: even the clearest difference would have p = "
            f"{analysis.least_p_adjusted:.2f} after correction, so no strategy can be separated."
        )
    unsteady = sum(c.unsteady for c in analysis.of("latency", "total", "p50"))
    if unsteady:
        yield (
            f"In {unsteady} of {analysis.trials} trials the total latency had not become steady by "
            "half-time; their second half counts."
        )


def _headline(experiment: Experiment, analysis: Analysis) -> Iterator[str]:
    for name in experiment.strategies:
        latency = next(c for c in analysis.of("latency", "total", "p50") if c.strategy == name)
        yield f"{name}: {_between(latency.interval)} ms, group {latency.group}"


def _write_csv(analysis: Analysis, where: Path) -> None:
    head = "strategy metric part statistic unit value low high group processes repetitions warm_up"
    with (where / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head.split())
        for c in analysis.cells:
            i = c.interval
            of_cell = [c.strategy, c.metric, c.part, c.statistic, c.unit, i.value, i.low, i.high]
            writer.writerow([*of_cell, c.group, c.processes, c.repetitions, c.warm_up])


def _latex(experiment: Experiment, analysis: Analysis) -> str:
    """The end-to-end latency as a tabular; the letters of equal strategies are superscripts."""
    lines = [
        r"\begin{tabular}{lrrr}",
        r"strategy & p50 [ms] & p95 [ms] & p99 [ms] \\ \hline",
    ]
    for name in experiment.strategies:
        cells = [
            next(c for c in analysis.of("latency", "total", p) if c.strategy == name)
            for p in ("p50", "p95", "p99")
        ]
        shown = " & ".join(rf"{_between(c.interval)}$^{{{c.group}}}$" for c in cells)
        lines.append(rf"{name} & {shown} \\")
    return "\n".join([*lines, r"\end{tabular}", ""])


def _tables(experiment: Experiment, analysis: Analysis) -> Iterator[ShownTable]:
    for metric in dict.fromkeys(c.metric for c in analysis.cells):
        of_metric = [c for c in analysis.cells if c.metric == metric]
        rows = []
        for part, statistic in dict.fromkeys((c.part, c.statistic) for c in of_metric):
            cells = analysis.of(metric, part, statistic)
            rows.append([f"{part}, {statistic}", *(_shown(cell) for cell in cells)])
        fewest = min(c.repetitions for c in of_metric)
        note = (
            f"{of_metric[0].unit}; estimate [95 % interval] group. Strategies with a letter in "
            f"common are not separated. At least {fewest} repetitions a cell."
        )
        title = metric[0].upper() + metric[1:]
        yield ShownTable(title, note, ["", *experiment.strategies], rows)


def _shown(cell: Cell) -> str:
    return f"{_between(cell.interval)} {cell.group}"


def _pairs(analysis: Analysis) -> ShownTable:
    """Pairs of the headline figures; all others are in the samples."""
    rows = []
    wanted = [
        ("latency", "total", "p50"),
        *(("processor time a message", tier, "mean") for tier in ("edge", "fog", "cloud")),
    ]
    for key in wanted:
        for p in analysis.pairs[key]:
            rows.append(
                [
                    f"{key[0]}, {key[1]}: {p.first} against {p.second}",
                    _between(p.ratio),
                    _between(p.delta),
                    _number(p.p_adjusted),
                    "different" if p.separated else "equal as far as the test tells",
                ]
            )
    head = ["", "ratio of means", "Cliff's delta", "p after Holm", ""]
    note = "Of means or medians of processes; intervals by percentile bootstrap, not corrected."
    return ShownTable("Pairs", note, head, rows)


def _energy(where: Path) -> ShownTable:
    rows = [
        [
            str(row["strategy"]),
            *(_between(row[per]) for per in ("steps", "messages", "days")),
            f"{row['instructions_pct']:.3f} %",
        ]
        for row in energy_rows(where)
    ]
    note = (
        "J; model, not measured; nominal [low, high] by the range of its constants, which is no "
        "confidence interval. The instructions of a native guest are not counted (0)."
    )
    head = ["strategy", "a step", "a message", "a day", "of it the guest's instructions"]
    return ShownTable("Energy of the edge", note, head, rows)


def _method(analysis: Analysis) -> str:
    return (
        "Every trial starts broker, cloud, fog and edge afresh, over a real MQTT broker on one "
        "machine; the board is the virtual one. Each block has one trial of every strategy in "
        "random order. Warm-up is cut by MSER-5. Intervals resample whole processes; tests "
        "permute them, corrected after Holm for the pairs of a figure. With these numbers the "
        f"least p after correction is {analysis.least_p_adjusted:.3f}. Method, units and limits "
        "of each metric are in docs/experiments.md."
    )


def included_table(file: Path) -> ShownTable:
    """A table of another command: Parquet, or JSON as a list of objects; raises TwinError."""
    try:
        if file.suffix == ".parquet":
            rows = pq.read_table(file).to_pylist()
        else:
            rows = json.loads(file.read_text("utf-8"))
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            raise ValueError("a list of objects is wanted")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TwinError(f"{file}: cannot be included as a table: {error}") from None
    head = list(dict.fromkeys(str(key) for row in rows for key in row))
    shown = [
        [_number(v) if isinstance(v, float) else str(v) for v in (row.get(k, "–") for k in head)]
        for row in rows
    ]
    return ShownTable(file.stem.replace("-", " ").replace("_", " "), "", head, shown)
