"""Which curves a zone's chart can show, and how each looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BAND",
    "CLEAR",
    "CROP",
    "CURVES",
    "GRID",
    "INK",
    "RAIN",
    "STRESS",
    "TWIN",
    "WATER",
    "Curve",
]

WATER: Final = "#2b8cc9"
TWIN: Final = "#bd7c0c"
BAND: Final = "rgba(189,124,12,.22)"
CROP: Final = "#2a9d6a"
STRESS: Final = "#d6553c"
RAIN: Final = "#79b8de"
INK: Final = "#7d8b90"
"""Of marks; the style sheet gives text the colour of the paper's other text."""
GRID: Final = "rgba(125,139,144,.22)"
CLEAR: Final = "rgba(0,0,0,0)"
SHARE: Final = "%{y:.1%}"
RATE: Final = "%{y:.2f} mm/h"


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One curve of the zone's chart."""

    label: str
    signal: str
    kind: str
    row: int
    color: str
    dash: str = "solid"
    fill: str | None = None
    width: float = 1.8
    steps: bool = False
    """Whether the value holds until the next one."""
    band: int = 0
    """-1, +1: the value less, or more, what noise explains."""
    hourly: bool = False
    """Whether values are sums a row, to be shown an hour."""
    offset: float = 0.0
    legend: bool = True
    rank: int = 9
    """Place in the legend."""
    hover: str = ""
    """The value as it is told where one points; empty: it is not."""


CURVES: Final = (
    Curve(
        label="band low",
        signal="theta",
        kind="twin",
        row=1,
        color=CLEAR,
        band=-1,
        legend=False,
    ),
    Curve(
        label="Explained by noise",
        signal="theta",
        kind="twin",
        row=1,
        color=CLEAR,
        fill="tonexty",
        band=1,
    ),
    Curve(
        label="Field capacity",
        signal="theta_fc_root",
        kind="twin",
        row=1,
        color=CROP,
        dash="dot",
        width=1.4,
        hover=SHARE,
    ),
    Curve(
        label="Crop stressed below",
        signal="theta_stress_root",
        kind="twin",
        row=1,
        color=STRESS,
        dash="dot",
        width=1.4,
        hover=SHARE,
    ),
    Curve(
        label="Probe",
        signal="theta",
        kind="raw",
        row=1,
        color=WATER,
        width=2.2,
        hover=SHARE,
        rank=1,
    ),
    Curve(
        label="Twin",
        signal="theta",
        kind="twin",
        row=1,
        color=TWIN,
        dash="dash",
        hover=SHARE,
        rank=2,
    ),
    Curve(
        label="Residual",
        signal="residual",
        kind="twin",
        row=2,
        color=STRESS,
        fill="tozeroy",
        width=1.2,
        legend=False,
        hover="%{y:+.2%}",
    ),
    Curve(
        label="Valve of the device",
        signal="valve",
        kind="raw",
        row=3,
        color=WATER,
        steps=True,
        fill="tozeroy",
        legend=False,
    ),
    Curve(
        label="Valve of the twin",
        signal="valve",
        kind="twin",
        row=3,
        color=TWIN,
        steps=True,
        offset=1.3,
        legend=False,
    ),
    Curve(
        label="Rain",
        signal="rain_mm",
        kind="twin",
        row=4,
        color=RAIN,
        steps=True,
        fill="tozeroy",
        hourly=True,
        hover=RATE,
    ),
    Curve(
        label="Evapotranspiration",
        signal="et_mm",
        kind="twin",
        row=4,
        color=CROP,
        hourly=True,
        width=1.4,
        hover=RATE,
    ),
)
