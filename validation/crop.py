"""Comparisons of crop and bucket with pyfao56 on its own test seasons; see
`validation.comparison`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]  # pyfao56 takes its tables
import pyfao56

from levada.sim.crop.crop import Season, season
from levada.sim.settings.crop import Crop
from levada.sim.weather import Days, Site, from_days
from validation.comparison import DATA, Comparison
from validation.weather import table

FloatArray = npt.NDArray[np.float64]

CROP = "[crop](models/crop.md)"
BUCKET = "[bucket](models/bucket.md)"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One of pyfao56's own test seasons, its numbers as in its scripts."""

    file: str
    site: Site
    crop: Crop
    theta_fc: float
    theta_wp: float
    theta0: float
    ze_m: float
    rew_mm: float


COTTON = Case(
    file="cotton_maricopa_2013.csv",
    site=Site(
        latitude_deg=33.069,
        longitude_deg=-111.97,
        elevation_m=361.0,
        utc_offset_h=-7.0,
        wind_height_m=3.0,
    ),
    crop=Crop(
        stages=(31, 52, 50, 21),
        kcb_ini=0.15,
        kcb_mid=1.20,
        kcb_end=0.573,
        height_min_m=0.05,
        height_max_m=1.20,
        zr_min_m=0.60,
        zr_max_m=1.70,
        depletion_fraction=0.65,
        climate_adjusted=False,
    ),
    theta_fc=0.225,
    theta_wp=0.100,
    theta0=0.100,
    ze_m=0.11429,
    rew_mm=9.0,
)
MAIZE = Case(
    file="maize_greeley_2023.csv",
    site=Site(
        latitude_deg=40.4487, longitude_deg=-104.638, elevation_m=1427.378, utc_offset_h=-7.0
    ),
    crop=Crop(
        stages=(25, 40, 50, 50),
        kcb_ini=0.15,
        kcb_mid=0.96,
        kcb_end=0.50,
        height_min_m=0.0,
        height_max_m=2.0,
        zr_min_m=0.30,
        zr_max_m=1.05,
        depletion_fraction=0.50,
        climate_adjusted=False,
    ),
    theta_fc=0.1844,
    theta_wp=0.0922,
    theta0=0.1383,
    ze_m=0.062,  # 0.0623 in their script, whose layers count whole millimetres
    rew_mm=8.0,
)


def rows(case: Case) -> list[dict[str, str]]:
    """The days of a season."""
    return table(DATA / case.file)


def column(lines: list[dict[str, str]], name: str) -> FloatArray:
    """One column of numbers."""
    return np.array([float(row[name]) for row in lines])


def peer_inputs(case: Case, lines: list[dict[str, str]], reference: str) -> tuple[Any, Any]:
    """pyfao56's parameters and weather of a season; `reference` is "S" (grass) or "T" (alfalfa)."""
    crop = case.crop
    parameters = pyfao56.Parameters(
        Kcbini=crop.kcb_ini,
        Kcbmid=crop.kcb_mid,
        Kcbend=crop.kcb_end,
        Lini=crop.stages[0],
        Ldev=crop.stages[1],
        Lmid=crop.stages[2],
        Lend=crop.stages[3],
        hini=crop.height_min_m,
        hmax=crop.height_max_m,
        thetaFC=case.theta_fc,
        thetaWP=case.theta_wp,
        theta0=case.theta0,
        Zrini=crop.zr_min_m,
        Zrmax=crop.zr_max_m,
        pbase=crop.depletion_fraction,
        Ze=case.ze_m,
        REW=case.rew_mm,
    )
    keys = [date.fromisoformat(row["date"]).strftime("%Y-%j") for row in lines]
    weather = pyfao56.Weather()
    weather.rfcrp, weather.z, weather.lat = reference, case.site.elevation_m, case.site.latitude_deg
    weather.wndht = case.site.wind_height_m
    weather.wdata = pd.DataFrame(
        {
            "RHmin": column(lines, "rhmin_pct"),
            "Wndsp": column(lines, "wind_m_s"),
            "Rain": column(lines, "rain_mm"),
            "ETref": column(lines, "et_ref_mm"),
        },
        index=keys,
    )
    return parameters, weather


def theirs(case: Case, lines: list[dict[str, str]]) -> Any:
    """pyfao56's table of the season, as it was irrigated, in one soil."""
    parameters, weather = peer_inputs(case, lines, "S")
    keys = weather.wdata.index
    model = pyfao56.Model(
        keys[0], keys[-1], parameters, weather, irr=peer_irrigation(lines), cons_p=True
    )
    model.run()
    return model.odata


def peer_irrigation(lines: list[dict[str, str]]) -> Any:
    """pyfao56's table of what was given, and of how much of the ground that wetted."""
    irrigation = pyfao56.Irrigation()
    for row in lines:
        if float(row["wetted"]) > 0.0:
            day = date.fromisoformat(row["date"])
            irrigation.addevent(
                day.year, day.timetuple().tm_yday, float(row["irrigation_mm"]), float(row["wetted"])
            )
    return irrigation


def our_season(case: Case, lines: list[dict[str, str]], *, constant_p: bool = False) -> Season:
    """Our crop with the reference ET of the file, which their run takes too."""
    time_ms = (
        np.array([row["date"] for row in lines], "datetime64[D]")
        .astype("datetime64[ms]")
        .astype(np.int64)
    )
    height = case.site.wind_height_m
    to_2m = 4.87 / np.log(67.8 * height - 5.42)  # FAO-56 Eq. 47; also at 2 m, as pyfao56 does
    days = Days(
        time_ms=time_ms,
        tmax_c=column(lines, "tmax_c"),
        tmin_c=column(lines, "tmin_c"),
        ea_kpa=0.6108 * np.exp(17.27 * column(lines, "tdew_c") / (column(lines, "tdew_c") + 237.3)),
        rhmin_pct=column(lines, "rhmin_pct"),
        wind_m_s=column(lines, "wind_m_s") * to_2m,
        solar_mj_m2=column(lines, "solar_mj_m2"),
        rain_mm=column(lines, "rain_mm"),
    )
    weather = from_days(days, case.site)
    ours = season(case.crop, weather, harvest=weather.end + timedelta(days=1))
    et_ref = column(lines, "et_ref_mm")
    p = np.clip(case.crop.depletion_fraction + 0.04 * (5.0 - ours.kcb * et_ref), 0.1, 0.8)
    if constant_p:
        p = np.full(et_ref.size, case.crop.depletion_fraction)
    return replace(ours, et0_mm_h=np.repeat(et_ref / 24.0, 24), depletion_fraction=p)


def validate_crop() -> Comparison:
    """Kcb, Kc_max, cover, roots and height of both seasons."""
    worst = 0.0
    for case in (COTTON, MAIZE):
        lines = rows(case)
        ours, other = our_season(case, lines), theirs(case, lines)
        days = int(sum(case.crop.stages))
        for name, mine in (
            ("Kcb", ours.kcb),
            ("Kcmax", ours.kc_max),
            ("fc", ours.cover),
            ("Zr", ours.zr_m),
            ("h", ours.height_m),
        ):
            off = mine[:days] - other[name].to_numpy(float)[:days]
            worst = max(worst, float(np.max(np.abs(off))))
    return Comparison(
        model=CROP,
        name="curve, cover and roots",
        data="cotton, Maricopa; maize, Greeley; every day of the season",
        period="2013; 2023",
        reference="pyfao56, its own test seasons",
        version=pyfao56.__version__,
        error=f"Kcb, Kc_max, cover, root depth, height: at most {worst:.0e}",
        worst=worst,
        limit=1e-9,
    )
