"""What the shipped guest promises whatever clock, power and supply do.

The bench has a valve of its own: water flows at a known rate while it is commanded open, and what
flows between the last step and a restart is seen by nobody but the test.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.guest.abi import WHY
from tests.guest.harness import START_S, quick

DAY_S = 86_400
HOUR_S = 3_600
DRY_COUNTS = 2400
CAP_L = 200
PERIOD_S = 600
L_A_STEP = 100
"""10 l/min."""
PULSES = 10 * L_A_STEP
"""Of a step, at 10 pulses a litre."""


@dataclass
class Field:
    """A dry field with one valve; the true time is `now_s`, the clock is ahead by `skew_s`."""

    parameters: dict[str, int] = field(default_factory=dict)
    supply: bool = True
    now_s: int = START_S
    skew_s: int = 0
    openings: list[int] = field(default_factory=list)
    litres: dict[int, int] = field(default_factory=dict)
    """By true day."""
    flows: list[tuple[int, int]] = field(default_factory=list)
    """When a step ended, and the litres in it."""

    def __post_init__(self) -> None:
        self.kept = [0] * 8
        self.bench: Any = None
        self.start()

    def start(self) -> None:
        """Power on, or a restart."""
        chosen = {"daily_cap_l": CAP_L, "pulses_per_l": 10, "min_pause_s": 0} | self.parameters
        if self.bench:
            self.bench.close()
        self.bench = quick(
            now=self.now_s + self.skew_s, kept=self.kept, period_s=PERIOD_S, **chosen
        )
        self.open = False
        self.last_pulses = 0

    def run(self, seconds: int, *, count: bool = True) -> None:
        """Let time pass, water flow, and the guest step at the end (unless not `count`)."""
        flows = self.open and self.supply
        litres = L_A_STEP * seconds // PERIOD_S if flows else 0
        day = (self.now_s - START_S) // DAY_S
        self.litres[day] = self.litres.get(day, 0) + litres
        self.now_s += seconds
        self.flows.append((self.now_s, litres))
        if not count:
            return
        self.bench.now = self.now_s + self.skew_s - seconds
        self.bench.step(DRY_COUNTS + self.now_s // PERIOD_S % 9, after_s=seconds, flow=10 * litres)
        if self.bench.open and not self.open:
            self.openings.append(self.now_s)
        self.open = self.bench.open

    def wait(self, until_s: int) -> None:
        """Steps until a time since the start of the test."""
        while self.now_s < START_S + until_s:
            self.run(min(self.bench.wait_ms // 1000, START_S + until_s - self.now_s))

    @property
    def total_l(self) -> int:
        return sum(litres for _, litres in self.flows)

    def most_l(self, seconds: int) -> int:
        """In the wettest stretch of so many seconds."""
        most = inside = first = 0
        for end_s, litres in self.flows:
            inside += litres
            while self.flows[first][0] <= end_s - seconds:
                inside -= self.flows[first][1]
                first += 1
            most = max(most, inside)
        return most

    @property
    def why(self) -> WHY:
        """The last reason."""
        return WHY(self.bench.telemetry["why"])


def allowed_l(days: int) -> int:
    """So many allowances, each over by at most what flows between two steps."""
    return days * (CAP_L + L_A_STEP)


# --- the allowance of the day ---------------------------------------------------------------------


def test_without_faults_each_day_has_one_allowance_from_midnight_on() -> None:
    dry = Field()
    dry.wait(5 * DAY_S)
    assert dry.litres == {day: CAP_L for day in range(5)}


@pytest.mark.parametrize(
    "jumps",
    [
        pytest.param([(2, 24), (2.5, -24)], id="ahead by a day for half an hour"),
        pytest.param([(h, s) for h in range(2, 22, 2) for s in (24,)], id="a day more, ten times"),
        pytest.param(
            [(h + part / 2, s) for h in range(2, 22, 2) for part, s in ((0, 24), (1, -24))],
            id="ahead by a day and back, ten times",
        ),
        pytest.param([(23.9, 1), (24.2, -1)], id="over midnight and back"),
        pytest.param([(24, 24)], id="at midnight"),
        pytest.param([(23.99, 24), (24.01, 24)], id="at both sides of midnight"),
        pytest.param([(6, -30), (7, 30)], id="back by more than a day"),
        pytest.param([(12, -19_000 * 24)], id="back to 1970"),
        pytest.param([(k / 4, 0.25) for k in range(96)], id="a clock twice as fast"),
        pytest.param([(k / 6, -5 / 174) for k in range(174)], id="a day of 29 hours"),
    ],
)
def test_no_clock_gives_a_second_allowance(jumps: list[tuple[float, float]]) -> None:
    dry = Field()
    dry.wait(DAY_S)
    for hour, hours_ahead in jumps:
        dry.wait(round(DAY_S + hour * HOUR_S))
        dry.skew_s += round(hours_ahead * HOUR_S)
    dry.wait(4 * DAY_S)
    assert dry.litres[0] == CAP_L
    assert all(litres <= CAP_L + L_A_STEP for litres in dry.litres.values()), dry.litres
    assert dry.total_l >= 2 * CAP_L  # nor is it a reason to let everything dry out


def test_the_pause_does_not_pass_because_the_clock_jumps() -> None:
    dry = Field({"min_pause_s": 12 * HOUR_S, "daily_cap_l": 0})
    dry.wait(6 * HOUR_S)
    while len(dry.openings) < 2:
        dry.run(PERIOD_S)
        dry.skew_s += DAY_S
    # opened after the pause, open for max_open_s (1200 s), closed for a full pause
    assert dry.openings[1] - dry.openings[0] == 12 * HOUR_S + 1200


def test_an_opening_is_not_longer_because_the_clock_stands_or_goes_back() -> None:
    dry = Field({"daily_cap_l": 0})
    dry.wait(HOUR_S)
    while not dry.open:
        dry.run(PERIOD_S)
    dry.skew_s -= 5 * HOUR_S
    dry.run(PERIOD_S)
    assert dry.why is WHY.HOLD
    dry.run(PERIOD_S)
    assert dry.why is WHY.CLOSED_MAX_OPEN


def test_ten_restarts_give_no_second_allowance_and_cost_no_later_day() -> None:
    dry = Field()
    for hour in range(2, 22, 2):
        dry.wait(hour * HOUR_S)
        dry.start()
    dry.wait(3 * DAY_S)
    assert dry.litres[0] == CAP_L
    assert dry.litres[1] <= CAP_L
    assert dry.litres[2] == CAP_L


def test_a_clock_that_shows_1970_until_it_is_set_gives_no_second_allowance() -> None:
    dry = Field()
    for hour in range(3, 24, 3):
        dry.skew_s = -START_S  # a board without a clock of its own has started
        dry.start()
        dry.wait(hour * HOUR_S + 1200)
        dry.skew_s = 0
        dry.wait((hour + 3) * HOUR_S)
    assert dry.total_l == CAP_L


def test_a_day_that_begins_unused_begins_at_the_midnight_of_a_clock_that_was_just_set() -> None:
    dry = Field(now_s=START_S + 18 * HOUR_S, skew_s=-START_S - 18 * HOUR_S)
    dry.wait(18 * HOUR_S + 600)
    dry.skew_s = 0
    dry.wait(23 * HOUR_S)
    assert dry.total_l == CAP_L
    dry.wait(26 * HOUR_S)
    assert dry.total_l == 2 * CAP_L


def test_after_a_change_of_the_clock_by_half_a_day_days_begin_at_its_midnight_again() -> None:
    dry = Field()
    dry.wait(DAY_S + 2 * HOUR_S)
    dry.skew_s = 12 * HOUR_S
    dry.wait(DAY_S + 36 * HOUR_S - 600)
    assert dry.total_l == 2 * CAP_L  # one allowance for these 36 hours
    dry.wait(DAY_S + 37 * HOUR_S)
    assert dry.total_l == 3 * CAP_L


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), days=st.integers(1, 3))
def test_whatever_clock_and_power_do_n_days_have_at_most_n_plus_1_allowances(
    seed: int, days: int
) -> None:
    chance = random.Random(seed)
    often = chance.choice([0.005, 0.05, 0.3])
    dry = Field()
    while dry.now_s < START_S + days * DAY_S:
        dry.run(min(dry.bench.wait_ms // 1000, 600))
        if chance.random() < often:
            dry.skew_s = chance.choice(
                [
                    dry.skew_s + DAY_S,
                    dry.skew_s - DAY_S,
                    -dry.now_s,
                    0,
                    dry.skew_s + chance.randrange(-100_000, 100_000),
                    # one second before the next midnight
                    dry.skew_s + DAY_S - 1 - (dry.now_s + dry.skew_s) % DAY_S,
                ]
            )
        if chance.random() < often:
            dry.run(chance.randrange(600), count=False)
            dry.start()
    assert dry.total_l <= allowed_l(days + 1)
    assert all(dry.most_l(n * DAY_S) <= allowed_l(n + 2) for n in range(1, days))


def test_three_allowances_in_24_hours_take_a_clock_that_is_set_for_that() -> None:
    dry = Field()
    dry.wait(2 * DAY_S - HOUR_S)
    dry.bench.set("on_pct", 1)  # nothing is wanted on the third day
    dry.wait(3 * DAY_S - HOUR_S)
    dry.skew_s = -6 * HOUR_S  # which lasts too long
    dry.wait(3 * DAY_S + HOUR_S + 1800)
    dry.bench.set("on_pct", 0)
    dry.wait(3 * DAY_S + 2 * HOUR_S)
    assert dry.most_l(2 * HOUR_S) == CAP_L
    dry.skew_s = -2 * HOUR_S  # midnight
    dry.wait(3 * DAY_S + 25 * HOUR_S)
    dry.skew_s = -HOUR_S  # midnight again
    dry.wait(5 * DAY_S)
    assert dry.most_l(24 * HOUR_S) == 3 * CAP_L
    assert dry.most_l(47 * HOUR_S) == 3 * CAP_L  # what came early is missing later


def test_water_that_nobody_saw_because_the_power_went_counts_as_used() -> None:
    dry = Field({"daily_cap_l": 1000})
    dry.wait(HOUR_S)
    assert dry.total_l  # so the rate is known
    for _ in range(100):
        while not dry.open and dry.now_s < START_S + 20 * HOUR_S:
            dry.run(PERIOD_S)
        dry.run(PERIOD_S - 1, count=False)  # one second before the step that would have seen it
        dry.start()
    assert dry.total_l <= 1000 + L_A_STEP


def test_a_restart_counts_the_volume_on() -> None:
    dry = Field()
    dry.wait(10 * HOUR_S)
    before = dry.bench.telemetry["day_l"]
    dry.start()
    dry.run(PERIOD_S)
    assert (before, dry.bench.telemetry["day_l"]) == (CAP_L, CAP_L)


def test_what_is_kept_in_another_layout_is_not_read() -> None:
    dry = Field()
    dry.kept[:] = [99, 7, 10_000, 3, 5, 90, 1, 5]
    dry.start()
    dry.run(PERIOD_S)
    assert dry.bench.telemetry["day_l"] == 0
    assert dry.why is WHY.OPENED


def test_flash_is_spared_a_closed_valve_costs_at_most_four_writes_an_hour() -> None:
    # what is kept is written at the end of a run, however many slots have changed
    dry = Field({"on_pct": 1})
    dry.wait(HOUR_S)
    writes = 0
    for _ in range(144):
        before = dry.bench.writes
        dry.run(PERIOD_S)
        writes += dry.bench.writes > before
    assert writes <= 96


# --- no flow --------------------------------------------------------------------------------------


def test_without_supply_it_gives_up_after_three_openings() -> None:
    dry = Field(supply=False)
    dry.wait(20 * DAY_S)
    assert len(dry.openings) == 3
    assert dry.why is WHY.LOCKED
    assert not dry.open


def test_the_limit_is_a_parameter_and_0_means_none() -> None:
    once = Field({"no_flow_limit": 1}, supply=False)
    once.wait(DAY_S)
    assert len(once.openings) == 1
    never = Field({"no_flow_limit": 0, "min_pause_s": HOUR_S}, supply=False)
    never.wait(DAY_S)
    assert len(never.openings) > 10


def test_flow_in_between_begins_the_count_anew() -> None:
    dry = Field({"daily_cap_l": 0}, supply=False)
    while len(dry.openings) < 2:
        dry.run(PERIOD_S)
    dry.supply = True
    dry.run(PERIOD_S)
    while len(dry.openings) < 3:
        dry.run(PERIOD_S)
    dry.run(PERIOD_S)
    dry.supply = False
    dry.wait(10 * DAY_S)
    assert dry.why is WHY.LOCKED
    assert len(dry.openings) == 3 + 3


def test_the_lock_outlives_restarts_and_what_the_node_sets_again_then() -> None:
    dry = Field(supply=False)
    dry.bench.set("confirm", 5)
    dry.wait(DAY_S)
    for _ in range(3):
        dry.start()
        dry.bench.set("confirm", 5)
        dry.wait(dry.now_s - START_S + DAY_S)
    assert (len(dry.openings), dry.why) == (3, WHY.LOCKED)


def test_a_new_number_as_confirm_unlocks_it_once() -> None:
    dry = Field(supply=False)
    dry.wait(DAY_S)
    assert len(dry.openings) == 3
    dry.bench.set("confirm", 1)
    dry.wait(2 * DAY_S)
    assert len(dry.openings) == 6
    dry.bench.set("confirm", 1)
    dry.bench.set("confirm", 0)
    dry.wait(3 * DAY_S)
    assert len(dry.openings) == 6
    dry.supply = True
    dry.bench.set("confirm", 2)
    dry.wait(4 * DAY_S)
    assert dry.total_l >= CAP_L


def test_an_opening_that_a_restart_cut_short_before_water_was_seen_counts() -> None:
    dry = Field(supply=True)
    for _ in range(50):
        for _ in range(12):
            if not dry.open:
                dry.run(PERIOD_S)
        dry.run(PERIOD_S - 1, count=False)
        dry.start()
    assert len(dry.openings) == 3
    assert dry.total_l <= 3 * L_A_STEP


def test_a_node_without_a_flow_meter_is_never_locked() -> None:
    dry = Field({"flow_confirm_s": 0, "stuck_counts": 0, "min_pause_s": HOUR_S}, supply=False)
    dry.wait(DAY_S)
    assert len(dry.openings) > 10


def test_a_leak_is_told_though_the_valve_is_locked() -> None:
    dry = Field(supply=False)
    dry.wait(DAY_S)
    dry.bench.step(DRY_COUNTS, flow=1000)
    assert dry.why is WHY.LEAK
