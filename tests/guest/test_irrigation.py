"""Behaviour of the shipped irrigation guest, one sentence a test.

The bench's probe has 3000 counts when dry and 1000 when wet, so 2200 counts are 40 % and 1800
counts 60 %: percent = (3000 - counts) / 20.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from harness import MODULE, START_S, Bench, ids, quick
from hypothesis import given
from hypothesis import strategies as st

from levada.guest.abi import WHY, ErrorCode
from levada.guest.module.arithmetic import wide_arithmetic
from levada.guest.module.inspect import inspect

I32 = st.integers(-(2**31), 2**31 - 1)
DAY_S = 86_400
DRY, MIDDLE, WET = 2400, 2000, 1600
"""Counts for 30, 50 and 70 %."""


def opened(**parameters: int) -> Bench:
    """A guest that has just opened its valve."""
    bench = quick(**parameters)
    assert bench.step(DRY) is WHY.OPENED
    assert bench.open
    return bench


# --- the module ---------------------------------------------------------------------------------


def test_is_at_most_12_kib_with_one_page_of_memory() -> None:
    info = inspect(MODULE.read_bytes())
    assert info.size <= 12 * 1024
    assert (info.memory_pages, info.memory_pages_max) == (1, 1)


def test_fits_the_abi_and_nothing_is_to_be_noted() -> None:
    info = inspect(MODULE.read_bytes())
    assert (info.kind, info.problems, info.notes) == ("reactor", (), ())


def test_computes_with_32_bit_integers_only() -> None:
    assert wide_arithmetic(MODULE.read_bytes()) == frozenset()


def test_is_the_module_whose_sha_256_is_written_beside_it() -> None:
    stated = MODULE.with_suffix(".wasm.sha256").read_text().split()
    assert stated == [hashlib.sha256(MODULE.read_bytes()).hexdigest(), MODULE.name]


# --- parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("parameter", inspect(MODULE.read_bytes()).parameters, ids=lambda p: p.name)
def test_starts_with_the_declared_default_and_keeps_the_declared_range(parameter) -> None:  # type: ignore[no-untyped-def]
    bench = Bench()
    assert bench.call("param_get", parameter.id) == parameter.default
    # the most of one is below the least of the other
    bounded = {"min_counts": (0, 3999), "max_counts": (101, 4095)}
    least, most = bounded.get(parameter.name, (parameter.minimum, parameter.maximum))
    for value in (least, most):
        assert bench.call("param_set", parameter.id, value) == ErrorCode.OK
        assert bench.call("param_get", parameter.id) == value
    for value in (least - 1, most + 1):
        assert bench.call("param_set", parameter.id, value) == ErrorCode.INVALID
    assert bench.call("param_get", parameter.id) == most


@pytest.mark.parametrize("unknown", [-1, len(ids()), 2**31 - 1, -(2**31)])
def test_answers_invalid_for_an_unknown_parameter(unknown: int) -> None:
    bench = Bench()
    assert bench.call("param_get", unknown) == ErrorCode.INVALID
    assert bench.call("param_set", unknown, 1) == ErrorCode.INVALID


def test_a_parameter_takes_effect_at_the_next_step() -> None:
    bench = opened()
    bench.set("off_pct", 45)
    assert bench.step(MIDDLE, flow=450) is WHY.CLOSED_WET


# --- calibration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "percent"),
    [(3000, 0), (1000, 100), (2500, 25), (1001, 99), (2981, 0), (2980, 1), (4095, 0), (0, 100)],
)
def test_counts_become_percent_between_dry_and_wet(raw: int, percent: int) -> None:
    assert Bench().call("process", raw, 3000, 1000, 4095) == percent


@pytest.mark.parametrize(("raw", "percent"), [(1000, 0), (3000, 100), (1500, 25)])
def test_a_probe_whose_counts_rise_with_water_is_calibrated_too(raw: int, percent: int) -> None:
    assert Bench().call("process", raw, 1000, 3000, 0) == percent


@pytest.mark.parametrize(
    ("raw", "dry", "wet", "limit", "irrigate"),
    [
        (2001, 3000, 1000, 2000, True),
        (2000, 3000, 1000, 2000, False),
        (1999, 1000, 3000, 2000, True),
        (2000, 1000, 3000, 2000, False),
        (2000, 1500, 1500, 1000, False),
    ],
)
def test_process_says_irrigate_beyond_the_limit_in_bit_8(
    raw: int, dry: int, wet: int, limit: int, irrigate: bool
) -> None:
    assert bool(Bench().call("process", raw, dry, wet, limit) & 0x100) is irrigate


@given(raw=I32, dry=I32, wet=I32, limit=I32)
def test_process_survives_every_argument(raw: int, dry: int, wet: int, limit: int) -> None:
    result = BENCH.call("process", raw, dry, wet, limit)
    assert 0 <= result & 0xFF <= 100
    assert result & ~0x1FF == 0


BENCH = Bench()


def test_calibration_comes_from_the_node_unless_a_parameter_says_otherwise() -> None:
    bench = Bench(ema_shift=0)
    bench.step(1500)
    assert bench.telemetry["pct"] == 75
    bench.set("dry_counts", 2000)
    bench.step(1500)
    assert bench.telemetry["pct"] == 50
    bench.set("wet_counts", 500)
    bench.step(1500)
    assert bench.telemetry["pct"] == 33


def test_the_threshold_comes_from_the_limit_counts_unless_a_parameter_says_otherwise() -> None:
    bench = Bench(ema_shift=0)
    bench.config[2] = 2300  # 35 %
    bench.step()
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (35, 45)
    bench.set("limit_counts", 2600)  # 20 %
    bench.step()
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (20, 30)
    bench.set("on_pct", 50)
    bench.set("off_pct", 70)
    bench.step()
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (50, 70)


def test_never_closes_below_where_it_opens() -> None:
    bench = quick(on_pct=0, off_pct=30)  # opens below the limit counts of the node, 50 %
    bench.step()
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (50, 50)


@pytest.mark.parametrize(
    "config", [[-1, 1000, 2000], [3000, -1, 2000], [2000, 2000, 2000], [4096, 1000, 2000]]
)
def test_a_node_without_calibration_keeps_the_valve_closed(config: list[int]) -> None:
    bench = quick()
    bench.config = config
    assert bench.step(DRY) is WHY.PROBE_RANGE
    assert not bench.open


# --- filters ------------------------------------------------------------------------------------


def test_the_exponential_mean_moves_by_a_quarter_of_the_difference() -> None:
    """2000; 2000 - 400/4 = 1900; 1900 - 300/4 = 1825; 1825 - 625/4 = 1668.75."""
    bench = Bench(ema_shift=2)
    assert [bench.call("filter", raw) for raw in (2000, 1600, 1600, 1200)] == [
        2000, 1900, 1825, 1669,
    ]  # fmt: skip


def test_the_moving_average_is_the_mean_of_the_last_readings() -> None:
    """1000; 3000/2; 6000/3; (2000 + 3000 + 3001)/3 = 2667; (3000 + 3001 + 3001)/3 = 3000.67."""
    bench = Bench(filter_kind=1, window=3)
    assert [bench.call("filter", raw) for raw in (1000, 2000, 3000, 3001, 3001)] == [
        1000, 1500, 2000, 2667, 3001,
    ]  # fmt: skip


def test_the_longest_moving_average_forgets_what_is_older() -> None:
    bench = Bench(filter_kind=1, window=16)
    values = [bench.call("filter", raw) for raw in [4000, *[1000] * 16]]
    assert values[15] == 1188  # (4000 + 15 * 1000) / 16 = 1187.5
    assert values[16] == 1000


def test_both_filters_follow_so_that_the_kind_can_change_at_any_time() -> None:
    bench = Bench(filter_kind=1, window=2, ema_shift=1)
    for raw in (1000, 2000, 3000):
        bench.call("filter", raw)
    bench.set("filter_kind", 0)
    assert bench.call("filter", 3000) == 2625  # 1000, 1500, 2250, 2625


@pytest.mark.parametrize(
    ("parameters", "readings"),
    [
        ({"ema_shift": 2}, 4),
        ({"ema_shift": 0}, 1),
        ({"ema_shift": 6}, 64),
        ({"filter_kind": 1, "window": 5}, 5),
    ],
)
def test_opens_only_once_the_filter_is_full(parameters: dict[str, int], readings: int) -> None:
    bench = quick(**parameters)
    reasons = [bench.step(DRY) for _ in range(readings)]
    assert reasons == [WHY.STARTING] * (readings - 1) + [WHY.OPENED]


def test_decides_on_the_filtered_value_not_on_the_reading() -> None:
    bench = quick(ema_shift=2)
    for _ in range(4):
        bench.step(MIDDLE)
    assert bench.step(2700) is WHY.HOLD  # 15 % read, 2000 + 700/4 = 2175 counts filtered: 41 %
    assert bench.telemetry["pct"] == 41
    assert bench.step(2700) is WHY.OPENED  # 2175 + 525/4 = 2306 counts: 34 %


# --- hysteresis ---------------------------------------------------------------------------------


def test_opens_below_the_lower_threshold_and_closes_from_the_upper_one_on() -> None:
    bench = quick(max_open_s=43_200, stuck_counts=0)
    levels = [(2200, 40), (2201, 39), (2200, 40), (1801, 59), (1800, 60), (1801, 59), (2220, 39)]
    states = []
    for raw, percent in levels:
        bench.step(raw, flow=450)
        assert bench.telemetry["pct"] == percent
        states.append(bench.open)
    assert states == [False, True, True, True, False, False, True]


def test_between_the_thresholds_nothing_changes() -> None:
    bench = opened(max_open_s=43_200)
    assert bench.step(MIDDLE, flow=450) is WHY.HOLD
    assert bench.open
    assert bench.step(WET, flow=450) is WHY.CLOSED_WET
    assert bench.step(MIDDLE) is WHY.HOLD
    assert not bench.open


def test_starts_with_the_valve_closed() -> None:
    bench = Bench()
    assert bench.pins == [(23, 0)]


def test_commands_the_valve_at_every_step_so_that_a_reset_relay_is_set_again() -> None:
    bench = quick()
    for raw in (DRY, DRY, WET, WET):
        bench.step(raw, flow=450)
    assert bench.pins == [(23, 0), (23, 1), (23, 1), (23, 0), (23, 0)]


# --- longest opening, shortest pause --------------------------------------------------------------


def test_closes_after_the_longest_opening_though_it_is_still_dry() -> None:
    bench = opened(max_open_s=1200)
    assert bench.step(DRY + 5, flow=450) is WHY.HOLD
    assert bench.step(DRY, flow=450) is WHY.CLOSED_MAX_OPEN
    assert not bench.open


@pytest.mark.parametrize(
    ("max_open_s", "waits_s"),
    [(1200, [600, 600]), (700, [600, 100]), (45, [45]), (1, [1])],
)
def test_asks_to_be_woken_no_later_than_it_must_close(max_open_s: int, waits_s: list[int]) -> None:
    bench = opened(max_open_s=max_open_s)
    waits = []
    while bench.open:
        waits.append(bench.wait_ms // 1000)
        bench.step(flow=450)
    assert waits == waits_s


def test_an_open_valve_can_have_a_shorter_period() -> None:
    bench = opened(open_period_s=60)
    assert bench.wait_ms == 60_000
    bench.step(WET, flow=450)
    assert bench.wait_ms == 600_000


def test_a_late_step_closes_at_once() -> None:
    bench = opened(max_open_s=1200)
    assert bench.step(DRY, after_s=50_000, flow=450) is WHY.CLOSED_MAX_OPEN


def test_waits_for_the_pause_before_it_opens_again() -> None:
    bench = opened(max_open_s=600, min_pause_s=0)
    bench.set("min_pause_s", 1800)
    reasons = [bench.step(DRY, flow=450), *(bench.step(DRY) for _ in range(3))]
    assert reasons == [WHY.CLOSED_MAX_OPEN, WHY.WAIT_PAUSE, WHY.WAIT_PAUSE, WHY.OPENED]


def test_a_restart_counts_as_a_closing_because_nobody_knows_what_was_before() -> None:
    bench = quick(min_pause_s=1200)
    assert [bench.step(DRY), bench.step(DRY)] == [WHY.WAIT_PAUSE, WHY.OPENED]


def test_between_two_openings_it_waits_for_the_lower_threshold() -> None:
    bench = opened(max_open_s=600)
    reasons = [bench.step(MIDDLE, flow=450), bench.step(MIDDLE), bench.step(DRY)]
    assert reasons == [WHY.CLOSED_MAX_OPEN, WHY.HOLD, WHY.OPENED]


def test_with_refill_it_goes_on_after_the_pause_until_the_upper_threshold() -> None:
    bench = opened(max_open_s=600, min_pause_s=0, refill=1)
    bench.set("min_pause_s", 1200)
    reasons = [bench.step(MIDDLE, flow=450), bench.step(MIDDLE), bench.step(MIDDLE + 9)]
    assert reasons == [WHY.CLOSED_MAX_OPEN, WHY.WAIT_PAUSE, WHY.OPENED]
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (60, 60)
    assert bench.step(WET, flow=450, after_s=300) is WHY.CLOSED_WET
    assert [bench.step(MIDDLE) for _ in range(4)] == [WHY.HOLD] * 4
    assert bench.telemetry["on"] == 40


def test_rain_ends_a_refill() -> None:
    bench = opened(max_open_s=600, refill=1)
    assert bench.step(MIDDLE, flow=450) is WHY.CLOSED_MAX_OPEN
    assert [bench.step(WET), bench.step(MIDDLE)] == [WHY.HOLD, WHY.HOLD]


# --- volume of the day ----------------------------------------------------------------------------


def test_closes_when_the_volume_of_the_day_is_used_up_and_stays_closed_until_midnight() -> None:
    bench = opened(daily_cap_l=100, pulses_per_l=10, period_s=3600, max_open_s=43_200)
    assert bench.step(DRY, flow=999) is WHY.HOLD  # 02:00; 99 litres, 9 pulses kept
    assert bench.telemetry["day_l"] == 99
    assert bench.step(DRY, flow=1) is WHY.WAIT_DAILY_CAP  # 03:00
    assert bench.telemetry["day_l"] == 100
    assert not bench.open
    reasons = [bench.step(DRY) for _ in range(21)]  # 04:00 to 24:00
    assert reasons == [WHY.WAIT_DAILY_CAP] * 20 + [WHY.OPENED]
    assert bench.telemetry["day_l"] == 0


def test_a_cap_of_zero_means_none() -> None:
    bench = opened(daily_cap_l=0, max_open_s=43_200)
    for _ in range(3):
        assert bench.step(DRY, flow=2**31 - 1, after_s=60) is WHY.HOLD
    assert bench.telemetry["day_l"] == 3 * (2**31 - 1) // 450


def test_the_count_of_litres_stops_instead_of_wrapping() -> None:
    bench = opened(daily_cap_l=1_000_000, pulses_per_l=1, max_open_s=43_200)
    for _ in range(3):
        assert bench.step(DRY, flow=2**31 - 1, after_s=60) is WHY.WAIT_DAILY_CAP
        assert bench.telemetry["day_l"] == 2**31 - 1


# --- the probe ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (99, WHY.PROBE_RANGE),
        (4001, WHY.PROBE_RANGE),
        (2**31 - 1, WHY.PROBE_RANGE),
        (ErrorCode.UNAVAILABLE, WHY.PROBE_MISSING),
        (-(2**31), WHY.PROBE_MISSING),
    ],
)
def test_a_reading_that_cannot_be_closes_the_valve_and_says_why(raw: int, reason: WHY) -> None:
    bench = opened()
    assert bench.step(raw, flow=450) is reason
    assert not bench.open
    assert (bench.telemetry["raw"], bench.telemetry["pct"], bench.telemetry["filt"]) == (
        raw,
        -1,
        -1,
    )


@pytest.mark.parametrize("raw", [100, 4000])
def test_the_ends_of_the_plausible_range_are_plausible(raw: int) -> None:
    assert quick().step(raw) not in (WHY.PROBE_RANGE, WHY.PROBE_MISSING)


def test_after_a_bad_reading_the_filter_starts_again() -> None:
    bench = quick(ema_shift=1)
    reasons = [bench.step(raw) for raw in (MIDDLE, MIDDLE, 4095, DRY, DRY)]
    assert reasons == [WHY.STARTING, WHY.HOLD, WHY.PROBE_RANGE, WHY.STARTING, WHY.OPENED]


def test_a_probe_that_does_not_move_while_water_flows_is_stuck() -> None:
    bench = quick(stuck_s=1800, stuck_counts=3, max_open_s=43_200)
    assert bench.step(DRY) is WHY.OPENED
    assert bench.step(DRY + 2, flow=450) is WHY.HOLD  # 600 s
    assert bench.step(DRY - 2, flow=450) is WHY.HOLD  # 1200 s
    assert bench.step(DRY, flow=450) is WHY.PROBE_STUCK  # 1800 s
    assert not bench.open


def test_two_equal_readings_after_long_steps_do_not_make_a_probe_stuck() -> None:
    bench = opened(stuck_s=1800, max_open_s=43_200)
    reasons = [bench.step(DRY, flow=450, after_s=7200) for _ in range(3)]
    assert reasons == [WHY.HOLD, WHY.HOLD, WHY.PROBE_STUCK]


def test_a_stuck_probe_is_trusted_again_once_it_moves() -> None:
    bench = quick(stuck_s=1, ema_shift=1)
    bench.step(DRY)
    assert bench.step(DRY) is WHY.OPENED
    assert bench.step(DRY, flow=450) is WHY.PROBE_STUCK
    assert bench.step(DRY, flow=0) is WHY.PROBE_STUCK
    assert bench.step(DRY + 2) is WHY.STARTING
    assert bench.step(DRY + 2) is WHY.OPENED


def test_flowing_time_of_several_openings_adds_up() -> None:
    bench = opened(stuck_s=1800, max_open_s=600)
    reasons = [bench.step(DRY, flow=450 * bench.open) for _ in range(5)]
    assert reasons == [
        WHY.CLOSED_MAX_OPEN, WHY.OPENED, WHY.CLOSED_MAX_OPEN, WHY.OPENED, WHY.PROBE_STUCK,
    ]  # fmt: skip


def test_a_probe_that_rests_through_weeks_without_water_is_not_stuck() -> None:
    bench = quick()
    assert {bench.step(MIDDLE) for _ in range(14 * 144)} == {WHY.HOLD}


def test_a_probe_that_does_not_move_without_flow_is_not_stuck() -> None:
    bench = opened(flow_confirm_s=3600, stuck_s=1)
    assert bench.step(DRY, flow=0) is WHY.HOLD
    assert bench.step(DRY, flow=1, after_s=60) is WHY.PROBE_STUCK


def test_a_slow_probe_is_not_stuck_as_long_as_it_moves_in_time() -> None:
    bench = quick(stuck_s=1800, max_open_s=43_200)
    bench.step(DRY)
    reasons = {bench.step(DRY - moved, flow=450) for moved in range(60)}
    assert reasons == {WHY.HOLD}


# --- flow -----------------------------------------------------------------------------------------


def test_an_open_valve_without_flow_closes_and_is_locked_for_the_pause() -> None:
    bench = opened(min_pause_s=0)
    bench.set("min_pause_s", 1200)
    reasons = [bench.step(DRY) for _ in range(3)]
    assert reasons == [WHY.NO_FLOW, WHY.NO_FLOW, WHY.OPENED]


def test_flow_that_ends_during_the_opening_closes_the_valve() -> None:
    bench = opened(max_open_s=43_200)
    assert bench.step(DRY, flow=450) is WHY.HOLD
    assert bench.step(DRY, flow=0) is WHY.NO_FLOW


def test_flow_may_take_its_time_to_start() -> None:
    bench = opened(flow_confirm_s=120)
    assert bench.step(DRY, after_s=119) is WHY.HOLD
    assert bench.step(DRY, after_s=1) is WHY.NO_FLOW


@pytest.mark.parametrize("flow", [ErrorCode.UNAVAILABLE, ErrorCode.INVALID, -(2**31)])
def test_a_missing_flow_meter_confirms_nothing(flow: int) -> None:
    assert opened().step(DRY, flow=flow) is WHY.NO_FLOW


@pytest.mark.parametrize("flow", [ErrorCode.UNAVAILABLE, ErrorCode.INVALID, -(2**31)])
def test_a_flow_meter_that_answers_errors_for_hours_confirms_nothing_and_locks(flow: int) -> None:
    bench = quick(no_flow_limit=3, daily_cap_l=0)
    reasons = [bench.step(DRY + k % 9, flow=flow) for k in range(36)]  # 6 h
    assert reasons == [WHY.OPENED, WHY.NO_FLOW] * 3 + [WHY.LOCKED] * 30
    assert not bench.open
    assert bench.telemetry["day_l"] == 0


def test_a_node_without_flow_meter_can_do_without() -> None:
    bench = opened(flow_confirm_s=0, stuck_s=1800, max_open_s=43_200)
    reasons = [bench.step(DRY, flow=ErrorCode.UNAVAILABLE) for _ in range(3)]
    assert reasons == [WHY.HOLD, WHY.HOLD, WHY.PROBE_STUCK]  # open counts as flowing


def test_flow_through_a_closed_valve_is_reported_as_a_leak() -> None:
    bench = quick(leak_pulses=10)
    bench.step(MIDDLE)
    assert bench.step(MIDDLE, flow=9) is WHY.HOLD
    assert bench.step(MIDDLE, flow=10) is WHY.LEAK
    assert bench.step(MIDDLE) is WHY.HOLD


def test_what_runs_out_while_the_valve_closes_is_no_leak() -> None:
    bench = opened()
    assert bench.step(WET, flow=450) is WHY.CLOSED_WET
    assert bench.step(WET, flow=450) is WHY.HOLD
    assert bench.step(WET, flow=450) is WHY.LEAK


def test_what_flowed_before_the_first_step_is_no_leak() -> None:
    assert quick().step(MIDDLE, flow=10_000) is WHY.HOLD


def test_a_leak_counts_towards_the_volume_of_the_day() -> None:
    bench = quick(pulses_per_l=10)
    bench.step(MIDDLE)
    bench.step(MIDDLE, flow=1000)
    assert bench.telemetry["day_l"] == 100


# --- time ----------------------------------------------------------------------------------------
# What jumps of the clock alone and restarts do is in test_irrigation_limits.py.


def test_a_time_that_goes_back_closes_the_valve_and_the_pause_starts_over() -> None:
    bench = opened(min_pause_s=0)
    bench.set("min_pause_s", 1200)
    assert bench.step(DRY, flow=450, after_s=-7200) is WHY.CLOCK
    assert not bench.open
    assert [bench.step(DRY), bench.step(DRY)] == [WHY.WAIT_PAUSE, WHY.OPENED]


def test_a_time_that_goes_back_while_the_valve_is_closed_does_not_shorten_the_pause() -> None:
    bench = opened(min_pause_s=0)
    bench.set("min_pause_s", 1800)
    assert bench.step(WET, flow=450) is WHY.CLOSED_WET
    assert bench.step(DRY, after_s=-DAY_S) is WHY.CLOCK
    reasons = [bench.step(DRY) for _ in range(3)]
    assert reasons == [WHY.WAIT_PAUSE, WHY.WAIT_PAUSE, WHY.OPENED]


def test_a_time_that_stands_still_closes_the_valve_at_the_second_step() -> None:
    bench = opened()
    assert bench.step(DRY, flow=450, after_s=0) is WHY.HOLD
    assert bench.step(DRY, flow=450, after_s=0) is WHY.CLOCK
    assert bench.step(DRY, after_s=0) is WHY.CLOCK
    assert bench.step(DRY, after_s=600) is WHY.OPENED


def test_the_32_bit_clock_that_wraps_in_2038_changes_nothing() -> None:
    def run(now: int) -> list[str]:
        bench = quick(now=now, min_pause_s=1800, daily_cap_l=0)
        for index in range(24):
            bench.step(DRY + index, flow=450 * bench.open)
        return [message.split(',"day_l"')[0] for _, message in bench.published]

    assert run(2**31 - 7200) == run(START_S)


# --- telemetry ------------------------------------------------------------------------------------


def test_publishes_integers_to_the_topic_data() -> None:
    bench = quick()
    bench.step(DRY, flow=7)
    assert bench.published == [
        (
            "data",
            '{"raw":2400,"pct":30,"filt":2400,"on":40,"off":60,"irrigar":1,"why":1,"flow":7,'
            '"day_l":0}',
        )
    ]


@given(raw=I32, flow=I32)
def test_the_message_is_json_for_every_reading(raw: int, flow: int) -> None:
    bench = quick()
    bench.step(raw, flow=flow)
    message = json.loads(bench.published[-1][1])
    assert (message["raw"], message["flow"]) == (raw, flow)


# --- whatever comes -------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(1000, 3000), st.sampled_from([DRY, DRY + 5]), I32),
        st.one_of(st.integers(0, 20_000), st.just(450), I32),
        st.integers(0, 1000),  # share of the time asked for, in thousandths
    ),
    min_size=1,
    max_size=60,
)
PARAMETERS = st.fixed_dictionaries(
    {
        "max_open_s": st.integers(1, 5000),
        "min_pause_s": st.integers(0, 5000),
        "period_s": st.integers(1, 5000),
        "open_period_s": st.integers(0, 5000),
        "flow_confirm_s": st.sampled_from([0, 0, 60, 600]),
        "daily_cap_l": st.sampled_from([0, 10, 20_000]),
        "stuck_counts": st.sampled_from([0, 2]),
    }
)


@given(parameters=PARAMETERS, steps=STEPS)
def test_the_valve_is_never_open_longer_than_allowed_nor_open_too_soon_nor_over_the_cap(
    parameters: dict[str, int], steps: list[tuple[int, int, int]]
) -> None:
    bench = quick(**parameters)
    changed = bench.now
    before = False
    for raw, flow, share in steps:
        bench.step(raw, flow=flow, after_s=bench.wait_ms * share // 1_000_000)
        if bench.open != before:
            if bench.open:
                assert bench.now - changed >= parameters["min_pause_s"]
            changed, before = bench.now, bench.open
        assert 1 <= bench.wait_ms <= 86_400_000
        if bench.open:
            latest = bench.now + bench.wait_ms // 1000
            assert latest - changed <= parameters["max_open_s"]
            cap = parameters["daily_cap_l"]
            assert cap == 0 or bench.telemetry["day_l"] < cap


@given(
    settings=st.lists(st.tuples(I32, I32), max_size=20),
    config=st.lists(I32, min_size=3, max_size=3),
    kept=st.lists(I32, min_size=7, max_size=7),
    steps=st.lists(st.tuples(I32, I32, I32, I32), min_size=1, max_size=20),
)
def test_survives_every_integer_from_the_host(
    settings: list[tuple[int, int]],
    config: list[int],
    kept: list[int],
    steps: list[tuple[int, int, int, int]],
) -> None:
    bench = Bench(kept=[1, *kept])
    bench.config = config
    for key, value in settings:
        bench.call("param_set", key % (len(ids()) + 3) - 2, value)
    for raw, flow, now, uptime in steps:
        bench.now, bench.uptime = now, uptime
        bench.step(raw, flow=flow, after_s=0)
        assert 1 <= bench.wait_ms <= 86_400_000


HISTORY = st.lists(
    st.tuples(st.sampled_from([DRY, DRY + 1, MIDDLE, WET, -2]), st.sampled_from([0, 8, 449, 450])),
    min_size=1,
    max_size=12,
)


@given(
    before=HISTORY,
    after=HISTORY,
    settings=st.fixed_dictionaries(
        {
            "refill": st.integers(0, 1),
            "filter_kind": st.integers(0, 2),
            "window": st.integers(1, 4),
            "stuck_s": st.sampled_from([1, 1200]),
            "min_pause_s": st.sampled_from([0, 1200]),
        }
    ),
    stopped=st.booleans(),
)
def test_init_forgets_everything_but_the_parameters_and_what_is_kept(
    before: list[tuple[int, int]],
    after: list[tuple[int, int]],
    settings: dict[str, int],
    stopped: bool,
) -> None:
    def run(bench: Bench, readings: list[tuple[int, int]], after_s: int) -> list[str]:
        for raw, flow in readings:
            bench.step(raw, flow=flow, after_s=after_s)
        return [message for _, message in bench.published[-len(readings) :]]

    noon = START_S + DAY_S // 2
    fresh, used = quick(now=noon, **settings), quick(now=noon - 7200, **settings)
    run(used, before, 0 if stopped else 600)
    used.now = noon
    used.kept[:] = [0] * len(used.kept)
    used.call("init")
    assert not used.open
    assert run(used, after, 600) == run(fresh, after, 600)
