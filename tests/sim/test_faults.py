from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.sim.scenario.expand import expand
from levada.sim.scenario.fault import FAULTS, Fault, FaultEvent, matching, spans, timeline
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
