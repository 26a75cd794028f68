"""Richards' equation beside water that probes measured every four hours, with half of the rain, all
of it, and half as much again; see `validation.comparison`.

Sagebrush steppe of the US Sheep Experiment Station near Dubois, Idaho, 2014 and 2015: shelters take
half of the rain from plots under drought and sprinkle it on irrigated ones.  Known are texture in
four depths, highest and lowest temperature and rain of each day, and the readings of dielectric
probes (EC-5, 5TM) at 5 and 25 cm in their factory calibration.

Blind, nothing is fitted: soil by its texture, ET0 of Hargreaves, extensive pasture of FAO-56, grass
of Feddes, the first day's readings as initial state.  `python -m validation.sheep_station` searches
the soils that `FITTED` holds (minutes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from levada.sim import weather
from levada.sim.crop.crop import forcing_by_hour, season
from levada.sim.errors import SoilError
from levada.sim.run import soils
from levada.sim.scenario.soil import Soil
from levada.sim.settings.crop import Crop
from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.model import ForcingCol, new_fluxes, new_observed
from levada.sim.soil.richards import Richards
from levada.sim.soil.richards_profile import InitialProfile, Layer, SoilProfile
from levada.sim.soil.texture import texture_class
from levada.sim.soil.uptake import FEDDES
from levada.sim.weather.series import WeatherTable, to_ms
from validation.comparison import DATA, Comparison, figure
from validation.soil_water import RICHARDS, mean_of_depths
from validation.weather import table

FloatArray = npt.NDArray[np.float64]

SITE: Final = weather.Site(
    latitude_deg=44.244, longitude_deg=-112.2, elevation_m=1672.0, utc_offset_h=-7.0
)
TEXTURE: Final = ((48.9, 36.1, 15.0), (50.8, 29.7, 19.5), (47.1, 26.4, 26.5), (50.5, 25.3, 24.2))
"""Sand, silt, clay [%] of 0 to 20, 20 to 40, 40 to 60, 60 to 80 cm; three pits, hydrometer."""
THICKNESS_M: Final = 0.2
YEARS: Final = (2014, 2015)
"""The first is fitted where something is, the second judges."""
TREATMENTS: Final = ("control", "drought", "irrigation")
RAIN: Final = (1.0, 0.5, 1.0)
IRRIGATION: Final = (0.0, 0.0, 0.5)
"""As a share of the rain, at the same time."""
DEPTHS_CM: Final = (5, 25)
NAMES: Final = tuple(f"{name}_{depth}" for name in TREATMENTS for depth in DEPTHS_CM)
PASTURE: Final = Crop(
    stages=(10, 20, 153, 1),  # Table 11, grass pasture, then green until the frost of October
    kcb_ini=0.30,
    kcb_mid=0.70,
    kcb_end=0.70,
    height_max_m=0.10,
    zr_min_m=0.8,  # Table 22 has 0.5 to 1.5 m; the soil is 0.8 m deep
    zr_max_m=0.8,
    depletion_fraction=0.60,
)
"""FAO-56, extensive grazing pasture: Tables 11, 12, 17 and 22."""


class Fit(NamedTuple):
    """What the search changes: one soil for all depths, and the crop's demand."""

    theta_r: float
    alpha_per_m: float
    n: float
    log_ks: float
    """Decimal logarithm of Ks [m d-1]."""
    kcb: float
    """Factor of the basal crop coefficients."""


LEAST: Final = Fit(theta_r=0.0, alpha_per_m=0.5, n=1.1, log_ks=-2.0, kcb=0.2)
MOST: Final = Fit(theta_r=0.08, alpha_per_m=15.0, n=2.5, log_ks=1.0, kcb=1.3)
FITTED: Final = {
    "soil and demand (5 numbers)": (Fit(0.0164, 0.5, 1.455, 0.9645, 1.053), False),
    "the same, another search": (Fit(0.0177, 0.543, 1.7267, -0.38, 0.2), False),
    "and an offset for each depth (7)": (Fit(0.0243, 7.231, 1.4704, 1.0, 0.4311), True),
}
"""Found by `search` on the first season; whether with an offset for each depth."""
LOAM: Final = VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496)
"""Mean of the class, Carsel and Parrish (1988)."""
CHOSEN: Final = next(iter(FITTED))


_NOTE_BLIND: Final = (
    "**First run, unseen:** RMS over the six series 0.061 (2014) and 0.050 (2015) with the soil "
    "by its texture class, 0.112 and 0.101 by its fractions. By class the water at 5 cm was 0.05 "
    "to 0.08 too much, at 25 cm 0.01 to 0.05; the correlation of the series 0.38 to 0.86 and 0.57 "
    "to 0.89. Plots under irrigation were wetter than those under drought in 2015 by 0.040 at 5 "
    "cm and 0.037 at 25 cm (measured 0.036 and 0.042): what the treatment does was met, the level "
    "was not. Where the numbers below differ, the soils of texture classes have been changed "
    "since; these data had no part in it.\n\n"
    "**Why the level is off** these data cannot tell: probes in their factory calibration (single "
    "ones read below zero; probes of one treatment stand 0.01 to 0.06 apart), a soil that holds "
    "more than this one, or a steppe that dries it further than grass does (-80 m). Left out: the "
    "shelters' climate, stones, snow before April; the hour at which the station reads its gauge; "
    "seven days of 2014 without a reading of rain, taken as dry. SOILWAT2, run by the authors of "
    "the data, has RMS {theirs} in the undisturbed plots of 2015 (0 to 20 cm beside the probes at "
    "5 cm, 20 to 40 cm beside 25 cm), levada {ours}. Irrigation less drought in 2015: {effects}."
    "\n\n"
)
_NOTE_FITTED: Final = (
    "**What calibration brings.** Fitted on 2014, the error in 2015 falls from {blind:.3f} to "
    "{offset:.3f} by an offset for each depth, to {line:.3f} by a line for each depth, and to "
    "{soil} by soil and demand, which is what probes of one treatment differ among themselves. "
    "The means of the season before, without any model, reach {none:.3f}.\n\n"
    "**What it does not bring.** The parameters: searches that end at soils and demands far apart "
    "fit 2014 equally well ({fits}) and predict 2015 equally well. What they agree in is the "
    "water content at which drainage falls to 0.1 mm/d, {capacities}, where the mean loam of "
    "Carsel and Parrish (1988) has {loam:.2f}; each ends at a bound of the search. They mend the "
    "level, not the course: irrigation less drought in 2015 is {effects}. Some of what they mend "
    "belongs to the probes, since readings and soil cannot be told apart without a sample. A user "
    "with such probes calibrates them in the soil first.\n\n"
    "{parameters}\n\n"
    "RMS (bias, correlation) of theta in 2015; drawn is irrigation thick, drought thin:\n\n"
)


def measured(year: int) -> FloatArray:
    """Water contents of the intervals of four hours, shape (intervals, len(NAMES)), NaN if absent.

    All start at midnight of 15 April.
    """
    found = table(DATA / "sheep_station_soil_water.csv")
    rows = [row for row in found if row["time"].startswith(f"{year}-")]
    return np.array([[float(row[name] or "nan") for name in NAMES] for row in rows])


def days(year: int) -> list[dict[str, str]]:
    """Rows of the days of a season."""
    found = table(DATA / "sheep_station_days.csv")
    return [row for row in found if row["date"].startswith(f"{year}-")]


def season_weather(year: int) -> weather.Weather:
    """Weather of a season; no rain on days without a reading, temperatures interpolated."""
    rows = days(year)

    def column(name: str) -> FloatArray:
        return np.array([float(row[name] or "nan") for row in rows])

    rows_table = WeatherTable(
        path="sheep_station_days.csv",
        sha256="",
        step="daily",
        time_ms=np.array([to_ms(date.fromisoformat(row["date"])) for row in rows]),
        line=np.arange(len(rows)),
        columns={
            "tmax_c": column("tmax_c"),
            "tmin_c": column("tmin_c"),
            "rain_mm": np.nan_to_num(column("rain_mm")),
        },
    )
    return weather.build(rows_table, SITE, fill="linear", from_temperature="interior")


def by_class() -> list[Layer]:
    """The soil by the texture class of each depth."""
    return [
        _layer(Soil(texture=texture_class(*part)))  # type: ignore[arg-type]  # one of the classes
        for part in TEXTURE
    ]


def by_fractions() -> list[Layer]:
    """The soil by sand, silt and clay of each depth."""
    return [
        _layer(Soil(sand_pct=sand, silt_pct=silt, clay_pct=clay)) for sand, silt, clay in TEXTURE
    ]


def _layer(soil: Soil) -> Layer:
    found = soils.described(soil)
    return Layer(
        thickness_m=THICKNESS_M,
        soil=found.hydraulics,
        theta_fc=found.theta_fc,
        theta_wp=found.theta_wp,
    )


def fitted(fit: Fit) -> list[Layer]:
    """One soil of all depths, porosity of loam."""
    curve = VanGenuchten(
        theta_r=fit.theta_r,
        theta_s=0.43,
        alpha_per_m=fit.alpha_per_m,
        n=fit.n,
        ks_m_d=10.0**fit.log_ks,
    )
    return [Layer(thickness_m=THICKNESS_M * len(TEXTURE), soil=curve)]


def run(year: int, layers: Sequence[Layer], kcb: float = 1.0) -> FloatArray:
    """Water contents in the middle of the intervals, shape (intervals, len(NAMES))."""
    first = [of[~np.isnan(of)][:6].mean() for of in measured(year).T]
    # a probe that reads less than the wilting point does not make the soil drier than that
    starts = np.maximum(first, max(layer.wp for layer in layers)).reshape(len(TREATMENTS), -1)
    model = Richards(
        [
            SoilProfile(
                layers=layers,
                initial=InitialProfile(
                    quantity="theta",
                    values=start.tolist(),
                    depths_m=[depth / 100.0 for depth in DEPTHS_CM],
                ),
                feddes=FEDDES["grass"],
            )
            for start in starts
        ]
    )
    crop = PASTURE.model_copy(
        update={name: kcb * getattr(PASTURE, name) for name in ("kcb_ini", "kcb_mid", "kcb_end")}
    )
    hourly = forcing_by_hour(season(crop, season_weather(year)))
    shares = mean_of_depths(
        model.faces_m[0], [(d / 100.0 - 0.025, d / 100.0 + 0.025) for d in DEPTHS_CM]
    )
    fluxes, observed = new_fluxes(model.n), new_observed(model.n)
    found = []
    for hour, row in enumerate(hourly):
        forcing = np.repeat(row[None, :], model.n, axis=0)
        forcing[:, ForcingCol.RAIN_MM_H] *= RAIN
        forcing[:, ForcingCol.IRRIGATION_MM_H] = row[ForcingCol.RAIN_MM_H] * np.array(IRRIGATION)
        forcing[:, ForcingCol.IRRIGATION_TO_S] = 3600.0
        model.advance(3600.0, forcing, fluxes, observed)
        if hour % 4 == 1:
            found.append((model.profile()[1] @ shares.T).ravel())
    return np.array(found)


class Errors(NamedTuple):
    """A season beside what was measured, by series, each of shape (len(NAMES),)."""

    rms: FloatArray
    bias: FloatArray
    correlation: FloatArray

    @property
    def overall(self) -> float:
        """RMS over all series, each counting alike."""
        return float(np.sqrt(np.mean(self.rms**2)))


def errors(found: FloatArray, water: FloatArray) -> Errors:
    """Errors of the water contents `found` beside those measured."""
    less = found - water
    correlation = np.empty(len(NAMES))
    for k in range(len(NAMES)):
        known = ~np.isnan(water[:, k])
        # of a constant there is none
        flat = np.ptp(found[known, k]) == 0.0
        correlation[k] = np.nan if flat else np.corrcoef(found[known, k], water[known, k])[0, 1]
    return Errors(np.sqrt(np.nanmean(less**2, axis=0)), np.nanmean(less, axis=0), correlation)


def corrected(blind: Sequence[FloatArray], water: FloatArray, degree: int) -> FloatArray:
    """The second season of `blind` by an offset (degree 0) or a line (1) for each depth.

    Found on the first season, whose measured contents are `water`.
    """
    first, second = blind
    found = np.empty_like(second)
    for part in range(len(DEPTHS_CM)):
        of_depth = slice(part, None, len(DEPTHS_CM))
        known = ~np.isnan(water[:, of_depth])
        x, y = first[:, of_depth][known], water[:, of_depth][known]
        if degree == 0:
            found[:, of_depth] = second[:, of_depth] + (y - x).mean()
        else:
            found[:, of_depth] = np.polyval(np.polyfit(x, y, 1), second[:, of_depth])
    return found


def effect(theta: FloatArray, water: FloatArray) -> FloatArray:
    """Mean water under irrigation less that under drought, by depth, where both were measured."""
    known = ~np.isnan(water)
    found = []
    for part in range(len(DEPTHS_CM)):
        dry, wet = 2 + part, 4 + part
        both = known[:, dry] & known[:, wet]
        found.append(float(np.mean(theta[both, wet] - theta[both, dry])))
    return np.array(found)


def soilwat(year: int) -> FloatArray:
    """Water contents by SOILWAT2 of the undisturbed plots, shape (intervals, 2)."""
    found = [[float(row["soilwat_10"]), float(row["soilwat_30"])] for row in days(year)]
    return np.repeat(np.array(found), 6, axis=0)


def shifted(found: FloatArray, first: FloatArray, water: FloatArray) -> FloatArray:
    """`found` by the offset of each depth that brings `first`, the first season, to `water`."""
    offset = np.nanmean((water - first).reshape(-1, len(DEPTHS_CM)), axis=0)
    return np.asarray(found + np.tile(offset, len(TREATMENTS)))


def search(trials: int = 250, *, offset: bool, seed: int) -> tuple[Fit, float]:
    """The soil and demand nearest to the first season, and how near: random search.

    A fifth of the trials anywhere within `LEAST` and `MOST`, then around the best so far, closer
    and closer.
    """
    water = measured(YEARS[0])
    random = np.random.default_rng(seed)
    low, high = np.array(LEAST), np.array(MOST)
    best, nearest = 0.5 * (low + high), np.inf
    for trial in range(trials):
        point = random.uniform(low, high)
        if trial > trials // 5:
            width = (high - low) * 0.3 * 0.02 ** (trial / trials)
            point = np.clip(random.normal(best, width), low, high)
        fit = Fit(*point.tolist())
        try:
            found = run(YEARS[0], fitted(fit), fit.kcb)
        except (SoilError, ValueError):  # no soil: wilting point above field capacity, or too steep
            continue
        if offset:
            found = shifted(found, found, water)
        off = errors(found, water).overall
        if off < nearest:
            best, nearest = point, off
    return Fit(*best.tolist()), nearest


def _row(name: str, found: Errors) -> str:
    cells = (
        f"{rms:.3f} ({bias:+.3f}, {'-' if np.isnan(r) else f'{r:.2f}'})"
        for rms, bias, r in zip(found.rms, found.bias, found.correlation, strict=True)
    )
    return f"| {name} | {' | '.join(cells)} | {found.overall:.3f} |"


_HEAD = (
    "| | " + " | ".join(f"{name}, {d} cm" for name in TREATMENTS for d in DEPTHS_CM) + " | all |\n"
    "| ---" + " | ---" * (len(NAMES) + 1) + " |\n"
)


def _draw(lines: Sequence[tuple[str, FloatArray, str]], water: FloatArray) -> Callable[[Any], None]:
    """Irrigation (strong) and drought (thin) of the second season at both depths."""
    time = np.arange(0, len(water), 3) / 6.0  # two a day are enough to see

    def draw(axes: Any) -> None:
        for part, axis in enumerate(axes):
            for k, width in ((4 + part, 1.2), (2 + part, 0.5)):
                axis.plot(time, water[::3, k], "k", lw=width, label="measured" if k > 3 else None)
                for name, theta, style in lines:
                    axis.plot(time, theta[::3, k], style, lw=width, label=name if k > 3 else None)
            axis.set(xlabel="day from 15 April", ylabel=f"theta, {DEPTHS_CM[part]} cm")
        axes[0].legend(fontsize=7)

    return draw


def _blind(layers: Sequence[Layer]) -> list[FloatArray]:
    return [run(year, layers) for year in YEARS]


def validate_sheep_station() -> Comparison:
    """Blind: soil by texture, crop of FAO-56, nothing fitted."""
    water = [measured(year) for year in YEARS]
    of_class, of_fractions = _blind(by_class()), _blind(by_fractions())
    rows = []
    for k, year in enumerate(YEARS):
        rows.append(_row(f"{year}, by class", errors(of_class[k], water[k])))
        rows.append(_row(f"{year}, by fractions", errors(of_fractions[k], water[k])))
    effects = _of_depths(effect(of_class[1], water[1]), effect(water[1], water[1]))
    last = errors(of_class[1], water[1])
    theirs = soilwat(YEARS[1])
    control = [float(np.sqrt(np.nanmean((theirs[:, k] - water[1][:, k]) ** 2))) for k in (0, 1)]
    overall = [errors(theta, w).overall for theta, w in zip(of_class, water, strict=True)]
    return Comparison(
        model=RICHARDS,
        name="probes every four hours, blind",
        data="sagebrush steppe with half, all and one and a half of the rain, US Sheep Experiment "
        "Station, Idaho: texture by depth, daily temperatures and rain; ET0 of Hargreaves, "
        "extensive pasture of FAO-56, grass of Feddes; dielectric probes at 5 and 25 cm; nothing "
        "fitted",
        period="15 April to 15 October 2014 and 2015",
        reference="mean readings of 3 to 8 probes (github.com/akleinhesselink/sheepweather, CC0)",
        version="70e085c",
        error=f"theta, RMS {overall[0]:.3f} and {overall[1]:.3f} with the soil by its class; "
        f"correlation of the six series in {YEARS[1]} "
        f"{last.correlation.min():.2f} to {last.correlation.max():.2f}",
        worst=max(overall),
        limit=0.08,
        figure=figure(
            "sheep_station", _draw([("levada, blind", of_class[1], "r")], water[1]), columns=2
        ),
        unseen=True,
        note=_NOTE_BLIND.format(
            effects=effects,
            ours=", ".join(f"{last.rms[k]:.3f}" for k in (0, 1)),
            theirs=", ".join(f"{value:.3f}" for value in control),
        )
        + "RMS (bias, correlation) of theta; drawn is 2015, irrigation thick, drought thin:\n\n"
        + _HEAD
        + "\n".join(rows),
    )


def validate_sheep_station_calibrated() -> Comparison:
    """What calibration on the first season brings in the second."""
    water = [measured(year) for year in YEARS]
    blind = _blind(by_class())
    found = {
        "blind": blind[1],
        "an offset for each depth (2 numbers)": corrected(blind, water[0], 0),
        "a line for each depth (4)": corrected(blind, water[0], 1),
    }
    fits = {}
    for name, (fit, offset) in FITTED.items():
        first, found[name] = (run(year, fitted(fit), fit.kcb) for year in YEARS)
        if offset:
            found[name] = shifted(found[name], first, water[0])
            first = shifted(first, first, water[0])
        fits[name] = errors(first, water[0]).overall
    none = "no model: means of the season before (6)"
    found[none] = np.broadcast_to(np.nanmean(water[0], axis=0), water[1].shape)
    second = {name: errors(theta, water[1]) for name, theta in found.items()}
    return Comparison(
        model=RICHARDS,
        name="probes every four hours, calibrated on the first season",
        data="as above; fitted on 2014, judged on 2015, which the fit has not seen",
        period="15 April to 15 October 2015",
        reference="mean readings of 3 to 8 probes (github.com/akleinhesselink/sheepweather, CC0)",
        version="70e085c",
        error="theta, RMS "
        + ", ".join(f"{name.split(' (')[0]} {each.overall:.3f}" for name, each in second.items()),
        worst=max(second[name].overall for name in FITTED),
        limit=0.03,
        figure=figure(
            "sheep_station_calibrated",
            _draw([("blind", blind[1], "r"), ("fitted", found[CHOSEN], "b")], water[1]),
            columns=2,
        ),
        note=_NOTE_FITTED.format(
            blind=second["blind"].overall,
            offset=second["an offset for each depth (2 numbers)"].overall,
            line=second["a line for each depth (4)"].overall,
            soil=", ".join(f"{second[name].overall:.3f}" for name in FITTED),
            none=second[none].overall,
            fits=", ".join(f"{value:.3f}" for value in fits.values()),
            capacities=", ".join(
                f"{fitted(fit)[0].soil.theta_fc():.2f}" for fit, _ in FITTED.values()
            ),
            loam=LOAM.theta_fc(),
            effects=_of_depths(effect(found[CHOSEN], water[1]), effect(water[1], water[1])),
            parameters=_parameters(),
        )
        + _HEAD
        + "\n".join(_row(name, each) for name, each in second.items()),
    )


def _parameters() -> str:
    head = "| | theta_r | alpha [1/m] | n | Ks [m/d] | factor of Kcb |\n|" + " --- |" * 6
    rows = (
        f"| {name} | {fit.theta_r:.3f} | {fit.alpha_per_m:.2g} | {fit.n:.2f} | "
        f"{10.0**fit.log_ks:.2g} | {fit.kcb:.2f} |"
        for name, (fit, _) in FITTED.items()
    )
    return "\n".join((head, *rows))


def _of_depths(ours: FloatArray, theirs: FloatArray) -> str:
    return ", ".join(
        f"{a:+.3f} for {b:+.3f} measured at {depth} cm"
        for a, b, depth in zip(ours, theirs, DEPTHS_CM, strict=True)
    )


if __name__ == "__main__":
    for with_offset, start in ((False, 1), (False, 2), (True, 1)):
        print(search(offset=with_offset, seed=start))  # noqa: T201
