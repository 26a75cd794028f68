"""What the samples say: a row for every strategy, metric and part, with interval and group."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from levada.twin.experiments.campaign import ENERGY, steady
from levada.twin.experiments.machine import BUSY_SHARE
from levada.twin.experiments.plan import Experiment
from levada.twin.experiments.statistics import (
    Interval,
    Pair,
    Sample,
    compare,
    equal_groups,
    hierarchical_interval,
    least_p,
)

__all__ = ["PERCENTILES", "Analysis", "Cell", "analyse", "energy_rows"]

PERCENTILES: Final = (50, 95, 99)
PARTS: Final = {
    "latency": ("total", "edge", "fog", "uplink", "commit"),
    "processor time a message": ("edge", "broker", "fog", "cloud"),
    "memory, PSS": ("edge", "broker", "fog", "cloud"),
    "memory, peak": ("edge", "broker", "fog", "cloud"),
    "start-up": ("edge", "broker", "fog", "cloud"),
}
"""Metric -> its parts, as they are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One figure of one strategy."""

    strategy: str
    metric: str
    part: str
    statistic: str
    unit: str
    interval: Interval
    """95 %, over processes."""
    group: str
    """Strategies with a letter in common are not separated by the test."""
    processes: int
    repetitions: int
    warm_up: int
    """Most iterations left out at the start of a process."""
    unsteady: int
    """Processes in which no end of the warm-up was found: their second half counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """Everything that tables and figures show."""

    cells: list[Cell]
    pairs: dict[tuple[str, str, str], list[Pair]]
    """Metric, part, statistic -> all pairs of strategies."""
    half_width_pct: float
    """Widest of the strategies' intervals of the median latency, relative."""
    others_pct: float
    """Share of all cores that others used, the median over trials."""
    busy_trials: int
    trials: int
    least_p_adjusted: float
    """Least p that so few processes can give, corrected for all pairs of a metric."""

    def of(self, metric: str, part: str, statistic: str) -> list[Cell]:
        """The cells of one figure, a strategy each."""
        wanted = metric, part, statistic
        return [c for c in self.cells if (c.metric, c.part, c.statistic) == wanted]


def _statistics(metric: str) -> Iterator[tuple[str, Callable[[Sample], float]]]:
    if metric != "latency":
        yield "mean", lambda x: float(np.mean(x))
        return
    for percent in PERCENTILES:
        yield f"p{percent}", lambda x, q=percent: float(np.percentile(x, q))  # type: ignore[misc]


def analyse(experiment: Experiment, found: pa.Table) -> Analysis:
    """Intervals, tests and groups of all that was measured."""
    cells: list[Cell] = []
    pairs: dict[tuple[str, str, str], list[Pair]] = {}
    units = dict(zip(found["metric"].to_pylist(), found["unit"].to_pylist(), strict=True))
    for metric, parts in PARTS.items():
        for part in parts:
            read = {s: steady(found, s, metric, part) for s in experiment.strategies}
            for name, statistic in _statistics(metric):
                by_process = {
                    s: [statistic(g) for g in groups] for s, (groups, _, _) in read.items()
                }
                compared = compare(by_process)
                pairs[metric, part, name] = compared
                letters = equal_groups(experiment.strategies, compared)
                cells += [
                    Cell(
                        strategy=strategy,
                        metric=metric,
                        part=part,
                        statistic=name,
                        unit=units[metric],
                        interval=hierarchical_interval(groups, statistic, seed=experiment.seed),
                        group=letters[strategy],
                        processes=len(groups),
                        repetitions=sum(map(len, groups)),
                        warm_up=longest,
                        unsteady=unsteady,
                    )
                    for strategy, (groups, longest, unsteady) in read.items()
                ]
    return _summed(experiment, found, cells, pairs)


def _summed(
    experiment: Experiment,
    found: pa.Table,
    cells: list[Cell],
    pairs: dict[tuple[str, str, str], list[Pair]],
) -> Analysis:
    shares = np.concatenate(
        [
            np.concatenate(steady(found, strategy, "others on this machine", "all")[0])
            for strategy in experiment.strategies
        ]
    )
    medians = [c for c in cells if (c.metric, c.part, c.statistic) == ("latency", "total", "p50")]
    count = len(experiment.strategies) * (len(experiment.strategies) - 1) // 2
    processes = min(c.processes for c in medians)
    return Analysis(
        cells=cells,
        pairs=pairs,
        half_width_pct=100 * max(c.interval.half_width for c in medians),
        others_pct=float(np.median(shares)),
        busy_trials=int(np.sum(shares > 100 * BUSY_SHARE)),
        trials=len(shares),
        least_p_adjusted=min(1.0, least_p(processes, processes) * max(1, count)),
    )


def energy_rows(where: Path) -> list[dict[str, Any]]:
    """Energy of the edge by the model, a row a strategy, each with its range."""
    rows = []
    for strategy, model in json.loads((where / ENERGY).read_text("utf-8")).items():
        row: dict[str, Any] = {"strategy": strategy, "label": model["label"]}
        for per in ("days", "steps", "messages"):
            row[per] = Interval(
                *(model[f"{key}_j"] / model[per] for key in ("low", "nominal", "high"))
            )
        share = model["instructions_j"]["nominal_j"] / model["nominal_j"]
        row["instructions_pct"] = 100 * share
        rows.append(row)
    return rows
