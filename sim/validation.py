"""What each model was compared with: writes `docs/validation.md` and its figures.

`python -m sim.validation` runs every comparison of the modules below; a comparison is a function
`validate_*` that returns a `Comparison`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["DATA", "Comparison", "collect", "figure", "page"]

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DATA = ROOT / "tests" / "sim" / "data"
"""Measurements and numbers of other programs, each file with its source."""

MODULES = (
    "sim.validation_weather",
    "sim.validation_crop",
    "sim.validation_richards",
)

HEAD = """# Validation

What each model was compared with, and how far it was off. Regenerate with `make validate`; the
numbers below are its output, the figures are in `docs/images/validation`. "Unseen" marks
comparisons that were not run before the model was finished.
"""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One model beside something from outside."""

    model: str
    name: str
    data: str
    """What both were given."""
    period: str
    reference: str
    """Program, publication or calculation, with its source."""
    version: str
    """Of the reference program; "-" where it is a formula."""
    error: str
    """As the page prints it."""
    worst: float
    """The number that a test holds below `limit`, same unit as in `error`."""
    limit: float
    figure: str = ""
    """Path below docs/, or none."""
    note: str = ""
    unseen: bool = False


def figure(name: str, draw: Callable[[Any], None], *, columns: int = 1) -> str:
    """Draw a figure with matplotlib; its path below docs/.

    `draw` gets the axes (an array of them for several columns).  The file is equal from run to run.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "levada", "font.size": 9, "svg.fonttype": "none"})
    path = f"images/validation/{name}.svg"
    (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
    canvas, axes = pyplot.subplots(1, columns, figsize=(3.2 * columns + 1.0, 3.2))
    draw(axes)
    for each in np.atleast_1d(axes):
        each.grid(alpha=0.3)
    canvas.tight_layout()
    canvas.savefig(DOCS / path, metadata={"Date": None})
    pyplot.close(canvas)
    return path


def collect() -> list[Comparison]:
    """Every comparison of every module, in order."""
    found: list[Comparison] = []
    for name in MODULES:
        module = importlib.import_module(name)
        found += [f() for key, f in vars(module).items() if key.startswith("validate_")]
    return found


def page(comparisons: Iterable[Comparison]) -> str:
    """The page, in Markdown."""
    comparisons = list(comparisons)
    lines = [
        HEAD,
        "| model | compared with | data | period | version | error | |",
        "|" + " --- |" * 7,
    ]
    for c in comparisons:
        plot = f"[plot]({c.figure})" if c.figure else "-"
        unseen = " (unseen)" if c.unseen else ""
        lines.append(
            f"| {c.model} | **{c.name}**{unseen}: {c.reference} | {c.data} | {c.period} "
            f"| {c.version} | {c.error} | {plot} |"
        )
    for c in comparisons:
        if c.note or c.figure:
            lines += ["", f"## {c.model}: {c.name}", ""]
            if c.note:
                lines += [c.note, ""]
            if c.figure:
                lines.append(f"![{c.name}]({c.figure})")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (DOCS / "validation.md").write_text(page(collect()), encoding="utf-8")
