"""Crops by name: the tables of FAO-56 (Allen et al. 1998).

Stage lengths are of Table 11 (which gives several climates a crop; the last column says which was
taken), heights of Table 12, basal crop coefficients of Table 17, root depths and depletion
fractions of Table 22.  Where a table prints a range of coefficients the value is its middle.  Root
depths keep their range: the smaller suits irrigation scheduling, the larger rainfed crops, and
`levada.sim.crop.crop.crop` takes the middle.

All are starting values: local stage lengths are worth more than any table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ALIASES", "TABLE", "CropRow"]


class CropRow(NamedTuple):
    """One crop."""

    stages_d: tuple[float, ...]
    """Initial, development, mid-season, late season [days], Table 11."""
    kcb: tuple[float, ...]
    """Initial, mid-season, end, Table 17."""
    height_m: float
    """Highest, Table 12."""
    zr_m: tuple[float, ...]
    """Deepest effective roots, range, Table 22."""
    p: float
    """Depletion fraction for no stress at ETc of 5 mm/d, Table 22."""
    perennial: bool
    """Roots are as deep at the start of the season as they ever are."""
    climate: str
    """The line of Table 11."""


# name       | stages [d]     | Kcb            | h [m]| Zr [m]  | p    | climate
_TEXT: Final = """
alfalfa      | 10  30  25  10 | 0.30 1.15 1.10 | 0.70 | 1.0 2.0 | 0.55 | perennial, first cutting cycle, Apr, Idaho
almond       | 30  50 130  30 | 0.20 0.85 0.60 | 5.00 | 1.0 2.0 | 0.40 | perennial, deciduous orchard, Mar, California
apple        | 20  70  90  30 | 0.35 0.90 0.65 | 4.00 | 1.0 2.0 | 0.50 | perennial, deciduous orchard, Mar, high latitudes
barley       | 20  25  60  30 | 0.15 1.10 0.15 | 1.00 | 1.0 1.5 | 0.55 | Mar-Apr, 35-45 degrees
bean dry     | 20  30  40  20 | 0.15 1.10 0.25 | 0.40 | 0.6 0.9 | 0.45 | May-Jun, continental
bean green   | 20  30  30  10 | 0.15 1.00 0.80 | 0.40 | 0.5 0.7 | 0.45 | Feb-Mar, California, Mediterranean
broccoli     | 35  45  40  15 | 0.15 0.95 0.85 | 0.30 | 0.4 0.6 | 0.45 | Sep, Californian desert
cabbage      | 40  60  50  15 | 0.15 0.95 0.85 | 0.40 | 0.5 0.8 | 0.45 | Sep, Californian desert
carrot       | 30  40  60  20 | 0.15 0.95 0.85 | 0.30 | 0.5 1.0 | 0.35 | Feb-Mar, Mediterranean
citrus       | 60  90 120  95 | 0.65 0.60 0.65 | 4.00 | 1.2 1.5 | 0.50 | perennial, Jan, Mediterranean
cotton       | 30  50  60  55 | 0.15 1.12 0.45 | 1.35 | 1.0 1.7 | 0.65 | Mar-May, Egypt, Pakistan, California
cucumber     | 20  30  40  15 | 0.15 0.95 0.70 | 0.30 | 0.7 1.2 | 0.50 | Jun-Aug, arid
eggplant     | 30  45  40  25 | 0.15 1.00 0.80 | 0.80 | 0.7 1.2 | 0.45 | May-Jun, Mediterranean
grape table  | 20  50  75  60 | 0.15 0.80 0.40 | 2.00 | 1.0 2.0 | 0.35 | perennial, Mar, California
grape wine   | 30  60  40  80 | 0.15 0.65 0.40 | 1.75 | 1.0 2.0 | 0.45 | perennial, Apr, mid latitudes
groundnut    | 35  45  35  25 | 0.15 1.10 0.50 | 0.40 | 0.5 1.0 | 0.50 | May-Jun, Mediterranean
lentil       | 20  30  60  40 | 0.15 1.05 0.20 | 0.50 | 0.6 0.8 | 0.50 | Apr, Europe
lettuce      | 20  30  15  10 | 0.15 0.90 0.90 | 0.30 | 0.3 0.5 | 0.30 | Apr, Mediterranean
maize        | 30  40  50  50 | 0.15 1.15 0.15 | 2.00 | 1.0 1.7 | 0.55 | Apr, Idaho
maize sweet  | 20  25  25  10 | 0.15 1.10 1.00 | 1.50 | 0.8 1.2 | 0.50 | May-Jun, Mediterranean
melon        | 25  35  40  20 | 0.15 1.00 0.70 | 0.40 | 0.8 1.5 | 0.40 | May, Mediterranean
millet       | 20  30  55  35 | 0.15 0.95 0.20 | 1.50 | 1.0 2.0 | 0.55 | Apr, central USA
olive        | 30  90  60  90 | 0.55 0.65 0.65 | 4.00 | 1.2 1.7 | 0.65 | perennial, Mar, Mediterranean
onion        | 15  25  70  40 | 0.15 0.95 0.65 | 0.40 | 0.3 0.6 | 0.30 | Apr, Mediterranean
pea          | 20  30  35  15 | 0.15 1.10 1.05 | 0.50 | 0.6 1.0 | 0.35 | Mar-Apr, Mediterranean
pepper       | 30  35  40  20 | 0.15 1.00 0.80 | 0.70 | 0.5 1.0 | 0.30 | Apr-Jun, Europe, Mediterranean
pistachio    | 20  60  30  40 | 0.20 1.05 0.40 | 4.00 | 1.0 1.5 | 0.40 | perennial, Feb, Mediterranean
potato       | 25  30  45  30 | 0.15 1.10 0.65 | 0.60 | 0.4 0.6 | 0.35 | May, continental
rice         | 30  30  60  30 | 1.00 1.15 0.57 | 1.00 | 0.5 1.0 | 0.20 | Dec, May, tropics, Mediterranean
sorghum      | 20  35  40  30 | 0.15 1.00 0.35 | 1.50 | 1.0 2.0 | 0.55 | May-Jun, USA, Pakistan, Mediterranean
soybean      | 20  35  60  25 | 0.15 1.10 0.30 | 0.75 | 0.6 1.3 | 0.50 | May, central USA
spinach      | 20  20  20   5 | 0.15 0.90 0.85 | 0.30 | 0.3 0.5 | 0.20 | Apr, Sep, Oct, Mediterranean
squash       | 25  35  25  15 | 0.15 0.90 0.70 | 0.30 | 0.6 1.0 | 0.50 | Apr, Dec, Mediterranean, arid
sugar beet   | 50  40  50  40 | 0.15 1.15 0.50 | 0.50 | 0.7 1.2 | 0.55 | Apr, Idaho
sunflower    | 25  35  45  25 | 0.15 1.10 0.25 | 2.00 | 0.8 1.5 | 0.45 | Apr-May, Mediterranean, California
sweet potato | 20  30  60  40 | 0.15 1.10 0.55 | 0.40 | 1.0 1.5 | 0.65 | Apr, Mediterranean
tomato       | 30  40  45  30 | 0.15 1.10 0.70 | 0.60 | 0.7 1.5 | 0.40 | Apr-May, Mediterranean
watermelon   | 20  30  30  30 | 0.15 0.95 0.70 | 0.40 | 0.8 1.5 | 0.40 | Apr, Italy
wheat        | 20  25  60  30 | 0.15 1.10 0.15 | 1.00 | 1.0 1.5 | 0.55 | Mar-Apr, 35-45 degrees
wheat winter | 30 140  40  30 | 0.15 1.10 0.15 | 1.00 | 1.5 1.8 | 0.55 | Nov, Mediterranean
"""  # noqa: E501 - one crop a line


def _row(line: str) -> tuple[str, CropRow]:
    name, stages, kcb, height, zr, p, climate = (cell.strip() for cell in line.split("|"))

    def numbers(cell: str) -> tuple[float, ...]:
        return tuple(float(number) for number in cell.split())

    return name, CropRow(
        stages_d=numbers(stages),
        kcb=numbers(kcb),
        height_m=float(height),
        zr_m=numbers(zr),
        p=float(p),
        perennial=climate.startswith("perennial"),
        climate=climate.removeprefix("perennial, "),
    )


TABLE: Final[dict[str, CropRow]] = dict(_row(line) for line in _TEXT.strip().splitlines())

ALIASES: Final = {
    "aubergine": "eggplant",
    "beet": "sugar beet",
    "corn": "maize",
    "courgette": "squash",
    "grape": "grape wine",
    "lucerne": "alfalfa",
    "orange": "citrus",
    "peanut": "groundnut",
    "pumpkin": "squash",
    "soya": "soybean",
    "sweet corn": "maize sweet",
    "sweetcorn": "maize sweet",
    "vine": "grape wine",
    "winter wheat": "wheat winter",
    "zucchini": "squash",
}
"""Other English names of crops, and those that the table has."""
