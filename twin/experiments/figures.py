"""Figures of an experiment as SVG and PDF, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from levada.twin.experiments.analysis import Analysis, Cell

__all__ = ["draw"]

COLOURS: Final = {"A": "#0b6aa6", "B": "#23875a", "C": "#b57a00", "D": "#7c62a8", "E": "#c2391f"}
"""Of strategies, after Okabe and Ito; as in the report of a run."""


def draw(analysis: Analysis, where: Path) -> list[Path]:
    """Draw all figures into a directory; the SVG files."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    style: Any = {"svg.hashsalt": "levada", "svg.fonttype": "none", "font.size": 10}
    where.mkdir(parents=True, exist_ok=True)
    drawn = []
    with matplotlib.rc_context(style):
        for name, title, groups in _figures(analysis):
            figure, axes = pyplot.subplots(figsize=(7.2, 3.2), layout="constrained")
            _bars(axes, groups)
            axes.set_title(title, loc="left", fontsize=11)
            for kind in ("svg", "pdf"):
                metadata: dict[str, Any] = (
                    {"Date": None} if kind == "svg" else {"CreationDate": None}
                )
                figure.savefig(where / f"{name}.{kind}", metadata=metadata)
            pyplot.close(figure)
            drawn.append(where / f"{name}.svg")
    return drawn


def _figures(analysis: Analysis) -> list[tuple[str, str, Mapping[str, Sequence[Cell]]]]:
    def parts(metric: str, statistic: str, *names: str) -> Mapping[str, Sequence[Cell]]:
        return {name: analysis.of(metric, name, statistic) for name in names}

    tiers = ("edge", "broker", "fog", "cloud")
    percentiles = {p: analysis.of("latency", "total", p) for p in ("p50", "p95", "p99")}
    return [
        ("latency", "Board to store: percentiles of latency", percentiles),
        (
            "hops",
            "Where the time goes: median of each hop",
            parts("latency", "p50", "edge", "fog", "uplink", "commit"),
        ),
        (
            "processor-time",
            "What moves when a tier goes native: processor time a message",
            parts("processor time a message", "mean", *tiers),
        ),
        ("memory", "Memory of each process (PSS)", parts("memory, PSS", "mean", *tiers)),
        ("start-up", "Start-up of each process", parts("start-up", "mean", *tiers)),
    ]


def _bars(axes: Any, groups: Mapping[str, Sequence[Cell]]) -> None:
    """Bars by strategy in each group, with their intervals."""
    width = 0.8 / max(len(cells) for cells in groups.values())
    for place, cells in enumerate(groups.values()):
        for number, cell in enumerate(cells):
            i = cell.interval
            axes.bar(
                place + (number - (len(cells) - 1) / 2) * width,
                i.value,
                width * 0.9,
                color=COLOURS[cell.strategy],
                yerr=[[max(0.0, i.value - i.low)], [max(0.0, i.high - i.value)]],
                error_kw={"elinewidth": 1, "capsize": 2},
                label=cell.strategy if place == 0 else None,
            )
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_ylabel(f"{next(iter(groups.values()))[0].unit}, 95 % interval")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        title="strategy",
        ncols=5,
        frameon=False,
        fontsize=9,
        loc="upper left",
        bbox_to_anchor=(0, -0.1),
    )
