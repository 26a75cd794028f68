from __future__ import annotations

from math import atan, e, erf, isnan, nan, pi, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import devices_of

from levada.guest.abi import ErrorCode
from levada.sim import seeds
from levada.sim.devices import kernels as device_kernels
from levada.sim.devices.probe import (
    ProbeFault,
    ProbeParam,
    Probes,
    ProbeState,
    RainGauge,
    calibration,
    damping_depth_m,
    ideal_counts,
)
from levada.sim.run.zone_loop import sample_zone
from levada.sim.settings.probe import ADC_MAX, Probe
from levada.sim.soil.model import new_observed
from levada.sim.units import DAY_MS, HOUR_MS

YEAR_MS = round(365.25 * DAY_MS)
EXACT = Probe(noise_counts=0.0)


def make(*probes: Probe, names: list[str] | None = None, seed: int = 1, **options: Any) -> Probes:
    names = names or [f"z{i}" for i in range(len(probes))]
    options.setdefault("start_ms", 0)
    return Probes(probes, keys=seeds.zone_keys(seed, "probe", names), **options)


def read(probes: Probes, time_ms: int = 0, theta: float = 0.225, head_m: float = nan) -> list[int]:
    arrays = (probes.parameters, probes.state, probes.keys)
    return [
        device_kernels.probe_counts(i, float(time_ms), theta, head_m, *arrays)
        for i in range(probes.n)
    ]


def warm(probes: Probes, dt_s: float, air_c: float) -> None:
    """Let the soil of the only zone be under air of this temperature for `dt_s`."""
    device_kernels.soil_temperature(0, dt_s, air_c, probes.parameters, probes.state)


# --- noise


def philox_by_hand(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 with Python's integers, after Salmon et al. (2011), Sect. 3.3 and Table 2."""
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * counter[2], 2**32)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # known answers for philox4x32-10 of Random123, kat_vectors
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([2**32 - 1] * 4, [2**32 - 1] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_reference_in_this_file_gives_the_published_answers(
    counter: list[int], key: list[int], expected: str
) -> None:
    assert philox_by_hand(counter, key) == [int(word, 16) for word in expected.split()]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_philox_is_that_of_the_reference(counter: int, key: int) -> None:
    found = device_kernels.philox(np.uint64(counter), np.uint64(key))
    expected = philox_by_hand([counter % 2**32, counter >> 32, 0, 0], [key % 2**32, key >> 32])
    assert [int(word) for word in found] == expected


def test_noise_is_standard_normal() -> None:
    key = seeds.zone_keys(1, "probe", ["a"])[0]
    x = np.sort([device_kernels.gaussian(600_000 * k, key) for k in range(20_000)])
    normal = np.array([0.5 * (1 + erf(v / sqrt(2))) for v in x])
    rank = (np.arange(len(x)) + 0.5) / len(x)
    # Kolmogorov and Smirnov: 1.63 / sqrt(n) is exceeded once in a hundred
    assert np.abs(normal - rank).max() < 1.63 / sqrt(len(x))


def test_noise_of_neighbouring_samples_is_uncorrelated() -> None:
    key = seeds.zone_keys(1, "probe", ["a"])[0]
    x = np.array([device_kernels.gaussian(k, key) for k in range(10_000)])
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / sqrt(len(x))


def test_noise_has_the_standard_deviation_asked_for() -> None:
    probes = make(Probe(noise_counts=12.0))
    counts = np.array([read(probes, k * 600_000)[0] for k in range(4_000)])
    assert counts.mean() == pytest.approx(2150, abs=4 * 12 / sqrt(4_000))
    assert counts.std() == pytest.approx(12.0, rel=0.05)


@given(st.integers(0, 30), st.integers(1, 40))
def test_noise_of_a_zone_does_not_depend_on_other_zones(position: int, others: int) -> None:
    names = [f"other{i}" for i in range(others)]
    names.insert(min(position, others), "mine")
    among = make(*[Probe()] * len(names), names=names)
    alone = make(Probe(), names=["mine"])
    for time_ms in (0, 600_000, 1_200_001):
        assert read(among, time_ms)[names.index("mine")] == read(alone, time_ms)[0]


def test_noise_does_not_depend_on_how_often_the_probe_was_read() -> None:
    often, seldom = make(Probe()), make(Probe())
    for time_ms in range(0, DAY_MS, 600_000):
        last = read(often, time_ms)
    assert read(seldom, DAY_MS - 600_000) == last


def test_another_seed_gives_another_noise() -> None:
    a, b = make(Probe(), seed=1), make(Probe(), seed=2)
    times = range(0, 20 * 600_000, 600_000)
    assert [read(a, t) for t in times] != [read(b, t) for t in times]


# --- calibration


@pytest.mark.parametrize(
    ("theta", "counts"), [(0.0, 3000), (0.45, 1300), (0.225, 2150), (0.27, 1980)]
)
def test_a_linear_probe_reads_on_the_line_between_dry_and_wet(theta: float, counts: int) -> None:
    assert read(make(EXACT), theta=theta) == [counts]


def test_a_topp_probe_is_linear_in_the_permittivity_of_topp() -> None:
    # Topp et al. (1980) Eq. 6 by hand: K(0) = 3.03, K(0.2) = 3.03 + 1.86 + 5.84 - 0.6136 = 10.1164,
    # K(0.45) = 3.03 + 4.185 + 29.565 - 6.98929 = 29.79071; (10.1164 - 3.03) / 26.76071 = 0.264806
    probe = EXACT.but(curve="topp")
    assert read(make(probe), theta=0.0) == [3000]
    assert read(make(probe), theta=0.45) == [1300]
    assert read(make(probe), theta=0.2) == [round(3000 - 1700 * 0.264806)]


def test_an_inverse_probe_is_linear_in_one_over_the_water_content_of_hrisko() -> None:
    # theta = 2.48 V / U - 0.72 (Hrisko 2020), ends at 3.444 V (theta 0) and 2.120 V (theta 0.45):
    # at 0.2 it is 2.48 / 0.92 = 2.69565 V, a share of (3.44444 - 2.69565) / 1.32479 = 0.565217
    probe = EXACT.but(curve="inverse")
    assert read(make(probe), theta=0.0) == [3000]
    assert read(make(probe), theta=0.45) == [1300]
    assert read(make(probe), theta=0.2) == [round(3000 - 1700 * 0.565217)]
    assert ideal_counts(probe, [0.0, 0.45]).tolist() == pytest.approx([3000.0, 1300.0])


@pytest.mark.parametrize("curve", ["linear", "inverse", "topp"])
@given(theta=st.floats(0.0, 0.6))
def test_what_a_node_is_told_is_what_an_undisturbed_probe_reads(curve: Any, theta: float) -> None:
    probe = EXACT.but(curve=curve)
    counts = float(np.clip(ideal_counts(probe, theta), 0.0, ADC_MAX))
    assert read(make(probe), theta=theta)[0] == pytest.approx(counts, abs=0.5 + 1e-9)


@given(st.floats(0.0, 0.2), st.floats(0.25, 0.6), st.floats(0.0, 1.0))
def test_a_linear_curve_is_a_line_between_its_ends(dry: float, wet: float, s: float) -> None:
    a0, a1, a2, a3 = calibration(EXACT.but(theta_dry=dry, theta_wet=wet))
    assert (a2, a3) == (0.0, 0.0)
    assert a0 + (dry + s * (wet - dry)) * a1 == pytest.approx(3000 - 1700 * s, abs=1e-6)


def test_a_tensiometer_reads_suction_up_to_air_entry() -> None:
    probe = EXACT.but(kind="tensiometer")
    # 1 m of water is 9.80665 kPa of 80: 1300 + 1700 * 0.122583
    assert read(make(probe), head_m=-1.0) == [1508]
    assert read(make(probe), head_m=0.3) == [1300]
    assert read(make(probe), head_m=-8.2) == [3000]
    assert read(make(probe), head_m=-150.0) == [3000]


def test_a_tensiometer_without_pressure_head_is_unavailable() -> None:
    assert read(make(EXACT.but(kind="tensiometer"))) == [ErrorCode.UNAVAILABLE]


# --- what disturbs


def test_temperature_moves_the_counts_about_the_reference() -> None:
    probe = EXACT.but(temperature_counts_per_c=2.5, reference_c=20.0)
    assert read(make(probe, temp_c=30.0)) == [2175]
    assert read(make(probe, temp_c=16.0)) == [2140]


def test_electronics_follow_the_air_at_once_and_the_soil_follows_later() -> None:
    # 10 degC more: the soil at 0.15 m has not felt it, the electronics in the air have
    probe = EXACT.but(temperature_counts_per_c=-2.0, electronics_counts_per_c=1.5, depth_m=0.15)
    probes = make(probe, temp_c=20.0)
    assert read(probes) == [2150]
    warm(probes, 1.0, 30.0)
    assert read(probes) == [2165]
    warm(probes, 30 * 86_400.0, 30.0)
    assert read(probes) == [2145]  # both, and they act against each other


def test_drift_is_counted_by_the_day_since_installation() -> None:
    probes = make(EXACT.but(drift_counts_per_day=3.0), start_ms=10 * DAY_MS)
    assert read(probes, 10 * DAY_MS) == [2150]
    assert read(probes, 14 * DAY_MS) == [2162]


def test_ageing_shrinks_the_span_towards_the_dry_end() -> None:
    probes = make(EXACT.but(ageing_per_year=0.1))
    # (2150 - 3000) * 0.9 = -765
    assert read(probes, YEAR_MS) == [2235]
    # after ten years nothing of the span is left
    assert read(probes, 20 * YEAR_MS) == [3000]


def test_warm_up_fades_exponentially_and_starts_again_with_power() -> None:
    probes = make(EXACT.but(warmup_counts=100.0, warmup_s=2.0))
    assert read(probes, 0) == [2250]
    assert read(probes, 2_000) == [round(2150 + 100 / e)]
    assert read(probes, 60_000) == [2150]
    probes.power_up(60_000)
    assert read(probes, 60_000) == [2250]


@pytest.mark.parametrize("bits", [4, 8, 10, 12])
def test_resolution_is_that_of_the_converter(bits: int) -> None:
    probes = make(EXACT.but(adc_bits=bits))
    quantum = 2 ** (12 - bits)
    seen = {read(probes, theta=theta)[0] for theta in np.linspace(0, 0.45, 500)}
    assert all(counts % quantum == 0 for counts in seen)
    assert len(seen) >= min(400, 1700 // quantum)


def test_counts_stop_at_the_rails() -> None:
    probes = make(EXACT.but(dry_counts=4000.0, wet_counts=100.0))
    assert read(probes, theta=0.6) == [0]
    assert read(make(EXACT.but(drift_counts_per_day=500)), 5 * DAY_MS) == [ADC_MAX]


@given(
    theta=st.floats(allow_nan=True, allow_infinity=True),
    head=st.floats(allow_nan=True, allow_infinity=True),
    temp=st.floats(-60, 90),
    time_ms=st.integers(0, 30 * YEAR_MS),
    kind=st.sampled_from(["capacitive", "tensiometer"]),
    fault=st.sampled_from(list(ProbeFault)),
    magnitude=st.sampled_from([-4, -2, 0, 7, 5000]) | st.integers(-4, 10_000),
)
def test_a_reading_is_always_counts_or_an_error_code(
    theta: float,
    head: float,
    temp: float,
    time_ms: int,
    kind: Any,
    fault: ProbeFault,
    magnitude: int,
) -> None:
    probes = make(Probe(kind=kind, warmup_counts=50, temperature_counts_per_c=3), temp_c=temp)
    for active in (False, True, False):
        if fault is ProbeFault.OPEN and magnitude < -4:
            continue
        probes.set_fault(0, 0, fault, active, magnitude)
        counts = read(probes, time_ms, theta, head)[0]
        assert 0 <= counts <= ADC_MAX or counts in {-1, -2, -3, -4}


# --- faults


def test_a_stuck_probe_keeps_its_last_reading_until_it_is_freed() -> None:
    probes = make(EXACT)
    read(probes, 0, theta=0.225)
    probes.set_fault(0, 0, ProbeFault.STUCK, True)
    assert read(probes, HOUR_MS, theta=0.4) == [2150]
    probes.set_fault(0, 0, ProbeFault.STUCK, False)
    assert read(probes, HOUR_MS, theta=0.27) == [1980]


def test_a_probe_stuck_from_the_start_keeps_its_first_reading() -> None:
    probes = make(EXACT)
    probes.set_fault(0, 0, ProbeFault.STUCK, True)
    assert read(probes, 0, theta=0.27) == [1980]
    assert read(probes, HOUR_MS, theta=0.1) == [1980]


def test_a_drifting_probe_moves_from_the_start_of_the_fault() -> None:
    probes = make(EXACT)
    probes.set_fault(2 * DAY_MS, 0, ProbeFault.DRIFT, True, 24.0)
    assert read(probes, 2 * DAY_MS) == [2150]
    assert read(probes, 2 * DAY_MS + 6 * HOUR_MS) == [2156]
    probes.set_fault(3 * DAY_MS, 0, ProbeFault.DRIFT, False)
    assert read(probes, 3 * DAY_MS) == [2150]


def test_a_spike_shifts_every_reading_while_it_lasts() -> None:
    probes = make(EXACT)
    probes.set_fault(0, 0, ProbeFault.SPIKE, True, -300.0)
    assert read(probes) == [1850]
    probes.set_fault(0, 0, ProbeFault.SPIKE, False)
    assert read(probes) == [2150]


def test_a_broken_wire_reads_the_rail_or_an_error_code() -> None:
    probes = make(EXACT)
    probes.set_fault(0, 0, ProbeFault.OPEN, True)
    assert read(probes) == [ADC_MAX]
    probes.set_fault(0, 0, ProbeFault.OPEN, True, float(ErrorCode.UNAVAILABLE))
    assert read(probes) == [ErrorCode.UNAVAILABLE]
    with pytest.raises(ValueError, match="`magnitude` = -77"):
        probes.set_fault(0, 0, ProbeFault.OPEN, True, -77)


def test_a_fault_touches_its_zone_only() -> None:
    probes = make(EXACT, EXACT, EXACT)
    probes.set_fault(0, 1, ProbeFault.OPEN, True)
    assert read(probes) == [2150, ADC_MAX, 2150]


# --- what is drawn by zone


def many(probe: Probe, n: int = 2_000, **options: Any) -> Probes:
    return make(*[probe] * n, names=[f"n{i}" for i in range(n)], **options)


def test_soils_seem_wetter_or_drier_by_the_error_asked_for() -> None:
    # straight curve: 0.05 of water content are 1700 / 0.45 * 0.05 = 189 counts
    counts = np.array(read(many(EXACT.but(theta_error=0.05)), theta=0.25))
    exact = 3000 - 1700 * 0.25 / 0.45
    theta_off = (exact - counts) * 0.45 / 1700
    # cut at three standard deviations, a normal deviate keeps 0.9866 of its own
    assert np.sqrt(np.mean(theta_off**2)) == pytest.approx(0.0493, rel=0.05)
    assert abs(np.mean(theta_off)) < 4 * 0.05 / sqrt(len(counts))
    assert np.abs(theta_off).max() <= 0.15 + 1e-3


def test_ends_scatter_from_probe_to_probe_and_apart() -> None:
    probes = many(EXACT.but(ends_scatter_counts=72.0))
    dry, wet = (np.array(read(probes, theta=theta), float) for theta in (0.0, 0.45))
    assert dry.std() == pytest.approx(72.0 * 0.9866, rel=0.05)
    assert wet.std() == pytest.approx(72.0 * 0.9866, rel=0.05)
    assert abs(np.corrcoef(dry, wet)[0, 1]) < 4 / sqrt(len(dry))
    # two ends of 72 counts: spans scatter by 102, those measured lay within 1577 to 1929
    assert (dry - wet).std() == pytest.approx(72.0 * sqrt(2) * 0.9866, rel=0.06)


def test_what_is_drawn_belongs_to_seed_and_zone_and_stays() -> None:
    probe = EXACT.but(ends_scatter_counts=72.0, theta_error=0.05)
    alone, among = make(probe, names=["b"]), make(*[probe] * 3, names=["a", "b", "c"])
    assert read(alone) == [read(among)[1]] == read(alone, 30 * DAY_MS)
    assert len({tuple(row) for row in among.parameters.tolist()}) == 3
    assert read(make(probe, names=["b"], seed=2)) != read(alone)


def test_nothing_is_drawn_for_an_ideal_probe() -> None:
    rows = many(Probe(), 3).parameters
    assert (rows == rows[0]).all()


def test_a_realistic_probe_is_what_was_measured_of_probes_v1_2() -> None:
    probe = Probe(preset="realistic", noise_counts=5.0)
    assert (probe.curve, probe.theta_error, probe.noise_counts) == ("inverse", 0.05, 5.0)
    assert Probe(**dict(probe)) == probe
    assert Probe(preset="ideal") == Probe()
    # -0.779 mV/degC in water (Fares 2009) at 3300 mV over 4096 counts
    assert probe.temperature_counts_per_c == pytest.approx(-0.779 * 4096 / 3300, rel=0.05)
    assert probe.temperature_counts_per_c * probe.electronics_counts_per_c < 0.0


# --- soil temperature


def test_the_damping_depth_is_that_of_the_textbook() -> None:
    # Campbell and Norman (1998): about 0.1 m for the day, about 2 m for the year
    assert damping_depth_m(5e-7) == pytest.approx(0.117, abs=0.001)
    assert damping_depth_m(5e-7, 365 * 86_400) == pytest.approx(2.24, abs=0.01)


@pytest.mark.parametrize("depths", [0.5, 1.0, 2.0])
def test_the_daily_wave_is_damped_as_at_the_depth_of_the_probe(depths: float) -> None:
    probes = make(EXACT.but(depth_m=depths * damping_depth_m(5e-7)), temp_c=20.0)
    hours = np.arange(0, 30 * 24, 1 / 6)
    temps = []
    for hour in hours:
        warm(probes, 600.0, 20.0 + 10.0 * np.sin(2 * pi * (hour + 1 / 12) / 24))
        temps.append(probes.state[0, ProbeState.TEMP_C])
    last_day = np.array(temps[-144:])
    assert (last_day.max() - last_day.min()) / 2 == pytest.approx(10 * e**-depths, rel=0.01)
    lag_h = hours[-144:][last_day.argmax()] % 24 + 1 / 6 - 6
    assert lag_h == pytest.approx(atan(sqrt(e ** (2 * depths) - 1)) * 24 / (2 * pi), abs=0.2)


@given(st.lists(st.floats(1.0, 40_000.0), min_size=1, max_size=8), st.floats(-20, 45))
def test_soil_temperature_does_not_depend_on_how_an_interval_is_cut(
    pieces: list[float], air_c: float
) -> None:
    cut, whole = make(EXACT), make(EXACT)
    for piece in pieces:
        warm(cut, piece, air_c)
    warm(whole, sum(pieces), air_c)
    assert cut.state[0, ProbeState.TEMP_C] == pytest.approx(
        whole.state[0, ProbeState.TEMP_C], abs=1e-9
    )


def test_a_probe_at_the_surface_has_air_temperature() -> None:
    probes = make(EXACT.but(depth_m=1e-9))
    warm(probes, 600.0, 31.237)
    devices = devices_of(probes)
    sample_zone(0, 0, devices, new_observed(1))
    assert devices.readings[0, 1] == 3124  # 0.01 degC


# --- configuration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "magic"}, '`kind` = "magic": permitted "capacitive", "tensiometer"'),
        ({"dry_counts": 5000}, "`dry_counts` = 5000 counts: permitted 0 to 4095 counts"),
        ({"dry_counts": 1300}, "`wet_counts` = 1300 counts: equals `dry_counts`"),
        ({"theta_wet": 0.0}, "`theta_wet` = 0.0: must be at least 0.01 above `theta_dry`"),
        ({"curve": "cubic"}, '`curve` = "cubic": permitted "linear", "inverse", "topp"'),
        ({"theta_error": 0.3}, "`theta_error` = 0.3: permitted 0 to 0.2"),
        ({"preset": "good"}, '`preset` = "good": permitted "ideal", "realistic"'),
        (
            {"kind": "tensiometer", "preset": "realistic"},
            '`preset` = "realistic": that of a capacitive probe',
        ),
        ({"adc_bits": 16}, "`adc_bits` = 16: permitted 4 to 12"),
        ({"noise_counts": nan}, "`noise_counts` = nan: must be a finite number"),
    ],
)
def test_a_wrong_probe_is_refused_with_value_and_range(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EXACT.but(**change)


def test_parameters_have_a_row_a_zone() -> None:
    probes = make(EXACT, EXACT.but(noise_counts=9.0))
    assert probes.parameters.shape == (2, len(ProbeParam))
    assert probes.parameters[1, ProbeParam.NOISE_COUNTS] == 9.0
    assert isnan(probes.state[0, ProbeState.LAST])


# --- rain gauge


@given(st.lists(st.floats(0, 20), max_size=50), st.sampled_from([0.1, 0.2, 0.254, 0.5]))
def test_a_rain_gauge_loses_no_more_than_the_bucket_holds(rains: list[float], size: float) -> None:
    gauge = RainGauge(size)
    tips = sum(gauge.add(rain) for rain in rains)
    assert tips == gauge.tips
    assert -1e-6 <= sum(rains) - tips * size < size + 1e-6


def test_a_rain_gauge_tips_for_every_bucket() -> None:
    gauge = RainGauge(0.2)
    assert [gauge.add(0.1) for _ in range(6)] == [0, 1, 0, 1, 0, 1]
    assert gauge.add(1.05) == 5
    with pytest.raises(ValueError, match="`rain_mm` = -1"):
        gauge.add(-1.0)
