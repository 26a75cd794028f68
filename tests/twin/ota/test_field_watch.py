"""What updated nodes do to their field, from their telemetry."""

from __future__ import annotations

from datetime import timedelta

from levada.sim.units import DAY_MS, HOUR_MS
from levada.twin.mqtt.messages import Telemetry
from levada.twin.ota.field_watch import FieldWatch
from levada.twin.ota.settings import AbortCriterion

VALVE = AbortCriterion(failure_type="VALVE_TIME", limit=timedelta(hours=2))
STRESS = AbortCriterion(failure_type="STRESS", limit=timedelta(hours=3))
STEP_MS = 600_000


def said(t: int | None, valve: int = 0, **more: int) -> Telemetry:
    return Telemetry(t=t, irrigar=valve, **more)


def broken(watch: FieldWatch, messages: list[Telemetry]) -> list[tuple[int, list[str]]]:
    """Number of the message and what was broken then, from the first time on."""
    found = [(k, watch.heard("north", m, k * STEP_MS)) for k, m in enumerate(messages)]
    return [(k, names) for k, names in found if names]


def test_a_valve_that_is_open_beyond_its_limit_is_told_with_the_message_that_shows_it() -> None:
    messages = [said(k * STEP_MS, valve=1) for k in range(15)]
    # by hand: 12 steps of 10 min are 2 h; the 13th is the first beyond
    assert broken(FieldWatch([VALVE]), messages)[0] == (13, ["VALVE_TIME"])


def test_openings_of_more_than_a_day_ago_do_not_count() -> None:
    first = [said(k * STEP_MS, valve=int(k < 9)) for k in range(12)]  # 1.5 h
    later = [said(DAY_MS + HOUR_MS + k * STEP_MS, valve=int(k < 9)) for k in range(12)]
    assert broken(FieldWatch([VALVE]), first) == []
    watch = FieldWatch([VALVE])
    gap = [said(12 * STEP_MS + k * HOUR_MS) for k in range(24)]
    assert broken(watch, [*first, *gap, *later]) == []


def test_a_silence_counts_for_an_hour_at_most() -> None:
    assert broken(FieldWatch([VALVE]), [said(0, 1), said(20 * HOUR_MS, 1)]) == []


def test_a_probe_that_reads_drier_than_the_guest_opens_at_is_stress() -> None:
    dry = [said(k * STEP_MS, pct=30, on=40) for k in range(25)]
    assert broken(FieldWatch([STRESS]), dry)[0] == (19, ["STRESS"])  # 18 steps are 3 h
    moist = [said(k * STEP_MS, pct=40, on=40) for k in range(200)]
    assert broken(FieldWatch([STRESS]), moist) == []
    unknown = [said(k * STEP_MS, pct=-1, on=40) for k in range(200)]
    assert broken(FieldWatch([STRESS]), unknown) == []


def test_who_does_not_tell_is_not_judged_and_whose_clock_jumps_begins_anew() -> None:
    silent = [Telemetry(t=k * STEP_MS, raw=1500) for k in range(200)]
    assert broken(FieldWatch([VALVE, STRESS]), silent) == []
    back = [said(k * STEP_MS, 1) for k in (5, 6, 7, 1, 2, 3)]
    assert broken(FieldWatch([VALVE]), back) == []
    assert not FieldWatch([AbortCriterion()]).wanted
    assert FieldWatch([VALVE]).wanted


def test_a_node_that_tells_no_time_has_that_of_the_listener() -> None:
    assert broken(FieldWatch([VALVE]), [said(None, 1) for _ in range(15)])[0][0] == 13
