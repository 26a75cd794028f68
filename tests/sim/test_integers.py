"""Whole numbers are numbers: what takes 40.0 takes 40, and answers the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest

from levada.sim.crop import crop as crops
from levada.sim.crop import et0
from levada.sim.soil import texture
from levada.sim.soil.bucket import Bucket
from levada.sim.soil.hydraulics import VanGenuchten, table
from levada.sim.soil.model import ForcingCol, new_fluxes, new_forcing, new_observed
from levada.sim.soil.richards import Richards
from levada.sim.soil.richards_profile import (
    Bottom,
    InitialProfile,
    Layer,
    SoilProfile,
    Surface,
    graded_cells,
)
from levada.sim.soil.uptake import FEDDES, root_shares
from levada.sim.weather import Days, Site, estimates, from_days, wind_at_2m

Make = Callable[[Any], Any]
"""Turns whole numbers into what is asked for, and leaves them, or makes floats of them."""


def site(make: Make) -> Site:
    return Site(
        latitude_deg=make(40),
        longitude_deg=make(-105),
        elevation_m=make(1400),
        utc_offset_h=make(-7),
        wind_height_m=make(2),
    )


def days(make: Make) -> Days:
    even = np.ones(10, dtype=np.int64)
    return Days(
        time_ms=1_682_899_200_000 + 86_400_000 * np.arange(10),
        tmax_c=make(30 * even),
        tmin_c=make(10 * even),
        ea_kpa=make(even),
        rhmin_pct=make(30 * even),
        wind_m_s=make(2 * even),
        solar_mj_m2=make(20 * even),
        rain_mm=make(5 * even),
    )


def soil(make: Make) -> VanGenuchten:
    return VanGenuchten(
        theta_r=make(0), theta_s=make(1), alpha_per_m=make(3), n=make(2), ks_m_d=make(1)
    )


def hydraulics(make: Make) -> list[Any]:
    found, heads = soil(make), make(np.array([-100, -1, 0, 1]))
    return [
        found.theta(heads),
        found.conductivity_m_d(heads),
        found.head(make(1)),
        table(found),
        found.theta_fc(),
    ]


def thresholds(make: Make) -> list[Any]:
    return [FEDDES["maize"].optimal_dry_m(make(3)), root_shares(make(np.array([0, 1])))]


def grid(make: Make) -> list[Any]:
    layer = Layer(thickness_m=make(1), soil=soil(make), theta_fc=0.3, theta_wp=0.1)
    other = Layer(thickness_m=make(2), soil=soil(make).but(n=3.0), theta_fc=0.3, theta_wp=0.1)
    return [graded_cells([layer, other], 50, make(1)), graded_cells([layer, layer], 50)]


def column(make: Make) -> list[Any]:
    layer = Layer(thickness_m=make(1), soil=soil(make), theta_fc=0.3, theta_wp=0.1)
    start = InitialProfile(quantity="head_m", values=(make(-1),), depths_m=(make(0),))
    model = Richards(
        [
            SoilProfile(
                layers=[layer, layer],
                initial=start,
                surface=Surface(ponding_max_mm=make(5), minimum_head_m=make(-1000)),
                bottom=Bottom(kind="head", head_m=make(-1)),
                probe_depth_m=make(1),
                probe_half_height_m=make(1),
                critical_stress_index=make(1),
            )
        ],
        cells=[make(0), 0.5, make(1), make(2)],
    )
    forcing, fluxes, observed = new_forcing(1), new_fluxes(1), new_observed(1)
    forcing[0, ForcingCol.RAIN_MM_H] = make(1)
    model.advance(make(3600), forcing, fluxes, observed)
    return [fluxes, observed, model.heads()]


def bucket(make: Make) -> list[Any]:
    model = Bucket(
        1, theta_fc=0.3, theta_wp=0.1, profile_m=make(2), zr_m=make(1), rew_mm=make(8),
        intake_mm_h=make(10), wetted=make(1), probe_depth_m=make(1),
    )  # fmt: skip
    forcing, fluxes, observed = new_forcing(1), new_fluxes(1), new_observed(1)
    forcing[0, [ForcingCol.RAIN_MM_H, ForcingCol.ZR_M]] = make(1)
    model.advance(make(3600), forcing, fluxes, observed)
    return [fluxes, observed[:, :8]]


def weather(make: Make) -> list[Any]:
    found = from_days(days(make), site(make))
    stages = tuple(make(length) for length in (3, 4, 5, 3))
    crop = crops.crop("maize", stages=stages, kcb_mid=make(1), height_max_m=make(2))
    grown = crops.season(crop, found, planting=date(2023, 5, 2))
    return [found.temp_c, found.rain_mm, crops.forcing_by_hour(grown), wind_at_2m(make(3), make(9))]


def reference(make: Make) -> list[Any]:
    hour = et0.hourly(
        temp_c=make(25), ea_kpa=make(1), solar_mj_m2=make(2), wind_m_s=make(2), day_of_year=180,
        hour=12, site=site(make),
    )  # fmt: skip
    day = et0.daily(
        tmax_c=make(30), tmin_c=make(10), ea_kpa=make(1), solar_mj_m2=make(20), wind_m_s=make(2),
        day_of_year=180, site=site(make),
    )  # fmt: skip
    return [hour, day]


def without_pyranometer(make: Make) -> list[Any]:
    return [
        estimates.day_length_h(180, make(40)),
        estimates.solar_from_sunshine(make(10), 180, make(40)),
        estimates.solar_from_temperature_range(make(30), make(10), 180, make(40)),
        estimates.et0_hargreaves(make(30), make(10), 180, make(40)),
    ]


def fractions(make: Make) -> list[Any]:
    found = texture.by_fractions(sand_pct=make(40), silt_pct=make(40), clay_pct=make(20))
    return [found.theta_fc, found.theta_wp, found.hydraulics.ks_m_d]


def floats(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) else float(value)


@pytest.mark.parametrize(
    "of",
    [
        hydraulics,
        thresholds,
        grid,
        column,
        bucket,
        weather,
        reference,
        without_pyranometer,
        fractions,
    ],
)
def test_whole_numbers_give_what_their_floats_give(of: Callable[[Make], list[Any]]) -> None:
    for whole, broken in zip(of(lambda value: value), of(floats), strict=True):
        np.testing.assert_array_equal(np.asarray(whole, np.float64), broken)
