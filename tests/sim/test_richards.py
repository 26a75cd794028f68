from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.sim.errors import SoilError
from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.model import Flux, ForcingCol, Observed, new_fluxes, new_forcing, new_observed
from levada.sim.soil.richards import Richards, compiled, warm_up
from levada.sim.soil.richards_profile import (
    Bottom,
    InitialProfile,
    Layer,
    SoilProfile,
    Surface,
    graded_cells,
)

# Carsel and Parrish (1988), Table 3 and 6: loam, sand, clay
LOAM = VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496)
SAND = VanGenuchten(theta_r=0.045, theta_s=0.43, alpha_per_m=14.5, n=2.68, ks_m_d=7.128)
CLAY = VanGenuchten(theta_r=0.068, theta_s=0.38, alpha_per_m=0.8, n=1.09, ks_m_d=0.048)


def profile(soil: VanGenuchten = LOAM, depth_m: float = 1.5, **settings: object) -> SoilProfile:
    return SoilProfile(layers=[Layer(thickness_m=depth_m, soil=soil)], **settings)  # type: ignore[arg-type]


class Run:
    """A model with its arrays, and what has passed since the start."""

    def __init__(self, *zones: SoilProfile, cells: int = 50) -> None:
        self.model = Richards(zones, cells=cells)
        self.forcing = new_forcing(self.model.n)
        self.fluxes = new_fluxes(self.model.n)
        self.observed = new_observed(self.model.n)
        self.model.observe(self.observed)
        self.storage = self.observed[:, Observed.STORAGE_MM].copy()

    def advance(self, dt_s: float, **forcing: float) -> None:
        for name, value in forcing.items():
            self.forcing[:, ForcingCol[name]] = value
        self.model.advance(dt_s, self.forcing, self.fluxes, self.observed)

    def imbalance(self) -> float:
        """Largest error of a zone relative to the water that moved or was there."""
        f = self.fluxes
        gain = f[:, Flux.RAIN_MM] + f[:, Flux.IRRIGATION_MM] - f[:, Flux.EVAPORATION_MM :].sum(1)
        change = self.observed[:, Observed.STORAGE_MM] - self.storage
        return float(np.max(np.abs(gain - change) / np.maximum(np.abs(f).sum(1), 1.0)))

    def theta(self) -> np.ndarray:
        return self.model.profile()[1]


@st.composite
def soils(draw: st.DrawFn) -> VanGenuchten:
    theta_r = draw(st.floats(0.0, 0.12))
    return VanGenuchten(
        theta_r=theta_r,
        theta_s=draw(st.floats(theta_r + 0.2, 0.6)),
        alpha_per_m=draw(st.floats(0.3, 15.0)),
        n=draw(st.floats(1.09, 4.0)),
        ks_m_d=10.0 ** draw(st.floats(-3.0, 1.0)),
        air_entry_m=draw(st.sampled_from([0.0, 0.0, 0.02])),
    )


@st.composite
def profiles(draw: st.DrawFn) -> SoilProfile:
    layers = [
        Layer(thickness_m=draw(st.floats(0.1, 0.8)), soil=draw(soils()))
        for _ in range(draw(st.integers(1, 4)))
    ]
    return SoilProfile(
        layers=layers,
        initial=draw(
            st.one_of(
                st.builds(InitialProfile, values=st.tuples(st.floats(0.05, 1.0))),
                st.builds(
                    InitialProfile,
                    quantity=st.just("water_table_m"),
                    values=st.tuples(st.floats(0.3, 4)),
                ),
                st.builds(
                    InitialProfile,
                    quantity=st.just("head_m"),
                    values=st.tuples(st.floats(-100.0, 0.0)),
                ),
            )
        ),
        surface=Surface(
            ponding_max_mm=draw(st.sampled_from([0.0, 5.0, 100.0])),
            wetted_fraction=draw(st.sampled_from([1.0, 0.3])),
        ),
        bottom=draw(
            st.sampled_from(
                [
                    Bottom(),
                    Bottom(kind="zero_flux"),
                    Bottom(kind="seepage_face"),
                    Bottom(kind="head", head_m=0.0),
                    Bottom(kind="head", head_m=-2.0),
                ]
            )
        ),
        probe_depth_m=0.1,
        critical_stress_index=draw(st.sampled_from([1.0, 1.0, 0.5])),
    )


HOURS = st.tuples(
    st.sampled_from([0.0, 0.0, 0.3, 5.0, 60.0]),  # rain
    st.sampled_from([0.0, 0.0, 8.0, 40.0]),  # irrigation
    st.floats(0.0, 0.7),  # evaporation
    st.floats(0.0, 0.9),  # transpiration
    st.floats(0.0, 1.5),  # root depth
)


def hourly(run: Run, hours: list[tuple[float, ...]], opened: float, closed: float) -> None:
    for rain, irrigation, evaporation, transpiration, zr_m in hours:
        run.advance(
            3600.0,
            RAIN_MM_H=rain,
            IRRIGATION_MM_H=irrigation,
            IRRIGATION_FROM_S=opened,
            IRRIGATION_TO_S=closed,
            EVAPORATION_MM_H=evaporation,
            EVAPORATION_CAP_MM_H=1.0,
            TRANSPIRATION_MM_H=transpiration,
            ZR_M=zr_m,
            ET0_MM_H=0.5,
            KC_MAX=1.2,
        )


@settings(max_examples=60)
@given(
    zone=profiles(),
    hours=st.lists(HOURS, min_size=6, max_size=40),
    valve=st.tuples(st.floats(0.0, 3600.0), st.floats(0.0, 3600.0)).map(sorted),
)
def test_water_is_conserved_in_any_soil_weather_and_valve_schedule(
    zone: SoilProfile, hours: list[tuple[float, ...]], valve: list[float]
) -> None:
    run = Run(zone)
    hourly(run, hours, *valve)
    assert run.imbalance() < 1e-9
    theta = run.theta()
    assert np.all(theta > 0.0)
    assert np.all(theta < max(layer.soil.theta_s for layer in zone.layers) + 1e-4)
    assert np.all(run.fluxes[:, Flux.EVAPORATION_MM : Flux.DRAINAGE_MM] >= -1e-9)
    assert run.fluxes[0, Flux.RUNOFF_MM] >= -1e-9


@st.composite
def steep_soils(draw: st.DrawFn) -> VanGenuchten:
    """All that a scenario permits, with the corner in which pores empty within centimetres."""
    theta_r = draw(st.floats(0.0, 0.12))
    corner = draw(st.booleans())
    n = draw(st.floats(5.0, 15.0)) if corner else draw(st.floats(1.02, 15.0))
    return VanGenuchten(
        theta_r=theta_r,
        theta_s=draw(st.floats(theta_r + 0.2, 0.6)),
        alpha_per_m=draw(st.floats(50.0, 100.0)) if corner else 10.0 ** draw(st.floats(-1.0, 2.0)),
        n=n,
        ks_m_d=10.0 ** draw(st.floats(-3.0, 1.5)),
        pore_connectivity=max(draw(st.sampled_from([0.5, -1.0, 2.0])), -1.9 * n / (n - 1.0)),
    )


@settings(max_examples=60)
@given(
    soil=st.lists(st.tuples(st.floats(0.1, 0.8), steep_soils()), min_size=1, max_size=3),
    head_m=st.floats(-100.0, -0.2),
    bottom=st.sampled_from([Bottom(), Bottom(kind="zero_flux"), Bottom(kind="head", head_m=-2.0)]),
    hours=st.lists(HOURS, min_size=6, max_size=30),
    valve=st.tuples(st.floats(0.0, 3600.0), st.floats(0.0, 3600.0)).map(sorted),
)
def test_steep_soils_are_solved(
    soil: list[tuple[float, VanGenuchten]],
    head_m: float,
    bottom: Bottom,
    hours: list[tuple[float, ...]],
    valve: list[float],
) -> None:
    layers = [Layer(thickness_m=d, soil=s, theta_wp=s.theta_r, theta_fc=s.theta_s) for d, s in soil]
    start = InitialProfile(quantity="head_m", values=(head_m,))
    run = Run(SoilProfile(layers=layers, initial=start, bottom=bottom, probe_depth_m=0.05))
    hourly(run, hours, *valve)
    assert run.imbalance() < 1e-9


@pytest.mark.parametrize(
    ("alpha_per_m", "n", "ks_m_d", "head_m"),
    [(81.7, 14.3, 0.172, -16.0), (93.0, 11.4, 1.67, -8.7), (84.7, 11.5, 0.238, -2.7)],
)
def test_rain_on_gravel_like_soil_is_solved(
    alpha_per_m: float, n: float, ks_m_d: float, head_m: float
) -> None:
    """Columns at which Newton's method stopped within hours."""
    soil = VanGenuchten(theta_r=0.05, theta_s=0.4, alpha_per_m=alpha_per_m, n=n, ks_m_d=ks_m_d)
    layer = Layer(thickness_m=0.5, soil=soil, theta_wp=0.05, theta_fc=0.4)
    run = Run(
        SoilProfile(layers=[layer], initial=InitialProfile(quantity="head_m", values=(head_m,)))
    )
    for rain in (0.0, 5.0, 40.0, 0.0, 0.3, 0.0, 8.0, 0.0):
        run.advance(
            3600.0,
            RAIN_MM_H=rain,
            EVAPORATION_MM_H=0.4,
            EVAPORATION_CAP_MM_H=0.4,
            TRANSPIRATION_MM_H=0.4,
            ZR_M=0.4,
            ET0_MM_H=0.4,
            KC_MAX=1.2,
        )
    assert run.imbalance() < 1e-9


def test_a_ponded_steep_soil_takes_up_water_as_green_and_ampt_have_it() -> None:
    """Green and Ampt (1911), for a sharp front: I - S ln(1 + I / S) = Ks t, where S is the deficit
    of water times the suction of the front, the integral of relative K over head.  Cells of 1 mm
    come to 1.7 % below it: the front is not quite sharp."""
    soil = VanGenuchten(theta_r=0.05, theta_s=0.4, alpha_per_m=50.0, n=10.0, ks_m_d=0.5)
    heads = -np.geomspace(1e-6, 1.0, 20_001)
    relative = soil.conductivity_m_d(heads) / soil.ks_m_d
    suction_m = float(np.trapezoid(relative, -heads))
    deficit = suction_m * (soil.theta_s - float(soil.theta(-1.0)))
    layer = Layer(thickness_m=1.0, soil=soil, theta_wp=0.05, theta_fc=0.4)
    start = InitialProfile(quantity="head_m", values=(-1.0,))
    run = Run(SoilProfile(layers=[layer], initial=start, surface=Surface(head_m=0.0)), cells=100)
    run.advance(0.2 * 86400.0)
    taken = -run.fluxes[0, Flux.RUNOFF_MM] / 1000.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        late = middle - deficit * np.log1p(middle / deficit) > soil.ks_m_d * 0.2
        low, high = (low, middle) if late else (middle, high)
    assert taken == pytest.approx(low, rel=0.03)


@settings(max_examples=25)
@given(
    zone=profiles(),
    days=st.lists(HOURS, min_size=1, max_size=3),
    valve=st.tuples(st.integers(0, 72), st.integers(0, 72)).map(sorted),
)
def test_results_do_not_depend_on_where_calls_end(
    zone: SoilProfile, days: list[tuple[float, ...]], valve: list[int]
) -> None:
    """Valve edges fall on any 10 minutes of the first half of each day."""
    opened, closed = (600.0 * x for x in valve)
    daily, ten_minutes, hours = Run(zone), Run(zone), Run(zone)
    for rain, irrigation, evaporation, transpiration, zr_m in days:
        weather = {
            "RAIN_MM_H": rain / 24.0,
            "EVAPORATION_MM_H": evaporation,
            "EVAPORATION_CAP_MM_H": 1.0,
            "TRANSPIRATION_MM_H": transpiration,
            "ZR_M": zr_m,
            "ET0_MM_H": 0.5,
            "KC_MAX": 1.2,
            "IRRIGATION_MM_H": irrigation,
        }
        for run, step in ((daily, 86400.0), (hours, 3600.0), (ten_minutes, 600.0)):
            for k in range(int(86400 / step)):
                run.advance(
                    step,
                    IRRIGATION_FROM_S=min(max(opened - k * step, 0.0), step),
                    IRRIGATION_TO_S=min(max(closed - k * step, 0.0), step),
                    **weather,
                )
    for other in (hours, ten_minutes):
        np.testing.assert_allclose(other.theta(), daily.theta(), rtol=0, atol=1e-9)
        np.testing.assert_allclose(other.fluxes, daily.fluxes, rtol=0, atol=1e-7)
        # ks is the mean over the last call, so that of a shorter call is another quantity
        columns = [c for c in Observed if c is not Observed.KS]
        np.testing.assert_allclose(
            other.observed[:, columns], daily.observed[:, columns], rtol=1e-9, atol=1e-7
        )


def test_a_saved_state_continues_exactly_as_the_original() -> None:
    weather = {"EVAPORATION_MM_H": 0.2, "EVAPORATION_CAP_MM_H": 1.0, "TRANSPIRATION_MM_H": 0.4}
    first = Run(profile())
    first.advance(5000.0, ZR_M=0.6, RAIN_MM_H=3.0, **weather)
    state = first.model.state()
    first.advance(9000.0, RAIN_MM_H=0.0)
    second = Run(profile())
    second.model.restore(state)
    second.advance(9000.0, ZR_M=0.6, RAIN_MM_H=0.0, **weather)
    np.testing.assert_array_equal(second.theta(), first.theta())
    np.testing.assert_array_equal(second.observed, first.observed)


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="permitted"):
        Run(profile()).model.restore(Run(profile(), cells=20).model.state())


def test_a_zone_is_the_same_alone_and_among_hundreds() -> None:
    kinds = [profile(LOAM), profile(SAND), profile(CLAY, surface=Surface(wetted_fraction=0.3))]
    many = Run(*(kinds * 100))
    alone = [Run(kind) for kind in kinds]
    for run in (many, *alone):
        for rain in (0.0, 8.0, 0.0):
            run.advance(
                3600.0, RAIN_MM_H=rain, TRANSPIRATION_MM_H=0.5, ZR_M=0.5, EVAPORATION_MM_H=0.3
            )
    for k, run in enumerate(alone):
        np.testing.assert_array_equal(many.theta()[k::3], np.repeat(run.theta(), 100, axis=0))
        np.testing.assert_array_equal(many.fluxes[k::3], np.repeat(run.fluxes, 100, axis=0))


def test_a_valve_that_opens_for_a_minute_within_a_day_delivers_exactly_that() -> None:
    run = Run(profile())
    run.advance(86400.0, IRRIGATION_MM_H=30.0, IRRIGATION_FROM_S=40007.0, IRRIGATION_TO_S=40067.0)
    assert run.fluxes[0, Flux.IRRIGATION_MM] == pytest.approx(0.5, abs=1e-12)


def test_water_that_clay_cannot_take_ponds_and_then_runs_off() -> None:
    # rain 40 mm/h on soil with Ks = 2 mm/h
    run = Run(profile(CLAY, surface=Surface(ponding_max_mm=8.0)))
    run.advance(3600.0, RAIN_MM_H=40.0)
    assert run.observed[0, Observed.PONDING_MM] == pytest.approx(8.0)
    assert 20.0 < run.fluxes[0, Flux.RUNOFF_MM] < 31.0
    # a day later all of the pond has infiltrated, nothing more has run off
    before = run.fluxes[0, Flux.RUNOFF_MM]
    run.advance(86400.0, RAIN_MM_H=0.0)
    assert run.observed[0, Observed.PONDING_MM] == 0.0
    assert run.fluxes[0, Flux.RUNOFF_MM] == before


def test_drippers_pond_where_sprinklers_of_the_same_mean_rate_do_not() -> None:
    # 9 mm/h over the zone, below the Ks of loam (10.4 mm/h), are 90 mm/h on a tenth of it
    sprinkler = Run(profile(surface=Surface(wetted_fraction=1.0)))
    drip = Run(profile(surface=Surface(wetted_fraction=0.1)))
    for run in (sprinkler, drip):
        run.advance(3600.0, IRRIGATION_MM_H=9.0, IRRIGATION_TO_S=3600.0)
    assert sprinkler.observed[0, Observed.PONDING_MM] == 0.0
    assert drip.observed[0, Observed.PONDING_MM] > 0.01
    assert drip.imbalance() < 1e-9


def test_only_the_wetted_share_evaporates_after_drip_irrigation() -> None:
    # FAO-56 Eq. 71 and 75: at most f_w Kc_max ET0 = 0.3 x 1.2 x 0.5 = 0.18 mm/h
    weather = {
        "EVAPORATION_MM_H": 0.5,
        "EVAPORATION_CAP_MM_H": 0.6,
        "ET0_MM_H": 0.5,
        "KC_MAX": 1.2,
    }
    run = Run(profile(surface=Surface(wetted_fraction=0.3)))
    run.advance(3600.0, IRRIGATION_MM_H=10.0, IRRIGATION_TO_S=3600.0, **weather)
    assert run.fluxes[0, Flux.EVAPORATION_MM] == pytest.approx(0.18)
    run.advance(3600.0, IRRIGATION_MM_H=0.0, RAIN_MM_H=2.0)
    assert run.fluxes[0, Flux.EVAPORATION_MM] == pytest.approx(0.18 + 0.5)


def test_a_wet_soil_evaporates_at_the_potential_rate_and_a_dry_one_far_below_it() -> None:
    wet = Run(profile(initial=InitialProfile(quantity="head_m", values=(-0.5,))))
    wet.advance(3600.0, EVAPORATION_MM_H=0.4, EVAPORATION_CAP_MM_H=0.3)
    assert wet.fluxes[0, Flux.EVAPORATION_MM] == pytest.approx(0.3)
    dry = Run(profile(initial=InitialProfile(quantity="head_m", values=(-150.0,))))
    dry.advance(86400.0, EVAPORATION_MM_H=0.3, EVAPORATION_CAP_MM_H=0.3)
    assert 0.0 < dry.fluxes[0, Flux.EVAPORATION_MM] < 0.1 * 7.2


def test_ks_falls_from_one_to_zero_between_field_capacity_and_wilting() -> None:
    ks = []
    for share in (1.0, 0.15, 0.0):
        run = Run(profile(initial=InitialProfile(values=(share,))))
        run.advance(3600.0, TRANSPIRATION_MM_H=0.5, ZR_M=1.0)
        ks.append(run.observed[0, Observed.KS])
        assert run.fluxes[0, Flux.TRANSPIRATION_MM] == pytest.approx(0.5 * ks[-1])
    assert ks[0] == pytest.approx(1.0)
    assert 0.05 < ks[1] < 0.95
    assert ks[2] < 0.01  # maize wilts at -80 m, the soil is at -153 m


def test_observables_describe_the_root_zone_by_hand() -> None:
    layers = [
        Layer(thickness_m=0.4, soil=LOAM, theta_fc=0.25, theta_wp=0.10),
        Layer(thickness_m=0.6, soil=SAND, theta_fc=0.12, theta_wp=0.05),
    ]
    zone = SoilProfile(layers=layers, initial=InitialProfile(values=(0.5,)), probe_depth_m=0.2)
    run = Run(zone)
    run.advance(1e-3, ZR_M=0.5, DEPLETION_FRACTION=0.4)
    observed = run.observed[0]
    # 0.4 m with 0.15 and 0.1 m with 0.07 available, half of it gone
    assert observed[Observed.TAW_MM] == pytest.approx(67.0)
    assert observed[Observed.RAW_MM] == pytest.approx(26.8)
    assert observed[Observed.DR_MM] == pytest.approx(33.5, abs=1e-3)
    assert observed[Observed.THETA_ROOT] == pytest.approx(
        (0.4 * 0.175 + 0.1 * 0.085) / 0.5, abs=1e-6
    )
    assert observed[Observed.THETA_PROBE] == pytest.approx(0.175, abs=1e-6)
    assert observed[Observed.HEAD_PROBE_M] == pytest.approx(float(LOAM.head(0.175)), rel=1e-5)


def test_roots_deeper_than_the_profile_take_up_within_it() -> None:
    run = Run(profile(depth_m=0.5, bottom=Bottom(kind="zero_flux")))
    run.advance(3600.0, TRANSPIRATION_MM_H=0.5, ZR_M=2.0)
    assert run.fluxes[0, Flux.TRANSPIRATION_MM] == pytest.approx(0.5)


def test_a_seepage_face_lets_water_out_but_not_in() -> None:
    wet = Run(
        profile(
            bottom=Bottom(kind="seepage_face"),
            initial=InitialProfile(quantity="water_table_m", values=(0.5,)),
        )
    )
    dry = Run(
        profile(
            bottom=Bottom(kind="seepage_face"),
            initial=InitialProfile(quantity="water_table_m", values=(3.0,)),
        )
    )
    for run in (wet, dry):
        run.advance(86400.0)
    assert wet.fluxes[0, Flux.DRAINAGE_MM] > 10.0
    assert dry.fluxes[0, Flux.DRAINAGE_MM] == 0.0


def test_weather_that_is_not_a_number_stops_the_run_with_zone_and_time() -> None:
    run = Run(profile(), profile())
    run.advance(7200.0)
    run.forcing[1, ForcingCol.EVAPORATION_MM_H] = np.nan
    run.forcing[:, ForcingCol.EVAPORATION_CAP_MM_H] = np.nan
    run.forcing[0, ForcingCol.EVAPORATION_CAP_MM_H] = 0.0
    with pytest.raises(SoilError, match=r"the residual is not a number \(NaN\)") as raised:
        run.advance(600.0)
    assert (raised.value.zone, raised.value.time_s) == (1, 7200.0)
    assert 0 <= raised.value.cell < 50


def test_graded_cells_grow_with_depth_and_meet_every_layer_boundary() -> None:
    layers = [Layer(thickness_m=t, soil=LOAM) for t in (0.25, 0.05, 1.2)]
    faces = graded_cells(layers, 50)
    assert len(faces) == 51
    for depth in (0.0, 0.25, 0.30, 1.5):
        assert np.min(np.abs(faces - depth)) < 1e-12
    sizes = np.diff(faces)
    assert sizes[0] == pytest.approx(0.01, rel=0.1)
    assert np.all(np.diff(sizes[faces[1:] > 0.3]) > 0.0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Layer(thickness_m=0.0, soil=LOAM),
        lambda: Layer(thickness_m=1.0, soil=LOAM, theta_fc=0.1, theta_wp=0.2),
        lambda: Surface(ponding_max_mm=-1.0),
        lambda: Surface(minimum_head_m=0.0),
        lambda: Surface(wetted_fraction=0.0),
        lambda: Bottom(kind="swamp"),  # type: ignore[arg-type]
        lambda: InitialProfile(values=(0.1, 0.2), depths_m=(0.0,)),
        lambda: SoilProfile(layers=[]),
        lambda: profile(probe_depth_m=2.0),
        lambda: graded_cells([Layer(thickness_m=1.0, soil=LOAM)], 1),
        lambda: Richards([]),
        lambda: Richards([profile()], cells=[0.0, 0.7, 1.0]),
    ],
)
def test_what_cannot_be_is_refused_with_the_permitted_range(build: object) -> None:
    with pytest.raises(ValueError, match="permitted"):
        build()  # type: ignore[operator]


def test_compilation_is_announced_only_when_it_is_needed() -> None:
    warm_up()
    told: list[str] = []
    warm_up(told.append)
    assert compiled()
    assert told == []


def test_a_finer_time_tolerance_brings_the_result_closer() -> None:
    """Convergence in time, against a run with a hundredth of the tolerance."""

    def infiltrate(theta_error: float) -> np.ndarray:
        run = Run(replace(profile(), theta_error=theta_error))
        run.advance(7200.0, RAIN_MM_H=8.0)
        return run.theta()

    best = infiltrate(1e-5)
    errors = [float(np.max(np.abs(infiltrate(e) - best))) for e in (1e-2, 1e-3, 1e-4)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] < 0.01
