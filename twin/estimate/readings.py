"""Which readings of a probe a filter may use, and how far it should trust them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from levada.sim.soil.model import FloatArray
from levada.sim.units import HOUR_MS

__all__ = ["AFTER_IRRIGATION", "error_of", "usable"]

AFTER_IRRIGATION: Final = 3.0
"""A column of one dimension misses the peak below an emitter, so readings count less then."""
SETTLING_MS: Final = 12 * HOUR_MS
"""For so long after the valve closed."""
STUCK: Final = 36
"""So many equal readings in a row are a stuck probe: six hours at ten minutes; a healthy one has
noise of some counts."""
PLAUSIBLE: Final = (0.0, 0.7)
"""Water contents that a soil may have [m3 m-3]."""


def usable(raw: FloatArray, theta: FloatArray, *, stuck: int = STUCK) -> npt.NDArray[np.bool_]:
    """Whether each reading may be used: plausible, and not one of `stuck` equal ones in a row.

    `raw` are counts and `theta` the water contents they stand for, in the order of time.
    """
    low, high = PLAUSIBLE
    good = np.isfinite(theta) & (theta > low) & (theta < high) & (raw >= 0.0)
    begins = np.flatnonzero(np.diff(raw, prepend=np.nan) != 0.0)
    lengths = np.diff(begins, append=len(raw))
    return np.asarray(good & np.repeat(lengths < stuck, lengths))


def error_of(
    time_ms: npt.NDArray[np.int64],
    openings_ms: npt.NDArray[np.int64],
    *,
    sd: float,
) -> FloatArray:
    """Standard deviation of the error of each reading [m3 m-3].

    `openings_ms` has a row (from, to) for each time the valve was open, in the order of time.
    """
    found = np.full(len(time_ms), sd)
    for start_ms, end_ms in openings_ms:
        wet = (time_ms >= start_ms) & (time_ms < end_ms + SETTLING_MS)
        found[wet] = AFTER_IRRIGATION * sd
    return found
