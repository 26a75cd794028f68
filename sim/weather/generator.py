"""Weather that could have been: a seeded generator fitted to measured days.

After Richardson (1981), Water Resour. Res. 17:182-190, and WGEN (Richardson and Wright 1984,
USDA-ARS ARS-8), with two quantities more.

rain        wet or dry by a two-state Markov chain with probabilities of the month; the amount of a
            wet day gamma distributed with the mean of the month and the shape of all (Thom 1958)
the rest    highest temperature, daily range (log), clearness of the sky (logit of radiation over
            extraterrestrial), dew point below lowest temperature, wind (log).  Each is a yearly
            course plus a step on wet days plus a residual; residuals follow Richardson's first
            order autoregression with all cross correlations, as normal scores, and are mapped back
            by the quantiles of the measured ones

A month with fewer than ten measured days is not generated.  Left out: differences between years
(one year of data has none: wet years are too seldom), trends, dry spells longer than a Markov
chain makes them, rain that correlates with the depth of a depression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.text.ranges import check_range
from levada.sim.errors import WeatherError
from levada.sim.seeds import generator
from levada.sim.settings.explain import bounds_of
from levada.sim.settings.weather import RainFactor, WarmingC
from levada.sim.units import DAY_MS
from levada.sim.weather import Days, Site, Weather, from_days
from levada.sim.weather.disaggregate import extraterrestrial_mj_m2, saturation_kpa

__all__ = ["Climate", "fit", "generate"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_WET_MM: Final = 0.1
_FEWEST_DAYS: Final = 60
_FEWEST_DAYS_OF_A_MONTH: Final = 10
_DARKEST, _CLEAREST = 0.01, 0.85  # radiation over extraterrestrial: thick cloud; high mountains
_PRIOR_DAYS: Final = 1.0  # of the whole file, added to each month's counts: none is ever empty
_LEAST_SPREAD = 1e-9  # of wind that was estimated, and is the same every day
_COMPUTED = "its reference ET is not learnt: that of random weather is computed"
_QUANTITIES: Final = 5
_SETTLING_DAYS: Final = 60  # the autoregression forgets its start


@dataclass(frozen=True, kw_only=True, eq=False)
class Climate:
    """What `fit` learned; months are rows 0 to 11."""

    site: Site
    source: str
    sha256: str
    notes: tuple[str, ...]
    """Of the weather that was fitted."""
    months: BoolArray
    """Months with enough days to be generated."""
    wet_after_dry: FloatArray
    """Probability by month, shape (12,)."""
    wet_after_wet: FloatArray
    wet_day_mm: FloatArray
    """Mean rain of a wet day by month."""
    shape: float
    """Of the gamma distribution."""
    course: FloatArray
    """Coefficients of yearly course and wet day, shape (terms, quantities)."""
    spread: FloatArray
    """Standard deviation of residuals on dry and wet days, shape (2, quantities)."""
    quantiles: FloatArray
    """Standardised residuals in ascending order, shape (days, quantities)."""
    memory: FloatArray
    """A of Richardson's z_t = A z_(t-1) + B e_t."""
    noise: FloatArray
    """B, a square root of M0 - A M1'."""

    def wet_share(self) -> FloatArray:
        """Long-term share of wet days by month, shape (12,)."""
        return self.wet_after_dry / (1.0 + self.wet_after_dry - self.wet_after_wet)


def fit(weather: Weather) -> Climate:
    """The climate of measured days, two months at least; raises WeatherError."""
    days = weather.days
    if len(days) < _FEWEST_DAYS:
        raise WeatherError(
            weather.source, 0, f"{len(days)} days", f"at least {_FEWEST_DAYS} are needed for a fit"
        )
    month = _month(days.time_ms)
    wet = days.rain_mm >= _WET_MM
    after_dry, after_wet = _transitions(month, wet)
    amounts, shape = _amounts(month, days.rain_mm, wet)
    values = _to_quantities(days, weather.site)
    terms = _terms(days.day_of_year, wet)
    course = np.asarray(np.linalg.lstsq(terms, values, rcond=None)[0], np.float64)
    residual = values - terms @ course
    spread = np.empty((2, _QUANTITIES))
    for state in (0, 1):
        rows = residual[wet == bool(state)]
        spread[state] = (rows if len(rows) > 20 else residual).std(axis=0)
    spread = np.maximum(spread, _LEAST_SPREAD)
    standard = residual / spread[wet.astype(np.int64)]
    memory, noise = _autoregression(_scores(standard))
    return Climate(
        site=weather.site,
        source=weather.source,
        sha256=weather.sha256,
        notes=(*weather.notes, *([_COMPUTED] if weather.reference_et else [])),
        months=np.bincount(month, minlength=12) >= _FEWEST_DAYS_OF_A_MONTH,
        wet_after_dry=after_dry,
        wet_after_wet=after_wet,
        wet_day_mm=amounts,
        shape=shape,
        course=course,
        spread=spread,
        quantiles=np.sort(standard, axis=0),
        memory=memory,
        noise=noise,
    )


def generate(
    climate: Climate,
    start: date,
    end: date,
    *,
    seed: int,
    rain_factor: float = 1.0,
    warming_c: float = 0.0,
) -> Weather:
    """Weather from `start` to `end`, both included, from the stream `weather` of a root seed.

    `rain_factor` multiplies every rain, `warming_c` is added to temperatures and dew point (so that
    relative humidity hardly changes).  Raises ValueError, for months without data WeatherError.
    """
    count = (end - start).days + 1
    if count < 1:
        raise ValueError(f"end = {end}: before start = {start}")
    check_range("rain_factor", rain_factor, **bounds_of(RainFactor))
    check_range("warming_c", warming_c, **bounds_of(WarmingC), unit="degC")
    time_ms = (np.datetime64(start, "D") + np.arange(count)).astype("datetime64[ms]")
    days_ms = time_ms.astype(np.int64)
    month = _month(days_ms)
    absent = sorted({int(m) + 1 for m in month if not climate.months[m]})
    if absent:
        raise WeatherError(
            climate.source,
            0,
            f"fewer than {_FEWEST_DAYS_OF_A_MONTH} days of months {absent}",
            "they cannot be generated: fit a longer file, or leave them out of the period",
        )
    stream = generator(seed, "weather")
    wet = _spells(climate, month, stream.random(count))
    gamma = stream.gamma(climate.shape, 1.0 / climate.shape, count)
    rain = np.where(wet, np.maximum(gamma * climate.wet_day_mm[month], _WET_MM), 0.0) * rain_factor
    score = np.zeros((count, _QUANTITIES))
    shock = stream.standard_normal((count + _SETTLING_DAYS, _QUANTITIES)) @ climate.noise.T
    state = np.zeros(_QUANTITIES)
    for day in range(-_SETTLING_DAYS, count):
        state = climate.memory @ state + shock[day + _SETTLING_DAYS]
        if day >= 0:
            score[day] = state
    normal = _normal_quantiles(len(climate.quantiles))
    standard = np.column_stack(
        [np.interp(score[:, q], normal, climate.quantiles[:, q]) for q in range(_QUANTITIES)]
    )
    terms = _terms(_day_of_year(days_ms), wet, climate.course.shape[0])
    values = terms @ climate.course + standard * climate.spread[wet.astype(np.int64)]
    days = _from_quantities(values, days_ms, rain, climate.site, warming_c)
    made = from_days(days, climate.site.but(wind_height_m=2.0), seed=int(stream.integers(2**31)))
    return replace(
        made,
        source=f"generated after {climate.source}",
        sha256=climate.sha256,
        notes=(
            f"generated weather, seed {seed}",
            *(f"fitted weather: {note}" for note in climate.notes),
        ),
    )


def _transitions(month: IntArray, wet: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Probability of a wet day after a dry and after a wet one, by the month of the second.

    The first-order Markov chain of Richardson (1981).
    """
    probability = []
    for before in (False, True):
        chosen = wet[:-1] == before
        overall = wet[1:][chosen].mean() if chosen.any() else 0.0
        counts = np.bincount(month[1:][chosen], minlength=12)
        hits = np.bincount(month[1:][chosen], weights=wet[1:][chosen], minlength=12)
        probability.append((hits + _PRIOR_DAYS * overall) / (counts + _PRIOR_DAYS))
    return probability[0], probability[1]


def _amounts(month: IntArray, rain_mm: FloatArray, wet: BoolArray) -> tuple[FloatArray, float]:
    """Mean rain of a wet day by month, and the gamma shape of amounts over that mean.

    Thom (1958): the shape from the difference of log mean and mean log.
    """
    if not wet.any():
        return np.zeros(12), 1.0
    counts = np.bincount(month[wet], minlength=12)
    sums = np.bincount(month[wet], weights=rain_mm[wet], minlength=12)
    means = (sums + _PRIOR_DAYS * rain_mm[wet].mean()) / (counts + _PRIOR_DAYS)
    relative = rain_mm[wet] / means[month[wet]]
    gap = math.log(relative.mean()) - float(np.log(relative).mean())
    if gap < 1e-6:  # all amounts alike
        return means, 1000.0
    return means, (1.0 + math.sqrt(1.0 + 4.0 * gap / 3.0)) / (4.0 * gap)  # Thom (1958)


def _spells(climate: Climate, month: IntArray, draw: FloatArray) -> BoolArray:
    wet = np.zeros(draw.size, np.bool_)
    chance = climate.wet_share()[month[0]]
    for day in range(draw.size):
        wet[day] = draw[day] < chance
        if day + 1 < draw.size:
            following = climate.wet_after_wet if wet[day] else climate.wet_after_dry
            chance = following[month[day + 1]]
    return wet


def _terms(day_of_year: IntArray, wet: BoolArray, count: int | None = None) -> FloatArray:
    """Yearly course and wet day as columns: the Fourier terms of Richardson (1981).

    Two harmonics need most of a year; a part of one is followed by the first alone.
    """
    angle = 2.0 * np.pi * day_of_year / 365.25
    columns = [np.ones(angle.size), wet.astype(np.float64), np.cos(angle), np.sin(angle)]
    if count is None:
        count = 6 if np.ptp(day_of_year) > 270 else 4
    if count == 6:
        columns += [np.cos(2.0 * angle), np.sin(2.0 * angle)]
    return np.column_stack(columns)


def _to_quantities(days: Days, site: Site) -> FloatArray:
    """The five quantities of every day, unbounded, shape (days, 5)."""
    dew = _dew_point(days.ea_kpa)
    clear = days.solar_mj_m2 / extraterrestrial_mj_m2(days.day_of_year, site.latitude_deg)
    share = np.clip((clear - _DARKEST) / (_CLEAREST - _DARKEST), 0.005, 0.995)
    return np.column_stack(
        [
            days.tmax_c,
            np.log(np.maximum(days.tmax_c - days.tmin_c, 0.2)),
            np.log(share / (1.0 - share)),
            dew - days.tmin_c,
            np.log(np.maximum(days.wind_m_s, 0.1)),
        ]
    )


def _from_quantities(
    values: FloatArray, days_ms: IntArray, rain_mm: FloatArray, site: Site, warming_c: float
) -> Days:
    tmax = values[:, 0] + warming_c
    tmin = tmax - np.exp(values[:, 1])
    share = 1.0 / (1.0 + np.exp(-values[:, 2]))
    ra = extraterrestrial_mj_m2(_day_of_year(days_ms), site.latitude_deg)
    ea = saturation_kpa(np.minimum(values[:, 3] + tmin, (tmax + tmin) / 2.0))
    return Days(
        time_ms=days_ms,
        tmax_c=tmax,
        tmin_c=tmin,
        ea_kpa=ea,
        rhmin_pct=100.0 * ea / saturation_kpa(tmax),
        wind_m_s=np.exp(values[:, 4]),
        solar_mj_m2=ra * (_DARKEST + (_CLEAREST - _DARKEST) * share),
        rain_mm=rain_mm,
    )


def _autoregression(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A and B of Richardson (1981), Eq. 7 and 8, from lag 0 and lag 1 correlations."""
    lag0 = np.corrcoef(scores, rowvar=False)
    lag1 = (scores[1:].T @ scores[:-1]) / (len(scores) - 1) / scores.var(axis=0).mean()
    memory = lag1 @ np.linalg.inv(lag0)
    left = lag0 - memory @ lag1.T
    size, direction = np.linalg.eigh((left + left.T) / 2.0)
    return memory, direction * np.sqrt(np.maximum(size, 0.0))


def _scores(values: FloatArray) -> FloatArray:
    """Normal scores by rank, column by column."""
    normal = _normal_quantiles(len(values))
    return normal[values.argsort(axis=0).argsort(axis=0)]


def _normal_quantiles(count: int) -> FloatArray:
    """Quantiles of the normal distribution at (i + 1/2)/count."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / count) for i in range(count)])


def _dew_point(ea_kpa: FloatArray) -> FloatArray:
    """Dew point [degC] of a vapour pressure: FAO-56 Eq. 11 solved for temperature."""
    logarithm = np.log(np.maximum(ea_kpa, 1e-3) / 0.6108)
    return 237.3 * logarithm / (17.27 - logarithm)


def _month(days_ms: IntArray) -> IntArray:
    months = (days_ms // DAY_MS).astype("datetime64[D]").astype("datetime64[M]")
    return np.asarray(months.astype(np.int64) % 12)


def _day_of_year(days_ms: IntArray) -> IntArray:
    day = (days_ms // DAY_MS).astype("datetime64[D]")
    first = day.astype("datetime64[Y]").astype("datetime64[D]")
    return np.asarray((day - first).astype(np.int64) + 1)
