from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import devices_of

from levada.sim.devices.kernels import command_valve, valve_segment
from levada.sim.devices.probe import Probes
from levada.sim.devices.valve import ValveFault, Valves, ValveState, flow_l_min
from levada.sim.run.zone_columns import NodeCol
from levada.sim.run.zone_loop import interval_end, sample_zone
from levada.sim.seeds import zone_keys
from levada.sim.settings.probe import Probe
from levada.sim.settings.valve import METERS, Valve
from levada.sim.soil.model import FloatArray, ForcingCol, new_forcing, new_observed
from levada.sim.units import MINUTE_MS

NO_TIMER_S = 31_622_400.0
SHARP = Valve(opening_delay_s=0.0, closing_delay_s=0.0)
patterns = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 30 * MINUTE_MS)), max_size=20)


def command(valves: Valves, zone: int, time_ms: int, state: int) -> None:
    command_valve(zone, float(time_ms), state, valves.parameters, valves.state)


def run(valves: Valves, zone: int, from_ms: int, to_ms: int, forcing: FloatArray) -> None:
    valve_segment(zone, float(from_ms), float(to_ms), valves.parameters, valves.state, forcing)


class Line:
    """One valve, driven as the field drives it: commands at instants, intervals between them."""

    def __init__(
        self, valve: Valve, area_m2: float = 100.0, *, name: str = "a", seed: int = 1
    ) -> None:
        self.valves = Valves([valve], [area_m2], zone_keys(seed, "meter", [name]))
        self.valve = valve
        self.area_m2 = area_m2
        self.now_ms = 0
        self.delivered_l = 0.0
        """From the forcing, as the soil sees it."""
        self.pieces: list[tuple[float, float, float]] = []
        """Rate [mm/h], from, to [s since 0], of every delivery."""

    def command(self, state: int) -> None:
        command(self.valves, 0, self.now_ms, state)

    def end_ms(self, until_ms: int) -> int:
        """Where the loop over the zones ends the next interval, at `until_ms` at the latest."""
        z = np.zeros(len(NodeCol), dtype=np.int64)
        z[NodeCol.NOW_MS] = self.now_ms
        whole_ms = until_ms - self.now_ms
        return interval_end(z, until_ms, whole_ms, self.now_ms, False, self.valves.state[0])

    def run(self, duration_ms: int) -> None:
        """One interval, in the pieces in which the loop over the zones takes it."""
        end = self.now_ms + duration_ms
        forcing = new_forcing(1)
        while self.now_ms < end:
            cut = self.end_ms(end)
            assert self.now_ms < cut <= end
            run(self.valves, 0, self.now_ms, cut, forcing)
            rate, start, stop = forcing[
                0, ForcingCol.IRRIGATION_MM_H : ForcingCol.IRRIGATION_TO_S + 1
            ]
            assert 0 <= start <= stop <= (cut - self.now_ms) / 1000
            if stop > start:
                self.pieces.append((rate, self.now_ms / 1000 + start, self.now_ms / 1000 + stop))
                self.delivered_l += rate * self.area_m2 * (stop - start) / 3600
            self.now_ms = cut

    def __getitem__(self, column: ValveState) -> float:
        return float(self.valves.state[0, column])


def test_ten_minutes_at_ten_litres_a_minute_are_one_millimetre_on_a_hundred_square_metres() -> None:
    line = Line(Valve())
    line.command(1)
    line.run(10 * MINUTE_MS)
    line.command(0)
    line.run(10 * MINUTE_MS)
    # dead times of 2 s at both ends: open from 2 s to 602 s
    assert line.pieces == [(6.0, 2.0, 600.0), (6.0, 600.0, 602.0)]
    assert line[ValveState.VOLUME_L] == pytest.approx(100.0, abs=1e-9)
    assert line[ValveState.PULSES] == 45_000
    assert line[ValveState.OPEN_S] == 600.0
    assert line[ValveState.OPENINGS] == 1
    assert line[ValveState.LONGEST_S] == 600.0


@pytest.mark.parametrize(
    ("pressure", "exponent", "expected"),
    [
        (400.0, 0.5, 20.0),  # an orifice passes twice as much at four times the pressure
        (25.0, 0.5, 5.0),
        (200.0, 1.0, 20.0),  # laminar: proportional
        (350.0, 0.0, 10.0),  # pressure compensating
        (0.0, 0.5, 0.0),
        (0.0, 0.0, 0.0),
        (200.0, 1.1, 21.43547),  # 2^1.1
    ],
)
def test_flow_follows_pressure_by_the_exponent_of_the_emitter(
    pressure: float, exponent: float, expected: float
) -> None:
    assert flow_l_min(10.0, pressure, 100.0, exponent) == pytest.approx(expected)


def test_flow_follows_the_worked_example_of_a_dripper() -> None:
    # from courses on drip irrigation: 4 L/h at 10 m and x = 0.42 become 4.32 L/h at 12 m
    assert flow_l_min(4.0, 12.0, 10.0, 0.42) == pytest.approx(4.32, abs=0.005)


@pytest.mark.parametrize(
    ("pressure", "expected"),
    [
        (200.0, 10.0),  # regulates
        (69.0, 10.0),
        (17.25, 5.0),  # a quarter of its least pressure: an orifice passes half
        (6.0, 2.948839),  # sqrt(6 / 69)
        (0.0, 0.0),
    ],
)
def test_a_compensating_emitter_is_an_orifice_below_its_least_pressure(
    pressure: float, expected: float
) -> None:
    assert flow_l_min(10.0, pressure, 100.0, 0.0, 69.0) == pytest.approx(expected)
    line = Line(SHARP.but(pressure_kpa=pressure, emitter_exponent=0.0, emitter_least_kpa=69.0))
    line.command(1)
    line.run(MINUTE_MS)
    assert line[ValveState.VOLUME_L] == pytest.approx(expected)


@given(st.floats(0.0, 1.1), st.floats(1.0, 500.0), st.floats(1.0, 500.0))
def test_flow_does_not_jump_at_the_least_pressure_and_never_falls_with_pressure(
    exponent: float, least_kpa: float, nominal_kpa: float
) -> None:
    pressures = np.linspace(0.0, 2.0 * least_kpa, 201)
    flow = [flow_l_min(10.0, float(p), nominal_kpa, exponent, least_kpa) for p in pressures]
    assert np.all(np.diff(flow) >= -1e-9)
    below, above = (
        flow_l_min(10.0, least_kpa * (1 + s), nominal_kpa, exponent, least_kpa) for s in (-1e-9, 0)
    )
    assert below == pytest.approx(above, rel=1e-6)


def test_a_valve_passes_what_its_pressure_drives() -> None:
    line = Line(SHARP.but(pressure_kpa=400.0, nominal_pressure_kpa=100.0, emitter_exponent=0.5))
    line.command(1)
    line.run(MINUTE_MS)
    assert line[ValveState.VOLUME_L] == pytest.approx(20.0)  # twice the nominal 10 L/min


def test_a_command_taken_back_within_the_dead_time_moves_nothing() -> None:
    line = Line(Valve(opening_delay_s=5.0, closing_delay_s=5.0))
    line.command(1)
    line.run(4_999)
    line.command(0)
    line.run(MINUTE_MS)
    assert (line[ValveState.OPENINGS], line[ValveState.VOLUME_L]) == (0, 0)
    line.command(1)
    line.run(MINUTE_MS)
    line.command(0)
    line.run(4_999)
    line.command(1)
    line.run(MINUTE_MS)
    assert line[ValveState.OPENINGS] == 1
    assert line[ValveState.OPEN_S] == pytest.approx(55.0 + 4.999 + 60.0)


def test_a_movement_due_now_happens_before_a_command_now() -> None:
    line = Line(Valve(opening_delay_s=5.0, closing_delay_s=5.0))
    line.command(1)
    line.run(5_000)
    line.command(0)
    line.run(MINUTE_MS)
    assert line.pieces == [(6.0, 5.0, 10.0)]


def test_an_edge_on_the_boundary_belongs_to_the_next_interval() -> None:
    line = Line(Valve(opening_delay_s=60.0, closing_delay_s=0.0))
    line.command(1)
    line.run(MINUTE_MS)
    assert line.pieces == []
    assert line[ValveState.OPEN] == 1
    line.run(MINUTE_MS)
    assert line.pieces == [(6.0, 60.0, 120.0)]


def test_the_hardware_timer_closes_and_waits_for_a_new_command() -> None:
    line = Line(Valve(opening_delay_s=2.0, closing_delay_s=3.0, max_open_s=100.0))
    line.command(1)
    line.run(10 * MINUTE_MS)
    # commanded at 0: open at 2 s, timer at 100 s, closed at 103 s
    assert line.pieces == [(6.0, 2.0, 103.0)]
    line.command(1)
    line.run(10 * MINUTE_MS)
    assert line[ValveState.OPENINGS] == 1
    line.command(0)
    line.command(1)
    line.run(10 * MINUTE_MS)
    assert line[ValveState.OPENINGS] == 2


def test_a_timer_shorter_than_the_dead_time_never_opens() -> None:
    line = Line(Valve(opening_delay_s=10.0, max_open_s=5.0))
    line.command(1)
    line.run(10 * MINUTE_MS)
    assert line[ValveState.OPENINGS] == 0


def test_a_valve_stuck_open_passes_water_against_the_command() -> None:
    line = Line(SHARP)
    line.valves.set_fault(0, 0, ValveFault.STUCK_OPEN, True)
    line.run(MINUTE_MS)
    line.valves.set_fault(line.now_ms, 0, ValveFault.STUCK_OPEN, False)
    line.run(MINUTE_MS)
    assert line.pieces == [(6.0, 0.0, 60.0)]
    assert line[ValveState.LONGEST_S] == 60.0


def test_a_valve_stuck_closed_opens_when_it_is_freed_if_still_commanded() -> None:
    line = Line(SHARP)
    line.valves.set_fault(0, 0, ValveFault.STUCK_CLOSED, True)
    line.command(1)
    line.run(MINUTE_MS)
    line.valves.set_fault(line.now_ms, 0, ValveFault.STUCK_CLOSED, False)
    line.run(MINUTE_MS)
    assert line.pieces == [(6.0, 60.0, 120.0)]


@pytest.mark.parametrize("state", [0, 1])
def test_a_stuck_valve_stays_as_it_is(state: int) -> None:
    line = Line(SHARP)
    line.command(state)
    line.run(MINUTE_MS)
    line.valves.set_fault(line.now_ms, 0, ValveFault.STUCK, True)
    line.command(1 - state)
    line.run(MINUTE_MS)
    assert line[ValveState.VOLUME_L] == pytest.approx(20.0 * state)


def test_a_leak_passes_its_share_while_closed() -> None:
    line = Line(SHARP.but(leak=0.01))
    line.run(60 * MINUTE_MS)
    assert line[ValveState.VOLUME_L] == pytest.approx(6.0)
    assert line[ValveState.OPEN_S] == 0
    line.valves.set_fault(line.now_ms, 0, ValveFault.LEAK, True, 0.09)
    line.run(60 * MINUTE_MS)
    assert line[ValveState.VOLUME_L] == pytest.approx(6.0 + 60.0)


def test_an_interval_ends_where_a_leaking_valve_moves_and_only_there() -> None:
    line = Line(Valve(leak=0.5))
    assert line.end_ms(10 * MINUTE_MS) == 10 * MINUTE_MS
    line.command(1)
    assert line.end_ms(10 * MINUTE_MS) == 2_000
    line.run(10 * MINUTE_MS)
    # 2 s at half the flow of 10 L/min, then all of it
    assert line.pieces == [(3.0, 0.0, 2.0), (6.0, 2.0, 600.0)]


def test_no_interval_ends_where_a_tight_valve_moves() -> None:
    line = Line(Valve(max_open_s=30.0))
    line.command(1)
    assert line.end_ms(10 * MINUTE_MS) == 10 * MINUTE_MS


def test_clogging_takes_its_share() -> None:
    line = Line(SHARP.but(clog=0.1))
    line.valves.set_fault(0, 0, ValveFault.CLOG, True, 0.5)
    line.command(1)
    line.run(MINUTE_MS)
    assert line[ValveState.VOLUME_L] == pytest.approx(4.5)
    line.valves.set_fault(line.now_ms, 0, ValveFault.CLOG, False)
    line.run(MINUTE_MS)
    assert line[ValveState.VOLUME_L] == pytest.approx(13.5)


def test_an_observation_of_the_longest_run_counts_an_opening_under_way_from_its_start() -> None:
    line = Line(SHARP)
    line.command(1)
    line.run(MINUTE_MS)
    line.valves.state[0, ValveState.LONGEST_S] = 0.0
    line.run(MINUTE_MS)
    assert line[ValveState.LONGEST_S] == 120.0


def test_a_node_reads_the_pulses_since_it_read_last_and_none_is_lost() -> None:
    valves = Valves([SHARP.but(pulses_per_l=0.7)] * 2, [100.0] * 2)
    probes = Probes([Probe()] * 2, keys=zone_keys(1, "probe", ["a", "b"]), start_ms=0)
    devices, observed, forcing = devices_of(probes, valves), new_observed(2), new_forcing(2)
    seen = 0
    for zone in range(2):
        command(valves, zone, 0, 1)
    for minute in range(10):
        for zone in range(2):
            run(valves, zone, minute * MINUTE_MS, (minute + 1) * MINUTE_MS, forcing)
        sample_zone(0, (minute + 1) * MINUTE_MS, devices, observed)
        assert devices.readings[0, 3] == 7  # 10 L a minute
        seen += int(devices.readings[0, 3])
    assert devices.readings[1, 3] == 0
    for zone in range(2):
        sample_zone(zone, 10 * MINUTE_MS, devices, observed)
    assert devices.readings[:, 3].tolist() == [0, seen]


# --- meter


def metered(valve: Valve, minutes: int = 1, name: str = "a", seed: int = 1) -> Line:
    """The line after some minutes open."""
    line = Line(valve, name=name, seed=seed)
    line.command(1)
    line.run(minutes * MINUTE_MS)
    return line


def test_a_meter_stands_still_below_its_least_flow() -> None:
    blind = metered(SHARP.but(flow_l_min=0.9, meter_least_l_min=1.0), 60)
    assert (blind[ValveState.VOLUME_L], blind[ValveState.PULSES]) == (pytest.approx(54.0), 0)
    assert metered(SHARP.but(flow_l_min=1.0, meter_least_l_min=1.0))[ValveState.PULSES] == 450


def test_a_leak_below_the_least_flow_is_not_seen_and_one_above_it_is() -> None:
    for leak, pulses in ((0.05, 0), (0.2, 2 * 60 * 450)):
        line = Line(SHARP.but(leak=leak, meter_least_l_min=1.0))
        line.run(60 * MINUTE_MS)
        assert line[ValveState.VOLUME_L] == pytest.approx(600 * leak)
        assert line[ValveState.PULSES] == pulses


@pytest.mark.parametrize(
    ("flow", "hertz"),
    [(2.0, 16.0), (4.0, 32.5), (6.0, 49.3), (8.0, 65.5), (10.0, 82.0)],
)
def test_a_yf_s201_has_the_frequencies_of_its_table(flow: float, hertz: float) -> None:
    # the maker's table, K = 480 .. 493 pulses a litre; K = 492 and a slip of 0.05 L/min here
    valve = SHARP.but(flow_l_min=flow, pulses_per_l=492.0, **METERS["yf-s201"], meter="yf-s201")
    line = metered(valve.but(meter_scatter=0.0), 10)
    assert line[ValveState.PULSES] / 600.0 == pytest.approx(hertz, rel=0.015)


def test_pulses_a_litre_scatter_from_opening_to_opening_and_not_within() -> None:
    line = Line(SHARP.but(meter_scatter=0.02), name="a")
    counted = []
    for _ in range(400):
        halves = []
        line.command(1)
        for _ in range(2):
            before = line[ValveState.METERED_L]
            line.run(5 * MINUTE_MS)
            halves.append(line[ValveState.METERED_L] - before)
        line.command(0)
        line.run(MINUTE_MS)
        assert halves[0] == pytest.approx(halves[1])
        counted.append(sum(halves))
    assert np.mean(counted) == pytest.approx(100.0, abs=4 * 2.0 / 20)
    assert np.std(counted) == pytest.approx(2.0, rel=0.15)


def test_what_a_meter_scatters_belongs_to_seed_and_zone() -> None:
    valve = SHARP.but(meter_scatter=0.1)
    counted = [
        metered(valve, name=name, seed=seed)[ValveState.PULSES]
        for name, seed in (("a", 1), ("a", 1), ("b", 1), ("a", 2))
    ]
    assert counted[0] == counted[1]
    assert len(set(counted)) == 3
    with pytest.raises(ValueError, match="meters that scatter need the keys"):
        Valves([valve], [100.0])


def test_a_kind_of_meter_decides_what_is_not_given() -> None:
    found = Valve(meter="yf-s201", meter_scatter=0.0, method="sprinkler")
    assert (found.meter_least_l_min, found.meter_slip, found.meter_scatter) == (1.0, 0.05, 0.0)
    assert found.wetted_fraction == 1.0
    assert Valve(**dict(found)) == found
    assert Valve(meter="ideal") == Valve()


@given(patterns, st.integers(50, 7 * MINUTE_MS), st.floats(0, 30), st.floats(0, 1))
def test_a_real_meter_counts_the_same_however_intervals_are_cut(
    pattern: list[tuple[int, int]], step_ms: int, least: float, slip: float
) -> None:
    valve = Valve(meter_least_l_min=least, meter_slip=slip, meter_scatter=0.3, leak=0.1)
    whole, cut = Line(valve), Line(valve)
    for state, duration_ms in pattern:
        for line in (whole, cut):
            line.command(state)
        whole.run(duration_ms)
        for start in range(0, duration_ms, step_ms):
            before = cut[ValveState.PULSES]
            cut.run(min(step_ms, duration_ms - start))
            assert cut[ValveState.PULSES] >= before
    assert whole[ValveState.METERED_L] == pytest.approx(cut[ValveState.METERED_L], rel=1e-9)


def test_zones_do_not_touch_each_other() -> None:
    valves = Valves([SHARP, SHARP.but(flow_l_min=3.0), SHARP], [100.0] * 3)
    command(valves, 1, 0, 1)
    forcing = new_forcing(3)
    for zone in range(3):
        run(valves, zone, 0, 10 * MINUTE_MS, forcing)
    assert valves.state[:, ValveState.VOLUME_L].tolist() == [0.0, 30.0, 0.0]
    assert forcing[:, ForcingCol.IRRIGATION_MM_H].tolist() == [0.0, pytest.approx(1.8), 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"flow_l_min": -1.0},
            "`flow_l_min` = -1 L/min: permitted above 0 and at most",
        ),
        ({"leak": 1.5}, "`leak` = 1.5: permitted 0 to 1"),
        ({"emitter_exponent": 1.2}, "`emitter_exponent` = 1.2: permitted 0 to 1.1"),
        ({"meter": "dn20"}, '`meter` = "dn20": permitted "ideal", "yf-s201"'),
        ({"opening_delay_s": inf}, "`opening_delay_s` = inf: must be a finite number"),
        ({"max_open_s": 0.0}, "`max_open_s` = 0 s: permitted 1 to 31622400 s"),
    ],
)
def test_a_wrong_valve_is_refused_with_value_and_range(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SHARP.but(**change)


def test_a_zone_without_an_area_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`area_m2` = 0 m2: permitted 0\.01 to 10000000 m2"):
        Line(SHARP, 0.0)


def test_a_fault_larger_than_all_is_refused() -> None:
    with pytest.raises(ValueError, match="`magnitude` = 2: permitted 0 to 1"):
        Line(SHARP).valves.set_fault(0, 0, ValveFault.LEAK, True, 2.0)


valves = st.builds(
    Valve,
    flow_l_min=st.floats(0.1, 500),
    opening_delay_s=st.sampled_from([0.0, 0.001, 2.0, 45.0, 700.0]),
    closing_delay_s=st.sampled_from([0.0, 0.001, 2.0, 45.0, 700.0]),
    pressure_kpa=st.floats(0, 400),
    leak=st.sampled_from([0.0, 0.0, 0.02, 1.0]),
    clog=st.floats(0, 1),
    pulses_per_l=st.sampled_from([0.1, 1.0, 450.0]),
    max_open_s=st.sampled_from([1.0, 60.0, 1200.0, NO_TIMER_S]),
)


@given(valves, st.floats(1, 1e4), patterns)
def test_the_soil_gets_what_the_meter_counts(
    valve: Valve, area_m2: float, pattern: list[tuple[int, int]]
) -> None:
    line = Line(valve, area_m2)
    for state, duration_ms in pattern:
        line.command(state)
        line.run(duration_ms)
    volume = line[ValveState.VOLUME_L]
    assert line.delivered_l == pytest.approx(volume, rel=1e-9, abs=1e-9)
    assert (
        -1e-6
        <= volume - line[ValveState.PULSES] / valve.pulses_per_l
        < 1 / valve.pulses_per_l + 1e-6
    )


@given(valves, patterns, st.integers(50, 7 * MINUTE_MS))
def test_cutting_intervals_changes_nothing(
    valve: Valve, pattern: list[tuple[int, int]], step_ms: int
) -> None:
    whole, cut = Line(valve), Line(valve)
    for state, duration_ms in pattern:
        whole.command(state)
        whole.run(duration_ms)
        cut.command(state)
        for start in range(0, duration_ms, step_ms):
            cut.run(min(step_ms, duration_ms - start))
    exact = [
        ValveState.COMMANDED,
        ValveState.POSITION,
        ValveState.OPEN,
        ValveState.EDGE_MS,
        ValveState.TIMER_MS,
        ValveState.SINCE_MS,
        ValveState.OPENINGS,
    ]
    assert [whole[c] for c in exact] == [cut[c] for c in exact]
    for column in (ValveState.VOLUME_L, ValveState.OPEN_S, ValveState.LONGEST_S):
        assert whole[column] == pytest.approx(cut[column], rel=1e-9, abs=1e-9)


@given(valves, patterns)
def test_a_valve_with_a_timer_is_never_open_longer(
    valve: Valve, pattern: list[tuple[int, int]]
) -> None:
    line = Line(valve)
    for state, duration_ms in pattern:
        line.command(state)
        line.run(duration_ms)
        assert line[ValveState.LONGEST_S] <= valve.max_open_s + valve.closing_delay_s + 1e-9


def test_toggling_the_command_does_not_hold_a_valve_open_against_its_timer() -> None:
    line = Line(Valve(opening_delay_s=0.0, closing_delay_s=5.0, max_open_s=60.0))
    for _ in range(40):
        line.command(1)
        line.run(3_000)
        line.command(0)
        line.run(3_000)
    # open at 0 s; the timer at 60 s lets the command to close of 57 s stand, closed at 62 s; the
    # next command to open is that of 66 s, and so on every 66 s
    assert line[ValveState.LONGEST_S] == 62.0
    assert line.pieces[-1][2] == pytest.approx(240.0)
    assert line[ValveState.OPENINGS] == 4
