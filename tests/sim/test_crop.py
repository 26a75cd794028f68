from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from pyfao56.tools import FAO56Tables

from levada.sim.crop import et0
from levada.sim.crop.crop import crop, forcing_by_hour, season
from levada.sim.crop.table import TABLE
from levada.sim.settings.crop import Crop
from levada.sim.soil.model import ForcingCol
from levada.sim.weather import Days, Site, Weather, from_days

SITE = Site(latitude_deg=40.0, longitude_deg=-105.0, elevation_m=1500.0, utc_offset_h=-7.0)


def steady(days: int, **changes: float) -> Weather:
    """Weather that is every day the same, from 1 April 2023, by default of FAO-56's climate."""
    values = {
        "tmax_c": 28.0,
        "tmin_c": 12.0,
        "ea_kpa": 1.4,
        "rhmin_pct": 45.0,
        "wind_m_s": 2.0,
        "solar_mj_m2": 24.0,
        "rain_mm": 0.0,
        **changes,
    }
    first = np.datetime64("2023-04-01").astype("datetime64[ms]").astype(np.int64)
    arrays = {name: np.full(days, value) for name, value in values.items()}
    return from_days(Days(time_ms=first + np.arange(days) * 86_400_000, **arrays), SITE)


def test_kcb_rises_between_its_stages_in_straight_lines() -> None:
    # FAO-56 Eq. 66: 30/40/50/50 days, Kcb 0.15/1.15/0.15; day 50 is half way up, 145 half way down.
    maize = season(crop("maize"), steady(180))
    for day, kcb in ((0, 0.15), (30, 0.15), (50, 0.65), (70, 1.15), (120, 1.15), (145, 0.65)):
        assert maize.kcb[day] == pytest.approx(kcb), day
    assert maize.harvest == date(2023, 4, 1) + timedelta(days=170)
    assert np.all(maize.kcb[170:] == 0.0)
    assert np.all(maize.cover[170:] == 0.0)


def test_ground_is_bare_before_planting_and_from_the_harvest_named() -> None:
    maize = season(crop("maize"), steady(180), planting=date(2023, 4, 11), harvest=date(2023, 8, 1))
    standing = np.flatnonzero(maize.kcb > 0.0)
    assert standing[0] == 10
    assert standing[-1] == (date(2023, 8, 1) - date(2023, 4, 1)).days - 1
    assert maize.zr_m[0] == 0.20
    assert maize.zr_m[-1] == pytest.approx(1.35)  # old roots leave their depth


def test_a_crop_planted_before_the_weather_begins_is_already_grown() -> None:
    maize = season(crop("maize"), steady(50), planting=date(2023, 4, 1) - timedelta(days=60))
    assert maize.kcb[0] == pytest.approx(0.15 + 0.75)


def test_kcb_is_adjusted_for_climate_as_example_28_of_fao_56() -> None:
    # FAO-56 Eq. 70 by hand: u2 4 m/s and RHmin 25 % give 0.04 x 2 - 0.004 x (-20) = 0.16, times
    # (2/3)^0.3 = 0.8855 for maize of 2 m.  The end, below 0.45, is left alone.
    dry = season(crop("maize"), steady(180, wind_m_s=4.0, rhmin_pct=25.0))
    assert dry.kcb[100] == pytest.approx(1.15 + 0.16 * (2.0 / 3.0) ** 0.3)
    assert dry.kcb[169] == pytest.approx(0.15 + 0.02 * (dry.kcb[100] - 0.15))
    plain = season(crop("maize", climate_adjusted=False), steady(180, wind_m_s=4.0, rhmin_pct=25.0))
    assert plain.kcb[100] == pytest.approx(1.15)


def varied(stages: list[tuple[int, list[float], list[float]]]) -> Weather:
    """Weather whose wind [m/s] and lowest humidity [%] take turns within each stretch of days."""
    weather = steady(sum(days for days, _, _ in stages))
    wind = [winds[i % len(winds)] for days, winds, _ in stages for i in range(days)]
    rhmin = [rhs[i % len(rhs)] for days, _, rhs in stages for i in range(days)]
    days = replace(weather.days, wind_m_s=np.array(wind), rhmin_pct=np.array(rhmin))
    return replace(weather, days=days)


FOUR = crop("maize", stages=(10.0, 12.0, 14.0, 16.0), kcb_end=0.60)
"""Maize of 2 m with short stages: mid-season is day 22 to 35, late season 36 to 51."""
OF_2_M = (2.0 / 3.0) ** 0.3


@pytest.mark.parametrize(
    ("mid", "late", "added_mid", "added_end"),
    [
        # FAO-56 Eq. 70 by hand, 0.04 (u2 - 2) - 0.004 (RHmin - 45) with the means of the stage.
        # u2 (0.5 + 5.5)/2 = 3, RHmin (15 + 55)/2 = 35: 0.04 + 0.04; u2 1.5, RHmin 70: -0.02 - 0.10
        (([0.5, 5.5], [15.0, 55.0]), ([1.0, 2.0], [90.0, 50.0]), 0.08, -0.12),
        # within 1 to 6 m/s and 20 to 80 %: 8 counts as 6 and 10 as 20; 0.4 as 1 and 95 as 80
        (([7.0, 9.0], [8.0, 12.0]), ([0.3, 0.5], [94.0, 96.0]), 0.26, -0.18),
        (([2.0], [45.0]), ([4.0], [25.0]), 0.0, 0.16),
        (([6.0], [20.0]), ([1.0], [80.0]), 0.26, -0.18),
    ],
)
def test_kcb_of_a_stage_is_adjusted_by_the_weather_of_that_stage_alone(
    mid: tuple[list[float], list[float]],
    late: tuple[list[float], list[float]],
    added_mid: float,
    added_end: float,
) -> None:
    stages = [(10, [5.0], [20.0]), (12, [1.0, 3.0], [60.0]), (14, *mid), (16, *late)]
    grown = season(FOUR, varied([*stages, (5, [6.0], [80.0])]))
    kcb_mid, kcb_end = 1.15 + added_mid * OF_2_M, 0.60 + added_end * OF_2_M
    assert grown.kcb[:11] == pytest.approx(0.15)  # the initial stage is as in the table
    assert grown.kcb[16] == pytest.approx((0.15 + kcb_mid) / 2.0)
    assert grown.kcb[22:37] == pytest.approx(kcb_mid)
    assert grown.kcb[44] == pytest.approx((kcb_mid + kcb_end) / 2.0)
    assert grown.kcb[51] == pytest.approx(kcb_end + (kcb_mid - kcb_end) / 16.0)


def test_a_coefficient_below_0_45_is_not_adjusted() -> None:
    # FAO-56 p. 136; at 0.45 itself Eq. 70 adds 0.16 (2/3)^0.3 of u2 4 m/s and RHmin 25 %
    dry = steady(60, wind_m_s=4.0, rhmin_pct=25.0)
    low = season(FOUR.but(kcb_mid=0.44, kcb_end=0.44), dry)
    assert low.kcb[22:52] == pytest.approx(0.44)
    at = season(FOUR.but(kcb_mid=0.45, kcb_end=0.45), dry)
    assert at.kcb[22:52] == pytest.approx(0.45 + 0.16 * OF_2_M)


def test_kc_max_follows_the_weather_and_height_of_its_day() -> None:
    # FAO-56 Eq. 72 by hand for maize of 2 m in its mid-season: 1.2 + 0.16 (2/3)^0.3 at 4 m/s and
    # 25 %, 1.2 - 0.18 (2/3)^0.3 = 1.0406 at 0.4 m/s and 95 %, where Kcb + 0.05 is larger
    grown = season(
        FOUR.but(climate_adjusted=False),
        varied([(22, [2.0], [45.0]), (14, [4.0, 0.4], [25.0, 95.0]), (20, [2.0], [45.0])]),
    )
    assert grown.kc_max[22] == pytest.approx(1.2 + 0.16 * OF_2_M)
    assert grown.kc_max[23] == pytest.approx(1.15 + 0.05)
    # beyond 6 m/s and 20 % as at them: 0.04 x 4 + 0.004 x 25
    storm = season(FOUR.but(climate_adjusted=False), varied([(60, [9.0], [8.0])]))
    assert storm.kc_max[30] == pytest.approx(1.2 + 0.26 * OF_2_M)
    late = season(FOUR.but(climate_adjusted=False), varied([(60, [0.4], [95.0])]))
    assert late.kc_max[51] == pytest.approx(1.2 - 0.18 * OF_2_M)


def test_strong_wind_may_lift_kcb_above_any_that_can_be_set() -> None:
    # 1.45 + 0.26 (2/3)^0.3 = 1.68
    stormy = season(FOUR.but(kcb_mid=1.45), steady(60, wind_m_s=6.0, rhmin_pct=20.0))
    assert stormy.kcb[30] == pytest.approx(1.45 + 0.26 * OF_2_M)


def test_a_season_that_weather_ends_early_is_adjusted_by_what_there_is() -> None:
    grown = season(FOUR, varied([(22, [2.0], [45.0]), (4, [4.0], [25.0])]))
    assert grown.kcb[25] == pytest.approx(1.15 + 0.16 * OF_2_M)
    assert season(FOUR, varied([(12, [4.0], [25.0])])).kcb[11] == pytest.approx(
        0.15 + 1.0 / 12.0, abs=1e-9
    )


def test_kc_max_and_cover_follow_equations_72_and_76() -> None:
    # By hand at 45 % and 2 m/s: Kc_max = max(1.2, Kcb + 0.05), f_c = ((Kcb - 0.15)/(Kc_max - 0.15))
    # ^ (1 + 0.5 h), h half way between 0.01 and 2 m on day 50.
    maize = season(crop("maize"), steady(180))
    assert maize.kc_max[50] == pytest.approx(1.2)
    assert maize.height_m[50] == pytest.approx(1.005)
    assert maize.cover[50] == pytest.approx((0.5 / 1.05) ** (1.0 + 0.5 * 1.005))
    assert maize.kc_max[100] == pytest.approx(1.2)
    assert maize.zr_m[50] == pytest.approx((0.20 + 1.35) / 2.0)


def test_depletion_fraction_falls_with_demand() -> None:
    # FAO-56 p. 162: p = 0.55 + 0.04 (5 - ETc), ETc of Kcb ET0
    maize = season(crop("maize"), steady(180))
    et0 = maize.et0_mm_h.reshape(-1, 24).sum(axis=1)
    expected = 0.55 + 0.04 * (5.0 - 1.15 * et0[100])
    assert 0.1 < expected < 0.8
    assert maize.depletion_fraction[100] == pytest.approx(expected)


def test_degree_days_count_between_base_and_upper_temperature() -> None:
    # (min(34, 30) + 12)/2 - 10 = 11 degC d a day, McMaster and Wilhelm (1997), method 2: the
    # initial stage of 110 ends after 10 days, development of 220 after 30.
    maize = crop("maize", growth="degree-days", stages=(110.0, 220.0, 330.0, 110.0))
    grown = season(maize, steady(100, tmax_c=34.0))
    assert grown.kcb[10] == pytest.approx(0.15)
    assert grown.kcb[20] == pytest.approx(0.65)
    assert grown.kcb[30] == pytest.approx(1.15)
    assert grown.harvest == date(2023, 4, 1) + timedelta(days=70)
    with pytest.raises(ValueError, match="with degree-days the weather"):
        season(maize, steady(10), planting=date(2023, 3, 1))


def test_stages_of_fractions_of_days_end_with_the_day() -> None:
    grown = season(FOUR.but(stages=(10.0, 12.0, 14.0, 16.5)), steady(60))
    assert grown.harvest == date(2023, 4, 1) + timedelta(days=53)


def test_degree_days_of_cold_and_hot_days_are_cut_at_base_and_upper_temperature() -> None:
    # McMaster and Wilhelm (1997), method 2, base 10 and upper 30 degC: 8/4 gives 0; 34/32 gives 20;
    # 20/6 gives (20 + 10)/2 - 10 = 5; 40/20 gives (30 + 20)/2 - 10 = 15
    weather = steady(40)
    tmax = np.resize([8.0, 34.0, 20.0, 40.0], 40)
    tmin = np.resize([4.0, 32.0, 6.0, 20.0], 40)
    weather = replace(weather, days=replace(weather.days, tmax_c=tmax, tmin_c=tmin))
    maize = crop("maize", growth="degree-days", stages=(40.0, 80.0, 120.0, 80.0))
    grown = season(maize, weather, planting=date(2023, 4, 5))
    # four days bring 40: the initial stage ends 4 days after the planting of 5 April, with the 8th
    assert grown.kcb[:4].tolist() == [0.0] * 4
    assert grown.kcb[4:9] == pytest.approx([0.15] * 5)
    assert grown.kcb[10:13] == pytest.approx([0.15 + 20 / 80, 0.15 + 25 / 80, 0.15 + 40 / 80])
    assert grown.kcb[16] == pytest.approx(1.15)
    assert grown.harvest == date(2023, 4, 5) + timedelta(days=32)
    assert grown.kcb[35] > 0.0
    assert grown.kcb[36] == 0.0


def test_degree_days_that_do_not_come_together_leave_the_crop_until_the_end() -> None:
    maize = crop("maize", growth="degree-days", stages=(110.0, 220.0, 330.0, 1100.0))
    grown = season(maize, steady(50), planting=date(2023, 4, 11))
    assert grown.harvest == date(2023, 4, 1) + timedelta(days=50)
    assert np.all(grown.kcb[10:] > 0.0)


def test_what_grew_is_bounded_as_fao_56_says() -> None:
    # p within 0.1 to 0.8 (p. 162); cover at most 0.99, none below Kc_min = 0.15 (Eq. 76)
    wet = season(crop("cotton", depletion_fraction=0.8), steady(150, solar_mj_m2=2.0, tmax_c=14.0))
    assert wet.depletion_fraction.max() == 0.8
    dry = season(
        FOUR.but(depletion_fraction=0.1), steady(60, wind_m_s=6.0, tmax_c=45.0, ea_kpa=0.3)
    )
    assert dry.depletion_fraction[30] == 0.1
    bare = season(FOUR.but(kcb_ini=0.1), steady(60))
    assert bare.cover[0] == 0.0
    assert bare.height_m[0] == pytest.approx(0.01)
    assert bare.height_m[59] == pytest.approx(0.01)  # harvested
    flat = season(FOUR.but(height_min_m=0.0), steady(60))
    assert flat.height_m[0] == 0.001


def test_forcing_holds_the_demand_of_every_hour() -> None:
    weather = steady(100)
    weather = replace(weather, rain_mm=np.arange(2400) % 7 * 0.1)
    maize = season(crop("maize"), weather)
    forcing = forcing_by_hour(maize)
    assert forcing.shape == (2400, len(ForcingCol))
    noon = 24 * 50 + 12
    et0 = maize.et0_mm_h[noon]
    assert forcing[noon, ForcingCol.ET0_MM_H] == et0
    assert forcing[noon, ForcingCol.TRANSPIRATION_MM_H] == pytest.approx(0.65 * et0)
    assert forcing[noon, ForcingCol.EVAPORATION_MM_H] == pytest.approx((1.2 - 0.65) * et0)
    cover = maize.cover[50]
    assert forcing[noon, ForcingCol.EVAPORATION_CAP_MM_H] == pytest.approx(
        (1.0 - cover) * 1.2 * et0
    )
    np.testing.assert_array_equal(forcing[:, ForcingCol.RAIN_MM_H], weather.rain_mm)
    for column in (
        ForcingCol.IRRIGATION_MM_H,
        ForcingCol.IRRIGATION_FROM_S,
        ForcingCol.IRRIGATION_TO_S,
    ):
        assert not forcing[:, column].any()


def test_coefficients_for_alfalfa_scale_the_tall_reference() -> None:
    # pyfao56 1.4.3, model.py: Kc_max is max(1.0, Kcb + 0.05) for the tall reference.
    numbers = {"kcb_ini": 0.15, "kcb_mid": 0.96, "kcb_end": 0.15, "reference": "tall"}
    weather = steady(180, wind_m_s=4.0, rhmin_pct=25.0)
    tall = season(crop("maize", **numbers), weather)
    assert tall.kcb[100] == pytest.approx(0.96)  # not adjusted for climate
    assert tall.kc_max[10] == 1.0
    assert tall.kc_max[100] == pytest.approx(1.01)
    np.testing.assert_array_equal(tall.et0_mm_h, et0.of_weather(weather, surface="tall"))
    assert tall.et0_mm_h.sum() > 1.2 * et0.of_weather(weather).sum()


def test_coefficients_of_the_table_are_for_grass() -> None:
    with pytest.raises(ValueError, match=r"are for grass; reference = tall needs kcb_ini, kcb_end"):
        crop("maize", reference="tall", kcb_mid=0.96)


# Our name, then how pyfao56 1.4.3 calls it in FAO-56 tables 11 (with region), 12, 17 and 22.
ELSEWHERE = {
    "barley": ("barley oats wheat", "35-45", "barley", "barley", "barley"),
    "bean green": ("beans green", "california med", "beans green", "beans green", "beans green"),
    "cotton": ("cotton", "egypt", "cotton", "cotton", "cotton"),
    "grape wine": ("grapes", "mid lat", "grapes wine", "grapes wine", "grapes wine"),
    "lettuce": ("lettuce", "med", "lettuce", "lettuce", "lettuce"),
    "maize": (
        "maize grain",
        "idaho",
        "maize field grain corn 18% moisture",
        "maize field grain corn 18% moisture",
        "maize field grain corn",
    ),
    "olive": ("olives", "med", "olives 40", "olives 40", "olives 40"),
    "onion": ("onion dry", "med", "onions dry", "onions dry", "onions dry"),
    "potato": ("potato", "continental", "potato", "potato", "potato"),
    "rice": ("rice", "tropics med", "rice", "rice", "rice"),
    "sorghum": ("sorghum", "usa", "sorghum grain", "sorghum grain", "sorghum grain"),
    "soybean": ("soybeans", "central usa", "soybeans", "soybeans", "soybeans"),
    "sugar beet": ("sugarbeet", "idaho", "sugar beet", "sugar beet", "sugar beet"),
    "sunflower": ("sunflower", "", "sunflower", "sunflower", "sunflower"),
    "tomato": ("tomato", "med", "tomato", "tomato", "tomato"),
    "wheat winter": ("winter wheat", "med", "winter wheat", "winter wheat", "winter wheat"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_table_agrees_with_the_tables_that_pyfao56_carries(name: str) -> None:
    tables, row = FAO56Tables(), TABLE[name]
    in_11, region, in_12, in_17, in_22 = ELSEWHERE[name]
    stages = tables.table11
    stages = stages[(stages["Crop"] == in_11) & stages["Region"].str.startswith(region)]
    lengths = stages[["Lini", "Ldev", "Lmid", "Llate"]].astype(float).to_numpy()
    assert any(tuple(line) == row.stages_d for line in lengths)
    height = tables.table12[tables.table12["Crop"].str.startswith(in_12)].iloc[0]
    assert float(height["hmax"]) == row.height_m
    basal = tables.table17[tables.table17["Crop"].str.startswith(in_17)].iloc[0]
    assert tuple(float(basal[c]) for c in ("Kcbini", "Kcbmid", "Kcbend")) == row.kcb
    roots = tables.table22[tables.table22["Crop"].str.startswith(in_22)].iloc[0]
    assert (float(roots["Zrmax1"]), float(roots["Zrmax2"])) == row.zr_m
    assert float(roots["pbase"]) == row.p


@pytest.mark.parametrize("name", TABLE)
def test_every_crop_of_the_table_makes_a_season(name: str) -> None:
    grown = season(crop(name), steady(400))
    assert np.isfinite(forcing_by_hour(grown)).all()
    assert np.all((grown.cover >= 0.0) & (grown.cover <= 0.99))
    assert np.all(grown.kc_max >= grown.kcb + 0.05 - 1e-12)


def test_a_perennial_keeps_its_roots() -> None:
    assert np.all(season(crop("grape wine"), steady(60)).zr_m == 1.5)
    assert crop("grape wine", zr_max_m=0.8).zr_min_m == 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crop("maise"), "did you mean `maize`"),
        (lambda: crop("corn"), "did you mean `maize`"),
        (lambda: crop("Sweet corn"), "did you mean `maize sweet`"),
        (lambda: crop("maize", kcb=1.0), "crop has no `kcb`: allowed are"),
        (lambda: crop("maize", kcb_mid=3.0), "`kcb_mid` = 3: permitted 0 to 1.5"),
        (lambda: crop("maize", stages=(30, 40, 0, 50)), "each permitted above 0 and at most 5000"),
        (lambda: crop("maize", zr_max_m=0.1), "`zr_max_m` = 0.1: below `zr_min_m` = 0.2"),
        (lambda: crop("maize", growth="hours"), 'permitted "days", "degree-days"'),
        (
            lambda: season(crop("maize"), steady(9), harvest=date(2023, 4, 1)),
            "must be after planting",
        ),
    ],
)
def test_what_cannot_be_grown_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call()  # type: ignore[operator]


def test_a_crop_of_numbers_needs_no_name() -> None:
    own = Crop(
        stages=(10, 20, 30, 40),
        kcb_ini=0.2,
        kcb_mid=1.0,
        kcb_end=0.5,
        height_max_m=0.5,
        zr_max_m=0.6,
        depletion_fraction=0.4,
    )
    assert season(own, steady(40)).kcb[20] == pytest.approx(0.6)
