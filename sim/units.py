"""Units of time and of quantities, as factors: `7 * DAY_MS` is a week in milliseconds."""

from __future__ import annotations

from typing import Final

__all__ = [
    "DAY_MS",
    "DAY_S",
    "HOUR_MS",
    "HOUR_S",
    "MINUTE_MS",
    "MINUTE_S",
    "SECOND_MS",
    "YEAR_MS",
]

# compiled into kernels, whose cache (levada.guest.fast.jit) therefore watches this file
MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
SECOND_MS: Final = 1_000
MINUTE_MS: Final = MINUTE_S * SECOND_MS
HOUR_MS: Final = HOUR_S * SECOND_MS
DAY_MS: Final = DAY_S * SECOND_MS
YEAR_MS: Final = 365.25 * DAY_MS
"""A Julian year."""
