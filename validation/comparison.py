"""What each model was compared with: writes `docs/validation.md` and its figures.

`python -m validation` runs every comparison of the modules below; a comparison is a function
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
    "validation.weather",
    "validation.crop",
    "validation.bucket",
    "validation.soil_water",
    "validation.maize_layers",
    "validation.sheep_station",
    "validation.aquacrop_fluxes",
    "validation.richards",
    "validation.node_energy",
    "validation.field_devices",
)

HEAD = """# Validation

What each model was compared with, and how far it was off. Regenerate with `make validate`: the
numbers below are its output, the figures are in `docs/images/validation`, and
`tests/sim/test_validation.py` holds each comparison within its limit. What the models are:
[models.md](models.md).

**Unseen** marks comparisons that were first run after the model was finished, and after which
none of its equations and parameters was changed.

**Where a peer is better:** Ref-ET computes the clear sky that ET0 needs from turbidity and vapour,
levada from elevation alone (1 % of ET0). Which program is nearest to measured soil water stands
below, at "water measured under maize". HYDRUS knows heat, vapour, hysteresis, solutes and two
dimensions; AquaCrop knows yield and a crop that answers to stress. levada knows none of these.
"""

NOTHING = (
    ("[probes](models/probe.md)", "drift, ageing, tensiometer, soil temperature, rain gauge"),
    ("[valves](models/valve.md)", "movement, hardware timer"),
    ("[energy](models/energy.md)", "battery, panel"),
    ("[crop](models/crop.md)", "growth by degree-days"),
    ("[water account](models/water.md)", "losses of sprinklers, runoff, yield, baselines"),
)
"""Models, and parts of them, that nothing from outside was compared with."""


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
    lines += [f"| {model} | - | {part} | - | - | - | - |" for model, part in NOTHING]
    lines += [
        "",
        "A dash: nothing was compared; tests only hold the code to its own equations. Of nodes, "
        "probes and valves others' measurements are cited: none of these numbers is a measurement "
        "of a board of ours, and a recording of a power meter replaces the energy model's "
        "constants.",
    ]
    for c in comparisons:
        if c.note or c.figure:
            lines += ["", f"## {c.model}: {c.name}", ""]
            parts = [c.note, f"![{c.name}]({c.figure})" if c.figure else ""]
            lines.append("\n\n".join(part for part in parts if part))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (DOCS / "validation.md").write_text(page(collect()), encoding="utf-8")
