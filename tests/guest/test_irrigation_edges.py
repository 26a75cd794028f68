"""Limits of the shipped irrigation guest, tried on both sides, and what it keeps, to the number.

The bench's probe has 3000 counts when dry and 1000 when wet: percent = (3000 - counts) / 20.
"""

from __future__ import annotations

import pytest
from harness import START_S, Bench, quick

from levada.guest.abi import WHY

DAY_S, HOUR_S = 86_400, 3_600
DRY, MIDDLE, WET = 2400, 2000, 1600
"""Counts for 30, 50 and 70 %."""
LAYOUT, DAY, USED_L, REST_PULSES, ELAPSED_S, UNSEEN, CONFIRMED, RATE_L_H = range(8)
"""Slots of what is kept."""
TODAY = START_S // DAY_S


def watering(**parameters: int) -> Bench:
    """A guest that has just opened its valve, of 10 pulses a litre, for hours."""
    chosen = {"pulses_per_l": 10, "max_open_s": 43_200, "stuck_counts": 0} | parameters
    bench = quick(**chosen)
    assert bench.step(DRY) is WHY.OPENED
    return bench


def after_restart(kept: list[int], *, now: int = START_S + 12 * HOUR_S, **parameters: int) -> Bench:
    """A guest that has found that kept, and has made a step 1 s later."""
    bench = quick(now=now, kept=kept, **parameters)
    bench.step(MIDDLE, after_s=1)
    return bench


# --- pure functions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "percent", "irrigate"),
    [
        ((-5, 3000, 1000, 0), 100, False),  # as 0 counts, which are not beyond 0
        ((1, 3000, 1000, 0), 100, True),
        ((-5, 0, 4095, 1), 0, True),
        ((5000, 1000, 3000, 4096), 100, True),  # as 4095
        ((5000, 1000, 3000, 4095), 100, False),
        ((4095, 5000, 0, 4094), 0, True),
        ((0, -5, 1, 1), 0, True),  # dry as 0: below wet
        ((1, 1, -5, 0), 0, True),  # wet as 0: below dry
        ((2000, 4096, 4095, 1000), 0, False),  # both as 4095: no calibration
        ((500, 1500, 1500, 1000), 0, False),  # on neither side of the limit
        ((2000, 1500, 1500, 1000), 0, False),
        ((1500, 1501, 1500, 0), 100, True),
        ((1501, 1501, 1500, 0), 0, True),
        ((1500, 1500, 1501, 4095), 0, True),
        ((1501, 1500, 1501, 4095), 100, True),
    ],
)
def test_process_limits_what_no_converter_gives(
    arguments: tuple[int, int, int, int], percent: int, irrigate: bool
) -> None:
    assert Bench().call("process", *arguments) == percent | irrigate << 8


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize(
    ("raw", "taken"), [(-1, 0), (0, 0), (1, 1), (4095, 4095), (4096, 4095), (2**31 - 1, 4095)]
)
def test_the_filters_limit_what_no_converter_gives(kind: int, raw: int, taken: int) -> None:
    assert Bench(filter_kind=kind).call("filter", raw) == taken


def test_a_mean_is_rounded_half_up_by_both_filters() -> None:
    average = Bench(filter_kind=1, window=2)
    assert [average.call("filter", raw) for raw in (1000, 1001, 1001, 1002)] == [
        1000, 1001, 1001, 1002,
    ]  # fmt: skip
    mean = Bench(ema_shift=1)
    assert [mean.call("filter", raw) for raw in (1000, 1001, 1000)] == [1000, 1001, 1000]
    slow = Bench(ema_shift=3)  # 1000; 1000.375; 1000.703
    assert [slow.call("filter", raw) for raw in (1000, 1003, 1003)] == [1000, 1000, 1001]


@pytest.mark.parametrize("count", [1, 2, 15, 16])
def test_a_moving_average_is_that_of_as_many_readings_as_its_window(count: int) -> None:
    bench = Bench(filter_kind=1, window=count)
    readings = [100 * k for k in range(1, 40)]
    found = [bench.call("filter", raw) for raw in readings]
    for k, value in enumerate(found):
        last = readings[max(0, k + 1 - count) : k + 1]
        assert value == (sum(last) + len(last) // 2) // len(last)


def test_a_moving_average_is_full_with_its_window_and_the_mean_with_2_to_its_shift() -> None:
    wide = quick(filter_kind=1, window=16)
    reasons = [wide.step(DRY) for _ in range(16)]
    assert reasons == [WHY.STARTING] * 15 + [WHY.OPENED]


# --- calibration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "pct"), [([4095, 0, 2000], 51), ([0, 4095, 2000], 48), ([2001, 2000, 2000], 100)]
)
def test_calibration_may_use_every_count_of_the_converter(config: list[int], pct: int) -> None:
    """(4095 - 2000) / 40.95 = 51.2; 2000 / 40.95 = 48.8."""
    bench = Bench(ema_shift=0)
    bench.config = config
    bench.step(2000)
    assert bench.telemetry["pct"] == pct


@pytest.mark.parametrize("limit", [-1, 4096])
def test_a_node_without_limit_counts_opens_below_100_percent(limit: int) -> None:
    bench = Bench()
    bench.config = [3000, 1000, limit]
    bench.step(MIDDLE)
    assert bench.telemetry["on"] == 100  # as 0 counts: wetter than wet


def test_the_band_never_reaches_beyond_100_percent() -> None:
    bench = quick(on_pct=95, off_pct=0)
    bench.step(MIDDLE)
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (95, 100)
    bench.set("on_pct", 90)
    bench.step(MIDDLE)
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (90, 100)
    bench.set("on_pct", 89)
    bench.step(MIDDLE)
    assert (bench.telemetry["on"], bench.telemetry["off"]) == (89, 99)


def test_rules_exempt_0_where_it_stands_for_what_is_derived_and_only_there() -> None:
    bench = Bench()
    ids = {"on": 0, "off": 1, "min": 8, "max": 9, "dry": 15, "wet": 16}

    def takes(name: str, value: int) -> bool:
        return bench.call("param_set", ids[name], value) == 0

    assert takes("on", 50)  # off_pct is 0
    assert not takes("off", 50)
    assert not takes("off", 49)
    assert takes("off", 51)
    assert not takes("on", 51)
    assert bench.call("param_get", ids["on"]) == 50
    assert takes("on", 0)
    assert takes("off", 1)
    assert not takes("max", 100)
    assert takes("max", 101)
    assert not takes("min", 101)
    assert takes("min", 0)
    assert not takes("max", 0)
    assert takes("dry", 7)
    assert not takes("wet", 7)
    assert takes("wet", 8)
    assert not takes("dry", 8)
    assert takes("dry", 0)
    assert takes("wet", 0)


# --- volume and rate ------------------------------------------------------------------------------


def test_a_litre_is_counted_with_its_last_pulse_and_the_rest_is_kept() -> None:
    bench = watering()
    for flow, litres, rest in [(9, 0, 9), (1, 1, 0), (19, 2, 9), (2, 3, 1)]:
        bench.step(DRY, flow=flow, after_s=60)
        assert (bench.telemetry["day_l"], bench.kept[REST_PULSES]) == (litres, rest)


@pytest.mark.parametrize(
    ("pulses", "after_s", "rate_l_h"),
    [
        (1000, 600, 600),  # 100 l in 10 minutes
        (999, 600, 599),  # 99.9 l: 359,640 l/h of a second, by 600
        (9, 3600, 0),  # 0.9 l an hour
        (10, 3600, 1),
        (10, 1, 3600),
        (999, 1, 359_640),
        (1009, 600, 600),  # from 100 litres on, whole litres are counted
        (277_760, 1, 27_776 * 3600),  # the largest that is multiplied
        (277_770, 1, 100_000_000),  # and what is limited
        (277_770, 60, 1_666_666),
    ],
)
def test_the_rate_is_that_of_the_last_step(pulses: int, after_s: int, rate_l_h: int) -> None:
    bench = watering(daily_cap_l=0)
    bench.step(DRY, flow=pulses, after_s=after_s)
    assert bench.kept[RATE_L_H] == rate_l_h


def test_no_pulses_no_time_or_a_closed_valve_leave_the_rate_as_it_was() -> None:
    bench = watering(flow_confirm_s=3600)
    bench.step(DRY, flow=1000)
    bench.step(DRY, flow=0)
    assert bench.kept[RATE_L_H] == 600
    bench.step(DRY, flow=500, after_s=0)
    assert bench.kept[RATE_L_H] == 600
    bench.step(WET, flow=1000, after_s=1200)
    assert bench.kept[RATE_L_H] == 300
    bench.step(WET, flow=1000)
    assert (bench.kept[RATE_L_H], bench.open) == (300, False)


@pytest.mark.parametrize(
    ("pulses", "period_s", "ahead_l"),
    [
        (1000, 600, 101),  # 600 l/h for 10 minutes, and one
        (1000, 601, 111),  # 11 minutes begun
        (1000, 540, 91),
        (1000, 541, 101),
        (1000, 1, 11),
        (150, 600, 16),  # 90 l/h for 10 minutes: 15, and one
        (150, 660, 17),  # 16.5, cut, and one
        (155, 660, 18),  # 93 l/h: 17.05
    ],
)
def test_an_open_valve_keeps_the_volume_ahead_by_what_flows_until_the_next_step(
    pulses: int, period_s: int, ahead_l: int
) -> None:
    bench = watering()
    bench.set("open_period_s", period_s)
    bench.step(DRY, flow=pulses)
    assert bench.wait_ms == period_s * 1000
    assert bench.telemetry["day_l"] == pulses // 10
    assert bench.kept[USED_L] == pulses // 10 + ahead_l
    bench.step(WET, flow=0, after_s=60)
    assert bench.kept[USED_L] == pulses // 10


def test_what_is_kept_ahead_stops_instead_of_wrapping() -> None:
    bench = watering(daily_cap_l=0, pulses_per_l=1)
    bench.step(DRY, flow=2**31 - 1, after_s=60)
    assert bench.kept[USED_L] == 2**31 - 1
    bench.step(DRY, flow=2**31 - 1, after_s=60)
    assert bench.kept[USED_L] == 2**31 - 1


@pytest.mark.parametrize(("used_l", "reason"), [(99, WHY.OPENED), (100, WHY.WAIT_DAILY_CAP)])
def test_the_volume_is_used_up_with_the_last_litre(used_l: int, reason: WHY) -> None:
    bench = quick(kept=[1, TODAY, used_l, 0, 0, 0, 0, 0], daily_cap_l=100)
    assert bench.step(DRY) is reason


# --- what is kept ---------------------------------------------------------------------------------


def test_everything_that_is_kept_is_found_again() -> None:
    bench = after_restart([1, TODAY, 123, 7, 5000, 2, 9, 60], pulses_per_l=10)
    assert bench.telemetry["day_l"] == 123
    assert bench.kept == [1, TODAY, 123, 7, 5000, 2, 9, 60]
    bench.step(MIDDLE, flow=3, after_s=899)  # 900 s since the start, 7 + 3 pulses
    assert bench.kept == [1, TODAY, 124, 0, 5900, 2, 9, 60]


@pytest.mark.parametrize(
    ("slot", "value", "taken"),
    [
        (USED_L, -1, 0),
        (USED_L, -(2**31), 0),
        (REST_PULSES, -1, 0),
        (REST_PULSES, 10_001, 10_000 % 450),
        (REST_PULSES, 10_000, 10_000 % 450),
        (ELAPSED_S, -3601, -3600),
        (ELAPSED_S, 86_401, 86_400),
        (UNSEEN, -1, 0),
        (UNSEEN, 101, 100),
        (RATE_L_H, -1, 0),
        (RATE_L_H, 100_000_001, 100_000_000),
    ],
)
def test_what_nobody_can_have_kept_is_limited(slot: int, value: int, taken: int) -> None:
    before = [1, TODAY, 0, 0, 0, 0, 0, 0]
    before[slot] = value
    bench = after_restart(before)
    if slot == REST_PULSES:
        assert bench.kept[USED_L] == (0 if value < 0 else 10_000 // 450)
    bench.step(MIDDLE, after_s=900 - 1)
    expected = taken if slot != ELAPSED_S else min(taken + 900, 86_400)
    assert bench.kept[slot] == expected


@pytest.mark.parametrize("layout", [0, 2, -1])
def test_what_is_kept_in_any_other_layout_is_forgotten_whole(layout: int) -> None:
    bench = after_restart([layout, 7, 123, 7, 5000, 2, 9, 60], now=START_S + 12 * HOUR_S)
    # a clock that is set: the day has begun at midnight
    assert bench.kept == [1, TODAY, 0, 0, 12 * HOUR_S + 1, 0, 0, 0]


def test_elapsed_time_alone_is_kept_every_quarter_of_an_hour() -> None:
    bench = quick()
    bench.step(MIDDLE, after_s=60)
    first = bench.kept[ELAPSED_S]
    for passed_s, writes in [(899, 0), (1, 1), (899, 0), (2, 1), (900, 1), (450, 0), (450, 1)]:
        before = bench.writes
        bench.step(MIDDLE, after_s=passed_s)
        assert bench.writes - before == writes, passed_s
    assert bench.kept[ELAPSED_S] == first + 899 + 1 + 899 + 2 + 900 + 450 + 450


def test_only_what_has_changed_is_written() -> None:
    bench = watering()
    before = list(bench.kept)
    writes = bench.writes
    bench.step(DRY, flow=5, after_s=3600)  # half a litre an hour: a rate of none
    changed = [slot for slot in range(8) if bench.kept[slot] != before[slot]]
    assert changed == [REST_PULSES, ELAPSED_S, UNSEEN]
    assert bench.writes - writes == 3


# --- the day --------------------------------------------------------------------------------------


def used_day(elapsed_s: int, *, clock_s: int, day: int = TODAY - 1) -> Bench:
    """A guest whose day has had so many seconds and 50 litres when the clock shows `clock_s` of
    today, at its first step."""
    bench = quick(now=START_S + clock_s, kept=[1, day, 50, 0, elapsed_s, 0, 0, 0])
    bench.step(MIDDLE, after_s=0)
    return bench


@pytest.mark.parametrize(
    ("elapsed_s", "clock_s", "litres", "day", "kept_s"),
    [
        # at midnight, 23 hours are enough; what is short is asked of the next day
        (82_799, 0, 50, TODAY - 1, 82_799),
        (82_800, 0, 0, TODAY, -3600),
        (86_400, 0, 0, TODAY, 0),
        (82_800, 3599, 0, TODAY, -3600),
        # an hour later it takes a whole one
        (82_800, 3600, 50, TODAY - 1, 82_800),
        (86_399, 3600, 50, TODAY - 1, 86_399),
        (86_400, 3600, 0, TODAY, 0),
        (86_400, 86_399, 0, TODAY, 0),
        # one that is short by more than six hours begins at the midnight after
        (64_799, 3600, 50, TODAY, 64_799),
        (64_800, 3600, 50, TODAY - 1, 64_800),
        (0, 0, 50, TODAY, 0),
    ],
)
def test_a_day_begins_when_clock_and_measured_time_agree(
    elapsed_s: int, clock_s: int, litres: int, day: int, kept_s: int
) -> None:
    bench = used_day(elapsed_s, clock_s=clock_s)
    assert bench.telemetry["day_l"] == litres
    assert (bench.kept[DAY], bench.kept[ELAPSED_S]) == (day, kept_s)


def test_a_day_that_the_clock_has_not_left_goes_on_however_long_it_is() -> None:
    bench = used_day(86_400, clock_s=0, day=TODAY)
    assert (bench.telemetry["day_l"], bench.kept[DAY], bench.kept[ELAPSED_S]) == (50, TODAY, 86_400)


def test_pulses_short_of_a_litre_make_a_day_that_was_used() -> None:
    bench = quick(now=START_S, kept=[1, TODAY - 1, 0, 1, 82_000, 0, 0, 0])
    bench.step(MIDDLE, after_s=0)
    assert (bench.kept[DAY], bench.kept[REST_PULSES]) == (TODAY - 1, 1)
    unused = quick(now=START_S, kept=[1, TODAY - 1, 0, 0, 82_000, 0, 0, 0])
    unused.step(MIDDLE, after_s=0)
    assert (unused.kept[DAY], unused.kept[ELAPSED_S]) == (TODAY, 82_000)


@pytest.mark.parametrize(
    ("passed_s", "elapsed_s"), [(900, 900), (86_400, 86_400), (90_000, 86_400)]
)
def test_no_more_than_a_day_is_measured_of_a_day(passed_s: int, elapsed_s: int) -> None:
    bench = quick(now=START_S, kept=[1, TODAY + 1, 50, 0, 0, 0, 0, 0])
    bench.now = START_S + DAY_S - passed_s
    bench.step(MIDDLE, after_s=passed_s)
    assert bench.kept[ELAPSED_S] == elapsed_s


@pytest.mark.parametrize(
    ("day", "second", "elapsed_s"),
    [
        (3652, 50_000, 0),  # a clock that nobody has set
        (3653, 50_000, 50_000),  # 1980
        (TODAY, 0, 0),
        (TODAY, 82_799, 82_799),
        (TODAY, 82_800, 82_799),  # the first midnight needs an hour and a second more
        (TODAY, 86_399, 82_799),
    ],
)
def test_a_new_node_has_its_first_day_until_midnight(day: int, second: int, elapsed_s: int) -> None:
    bench = quick(now=day * DAY_S + second)
    bench.step(MIDDLE, after_s=0)
    assert (bench.kept[DAY], bench.kept[ELAPSED_S]) == (day, elapsed_s)


def test_a_day_that_has_begun_is_not_begun_again_by_another_clock() -> None:
    bench = quick(now=START_S + 12 * HOUR_S)
    bench.step(MIDDLE, after_s=0)
    bench.now = START_S + 6 * HOUR_S
    bench.step(MIDDLE, after_s=900)
    assert (bench.kept[DAY], bench.kept[ELAPSED_S]) == (TODAY, 12 * HOUR_S + 900)


# --- probe and flow -------------------------------------------------------------------------------


@pytest.mark.parametrize(("move", "reason"), [(2, WHY.PROBE_STUCK), (3, WHY.HOLD)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_probe_moves_by_the_counts_that_are_set(move: int, sign: int, reason: WHY) -> None:
    bench = watering(stuck_counts=3, stuck_s=600)
    reasons = [bench.step(DRY, flow=10, after_s=passed_s) for passed_s in (199, 200, 200)]
    assert reasons == [WHY.HOLD] * 3
    assert bench.step(DRY + sign * move, flow=10, after_s=1) is reason


@pytest.mark.parametrize(
    ("pulses", "reason"), [(9, WHY.HOLD), (10, WHY.LEAK), (11, WHY.LEAK), (-2, WHY.HOLD)]
)
def test_a_leak_has_the_pulses_that_are_set(pulses: int, reason: WHY) -> None:
    bench = quick(leak_pulses=10)
    bench.step(MIDDLE)
    assert bench.step(MIDDLE, flow=pulses) is reason


@pytest.mark.parametrize(("before_s", "reason"), [(119, WHY.HOLD), (120, WHY.LEAK)])
def test_what_runs_out_may_take_as_long_as_water_to_be_seen(before_s: int, reason: WHY) -> None:
    bench = watering(flow_confirm_s=120)
    assert bench.step(WET, flow=450) is WHY.CLOSED_WET
    bench.step(WET, after_s=before_s)
    assert bench.step(WET, flow=450, after_s=60) is reason


@pytest.mark.parametrize(("unseen", "reason"), [(2, WHY.OPENED), (3, WHY.LOCKED), (4, WHY.LOCKED)])
def test_it_is_locked_from_the_limit_on(unseen: int, reason: WHY) -> None:
    bench = quick(kept=[1, TODAY, 0, 0, 0, unseen, 0, 0], no_flow_limit=3)
    assert bench.step(DRY) is reason


def test_without_a_flow_meter_openings_are_not_counted_as_without_water() -> None:
    bench = watering(flow_confirm_s=0)
    assert bench.kept[UNSEEN] == 0
    counted = watering()
    assert counted.kept[UNSEEN] == 1
    counted.step(DRY, flow=1, after_s=60)
    assert counted.kept[UNSEEN] == 0


def test_openings_without_water_are_counted_up_to_the_largest_limit() -> None:
    bench = quick(kept=[1, TODAY, 0, 0, 0, 99, 0, 0], no_flow_limit=0)
    for expected in (100, 100):
        assert bench.step(DRY) is WHY.OPENED
        assert bench.kept[UNSEEN] == expected
        assert bench.step(DRY) is WHY.NO_FLOW


@pytest.mark.parametrize(("passed_s", "reason"), [(1199, WHY.WAIT_PAUSE), (1200, WHY.OPENED)])
def test_the_pause_is_over_with_its_last_second(passed_s: int, reason: WHY) -> None:
    bench = quick(min_pause_s=1200)
    assert bench.step(DRY, after_s=passed_s) is reason


@pytest.mark.parametrize(("passed_s", "reason"), [(1199, WHY.HOLD), (1200, WHY.CLOSED_MAX_OPEN)])
def test_the_longest_opening_is_over_with_its_last_second(passed_s: int, reason: WHY) -> None:
    bench = watering(max_open_s=1200)
    assert bench.step(DRY, flow=10, after_s=passed_s) is reason


def test_0_counts_are_a_reading_that_is_plausible_if_it_is_set_so() -> None:
    assert quick().step(0) is WHY.PROBE_RANGE
    wettest = quick(min_counts=0)
    assert wettest.step(0) is WHY.HOLD
    assert wettest.telemetry["pct"] == 100
    assert quick(max_counts=4095).step(4095) is WHY.OPENED


def test_a_time_that_stands_still_once_begins_neither_pause_nor_opening_anew() -> None:
    bench = quick(min_pause_s=1200, max_open_s=1200)
    reasons = [bench.step(DRY, after_s=passed_s) for passed_s in (600, 0, 600)]
    assert reasons == [WHY.WAIT_PAUSE, WHY.WAIT_PAUSE, WHY.OPENED]
    reasons = [bench.step(DRY + passed_s, after_s=passed_s, flow=10) for passed_s in (600, 0, 600)]
    assert reasons == [WHY.HOLD, WHY.HOLD, WHY.CLOSED_MAX_OPEN]
    assert bench.kept[RATE_L_H] == 0  # 10 of 450 pulses in 10 minutes


def test_a_leak_does_not_keep_dry_soil_dry() -> None:
    bench = quick(leak_pulses=10)
    bench.step(MIDDLE)
    assert bench.step(DRY, flow=1000) is WHY.OPENED


@pytest.mark.parametrize("period_s", [1, 7, 86_400])
def test_the_first_step_is_due_after_a_period(period_s: int) -> None:
    bench = Bench()
    bench.set("period_s", period_s)
    assert bench.call("init") == period_s * 1000
    bench.step(MIDDLE)
    assert bench.wait_ms == period_s * 1000


def test_why_it_closes_has_an_order() -> None:
    """No flow before the longest opening, that before the volume, and that before wet soil."""

    def closes(raw: int, flow: int, after_s: int) -> WHY:
        bench = watering(max_open_s=1200, daily_cap_l=100)
        return bench.step(raw, flow=flow, after_s=after_s)

    assert closes(WET, 0, 1200) is WHY.NO_FLOW
    assert closes(WET, 1000, 1200) is WHY.CLOSED_MAX_OPEN
    assert closes(WET, 1000, 60) is WHY.WAIT_DAILY_CAP
    assert closes(WET, 10, 60) is WHY.CLOSED_WET


def test_why_it_stays_closed_has_an_order() -> None:
    """Locked, starting, moist enough, the pause, the volume."""
    full = [1, TODAY, 100, 0, 0, 3, 0, 0]
    settings = {"min_pause_s": 1200, "daily_cap_l": 100, "ema_shift": 1}
    assert quick(kept=full, **settings).step(MIDDLE) is WHY.LOCKED
    bench = quick(kept=[1, TODAY, 100, 0, 0, 0, 0, 0], **settings)
    assert bench.step(MIDDLE, after_s=1) is WHY.STARTING
    assert bench.step(MIDDLE, after_s=1) is WHY.HOLD
    assert bench.step(2800, after_s=1) is WHY.WAIT_PAUSE  # (2000 + 2800) / 2 = 2400: 30 %
    assert bench.step(2800, after_s=1198) is WHY.WAIT_DAILY_CAP
