from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.sim.soil.bucket import Bucket
from levada.sim.soil.model import (
    FloatArray,
    Flux,
    ForcingCol,
    Observed,
    SoilModel,
    new_fluxes,
    new_forcing,
    new_observed,
)

LOAM = {"theta_fc": 0.30, "theta_wp": 0.15, "profile_m": 1.2, "zr_m": 0.5}
TEW = 1000.0 * (0.30 - 0.075) * 0.1  # 22.5 mm, FAO-56 Eq. 73


def bare(n: int = 1, /, **columns: float) -> FloatArray:
    """Forcing without crop or demand, root depth and p as usual, some columns changed."""
    forcing = new_forcing(n)
    forcing[:, ForcingCol.ZR_M] = 0.5
    forcing[:, ForcingCol.DEPLETION_FRACTION] = 0.5
    for name, value in columns.items():
        forcing[:, ForcingCol[name]] = value
    return forcing


def run(
    soil: SoilModel, forcing: FloatArray, *, dt_s: float = 600.0, steps: int = 1
) -> tuple[FloatArray, FloatArray]:
    fluxes, observed = new_fluxes(soil.n), new_observed(soil.n)
    for _ in range(steps):
        soil.advance(dt_s, forcing, fluxes, observed)
    return fluxes[0], observed[0]


def balance_mm(fluxes: FloatArray, before_mm: float, after_mm: float) -> float:
    gained = fluxes[Flux.RAIN_MM] + fluxes[Flux.IRRIGATION_MM]
    lost = (
        fluxes[Flux.EVAPORATION_MM]
        + fluxes[Flux.TRANSPIRATION_MM]
        + fluxes[Flux.DRAINAGE_MM]
        + fluxes[Flux.RUNOFF_MM]
    )
    return float(gained - lost - (after_mm - before_mm))


def storage_mm(soil: Bucket) -> float:
    observed = new_observed(soil.n)
    soil.observe(observed)
    return float(observed[0, Observed.STORAGE_MM])


step = st.fixed_dictionaries(
    {
        "RAIN_MM_H": st.just(0.0) | st.floats(0.0, 150.0),
        "IRRIGATION_MM_H": st.floats(0.0, 60.0),
        "IRRIGATION_FROM_S": st.floats(0.0, 600.0),
        "IRRIGATION_TO_S": st.floats(0.0, 600.0),
        "ET0_MM_H": st.floats(0.0, 1.5),
        "kcb": st.floats(0.0, 1.25),
        "COVER": st.floats(0.0, 0.99),
        "ZR_M": st.floats(0.1, 1.5),
        "DEPLETION_FRACTION": st.floats(0.1, 0.8),
    }
)


@given(
    pattern=st.lists(step, min_size=1, max_size=20),
    intake_mm_h=st.floats(1.0, 200.0),
    wetted=st.floats(0.05, 1.0),
    full=st.floats(0.0, 1.0),
    theta_wp=st.floats(0.01, 0.25),
)
def test_water_is_conserved_for_any_weather_and_valve_pattern(
    pattern: list[dict[str, float]],
    intake_mm_h: float,
    wetted: float,
    full: float,
    theta_wp: float,
) -> None:
    soil = Bucket(
        1,
        theta_fc=0.30,
        theta_wp=theta_wp,
        profile_m=1.5,
        zr_m=0.3,
        theta=theta_wp + full * (0.30 - theta_wp),
        theta_below=0.30 - full * (0.30 - theta_wp),
        intake_mm_h=intake_mm_h,
        wetted=wetted,
    )
    before = storage_mm(soil)
    fluxes, observed = new_fluxes(1), new_observed(1)
    for values in pattern * (1000 // len(pattern)):  # about a week, over and over
        forcing = bare(**{k: v for k, v in values.items() if k != "kcb"})
        forcing[0, ForcingCol.KC_MAX] = max(1.2, values["kcb"] + 0.05)
        et0 = values["ET0_MM_H"]
        forcing[0, ForcingCol.EVAPORATION_MM_H] = (
            forcing[0, ForcingCol.KC_MAX] - values["kcb"]
        ) * et0
        forcing[0, ForcingCol.EVAPORATION_CAP_MM_H] = (
            (1.0 - values["COVER"]) * forcing[0, ForcingCol.KC_MAX] * et0
        )
        forcing[0, ForcingCol.TRANSPIRATION_MM_H] = values["kcb"] * et0
        soil.advance(600.0, forcing, fluxes, observed)
        assert np.all(fluxes >= 0.0)
        assert 0.0 <= observed[0, Observed.KS] <= 1.0
        assert observed[0, Observed.DR_MM] >= 0.0
        assert observed[0, Observed.THETA_ROOT] >= 0.0
    assert abs(balance_mm(fluxes[0], before, float(observed[0, Observed.STORAGE_MM]))) < 1e-6


def test_rain_up_to_the_deficit_stays_and_the_rest_passes_to_the_layer_below_and_out() -> None:
    # Root zone 0.5 m at 0.26: 20 mm short.  Layer below 0.7 m at 0.29: 7 mm short.
    soil = Bucket(1, **LOAM, theta=0.26, theta_below=0.29)
    fluxes, observed = run(soil, bare(RAIN_MM_H=6.0), dt_s=3600.0)
    assert observed[Observed.DR_MM] == pytest.approx(14.0)
    assert fluxes[Flux.DRAINAGE_MM] == 0.0
    fluxes, observed = run(soil, bare(RAIN_MM_H=24.0), dt_s=3600.0)
    assert observed[Observed.DR_MM] == 0.0
    assert fluxes[Flux.DRAINAGE_MM] == 0.0  # of a day's water, what is too much drains as it ends
    fluxes, _ = run(soil, bare(), dt_s=3600.0, steps=22)
    assert fluxes[Flux.DRAINAGE_MM] == pytest.approx(24.0 - 14.0 - 7.0)


def test_rain_above_the_intake_rate_runs_off() -> None:
    soil = Bucket(1, **LOAM, theta=0.20, intake_mm_h=20.0)
    fluxes, _ = run(soil, bare(RAIN_MM_H=50.0), dt_s=1800.0)
    assert fluxes[Flux.RUNOFF_MM] == pytest.approx(15.0)  # (50 - 20) mm/h for half an hour


def test_irrigation_of_a_third_of_the_ground_runs_off_by_its_local_rate() -> None:
    # 8 mm/h over the zone is 24 mm/h on a third of it; 4 above the intake rate, on a third.
    soil = Bucket(1, **LOAM, theta=0.20, intake_mm_h=20.0, wetted=1.0 / 3.0)
    forcing = bare(IRRIGATION_MM_H=8.0, IRRIGATION_TO_S=3600.0)
    fluxes, _ = run(soil, forcing, dt_s=3600.0)
    assert fluxes[Flux.IRRIGATION_MM] == pytest.approx(8.0)
    assert fluxes[Flux.RUNOFF_MM] == pytest.approx(4.0 / 3.0)


def test_irrigation_is_counted_for_its_part_of_the_interval_only() -> None:
    soil = Bucket(1, **LOAM, theta=0.20, intake_mm_h=20.0)
    forcing = bare(IRRIGATION_MM_H=50.0, IRRIGATION_FROM_S=420.0, IRRIGATION_TO_S=600.0)
    fluxes, _ = run(soil, forcing)
    assert fluxes[Flux.IRRIGATION_MM] == pytest.approx(50.0 * 180.0 / 3600.0)
    assert fluxes[Flux.RUNOFF_MM] == pytest.approx(30.0 * 180.0 / 3600.0)


@pytest.mark.parametrize(("theta", "ks"), [(0.30, 1.0), (0.225, 1.0), (0.1875, 0.5), (0.15, 0.0)])
def test_transpiration_falls_with_depletion_beyond_raw(theta: float, ks: float) -> None:
    # FAO-56 Eq. 84 with TAW 75 mm and p 0.5: half way between RAW and TAW half remains.
    soil = Bucket(1, **LOAM, theta=theta)
    fluxes, observed = run(soil, bare(TRANSPIRATION_MM_H=0.6))
    assert observed[Observed.KS] == pytest.approx(ks)
    assert observed[Observed.TAW_MM] == pytest.approx(75.0)
    assert observed[Observed.RAW_MM] == pytest.approx(37.5)
    assert fluxes[Flux.TRANSPIRATION_MM] == pytest.approx(ks * 0.1)


@pytest.mark.parametrize(
    ("de_mm", "kr"), [(0.0, 1.0), (8.0, 1.0), ((TEW + 8.0) / 2.0, 0.5), (TEW, 0.0)]
)
def test_evaporation_falls_beyond_readily_evaporable_water(de_mm: float, kr: float) -> None:
    # FAO-56 Eq. 74 with REW 8 mm.
    soil = Bucket(1, **LOAM, de_mm=de_mm)
    forcing = bare(EVAPORATION_MM_H=0.6, KC_MAX=1.2, ET0_MM_H=0.6)
    fluxes, _ = run(soil, forcing)
    assert fluxes[Flux.EVAPORATION_MM] == pytest.approx(kr * 0.1)


def test_evaporation_is_limited_by_the_part_that_irrigation_wets() -> None:
    # f_w Kc_max ET0 = 0.3 x 1.2 x 0.6 mm/h, FAO-56 Eq. 71 and 75, once irrigation has fallen
    forcing = bare(EVAPORATION_MM_H=0.6, KC_MAX=1.2, ET0_MM_H=0.6)
    fluxes, _ = run(Bucket(1, **LOAM, wetted=0.3), forcing, dt_s=3600.0)
    assert fluxes[Flux.EVAPORATION_MM] == pytest.approx(0.6)
    forcing[0, ForcingCol.IRRIGATION_MM_H], forcing[0, ForcingCol.IRRIGATION_TO_S] = 1.0, 3600.0
    fluxes, _ = run(Bucket(1, **LOAM, wetted=0.3), forcing, dt_s=3600.0)
    assert fluxes[Flux.EVAPORATION_MM] == pytest.approx(0.3 * 1.2 * 0.6)


def test_a_day_with_three_millimetres_of_rain_wets_the_whole_surface_again() -> None:
    soil = Bucket(1, **LOAM, wetted=0.3)
    demand = bare(EVAPORATION_MM_H=0.6, KC_MAX=1.2, ET0_MM_H=0.6)
    watered = demand.copy()
    watered[0, ForcingCol.IRRIGATION_MM_H], watered[0, ForcingCol.IRRIGATION_TO_S] = 6.0, 3600.0
    run(soil, watered, dt_s=3600.0)
    run(soil, bare(), dt_s=3600.0, steps=23)
    rainy = demand.copy()
    rainy[0, ForcingCol.RAIN_MM_H] = 1.0
    fluxes, _ = run(soil, rainy, dt_s=3600.0, steps=2)
    assert fluxes[Flux.EVAPORATION_MM] == pytest.approx(2 * 0.3 * 1.2 * 0.6)
    more, _ = run(soil, rainy, dt_s=3600.0)  # the third millimetre: it is a day of rain
    assert fluxes[Flux.EVAPORATION_MM] + more[Flux.EVAPORATION_MM] == pytest.approx(3 * 0.6)
    fluxes, _ = run(soil, rainy, dt_s=3600.0)
    assert fluxes[Flux.EVAPORATION_MM] == pytest.approx(0.6)


def test_evaporation_follows_a_wetting_from_the_next_day_on() -> None:
    """Kr is that of the end of the day before, FAO-56 Eq. 74."""
    soil = Bucket(1, **LOAM, theta=0.20, de_mm=TEW)
    forcing = bare(EVAPORATION_MM_H=0.2, KC_MAX=1.2, ET0_MM_H=0.2, RAIN_MM_H=1.0)
    fluxes, _ = run(soil, forcing, dt_s=3600.0, steps=24)
    assert fluxes[Flux.EVAPORATION_MM] == 0.0
    fluxes, _ = run(soil, forcing, dt_s=3600.0, steps=24)
    assert fluxes[Flux.EVAPORATION_MM] == pytest.approx(4.8)


@pytest.mark.parametrize(
    ("de_mm", "p"),
    [
        (TEW, 0.55 + 0.04 * (5.0 - 6.0)),  # dry surface: ETc is Kcb ET0 = 1.0 x 6 mm
        (0.0, 0.55 + 0.04 * (5.0 - 7.2)),  # wet: (1.0 + 0.2) x 6 mm
    ],
)
def test_the_depletion_fraction_falls_with_the_whole_of_etc(de_mm: float, p: float) -> None:
    """FAO-56 Table 22, note: p + 0.04 (5 - ETc)."""
    soil = Bucket(1, **LOAM, theta=0.18, de_mm=de_mm, depletion_fraction=0.55)
    _, observed = run(soil, bare(KC_MAX=1.2, KCB=1.0, ET0_DAY_MM=6.0, DEPLETION_FRACTION=0.1))
    assert observed[Observed.RAW_MM] == pytest.approx(p * 75.0)
    # depletion 60 of 75 mm, Eq. 84
    assert observed[Observed.KS] == pytest.approx(15.0 / ((1.0 - p) * 75.0))


day = st.fixed_dictionaries(
    {
        "rain_mm": st.just(0.0) | st.floats(0.0, 60.0),
        "irrigation_mm": st.just(0.0) | st.floats(0.0, 40.0),
        "et0_mm": st.floats(0.0, 14.0),
        "kcb": st.floats(0.0, 1.15),
        "cover": st.floats(0.0, 0.99),
        "zr_m": st.floats(0.1, 1.5),
    }
)


@given(
    days=st.lists(day, min_size=3, max_size=12),
    cuts=st.lists(st.integers(1, 143), max_size=6, unique=True),
    full=st.floats(0.0, 1.2),
    wetted=st.floats(0.05, 1.0),
)
def test_days_end_alike_however_they_are_divided(
    days: list[dict[str, float]], cuts: list[int], full: float, wetted: float
) -> None:
    """In one step, in steps of ten minutes, in any steps: the same water in every layer."""
    steps = np.diff([0, *sorted(cuts), 144]) * 600.0
    divisions = ([86_400.0], [600.0] * 144, steps.tolist())
    ends = []
    for division in divisions:
        soil = layered(full, wetted=wetted, depletion_fraction=0.5)
        fluxes, observed = new_fluxes(1), new_observed(1)
        for values in days:
            for dt_s in division:
                soil.advance(dt_s, of_day(values, dt_s), fluxes, observed)
        ends.append(np.concatenate([fluxes[0], observed[0, :8], soil.profile()[1][0]]))
    for other in ends[1:]:
        np.testing.assert_allclose(other, ends[0], atol=1e-9)


def layered(full: float, **changes: float) -> Bucket:
    """Two layers, 0.4 m of sandy loam over loam, between wilting point and field capacity."""
    fc, wp = np.array([[0.20, 0.30]]), np.array([[0.08, 0.12]])
    theta = wp + full * (fc - wp)
    return Bucket(
        1,
        theta_fc=fc,
        theta_wp=wp,
        bottom_m=[[0.4, 1.5]],
        profile_m=1.5,
        zr_m=0.3,
        theta=theta,
        theta_below=theta,
        **changes,
    )


def of_day(values: dict[str, float], dt_s: float) -> FloatArray:
    """Forcing of a part of a day whose rates never change."""
    et0, kcb = values["et0_mm"] / 24.0, values["kcb"]
    return bare(
        RAIN_MM_H=values["rain_mm"] / 24.0,
        IRRIGATION_MM_H=values["irrigation_mm"] / 24.0,
        IRRIGATION_TO_S=dt_s if values["irrigation_mm"] > 0.0 else 0.0,
        ET0_MM_H=et0,
        ET0_DAY_MM=values["et0_mm"],
        KCB=kcb,
        KC_MAX=1.25,
        COVER=values["cover"],
        EVAPORATION_MM_H=(1.25 - kcb) * et0,
        TRANSPIRATION_MM_H=kcb * et0,
        ZR_M=values["zr_m"],
    )


class TestLayers:
    def test_each_layer_of_a_zone_has_its_middle_and_water_content(self) -> None:
        depths_m, theta = layered(0.5).layers(0)
        np.testing.assert_allclose(depths_m, [0.2, 0.95])
        np.testing.assert_allclose(theta, [0.14, 0.21])

    def test_a_layer_of_no_height_is_none(self) -> None:
        soil = Bucket(
            2,
            theta_fc=0.3,
            theta_wp=0.1,
            bottom_m=[[0.4, 1.0], [1.0, 1.0]],
            profile_m=1.0,
            zr_m=0.3,
        )
        np.testing.assert_allclose(soil.layers(0)[0], [0.2, 0.7])
        np.testing.assert_allclose(soil.layers(1)[0], [0.5])
        np.testing.assert_allclose(soil.layers(1)[1], [0.3])

    def test_root_zone_and_probe_know_the_layers_they_reach(self) -> None:
        # roots to 0.5 m: 0.4 m at 0.14 and 0.1 m at 0.21; half of what plants can take is there
        soil = layered(0.5, probe_depth_m=0.45)
        _, observed = run(soil, bare(ZR_M=0.5))
        assert observed[Observed.TAW_MM] == pytest.approx(400 * 0.12 + 100 * 0.18)
        assert observed[Observed.DR_MM] == pytest.approx((400 * 0.12 + 100 * 0.18) / 2)
        assert observed[Observed.FC_MM] == pytest.approx(400 * 0.20 + 100 * 0.30)
        assert observed[Observed.THETA_ROOT] == pytest.approx((0.4 * 0.14 + 0.1 * 0.21) / 0.5)
        assert observed[Observed.THETA_PROBE] == pytest.approx(0.21)

    def test_water_fills_the_rooted_layers_from_the_top(self) -> None:
        # short: 24 mm in the upper layer, 9 mm in the rooted 0.1 m of the lower one
        soil = layered(0.5)
        run(soil, bare(ZR_M=0.5, RAIN_MM_H=10.0), dt_s=3600.0)
        np.testing.assert_allclose(soil.profile()[1], [[0.14 + 0.010 / 0.4, 0.21]])
        run(soil, bare(ZR_M=0.5, RAIN_MM_H=20.0), dt_s=3600.0)
        np.testing.assert_allclose(soil.profile()[1], [[0.20, 0.21 + 0.006 / 1.1]])

    def test_what_passes_the_roots_stays_below_them_while_there_is_room(self) -> None:
        # 24 + 9 mm above, 90 mm below the roots
        soil = layered(0.5)
        fluxes, _ = run(soil, bare(ZR_M=0.5, RAIN_MM_H=60.0 / 24.0), dt_s=3600.0, steps=24)
        assert fluxes[Flux.DRAINAGE_MM] == 0.0
        np.testing.assert_allclose(soil.profile()[1], [[0.20, 0.21 + 0.036 / 1.1]])
        fluxes, _ = run(soil, bare(ZR_M=0.5, RAIN_MM_H=70.0 / 24.0), dt_s=3600.0, steps=24)
        assert fluxes[Flux.DRAINAGE_MM] == pytest.approx(60.0 + 70.0 - 123.0)

    def test_plants_take_from_every_layer_by_the_water_there(self) -> None:
        # 24 mm in the upper, 9 mm in the rooted part of the lower layer; p is 0.5 and depletion
        # just half of TAW, so the demand is met
        soil = layered(0.5)
        fluxes, _ = run(soil, bare(ZR_M=0.5, TRANSPIRATION_MM_H=3.3), dt_s=3600.0)
        assert fluxes[Flux.TRANSPIRATION_MM] == pytest.approx(3.3)
        np.testing.assert_allclose(soil.profile()[1], [[0.14 - 0.0024 / 0.4, 0.21 - 0.0009 / 1.1]])

    def test_the_sun_takes_from_the_top(self) -> None:
        soil = layered(0.5, de_mm=0.0)
        forcing = bare(ZR_M=0.5, EVAPORATION_MM_H=1.0, KC_MAX=1.0, ET0_MM_H=1.0)
        run(soil, forcing, dt_s=3600.0, steps=2)
        np.testing.assert_allclose(soil.profile()[1], [[0.14 - 0.002 / 0.4, 0.21]])

    def test_depletion_does_not_pass_taw(self) -> None:
        """FAO-56 Eq. 86, without water from nowhere."""
        soil = layered(0.02, de_mm=0.0)
        forcing = bare(ZR_M=0.5, EVAPORATION_MM_H=1.0, KC_MAX=1.0, ET0_MM_H=1.0)
        fluxes, observed = run(soil, forcing, dt_s=3600.0, steps=48)
        assert observed[Observed.DR_MM] == pytest.approx(observed[Observed.TAW_MM])
        assert fluxes[Flux.EVAPORATION_MM] == pytest.approx(0.02 * 66.0)

    @pytest.mark.parametrize("bottom_m", [[[0.4, 1.4]], [[0.0, 1.5]], [[1.6, 1.5]]])
    def test_edges_that_do_not_lead_down_to_the_bottom_are_refused(
        self, bottom_m: list[list[float]]
    ) -> None:
        with pytest.raises(ValueError, match=r"must rise from above 0 to profile_m = 1.5"):
            Bucket(1, theta_fc=0.3, theta_wp=0.1, profile_m=1.5, zr_m=0.3, bottom_m=bottom_m)


def test_growing_roots_take_over_the_water_of_the_soil_that_they_reach() -> None:
    soil = Bucket(1, **LOAM, theta=0.20, theta_below=0.28)
    _, observed = run(soil, bare(ZR_M=0.6))
    # 0.5 m at 0.20 and 0.1 m at 0.28
    assert observed[Observed.THETA_ROOT] == pytest.approx((0.5 * 0.20 + 0.1 * 0.28) / 0.6)
    assert observed[Observed.STORAGE_MM] == pytest.approx(500 * 0.20 + 700 * 0.28)
    _, observed = run(soil, bare(ZR_M=0.3))  # a new crop after the old one
    assert observed[Observed.STORAGE_MM] == pytest.approx(500 * 0.20 + 700 * 0.28)


def test_a_probe_sees_the_layer_it_is_in() -> None:
    theta = {"theta": 0.20, "theta_below": 0.28}
    for depth, seen in ((0.2, 0.20), (0.5, 0.20), (0.8, 0.28)):
        soil = Bucket(1, **LOAM, **theta, probe_depth_m=depth)
        _, observed = run(soil, bare())
        assert observed[Observed.THETA_PROBE] == pytest.approx(seen)
        assert np.isnan(observed[Observed.HEAD_PROBE_M])


def test_zones_advance_together_as_they_would_alone() -> None:
    fc = np.array([0.20, 0.28, 0.36])
    together = Bucket(3, theta_fc=fc, theta_wp=fc / 2, profile_m=1.2, zr_m=0.5, theta=0.9 * fc)
    forcing = bare(3, RAIN_MM_H=1.0, TRANSPIRATION_MM_H=0.5, IRRIGATION_TO_S=600.0)
    forcing[:, ForcingCol.IRRIGATION_MM_H] = [0.0, 5.0, 10.0]
    fluxes, observed = new_fluxes(3), new_observed(3)
    for _ in range(50):
        together.advance(600.0, forcing, fluxes, observed)
    for zone in range(3):
        alone = Bucket(
            1,
            theta_fc=fc[zone],
            theta_wp=fc[zone] / 2,
            profile_m=1.2,
            zr_m=0.5,
            theta=0.9 * fc[zone],
        )
        one, seen = new_fluxes(1), new_observed(1)
        for _ in range(50):
            alone.advance(600.0, forcing[zone : zone + 1], one, seen)
        np.testing.assert_array_equal(one[0], fluxes[zone])
        np.testing.assert_array_equal(seen[0], observed[zone])


def test_a_restored_state_continues_as_if_nothing_had_happened() -> None:
    soil = Bucket(1, **LOAM, theta=0.25)
    forcing = bare(RAIN_MM_H=2.0, TRANSPIRATION_MM_H=0.5)
    run(soil, forcing, steps=100)
    saved = soil.state()
    expected = run(soil, forcing, steps=100)
    soil.restore(saved)
    again = run(soil, forcing, steps=100)
    np.testing.assert_array_equal(expected[0], again[0])
    np.testing.assert_array_equal(expected[1], again[1])
    with pytest.raises(ValueError, match=r"state of shape \(2, 10\)"):
        soil.restore({"bucket": np.zeros((2, 10))})


def test_profile_gives_the_mean_of_every_layer() -> None:
    # the rooted 0.3 m of the upper layer at 0.14, the rest at 0.20; the lower one at 0.30
    fc, wp = [[0.20, 0.30]] * 2, [[0.08, 0.12]] * 2
    soil = Bucket(
        2,
        theta_fc=fc,
        theta_wp=wp,
        bottom_m=[[0.4, 1.5]] * 2,
        profile_m=1.5,
        zr_m=0.3,
        theta=[[0.14, 0.30]] * 2,
    )
    depth, theta = soil.profile()
    np.testing.assert_allclose(depth, [0.2, 0.95])
    np.testing.assert_allclose(theta, [[0.155, 0.30]] * 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta_fc": 1.2}, "`theta_fc` = 1.2: permitted 0.02 to 0.7"),
        ({"theta_wp": 0.35}, "theta_wp = 0.35 of zone 0: at most theta_fc = 0.3"),
        ({"theta_wp": 0.30}, "theta_wp: must be below theta_fc"),
        ({"zr_m": 1.5}, "zr_m = 1.5 of zone 0: at most profile_m = 1.2"),
        ({"wetted": 0.0}, "`wetted` = 0: permitted 0.01 to 1"),
        ({"theta": float("nan")}, "`theta` = nan: permitted 0 to 0.7"),
        ({"theta": [0.2, 0.2]}, "allowed is one number or 1"),
        ({"n": 0}, "n = 0: at least one zone"),
    ],
)
def test_parameters_outside_their_range_are_refused(
    change: dict[str, object], message: str
) -> None:
    arguments: dict[str, object] = {"n": 1, **LOAM, **change}
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Bucket(**arguments)  # type: ignore[arg-type]
