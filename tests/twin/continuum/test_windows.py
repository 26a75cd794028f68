"""Windows against totals calculated by hand, and against a plain model of the definition."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from levada.guest.abi import Window
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.wasm.bank import Bank, EngineName
from levada.twin.continuum.windows import MOST_WINDOWS, Windows, rounded_mean

HOUR_MS = 3_600_000
T0 = 472_222 * HOUR_MS
"""A full hour: 2023-11-14 22:00 UTC."""


def take(windows: Windows, *samples: tuple[float, int | None]) -> list[dict[str, float]]:
    """Rows of samples (hours since T0, reading)."""
    rows = []
    for hour, raw in samples:
        rows += windows.add(T0 + round(hour * HOUR_MS), raw, {} if raw is None else {"raw": raw})
    return rows


def test_a_window_is_given_when_the_next_one_begins() -> None:
    windows = Windows(HOUR_MS, 24 * HOUR_MS)
    assert take(windows, (0.0, 10), (0.5, 15), (0.99, 11)) == []
    assert take(windows, (1.0, 99)) == [
        {
            "t": T0,
            "window_s": 3600,
            "revision": 0,
            "raw_count": 3,
            "raw_mean": 12,
            "raw_min": 10,
            "raw_max": 15,
        }
    ]


@pytest.mark.parametrize(
    ("total", "count", "mean"),
    [(5, 2, 3), (-5, 2, -3), (4, 3, 1), (-4, 3, -1), (0, 7, 0), (7, 1, 7), (10, 4, 3)],
)
def test_a_mean_is_rounded_to_the_nearest_and_halves_away_from_zero(
    total: int, count: int, mean: int
) -> None:
    assert rounded_mean(total, count) == mean


def test_a_late_sample_corrects_its_window_with_the_next_revision() -> None:
    windows = Windows(HOUR_MS, 24 * HOUR_MS)
    take(windows, (0.0, 10), (1.0, 20))
    assert take(windows, (0.25, 40)) == []  # more of that window may come
    corrected = take(windows, (1.1, 22))
    assert [(row["t"], row["revision"], row["raw_count"]) for row in corrected] == [(T0, 1, 2)]
    assert corrected[0]["raw_mean"] == 25
    following = take(windows, (2.0, 0))
    assert [(row["t"], row["revision"], row["raw_count"]) for row in following] == [
        (T0 + HOUR_MS, 0, 2)  # the open one was not given early
    ]


def test_late_samples_in_a_row_make_one_revision_and_others_one_each() -> None:
    windows = Windows(HOUR_MS, 24 * HOUR_MS)
    take(windows, (0.0, 1), (1.0, 1), (2.0, 1))
    rows = take(windows, (0.1, 1), (0.2, 1), (1.1, 1), (0.3, 1), (2.1, 1))
    assert [(row["t"] - T0, row["revision"], row["raw_count"]) for row in rows] == [
        (0, 1, 3),
        (HOUR_MS, 1, 2),
        (0, 2, 4),
    ]


def test_a_sample_beyond_the_limit_is_counted_and_changes_nothing() -> None:
    windows = Windows(HOUR_MS, 2 * HOUR_MS)
    take(windows, (0.0, 1), (3.0, 1))
    assert take(windows, (0.5, 7)) == []
    assert windows.too_late == 1
    assert take(windows, (1.5, 7)) == []  # exactly two windows back
    assert windows.too_late == 1
    assert [row["revision"] for row in take(windows, (3.5, 1))] == [0]


def test_readings_that_are_not_counted_leave_sums_of_amounts_alone() -> None:
    windows = Windows(HOUR_MS, HOUR_MS)
    windows.add(T0, None, {"raw": -1, "flow": 3})
    windows.add(T0 + 1, None, {"flow": 4})
    assert windows.add(T0 + HOUR_MS, 5, {"raw": 5}) == [
        {"t": T0, "window_s": 3600, "revision": 0, "raw_count": 0, "flow_sum": 7}
    ]


@pytest.mark.parametrize("jump_ms", [HOUR_MS, 87_660 * HOUR_MS], ids=["an hour", "ten years"])
def test_a_clock_of_fog_that_was_wrong_for_a_while_costs_no_later_window(jump_ms: int) -> None:
    """A node without a clock has its samples at their arrival, by fog's."""
    windows = Windows(HOUR_MS, 2 * HOUR_MS)
    rows: list[dict[str, float]] = []
    states: dict[int, object] = {}
    arrivals = [T0, T0 + 1, T0 + jump_ms, T0 + 2, T0 + HOUR_MS, T0 + 2 * HOUR_MS, T0 + 5 * HOUR_MS]
    for t_ms in arrivals:
        rows += windows.add(t_ms, 7, {"flow": 1}, timed=False)
        states.update(windows.changes())
    assert windows.too_late == 0
    assert sum(row["raw_count"] for row in rows if row["t"] == T0 + 2 * HOUR_MS) == 1
    counts = {(row["t"], row["revision"]): row["raw_count"] for row in rows}
    newest = {t: counts[t, max(r for at, r in counts if at == t)] for t, _ in counts}
    assert newest[T0 + HOUR_MS] == (2 if jump_ms == HOUR_MS else 1)
    kept = {t for t, state in states.items() if state is not None}
    assert kept == {t for t in kept if t >= T0 + 3 * HOUR_MS and t < T0 + 6 * HOUR_MS}


@pytest.mark.parametrize(
    "amounts", [(1.7e308, 1.7e308), (10**308, 10**308), (1.7e308, 1.7e308, -1.7e308, -1.7e308)]
)
def test_a_sum_that_no_number_can_hold_is_left_out(amounts: tuple[float, ...]) -> None:
    windows = Windows(HOUR_MS, HOUR_MS)
    for amount in amounts:
        windows.add(T0, 5, {"flow": amount})
    (row,) = windows.add(T0 + HOUR_MS, 5, {"flow": 1})
    assert row["raw_count"] == len(amounts)
    assert "flow_sum" not in row
    assert windows.add(T0 + 2 * HOUR_MS, 5, {})[0]["flow_sum"] == 1


def test_windows_before_1970_and_of_no_length() -> None:
    windows = Windows(HOUR_MS, HOUR_MS)
    windows.add(-1, 5, {})
    assert windows.add(0, 5, {})[0]["t"] == -HOUR_MS
    assert Windows(0, HOUR_MS).add(T0, 5, {}) == []


def test_a_short_window_keeps_no_more_than_can_be_held() -> None:
    windows = Windows(1_000, 10**9)
    for second in range(3 * MOST_WINDOWS):
        windows.add(T0 + 1_000 * second, 1, {})
    assert len([state for _, state in windows.changes() if state]) == MOST_WINDOWS + 1


def test_every_window_ends_as_the_totals_of_its_samples_whatever_their_order() -> None:
    chance = random.Random(3)
    for _ in range(50):
        windows = Windows(HOUR_MS, 24 * HOUR_MS)
        samples = [(chance.randrange(20 * HOUR_MS), chance.randrange(4096)) for _ in range(200)]
        latest: dict[float, dict[str, float]] = {}
        for at_ms, raw in [*samples, (23 * HOUR_MS, 0)]:
            for row in windows.add(T0 + at_ms, raw, {"flow": raw % 3}):
                before = latest.get(row["t"])
                assert row["revision"] == (0 if before is None else before["revision"] + 1)
                latest[row["t"]] = row
        for start in {at_ms // HOUR_MS for at_ms, _ in samples}:
            mine = [raw for at_ms, raw in samples if at_ms // HOUR_MS == start]
            row = latest[T0 + start * HOUR_MS]
            assert row["raw_count"] == len(mine)
            assert abs(row["raw_mean"] - Fraction(sum(mine), len(mine))) <= Fraction(1, 2)
            assert (row["raw_min"], row["raw_max"]) == (min(mine), max(mine))
            assert row["flow_sum"] == sum(raw % 3 for raw in mine)


@pytest.mark.parametrize("engine", ["wasm", "native"])
def test_rows_in_time_are_those_of_the_guest(engine: EngineName) -> None:
    """What `window_get` has of the window before, when `window_add` says that it is over."""
    chance = random.Random(6)
    windows = Windows(HOUR_MS, HOUR_MS)
    t_ms, overs = T0, 0
    with Bank(DEFAULT_GUEST.read_bytes(), 1, engine=engine) as bank:
        for _ in range(1_000):
            t_ms += chance.choice([1_000, 600_000, 3_599_000, 3 * HOUR_MS])
            raw = chance.choice([-1, 0, chance.randrange(4096), 2**20])
            rows = windows.add(t_ms, raw, {})
            over = bank.call("window_add", [0], [[raw, t_ms // 1000]]).results.tolist()
            assert over == [len(rows)]
            for row in rows:
                kinds = [[Window.BEFORE + kind] for kind in range(4)]
                found = bank.call("window_get", [0] * 4, kinds).results.tolist()
                assert found == [row[f"raw_{name}"] for name in ("count", "mean", "min", "max")]
                overs += 1
    assert overs > 300


@pytest.mark.parametrize("engine", ["wasm", "native"])
def test_totals_are_those_of_the_guest_also_of_late_samples(engine: EngineName) -> None:
    """`window_add` and `window_get` of `docs/abi.md`, on all values of each window."""
    chance = random.Random(5)
    samples = [(chance.randrange(90), chance.randrange(4096)) for _ in range(300)]
    windows = Windows(HOUR_MS, 100 * HOUR_MS)
    latest = {row["t"]: row for row in take(windows, *samples, (100.0, 0))}
    with Bank(DEFAULT_GUEST.read_bytes(), 1, engine=engine) as bank:
        for hour in {hour for hour, _ in samples}:
            bank.reset(0)
            t_s = (T0 + hour * HOUR_MS) // 1000
            values = [[raw, t_s] for at, raw in samples if at == hour]
            bank.call("window_add", [0] * len(values), values)
            kinds = (Window.COUNT, Window.MEAN, Window.MINIMUM, Window.MAXIMUM)
            found = bank.call("window_get", [0] * 4, kinds).results.tolist()
            row = latest[T0 + hour * HOUR_MS]
            names = ("raw_count", "raw_mean", "raw_min", "raw_max")
            assert [row[name] for name in names] == found


def test_windows_go_on_from_their_states_after_every_sample() -> None:
    chance = random.Random(4)
    whole = Windows(HOUR_MS, 5 * HOUR_MS)
    broken = Windows(HOUR_MS, 5 * HOUR_MS)
    states: dict[int, object] = {}
    for number in range(300):
        at_ms = T0 + (number * 5 - chance.choice([0, 0, 0, 40, 200, 600])) * 60_000
        raw = chance.choice([None, 100, 200])
        signals = {"flow": 1} if number % 2 else {}
        assert broken.add(at_ms, raw, signals) == whole.add(at_ms, raw, signals)
        for start_ms, state in broken.changes():
            states[start_ms] = state
            if state is None:
                del states[start_ms]
        broken = Windows(HOUR_MS, 5 * HOUR_MS)
        broken.resume(states[start] for start in sorted(states))  # type: ignore[misc]
    assert len(states) <= 6


def test_windows_of_another_length_are_forgotten_and_not_continued() -> None:
    """Samples of a whole hour would stand in a row of half of it."""
    before = Windows(HOUR_MS, 24 * HOUR_MS)
    take(before, (0.0, 10), (0.6, 50))
    after = Windows(HOUR_MS // 2, 24 * HOUR_MS)
    after.resume(state for _, state in before.changes() if state is not None)
    assert after.changes() == [(T0, None)]
    assert take(after, (0.2, 30)) == []
    rows = take(after, (0.7, 40))
    assert [(row["t"], row["window_s"], row["raw_count"]) for row in rows] == [(T0, 1800, 1)]
    assert rows[0]["raw_mean"] == 30
