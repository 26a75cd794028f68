"""Runoff of daily rain by the curve number of the NRCS (formerly SCS).

National Engineering Handbook, part 630 (section 4 of old): chapter 10 for the runoff, table 4.2 of
the edition of 1972 for the classes of antecedent moisture.  It needs no intensity, so it serves
daily rain, whose hours are only disaggregated.

Left out: slope, land use that changes with the season, frozen ground and snow, storms that last
over midnight as one (each day is a storm of its own), irrigation as antecedent moisture.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.text.ranges import check_range
from levada.sim.settings.water import Moisture

__all__ = ["curve_numbers", "hourly_runoff", "moisture_classes", "runoff_mm"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DRY, AVERAGE, WET = 0, 1, 2
ANTECEDENT_DAYS: Final = 5
INCH_MM: Final = 25.4
DORMANT_MM: Final = (0.5 * INCH_MM, 1.1 * INCH_MM)
"""Rain of five days below which a dormant field is dry, and above which it is wet."""
GROWING_MM: Final = (1.4 * INCH_MM, 2.1 * INCH_MM)
"""The same of a field with a growing crop."""


def runoff_mm(
    rain_mm: npt.ArrayLike, curve_number: npt.ArrayLike, abstraction: float = 0.2
) -> FloatArray:
    """Runoff Q of a storm [mm]: NEH 630 Eq. 10-9 to 10-13.

    Q = (P - Ia)^2 / (P - Ia + S) where P exceeds Ia = `abstraction` S, with S = 25400/CN - 254.
    The curve number is above 0 and at most 100.  Raises ValueError.
    """
    for number in np.unique(np.asarray(curve_number, np.float64)):
        check_range("curve_number", float(number), 0.0, 100.0, above=True)
    retention_mm = 25_400.0 / np.asarray(curve_number, np.float64) - 254.0
    excess = np.maximum(np.asarray(rain_mm, np.float64) - abstraction * retention_mm, 0.0)
    depth = excess + retention_mm
    return np.asarray(excess**2 / np.where(depth > 0.0, depth, 1.0))


def curve_numbers(average: float) -> tuple[float, float, float]:
    """Curve numbers of dry, average and wet antecedent moisture (CN I, II, III).

    Hawkins et al. (1985), J. Irrig. Drain. Eng. 111(4), 330-340, fitted to NEH-4 table 10.1; ASCE
    Manual 70 (2016), Eq. 14-14 and 14-15.
    """
    return (
        average / (2.281 - 0.01281 * average),
        average,
        average / (0.427 + 0.00573 * average),
    )


def moisture_classes(rain_mm: FloatArray, growing: npt.NDArray[np.bool_]) -> IntArray:
    """Class of antecedent moisture of every day, 0 dry, 1 average, 2 wet: NEH-4 table 4.2 (1972).

    By the rain of the five days before [mm d-1], shape (days,); `growing` says on which days a crop
    grows.  The first five days, of which not all is known, are average.
    """
    total = np.concatenate(([0.0], np.cumsum(rain_mm)))
    classes = np.full(rain_mm.size, AVERAGE, np.int64)
    for day in range(ANTECEDENT_DAYS, rain_mm.size):
        before_mm = total[day] - total[day - ANTECEDENT_DAYS]
        low_mm, high_mm = GROWING_MM if growing[day] else DORMANT_MM
        classes[day] = DRY if before_mm < low_mm else WET if before_mm > high_mm else AVERAGE
    return classes


def _classes(moisture: Moisture, rain_mm: FloatArray, growing: npt.NDArray[np.bool_]) -> IntArray:
    """Class of every day: the same always, or by the rain of five days."""
    if moisture == "five-day-rain":
        return moisture_classes(rain_mm, growing)
    fixed = {"dry": DRY, "average": AVERAGE, "wet": WET}[moisture]
    return np.full(rain_mm.size, fixed, np.int64)


def hourly_runoff(
    rain_mm: FloatArray,
    curve_number: float,
    growing: npt.NDArray[np.bool_],
    *,
    moisture: Moisture = "five-day-rain",
    abstraction: float = 0.2,
) -> FloatArray:
    """Runoff of every hour [mm], shape (24 days,), of rain by the hour.

    Within a day the same curve is followed as the rain adds up, so that the hours' sum is the
    runoff of the day's rain.
    """
    by_day = rain_mm.reshape(-1, 24)
    classes = _classes(moisture, by_day.sum(axis=1), growing)
    numbers = np.array(curve_numbers(curve_number))[classes]
    so_far = runoff_mm(np.cumsum(by_day, axis=1), numbers[:, None], abstraction)
    hourly = np.diff(so_far, axis=1, prepend=0.0).ravel()
    return np.asarray(np.clip(hourly, 0.0, rain_mm))
