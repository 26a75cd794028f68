"""What a forecast says of the rain of the next day, made of the weather that will come.

Days with at least 1 mm are rainy.  Of those the forecast tells with the probability of detection H
(hit rate); on dry days it gives as many false alarms as make the false alarm ratio F: with W rainy
and D dry days, H W F / (1 - F) of them, so each with that number over D as its probability, 1 at
most.  Both are the scores of Wilks (2011), Statistical Methods in the Atmospheric Sciences, 3rd
ed., section 8.2.  Amounts are multiplied by lognormal numbers with mean 1; a false alarm has the
amount of a rainy day drawn from the period, spread over the day.

Left out: a forecast does not become better as the day comes nearer.
"""

from __future__ import annotations

from math import log
from typing import Final

import numpy as np

from levada.sim.settings.station import Forecast
from levada.sim.weather.series import FloatArray

__all__ = ["WET_DAY_MM", "expected_rain_mm", "told_rain_mm"]

WET_DAY_MM: Final = 1.0
"""A day with as much is rainy (WMO-No. 1203, 2017, R1)."""
HOURS: Final = 24


def told_rain_mm(
    rain_mm: FloatArray, forecast: Forecast, generator: np.random.Generator
) -> FloatArray:
    """Rain of every hour as the forecast has it, shape (24 days,) like `rain_mm` [mm]."""
    days = rain_mm.reshape(-1, HOURS)
    total = days.sum(axis=1)
    rainy = total >= WET_DAY_MM
    n, wet = days.shape[0], int(rainy.sum())
    missed = rainy & (generator.random(n) >= forecast.hit_rate)
    variance = log(1.0 + forecast.amount_error**2)
    factor = np.exp(np.sqrt(variance) * generator.standard_normal(n) - variance / 2.0)
    told = days * np.where(missed, 0.0, factor)[:, None]
    if wet and wet < n:
        odds = forecast.false_alarm_ratio / (1.0 - forecast.false_alarm_ratio)
        alarm = ~rainy & (generator.random(n) < forecast.hit_rate * wet * odds / (n - wet))
        amounts = generator.choice(total[rainy], n) * factor
        told[alarm] = amounts[alarm, None] / HOURS
    return told.reshape(-1)


def expected_rain_mm(told_mm: FloatArray) -> FloatArray:
    """At every hour, the rain of the 24 hours that begin there [mm], shape of `told_mm`.

    Beyond the end of the weather there is none.
    """
    ahead = np.concatenate((told_mm, np.zeros(HOURS)))
    windows = np.lib.stride_tricks.sliding_window_view(ahead, HOURS)[: told_mm.size]
    expected: FloatArray = windows.sum(axis=1)
    return expected
