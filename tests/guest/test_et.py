"""Behaviour of the shipped ET guest, one sentence a test.

Depletion is in 0.01 mm.  By default the bench has 100 m2, so a litre is 0.01 mm, and the crop
coefficient is that of mid-season, 1.2, because no planting is given.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import wasmtime
from harness import compiled, ids
from hypothesis import given
from hypothesis import strategies as st

from levada.guest.abi import KEEP_SLOTS, WHY
from levada.guest.build import build
from levada.guest.module.arithmetic import wide_arithmetic
from levada.guest.module.inspect import inspect
from levada.guest.shipped import SHIPPED_GUESTS

MODULE = SHIPPED_GUESTS["et"]
IDS = ids(MODULE)
START_S = 1_688_169_600
"""2023-07-01 00:00."""
GONE = -2
I32 = st.integers(-(2**31), 2**31 - 1)


class EtBench:
    """One guest, started; `parameters` by name are set after `init`, as a node does."""

    def __init__(
        self, *, now: int = START_S, kept: list[int] | None = None, **parameters: int
    ) -> None:
        engine, module = compiled(MODULE)
        self.now, self.uptime = now, 0
        self.kept = [0] * KEEP_SLOTS if kept is None else kept
        self.sensors = {0: 2000, 3: 0, 4: GONE, 5: GONE, 6: GONE}
        self.open = False
        self.message: dict[str, Any] = {}
        self._store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        calls = {
            "read_sensor": lambda kind: self.sensors.get(kind, GONE),
            "set_output": self._output,
            "get_config": lambda key: (3000, 1000, 2000)[key],
            "mqtt_publish": self._publish,
            "now_s": lambda: (self.now + 2**31) % 2**32 - 2**31,
            "uptime_s": lambda: self.uptime,
            "keep_get": lambda slot: self.kept[slot],
            "keep_set": self._keep,
        }
        for item in module.imports:
            assert item.name is not None
            linker.define_func(item.module, item.name, item.type, calls[item.name])
        self._exports = linker.instantiate(self._store, module).exports(self._store)
        self.wait_ms = self.call("init")
        for name, value in parameters.items():
            assert self.call("param_set", IDS[name], value) == 0, f"{name} = {value} refused"

    def call(self, name: str, *arguments: int) -> int:
        result: int = self._exports[name](self._store, *arguments)  # type: ignore[operator]
        return result

    def step(
        self,
        *,
        after_s: int | None = None,
        et0: int = GONE,
        rain: int = GONE,
        expected: int = GONE,
        flow: int = 0,
        raw: int = 2000,
    ) -> WHY:
        """Let time pass (as long as the guest asked for, by default), step, say why."""
        passed_s = self.wait_ms // 1000 if after_s is None else after_s
        self.now += passed_s
        self.uptime += passed_s
        self.sensors = {0: raw, 3: flow, 4: rain, 5: expected, 6: et0}
        self.wait_ms = self.call("step")
        return WHY(self.message["why"])

    @property
    def depletion(self) -> int:
        return int(self.message["depletion"])

    def _output(self, pin: int, state: int) -> None:
        assert pin == 23
        self.open = bool(state)

    def _text(self, pointer: int) -> str:
        memory = self._exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        return memory.read(self._store, pointer, pointer + 300).partition(b"\0")[0].decode()

    def _publish(self, topic: int, message: int) -> int:
        assert self._text(topic) == "data"
        self.message = json.loads(self._text(message))
        return 0

    def _keep(self, slot: int, value: int) -> int:
        self.kept[slot] = value
        return 0


# --- the module -----------------------------------------------------------------------------------


def test_is_at_most_12_kib_with_one_page_of_memory() -> None:
    info = inspect(MODULE.read_bytes())
    assert info.size <= 12 * 1024
    assert (info.memory_pages, info.memory_pages_max) == (1, 1)
    assert (info.kind, info.problems) == ("reactor", ())
    assert wide_arithmetic(MODULE.read_bytes()) == frozenset()


def test_is_built_from_its_source_and_its_sha_256_lies_beside_it() -> None:
    module = MODULE.read_bytes()
    assert build([MODULE.with_suffix(".c")]).module == module
    stated = MODULE.with_suffix(".wasm.sha256").read_text().split()
    assert stated == [hashlib.sha256(module).hexdigest(), MODULE.name]


def test_every_parameter_takes_its_bounds_and_nothing_beyond() -> None:
    for parameter in inspect(MODULE.read_bytes()).parameters:
        bench = EtBench()
        assert bench.call("param_get", parameter.id) == parameter.default
        for beyond in (parameter.minimum - 1, parameter.maximum + 1):
            assert bench.call("param_set", parameter.id, beyond) == -1
        assert bench.call("param_get", parameter.id) == parameter.default
    assert EtBench().call("param_set", len(IDS), 1) == -1


@pytest.mark.parametrize(
    ("name", "value"), [("leave_mm", 40), ("refill_mm", 61), ("taw_mm", 39), ("min_counts", 4000)]
)
def test_parameters_that_contradict_each_other_are_refused(name: str, value: int) -> None:
    assert EtBench().call("param_set", IDS[name], value) == -1


# --- the account ----------------------------------------------------------------------------------


def test_crop_et_is_reference_et_times_the_crop_coefficient() -> None:
    """5.00 mm x 1.2 = 6.00 mm, in one step or in fifty."""
    bench, fine = EtBench(), EtBench()
    bench.step(et0=500)
    for _ in range(50):
        fine.step(et0=10)
    assert bench.depletion == fine.depletion == 600


def test_rain_and_irrigation_are_paid_in() -> None:
    """20 tips of 0.2 mm, of which 80 % count, and 500 L on 100 m2 at 90 %."""
    bench = EtBench(start_mm=30, rain_pct=80)
    bench.step(rain=20)
    assert bench.depletion == 3000 - 320
    bench.step(flow=500 * 450)
    assert bench.depletion == 3000 - 320 - 450


def test_what_the_soil_does_not_hold_is_lost_and_so_is_what_it_does_not_have() -> None:
    bench = EtBench(start_mm=10)
    bench.step(rain=100)
    assert bench.depletion == 0
    for _ in range(20):
        bench.step(et0=1000)
    assert bench.depletion == 10_000


@pytest.mark.parametrize(
    ("day", "kc_pct"),
    [
        # FAO-56 Eq. 66 by hand: 30, 40, 50 and 30 days from 0.3 over 1.2 to 0.6
        (0, 30),
        (29, 30),
        (30 + 20, 75),
        (70, 120),
        (119, 120),
        (120 + 15, 90),
        (150, 30),
    ],
)
def test_the_crop_coefficient_follows_the_stages(day: int, kc_pct: int) -> None:
    """Planted on 2 May, day 122 of 2023."""
    planted = 1_682_985_600
    bench = EtBench(now=planted + 86_400 * day, planting_doy=122)
    bench.step(et0=1000)
    assert bench.depletion == 10 * kc_pct


def test_the_day_of_planting_is_found_over_new_year_and_in_leap_years() -> None:
    """1 December is day 335 of 2023 and of no leap year; 20 January 2024 is 50 days later."""
    bench = EtBench(now=1_705_708_800, planting_doy=335)
    bench.step(et0=1000)
    assert bench.depletion == 750
    leap = EtBench(now=1_714_521_600 + 86_400 * 50, planting_doy=122)  # 1 May 2024 is day 122
    leap.step(et0=1000)
    assert leap.depletion == 750


def test_a_clock_that_nobody_has_set_means_mid_season() -> None:
    bench = EtBench(now=0, planting_doy=122)
    bench.step(et0=1000)
    assert bench.depletion == 1200


def test_without_reference_et_some_is_assumed_and_taken_back_when_it_comes() -> None:
    """After two days 5 mm a day: three days make 15 mm x 1.2; then all five are told, 25 mm."""
    bench = EtBench()
    for _ in range(5 * 144):
        bench.step(after_s=600)
    assert bench.depletion == pytest.approx(1800, abs=5)
    bench.step(et0=2500)
    assert bench.depletion == pytest.approx(3000, abs=5)


# --- the valve ------------------------------------------------------------------------------------


def dry(**parameters: int) -> EtBench:
    """A guest whose soil misses 45 mm, and whose first pause has passed."""
    bench = EtBench(start_mm=45, min_pause_s=0, **parameters)
    return bench


def test_opens_at_the_refill_point_and_closes_when_the_root_zone_is_full() -> None:
    """45 mm at 90 % are 5,000 L on 100 m2: 100 L a minute for 50 minutes."""
    bench = dry()
    assert bench.step() is WHY.OPENED
    minutes = 0
    while bench.open:
        why = bench.step(flow=100 * 450)
        minutes += 1
    assert (minutes, why, bench.depletion) == (50, WHY.CLOSED_WET, 0)


def test_leaves_room_for_rain() -> None:
    bench = dry(leave_mm=9)
    bench.step()
    while bench.open:
        bench.step(flow=100 * 450)
    assert bench.depletion == 900


def test_does_not_open_short_of_the_refill_point() -> None:
    bench = EtBench(start_mm=39, min_pause_s=0)
    assert bench.step() is WHY.HOLD
    assert bench.step(et0=84) is WHY.OPENED  # 0.84 mm x 1.2 = 1.00 mm


def test_waits_where_enough_rain_is_expected_but_not_beyond_the_limit() -> None:
    bench = dry(limit_mm=60)
    assert bench.step(expected=50) is WHY.WAIT_RAIN
    assert not bench.open
    assert bench.step(expected=50, et0=1000) is WHY.WAIT_RAIN  # 57 mm
    assert bench.step(expected=50, et0=250) is WHY.OPENED  # 60 mm


@pytest.mark.parametrize("expected", [49, 0, GONE])
def test_does_not_wait_for_less(expected: int) -> None:
    assert dry().step(expected=expected) is WHY.OPENED


def test_does_not_wait_where_forecasts_are_not_asked_for() -> None:
    assert dry(rain_skip=0).step(expected=500) is WHY.OPENED


def test_closes_without_flow_and_is_locked_after_three_times() -> None:
    bench = dry()
    seen = [bench.step(after_s=600) for _ in range(10)]
    assert seen.count(WHY.OPENED) == 3
    assert seen[-1] is WHY.LOCKED
    assert bench.call("param_set", IDS["confirm"], 1) == 0
    assert bench.step() is WHY.OPENED


def test_closes_after_the_longest_opening_in_time() -> None:
    bench = dry(max_open_s=150)
    assert bench.step() is WHY.OPENED
    seen = []
    while bench.open:
        seen.append((bench.wait_ms, bench.step(flow=450)))
    assert seen == [(60_000, WHY.HOLD), (60_000, WHY.HOLD), (30_000, WHY.CLOSED_MAX_OPEN)]


def test_24_hours_bring_no_more_than_their_volume() -> None:
    """2,400 L a day, given within the first hour: the valve opens again 24 hours after it."""
    bench = EtBench(start_mm=100, min_pause_s=0, daily_cap_l=2400)
    bench.step()
    used = 0
    while bench.open:
        why = bench.step(flow=100 * 450)
        used += 100
    assert why is WHY.WAIT_DAILY_CAP
    assert used == 2400
    for _ in range(23):
        assert bench.step(after_s=3600) is WHY.WAIT_DAILY_CAP
    assert [bench.step(after_s=3600) for _ in range(2)] == [WHY.WAIT_DAILY_CAP, WHY.OPENED]


@given(
    restarts=st.lists(st.integers(1, 40), max_size=8),
    jumps=st.lists(st.integers(-400_000, 400_000), min_size=8, max_size=8),
)
def test_no_24_hours_bring_more_whatever_clock_and_power_do(
    restarts: list[int], jumps: list[int]
) -> None:
    settings = {"daily_cap_l": 1000, "start_mm": 100, "min_pause_s": 0, "period_s": 600}
    bench = EtBench(**settings)
    steps, given_l = [], []
    for k in range(2 * 144):
        flow_l = 50 if bench.open else 0
        bench.step(after_s=600, et0=100, flow=flow_l * 450)
        steps.append(k)
        given_l.append(flow_l)
        if k in restarts:
            bench = EtBench(now=bench.now + jumps[k % 8], kept=bench.kept, **settings)
    assert max(sum(given_l[k : k + 144]) for k in steps) <= 1000


def test_a_restart_goes_on_with_the_account_and_a_new_node_begins_at_its_parameter() -> None:
    bench = EtBench(start_mm=20)
    bench.step(et0=1000)
    assert bench.depletion == 3200
    again = EtBench(kept=bench.kept, start_mm=20)
    again.step()
    assert again.depletion == 3200


def test_keeps_no_more_often_than_every_half_millimetre() -> None:
    bench = EtBench()
    bench.step()
    before = list(bench.kept)
    bench.step(et0=40)  # 0.48 mm
    assert bench.kept == before
    bench.step(et0=10)
    assert bench.kept[1] == 60


def test_a_clock_that_stands_still_closes_the_valve() -> None:
    bench = dry()
    bench.step()
    bench.step(after_s=0, flow=450)
    assert bench.step(after_s=0, flow=450) is WHY.CLOCK
    assert not bench.open


def test_without_a_meter_the_rate_and_the_time_tell_the_water() -> None:
    """10 mm/h for 6 minutes at 90 %: 0.9 mm."""
    bench = dry(rate=100)
    bench.step(flow=GONE)
    bench.step(after_s=360, flow=GONE)
    assert bench.depletion == 4500 - 90
    assert bench.open


def test_water_through_a_closed_valve_is_a_leak() -> None:
    bench = EtBench()
    bench.step()
    assert bench.step(flow=10) is WHY.LEAK


# --- with a probe ---------------------------------------------------------------------------------


def test_a_probe_sets_the_account() -> None:
    """1600 counts are 70 % of the way from 3000 to 1000: 30 of 100 mm are missing."""
    bench = EtBench(source=1)
    bench.step(raw=1600, et0=1000)
    assert bench.depletion == 3000


def test_a_probe_is_not_asked_while_water_spreads() -> None:
    bench = EtBench(source=1, min_pause_s=0, settle_s=3600)
    assert bench.step(raw=2000) is WHY.OPENED  # 50 mm
    while bench.open:
        bench.step(flow=100 * 450, raw=2000)
    assert bench.depletion == 0
    bench.step(after_s=3000, raw=2000)
    assert bench.depletion == 0
    assert bench.step(after_s=600, raw=2000) is WHY.OPENED


@pytest.mark.parametrize(("raw", "why"), [(-2, WHY.PROBE_MISSING), (50, WHY.PROBE_RANGE)])
def test_a_probe_that_does_not_answer_keeps_the_valve_closed(raw: int, why: WHY) -> None:
    bench = EtBench(source=1, start_mm=50, min_pause_s=0)
    assert bench.step(raw=raw) is why
    assert not bench.open


# --- anything -------------------------------------------------------------------------------------


@given(
    steps=st.lists(
        st.fixed_dictionaries(
            {
                "after_s": st.integers(0, 2**31 - 1),
                "et0": I32,
                "rain": I32,
                "expected": I32,
                "flow": I32,
                "raw": I32,
            }
        ),
        max_size=12,
    ),
    source=st.integers(0, 1),
    area=st.sampled_from((1, 100, 10_000_000)),
)
def test_no_reading_takes_the_account_out_of_the_soil(
    steps: list[dict[str, int]], source: int, area: int
) -> None:
    bench = EtBench(source=source, area_m2=area, min_pause_s=0, daily_cap_l=1_000_000)
    for step in steps:
        bench.uptime %= 2**31
        bench.step(**step)
        assert 0 <= bench.depletion <= 10_000
        assert 0 < bench.wait_ms <= 86_400_000
