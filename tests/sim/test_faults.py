from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.sim.scenario.expand import expand
from levada.sim.scenario.fault import (
    CONTRADICTIONS,
    FAULTS,
    Fault,
    FaultEvent,
    matching,
    spans,
    timeline,
)
from levada.sim.scenario.model import Scenario
from levada.sim.units import HOUR_MS

START_MS = 19_539 * 24 * HOUR_MS
"""2023-07-01 00:00: 53 years of 365 days, 13 leap days and 181 days after 1970-01-01."""


def scenario(*faults: dict[str, Any], count: int = 3) -> Scenario:
    zone = {
        "soil": {"texture": "loam"},
        "crop": {"name": "maize", "planting": date(2023, 5, 2)},
    }
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "test",
            "site": {
                "latitude_deg": 40,
                "longitude_deg": -104,
                "elevation_m": 1400,
                "utc_offset_h": -7,
            },
            "period": {"start": date(2023, 7, 1), "end": date(2023, 7, 10)},
            "weather": {"file": "w.csv"},
            "zone": [{"name": "north", "count": count, **zone}, {"name": "south", **zone}],
            "fault": list(faults),
        }
    )


def events(*faults: dict[str, Any]) -> list[FaultEvent]:
    declared = scenario(*faults)
    return timeline(declared, expand(declared))


def short(found: list[FaultEvent]) -> list[tuple[float, int, str, bool]]:
    return [((e.time_ms - START_MS) / HOUR_MS, e.zone_index, e.kind, e.active) for e in found]


class TestTimeline:
    def test_a_fault_begins_and_ends_in_each_of_its_zones(self) -> None:
        found = events(
            {"kind": "probe-stuck", "start": "1 d", "duration": "36 h", "zones": ["north-00[12]"]}
        )
        assert short(found) == [
            (24, 0, "probe-stuck", True),
            (24, 1, "probe-stuck", True),
            (60, 0, "probe-stuck", False),
            (60, 1, "probe-stuck", False),
        ]

    def test_a_date_a_time_and_an_offset_mean_the_same_instant(self) -> None:
        starts = [date(2023, 7, 3), datetime(2023, 7, 3), timedelta(days=2), "2 d", "48 h"]
        found = {events({"kind": "link-loss", "start": start})[0].time_ms for start in starts}
        assert found == {START_MS + 48 * HOUR_MS}

    def test_a_fault_to_the_end_of_the_period_has_no_end(self) -> None:
        open_end = {"kind": "link-loss", "start": "9 d", "zones": "south"}
        assert short(events(open_end)) == [(216, 3, "link-loss", True)]
        assert short(events({**open_end, "duration": "1 d"})) == [(216, 3, "link-loss", True)]

    def test_an_instant_fault_only_begins(self) -> None:
        found = events({"kind": "reboot", "start": "5 h", "zones": "south"})
        assert short(found) == [(5, 3, "reboot", True)]

    def test_at_one_instant_ends_come_before_beginnings(self) -> None:
        found = events(
            {"kind": "valve-stuck-open", "start": "2 h", "duration": "2 h", "zones": "south"},
            {"kind": "valve-stuck-closed", "start": "1 h", "duration": "1 h", "zones": "south"},
            {"kind": "valve-stuck-closed", "start": "4 h", "duration": "1 h", "zones": "south"},
        )
        assert short(found) == [
            (1, 3, "valve-stuck-closed", True),
            (2, 3, "valve-stuck-closed", False),
            (2, 3, "valve-stuck-open", True),
            (4, 3, "valve-stuck-open", False),
            (4, 3, "valve-stuck-closed", True),
            (5, 3, "valve-stuck-closed", False),
        ]
        assert [e.fault_index for e in found] == [1, 1, 0, 0, 2, 2]

    @given(
        st.lists(
            st.tuples(st.integers(0, 200), st.integers(1, 30), st.sampled_from(["reboot", "link"])),
            max_size=6,
        )
    )
    def test_is_sorted_and_every_end_has_its_beginning(
        self, drawn: list[tuple[int, int, str]]
    ) -> None:
        faults: list[dict[str, Any]] = []
        free_h = 0
        for gap_h, hours, kind in drawn:
            start_h = free_h + gap_h % 7
            if start_h + hours > 240:
                break
            fault: dict[str, Any] = {"kind": "reboot", "start": f"{start_h} h"}
            if kind == "link":
                fault = {"kind": "link-loss", "start": f"{start_h} h", "duration": f"{hours} h"}
                free_h = start_h + hours
            faults.append(fault)
        found = events(*faults)
        assert [e.time_ms for e in found] == sorted(e.time_ms for e in found)
        acting: set[tuple[int, int]] = set()
        for event in found:
            key = (event.fault_index, event.zone_index)
            if event.active:
                assert key not in acting
                acting.add(key)
            else:
                acting.remove(key)


class TestZones:
    @pytest.mark.parametrize(
        ("patterns", "expected"),
        [
            (["*"], [0, 1, 2, 3]),
            (["north"], [0, 1, 2]),  # the name of a table stands for all its zones
            (["north-002"], [1]),
            (["*-00[23]", "south"], [1, 2, 3]),
            (["North"], []),
        ],
    )
    def test_are_named_by_table_zone_or_pattern(
        self, patterns: list[str], expected: list[int]
    ) -> None:
        assert matching(patterns, expand(scenario())) == expected

    def test_spans_are_cut_at_the_end_of_the_period(self) -> None:
        declared = scenario({"kind": "brown-out", "start": "9 d 12 h", "zones": "south"})
        (span,) = spans(declared.period, declared.fault, expand(declared))
        assert (span.start_ms, span.end_ms, span.zones) == (
            START_MS + 228 * HOUR_MS,
            START_MS + 240 * HOUR_MS,
            (3,),
        )


class TestMagnitude:
    @pytest.mark.parametrize(
        ("kind", "text", "value"),
        [
            ("probe-drift", "-40 counts/d", -40),
            ("probe-drift", "2 counts/h", 48),
            ("probe-spike", "+250counts", 250),
            ("probe-open", "-2 code", -2),
            ("valve-leak", "5 %", 0.05),
            ("valve-clog", "100 %", 1),
            ("clock-skew", "-1.5 h", -5400),
        ],
    )
    def test_is_handed_on_in_the_unit_of_the_models(
        self, kind: str, text: str, value: float
    ) -> None:
        fault = Fault.model_validate({"kind": kind, "start": "1 d", "magnitude": text})
        assert fault.value == pytest.approx(value, abs=1e-12)
        found = events({"kind": kind, "start": "1 d", "magnitude": text})
        assert found[0].magnitude == fault.value

    def test_is_none_where_a_kind_has_none(self) -> None:
        assert events({"kind": "probe-open", "start": "1 d"})[0].magnitude is None

    def test_every_kind_says_what_it_does(self) -> None:
        assert all(kind.effect.endswith(".") for kind in FAULTS.values())


# Kind, unit, lowest and highest magnitude in it, and what one of it is to the models.
MAGNITUDES = [
    ("probe-drift", "counts/d", -4095, 4095, 1.0),
    ("probe-drift", "counts/h", -170.625, 170.625, 24.0),
    ("probe-spike", "counts", -4095, 4095, 1.0),
    ("probe-open", "code", -4, -1, 1.0),
    ("valve-leak", "%", 0, 100, 0.01),
    ("valve-clog", "%", 0, 100, 0.01),
    ("meter-slip", "%", 0, 100, 0.01),
    ("meter-noise", "pulses/min", 0, 100_000, 1.0),
    ("meter-noise", "pulses/h", 0, 6_000_000, 1.0 / 60.0),
    ("clock-skew", "s", -31_622_400, 31_622_400, 1.0),
    ("clock-skew", "min", -527_040, 527_040, 60.0),
    ("clock-skew", "h", -8_784, 8_784, 3_600.0),
    ("clock-skew", "d", -366, 366, 86_400.0),
]
RANGES = {
    "probe-drift": "-4095 to 4095 counts/d",
    "probe-spike": "-4095 to 4095 counts",
    "probe-open": "-4 to -1 code",
    "valve-leak": "0 to 100 %",
    "valve-clog": "0 to 100 %",
    "meter-slip": "0 to 100 %",
    "meter-noise": "0 to 100000 pulses/min",
    "clock-skew": "-31622400 to 31622400 s",
}
WITHOUT = [
    *("probe-stuck", "valve-stuck-open", "valve-stuck-closed", "meter-dead", "command-loss"),
    *("brown-out", "clock-unset", "link-loss"),
]
INSTANT = ["reboot", "keep-loss", "reinstall"]


def fault(kind: str, **keys: Any) -> Fault:
    return Fault.model_validate({"kind": kind, "start": "1 d", **keys})


def test_the_kinds_are_those_that_are_tried_here() -> None:
    assert set(FAULTS) == {kind for kind, *_ in MAGNITUDES} | {*WITHOUT, *INSTANT}
    assert {(kind, unit) for kind, unit, *_ in MAGNITUDES} == {
        (kind, unit) for kind, of in FAULTS.items() for unit in of.units or {}
    }


@pytest.mark.parametrize(("kind", "unit", "low", "high", "factor"), MAGNITUDES)
def test_a_magnitude_is_taken_up_to_its_bounds_and_not_beyond(
    kind: str, unit: str, low: float, high: float, factor: float
) -> None:
    for value in (low, high):
        if value:
            taken = fault(kind, magnitude=f"{value} {unit}").value
            assert taken == pytest.approx(value * factor, rel=1e-12)
    step = 1 if kind == "probe-open" else 0.001
    for value in (low - step, high + step):
        with pytest.raises(ValueError, match=f"permitted {RANGES[kind]}|changes nothing"):
            fault(kind, magnitude=f"{value} {unit}")
    with pytest.raises(ValueError, match="write the number with one of"):
        fault(kind, magnitude="1 furlong")


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        *((kind, {"magnitude": "1 s"}, f"`magnitude`: {kind} has none") for kind in WITHOUT),
        *((kind, {"magnitude": "1 s"}, f"`magnitude`: {kind} has none") for kind in INSTANT),
        *((kind, {"duration": "1 h"}, f"a {kind} happens at once") for kind in INSTANT),
        *(
            (kind, {}, f"`magnitude` is missing: {kind} needs one in {unit}")
            for kind, unit in [
                ("probe-drift", "counts/d"),
                ("probe-spike", "counts"),
                ("valve-leak", "%"),
                ("valve-clog", "%"),
                ("meter-slip", "%"),
                ("meter-noise", "pulses/min"),
                ("clock-skew", "s"),
            ]
        ),
        ("probe-spike", {"magnitude": "0 counts"}, "changes nothing, leave the fault out"),
        ("probe-open", {"magnitude": "-1.5 code"}, "a code is a whole number"),
        ("probe-stuck", {"duration": "0 s"}, "`duration` = 0 s: permitted at least 1 s"),
    ],
)
def test_a_fault_that_says_too_much_or_too_little_is_refused(
    kind: str, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fault(kind, **keys)


def test_a_broken_wire_needs_no_code_and_a_second_is_long_enough() -> None:
    assert fault("probe-open").value is None
    assert fault("probe-stuck", duration="1 s").duration == timedelta(seconds=1)
    assert fault("probe-stuck", name="mine").label == "mine"
    assert fault("probe-stuck").label == "probe-stuck"


def test_contradicting_kinds_are_those_of_a_valve_that_cannot_be_both() -> None:
    assert (
        frozenset({"valve-stuck-open", "valve-stuck-closed"}),
        frozenset({"clock-skew", "clock-unset"}),
    ) == CONTRADICTIONS


def test_an_end_at_the_end_of_the_period_is_none_and_one_before_it_is() -> None:
    whole = {"kind": "link-loss", "start": "9 d", "zones": "south"}
    assert len(events({**whole, "duration": "86400 s"})) == 1
    early = events({**whole, "duration": "86399 s"})
    assert [(e.time_ms - START_MS) // 1000 for e in early] == [9 * 86_400, 10 * 86_400 - 1]
    assert [e.zone_index for e in events({"kind": "reboot", "start": "1 d"})] == [0, 1, 2, 3]


def test_an_editor_asks_for_the_magnitude_where_a_kind_needs_one() -> None:
    schema = Fault.model_json_schema()
    needed = {kind for kind, *_ in MAGNITUDES} - {"probe-open"}
    assert set(schema["if"]["properties"]["kind"]["enum"]) == needed
    assert schema["then"] == {"required": ["magnitude"]}


def test_a_name_has_at_most_64_characters() -> None:
    assert fault("probe-stuck", name="n" * 64).label == "n" * 64
    with pytest.raises(ValueError, match="at most 64"):
        fault("probe-stuck", name="n" * 65)
