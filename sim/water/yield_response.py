"""Yield of a crop that was short of water, relative to one that was not.

J. Doorenbos and A. H. Kassam (1979), FAO Irrigation and Drainage Paper 33: 1 - Ya/Ym =
Ky (1 - ETa/ETm), over the season or a stage; factors of its table 24.  Stages are combined as a
product (Rao, Sarma and Chander 1988, Agric. Water Manage. 13, 25-32).

FAO-33 has four stages by what the crop does, FAO-56 four by its cover.  They are laid over each
other so: vegetative is initial and development together; mid-season is flowering, or yield
formation of crops without a figure for flowering; late is yield formation, or ripening where yield
formation was mid-season's or has no figure.

Limits: high-yielding varieties, well adapted and without any other want; deficits of up to half of
ETm; water logging, heat and salt are not in it; quality is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

__all__ = [
    "LARGEST_DEFICIT",
    "STAGES",
    "TABLE",
    "YieldResponse",
    "deficit",
    "relative_yield",
    "response",
]

STAGES: Final = ("vegetative", "mid", "late")
LARGEST_DEFICIT: Final = 0.5
"""1 - ETa/ETm up to which the factors hold, FAO-33 part A."""

_DASH: Final = "-"

# crop       | vegetative flowering yield-formation ripening | total growing period
_TEXT: Final = """
alfalfa      | -    -    -    -    | 1.10
bean dry     | 0.20 1.10 0.75 0.20 | 1.15
bean green   | 0.20 1.10 0.75 0.20 | 1.15
cabbage      | 0.20 -    0.45 0.60 | 0.95
citrus       | -    -    -    -    | 1.10
cotton       | 0.20 0.50 -    0.25 | 0.85
grape table  | -    -    -    -    | 0.85
grape wine   | -    -    -    -    | 0.85
groundnut    | 0.20 0.80 0.60 0.20 | 0.70
maize        | 0.40 1.50 0.50 0.20 | 1.25
onion        | 0.45 -    0.80 0.30 | 1.10
pea          | 0.20 0.90 0.70 0.20 | 1.15
pepper       | -    -    -    -    | 1.10
potato       | 0.80 -    0.70 0.20 | 1.10
sorghum      | 0.20 0.55 0.45 0.20 | 0.90
soybean      | 0.20 0.80 1.00 -    | 0.85
sugar beet   | -    -    -    -    | 1.00
sunflower    | 0.50 1.00 0.80 -    | 0.95
tomato       | 0.40 1.10 0.80 0.40 | 1.05
watermelon   | 0.70 0.80 0.80 0.30 | 1.10
wheat        | 0.20 0.65 0.55 -    | 1.15
wheat winter | 0.20 0.60 0.50 -    | 1.00
"""
"""FAO-33 table 24; of a vegetative stage printed in two halves the larger factor; of a range the
end that FAO-56 table 24 gives too."""


@dataclass(frozen=True, kw_only=True)
class YieldResponse:
    """Yield response factors of a crop."""

    total: float
    """Of the whole growing period."""
    stages: tuple[float, float, float] | None = None
    """Of the vegetative stage, mid-season and late season; None if the table has none."""


def _response(line: str) -> tuple[str, YieldResponse]:
    name, cells, total = (cell.strip() for cell in line.split("|"))
    vegetative, flowering, formation, ripening = (
        None if cell == _DASH else float(cell) for cell in cells.split()
    )
    if vegetative is None:
        return name, YieldResponse(total=float(total))
    mid, late = (flowering, formation) if flowering is not None else (formation, ripening)
    if late is None:
        late = ripening
    assert mid is not None and late is not None
    return name, YieldResponse(total=float(total), stages=(vegetative, mid, late))


TABLE: Final[dict[str, YieldResponse]] = dict(map(_response, _TEXT.strip().splitlines()))


def response(
    name: str | None,
    ky: float | None = None,
    stages: tuple[float, float, float] | None = None,
) -> YieldResponse | None:
    """The factors of a crop by name, those given in their place; None if there are none."""
    known = TABLE.get(name or "")
    total = ky if ky is not None else known.total if known is not None else None
    if total is None:
        return None
    if stages is None and known is not None and ky is None:
        stages = known.stages
    return YieldResponse(total=total, stages=stages)


def deficit(et_mm: float, lost_mm: float) -> float:
    """1 - ETa/ETm of a stage or a season, where ETm = ETa + what stress withheld."""
    lost_mm = max(lost_mm, 0.0)
    return lost_mm / (et_mm + lost_mm) if et_mm + lost_mm > 0.0 else 0.0


def relative_yield(factors: Sequence[float], deficits: Sequence[float]) -> float:
    """Ya/Ym, 0 to 1: the product over the stages of 1 - Ky (1 - ETa/ETm); one for the season."""
    return prod(max(1.0 - ky * missing, 0.0) for ky, missing in zip(factors, deficits, strict=True))
