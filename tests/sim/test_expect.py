from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from levada.sim.run.evaluate import expression_values
from levada.sim.run.judge import Outcome, evaluate
from levada.sim.run.trace import TYPES
from levada.sim.scenario.expand import expand
from levada.sim.scenario.expect import KINDS, Expect
from levada.sim.scenario.expression import CODES, SIGNALS, ExpressionError, parse_expression
from levada.sim.scenario.model import Scenario

STEP_MS = 600_000
ROWS = 6 * 24
"""One day, a row every ten minutes; row i ends at (i + 1) * 10 minutes."""


def scenario(
    *expects: Mapping[str, Any], faults: list[dict[str, Any]] | None = None, zones: int = 1
) -> Scenario:
    names = [{"name": f"e{i}", **e} if "name" not in e else dict(e) for i, e in enumerate(expects)]
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
            "period": {"start": date(2023, 7, 1), "end": date(2023, 7, 1)},
            "weather": {"file": "w.csv"},
            "zone": [
                {
                    "name": name,
                    "soil": {"texture": "loam"},
                    "crop": {"name": "maize", "planting": date(2023, 5, 2)},
                }
                for name in ["north", "south"][:zones]
            ],
            "fault": faults or [],
            "expect": names,
        }
    )


def trace(zones: int = 1, **signals: Any) -> dict[str, np.ndarray]:
    """All signals 0 (`ks` 1), rows time by time as a run makes them.

    What differs in the first zone: signal -> {row, or first row and row after the last: value}.
    """
    start_ms = np.datetime64("2023-07-01", "ms").astype(np.int64)
    columns: dict[str, np.ndarray] = {
        name: np.zeros((ROWS, zones), dtype=kind) for name, kind in TYPES.items()
    }
    columns["time_ms"] += start_ms + (np.arange(ROWS)[:, None] + 1) * STEP_MS
    columns["zone"] += np.arange(zones, dtype=np.int16)
    columns["ks"] += 1
    for name, values in signals.items():
        columns[name] = columns[name].astype(np.float64)
        for rows, value in values.items():
            columns[name][slice(*rows) if isinstance(rows, tuple) else rows, 0] = value
    return {name: values.reshape(-1) for name, values in columns.items()}


def judge(
    expect: Mapping[str, Any],
    columns: Mapping[str, np.ndarray],
    *,
    summary: Mapping[str, Any] | None = None,
    **options: Any,
) -> Outcome:
    asked = scenario(expect, **options)
    (outcome,) = evaluate(asked, columns, expand(asked), summary)
    return outcome


NEVER_20_MIN = {"kind": "never", "that": "valve_open", "longer_than": "20 min"}


class TestNever:
    def test_a_valve_open_for_two_rows_of_ten_minutes_is_open_for_20_min(self) -> None:
        outcome = judge(NEVER_20_MIN, trace(valve_open={(10, 12): 1}))
        assert outcome.passed
        assert outcome.detail == (
            "held for 20 min from 2023-07-01 01:40 in zone north (valve_open = 1), permitted 20 min"
        )

    def test_three_rows_are_too_long_and_the_first_of_them_is_named(self) -> None:
        columns = trace(valve_open={(10, 12): 1, (30, 33): 1, (50, 60): 1})
        outcome = judge(NEVER_20_MIN, columns)
        assert not outcome.passed
        assert outcome.detail == (
            "held for 30 min from 2023-07-01 05:00 in zone north (valve_open = 1), permitted 20 min"
        )
        assert outcome.zone == "north"
        assert outcome.time_ms == np.datetime64("2023-07-01T05:00", "ms").astype(int)

    def test_without_a_tolerance_one_row_is_enough(self) -> None:
        no_trap = {"kind": "never", "that": "trap != NONE"}
        assert judge(no_trap, trace()).passed
        outcome = judge(no_trap, trace(trap={143: 1}))
        assert not outcome.passed
        assert outcome.detail == "held for 10 min from 2023-07-01 23:50 in zone north (trap = 1)"

    def test_a_stretch_at_the_very_end_counts(self) -> None:
        assert not judge(NEVER_20_MIN, trace(valve_open={(141, 144): 1})).passed

    def test_only_the_window_is_looked_at(self) -> None:
        columns = trace(valve_open={(30, 60): 1})  # 05:00 to 10:00
        assert judge({**NEVER_20_MIN, "start": "10 h"}, columns).passed
        assert judge({**NEVER_20_MIN, "end": "5 h"}, columns).passed
        assert not judge({**NEVER_20_MIN, "start": "9 h", "end": "10 h"}, columns).passed

    def test_only_the_zones_asked_for_are_looked_at(self) -> None:
        columns = trace(zones=2, valve_open={(30, 60): 1})
        assert judge({**NEVER_20_MIN, "zones": ["south"]}, columns, zones=2).passed
        assert not judge({**NEVER_20_MIN, "zones": ["n*"]}, columns, zones=2).passed


class TestAlwaysAndRecovers:
    BAND: Final = {"kind": "recovers", "that": "dr_mm <= raw_mm", "within": "6 h"}

    def test_the_root_zone_is_back_within_six_hours(self) -> None:
        out = {(6, 6 + 36): 10.0}  # 01:00 to 07:00
        outcome = judge(self.BAND, trace(dr_mm=out))
        assert outcome.passed
        assert outcome.detail == (
            "was broken for 6 h from 2023-07-01 01:00 in zone north (dr_mm = 10, raw_mm = 0), "
            "permitted 6 h"
        )

    def test_ten_minutes_more_are_too_long(self) -> None:
        assert not judge(self.BAND, trace(dr_mm={(6, 6 + 37): 10.0})).passed

    def test_always_tolerates_what_it_says(self) -> None:
        columns = trace(ks={(0, 3): 0.5})
        assert judge({"kind": "always", "that": "ks == 1", "longer_than": "30 min"}, columns).passed
        assert not judge({"kind": "always", "that": "ks == 1"}, columns).passed

    def test_a_condition_that_held_throughout_says_so(self) -> None:
        assert judge(self.BAND, trace()).detail == "`dr_mm <= raw_mm` never was broken"

    @pytest.mark.parametrize(("back", "passed"), [(72, True), (73, False)])
    def test_after_a_fault_time_counts_from_its_end(self, back: int, passed: bool) -> None:
        fault = {"kind": "valve-stuck-closed", "start": timedelta(hours=2), "duration": "4 h"}
        columns = trace(dr_mm={(10, back - 1): 10.0})
        outcome = judge({**self.BAND, "after": "valve-stuck-closed"}, columns, faults=[fault])
        assert outcome.passed is passed
        took = {72: "6 h", 73: "6 h 10 min"}[back]
        # the fault ends at 06:00; row 71 ends at 12:00, six hours later
        assert outcome.detail == (
            f"{took} after the end of valve-stuck-closed on 2023-07-01 06:00 in zone north, "
            "permitted 6 h"
        )


class TestHappens:
    FAULT: Final = {
        "kind": "probe-stuck",
        "name": "frozen",
        "start": timedelta(hours=2),
        "duration": "4 h",
    }
    SAYS: Final = {
        "kind": "happens",
        "that": "why == PROBE_STUCK",
        "after": "frozen",
        "within": "3 h",
        "zones": "north",
    }

    def test_the_guest_must_say_it_in_time(self) -> None:
        said = {(20, 40): CODES["PROBE_STUCK"][1]}  # from the row that ends at 03:30
        outcome = judge(self.SAYS, trace(why=said), faults=[self.FAULT])
        assert outcome.passed
        assert outcome.detail == (
            "1 h 30 min after the start of frozen on 2023-07-01 02:00 in zone north, permitted 3 h"
        )

    def test_what_was_said_before_does_not_count(self) -> None:
        outcome = judge(self.SAYS, trace(why={(0, 12): 7}), faults=[self.FAULT])
        assert not outcome.passed
        assert outcome.detail == (
            "`why == PROBE_STUCK` did not hold after the start of frozen on 2023-07-01 02:00 in "
            "zone north, permitted 3 h"
        )

    def test_too_late_is_a_failure_that_says_how_late(self) -> None:
        outcome = judge(self.SAYS, trace(why={40: 7}), faults=[self.FAULT])
        assert not outcome.passed
        assert outcome.detail.startswith("4 h 50 min after the start of frozen")

    def test_it_must_happen_in_every_zone_the_fault_acts_on(self) -> None:
        columns = trace(zones=2, why={20: 7})
        both = {**self.SAYS, "zones": "*"}
        assert not judge(both, columns, faults=[self.FAULT], zones=2).passed
        only_north = {**self.FAULT, "zones": ["north"]}
        assert judge(both, columns, faults=[only_north], zones=2).passed

    def test_a_fault_that_acts_elsewhere_cannot_be_judged_here(self) -> None:
        south = {**self.FAULT, "zones": ["south"]}
        outcome = judge(self.SAYS, trace(zones=2, why={20: 7}), faults=[south], zones=2)
        assert not outcome.passed
        assert outcome.detail == "no fault `frozen` acts on these zones"


class TestAmounts:
    WATER: Final = {"kind": "total", "of": "irrigation_mm", "below": 400}

    def test_the_sum_must_stay_below_the_limit(self) -> None:
        assert judge(self.WATER, trace(irrigation_mm={(0, 100): 3.99})).passed
        outcome = judge(self.WATER, trace(irrigation_mm={(0, 100): 4.0}))
        assert not outcome.passed
        assert outcome.detail == "total 400 mm in zone north, permitted below 400"

    def test_every_zone_by_itself(self) -> None:
        outcome = judge(self.WATER, trace(zones=2, irrigation_mm={(0, 100): 3.5}), zones=2)
        assert outcome.passed
        assert outcome.detail == "total 350 mm in zone north, permitted below 400"

    def test_by_day_the_row_at_midnight_belongs_to_the_day_that_ends(self) -> None:
        by_day = {"kind": "total", "of": "rain_mm", "per": "day", "below": 5}
        outcome = judge(by_day, trace(rain_mm={143: 6.0}))
        assert not outcome.passed
        assert outcome.detail == "total on 2023-07-01 6 mm in zone north, permitted below 5"

    def test_sums_of_several_signals(self) -> None:
        et = {
            "kind": "total",
            "of": "evaporation_mm + transpiration_mm",
            "above": 2.9,
            "below": 3.1,
        }
        assert judge(et, trace(evaporation_mm={5: 1.0}, transpiration_mm={9: 2.0})).passed

    def test_mean(self) -> None:
        half = trace(theta_root={(0, 72): 0.2})
        assert judge(
            {"kind": "mean", "of": "theta_root", "above": 0.09, "below": 0.11}, half
        ).passed
        outcome = judge({"kind": "mean", "of": "theta_root", "above": 0.15}, half)
        assert outcome.detail == "mean 0.1 m3/m3 in zone north, permitted above 0.15"

    def test_count_of_openings(self) -> None:
        columns = trace(valve_open={(3, 5): 1, 9: 1, (140, 144): 1})
        assert judge({"kind": "count", "that": "valve_open", "below": 4}, columns).passed
        outcome = judge({"kind": "count", "that": "valve_open", "below": 3}, columns)
        assert outcome.detail == "began to hold 3 times in zone north, permitted below 3"

    def test_duration_adds_up_stretches(self) -> None:
        columns = trace(ks={(3, 6): 0.9, (50, 53): 0.9})
        assert judge({"kind": "duration", "that": "ks < 1", "at_most": "1 h"}, columns).passed
        outcome = judge({"kind": "duration", "that": "ks < 1", "at_most": "50 min"}, columns)
        assert not outcome.passed
        assert outcome.detail == "held for 1 h in zone north, permitted 50 min"

    def test_summary(self) -> None:
        closes = {"kind": "summary", "of": "balance_error_mm", "above": -1e-6, "below": 1e-6}
        assert judge(closes, trace(), summary={"balance_error_mm": 3e-9}).passed
        outcome = judge(closes, trace(), summary={"balance_error_mm": -0.25})
        assert not outcome.passed
        assert outcome.detail == "summary -0.25 mm, permitted above -1e-06 and below 1e-06"


class TestNothingPassesUnknown:
    EVERY_KIND: Final[tuple[dict[str, Any], ...]] = (
        {"kind": "never", "that": "ks < 0"},
        {"kind": "always", "that": "ks >= 0"},
        {"kind": "recovers", "that": "ks >= 0", "within": "1 h"},
        {"kind": "happens", "that": "ks >= 0"},
        {"kind": "total", "of": "rain_mm", "below": 5},
        {"kind": "mean", "of": "rain_mm", "below": 5},
        {"kind": "count", "that": "ks < 0", "below": 5},
        {"kind": "duration", "that": "ks < 0", "at_most": "1 h"},
        {"kind": "summary", "of": "energy_j", "above": -1},
    )

    def test_every_kind_is_asked_here(self) -> None:
        assert {e["kind"] for e in self.EVERY_KIND} == set(KINDS)

    @pytest.mark.parametrize("expect", EVERY_KIND, ids=lambda e: e["kind"])
    def test_each_kind_passes_when_all_is_known(self, expect: dict[str, Any]) -> None:
        assert judge(expect, trace(), summary={"energy_j": 0}).passed

    @pytest.mark.parametrize("expect", EVERY_KIND, ids=lambda e: e["kind"])
    def test_an_empty_trace_fails(self, expect: dict[str, Any]) -> None:
        empty = {name: values[:0] for name, values in trace().items()}
        outcome = judge(expect, empty)
        assert not outcome.passed
        assert outcome.detail in (
            "the trace has no rows of zone north in this time",
            "`energy_j` is not in the summary of this run",
        )

    def test_a_figure_that_is_not_a_number_is_called_so(self) -> None:
        outcome = judge(self.EVERY_KIND[-1], trace(), summary={"energy_j": float("nan")})
        assert not outcome.passed
        assert outcome.detail == "`energy_j` is not a number in this run: nan"

    @pytest.mark.parametrize("expect", EVERY_KIND[:-1], ids=lambda e: e["kind"])
    def test_one_value_that_is_not_a_number_fails(self, expect: dict[str, Any]) -> None:
        nan = trace(ks={7: np.nan}, rain_mm={7: np.nan})
        outcome = judge(expect, nan)
        assert not outcome.passed
        signal = "rain_mm" if "of" in expect else "ks"
        assert outcome.detail == (
            f"`{signal}` is not a number at 2023-07-01 01:20 in zone north, and in 1 of 144 rows"
        )

    def test_a_quotient_without_a_value_fails(self) -> None:
        outcome = judge({"kind": "never", "that": "dr_mm / taw_mm > 0.9"}, trace())
        assert not outcome.passed
        assert outcome.detail.startswith("`dr_mm / taw_mm > 0.9` is not a number at ")

    def test_a_summary_that_is_not_a_number_fails(self) -> None:
        energy = {"kind": "summary", "of": "energy_j", "above": -1}
        assert not judge(energy, trace(), summary={"energy_j": float("nan")}).passed

    def test_a_zone_without_rows_fails_though_the_others_have_some(self) -> None:
        outcome = judge({"kind": "never", "that": "ks < 0"}, trace(zones=1), zones=2)
        assert outcome.detail == "the trace has no rows of zone south in this time"

    def test_a_run_that_ended_before_the_fault_did_cannot_be_judged(self) -> None:
        fault = {"kind": "probe-stuck", "start": timedelta(hours=2), "duration": "4 h"}
        short = {name: values[:20] for name, values in trace().items()}
        expect = {"kind": "recovers", "that": "ks >= 0", "within": "6 h", "after": "probe-stuck"}
        assert not judge(expect, short, faults=[fault]).passed


class TestRowsInAnyOrderOfZones:
    @given(st.permutations(range(3)))
    def test_zones_may_be_interleaved_or_one_after_the_other(self, order: list[int]) -> None:
        columns = trace(zones=2, valve_open={(30, 33): 1})
        by_zone = np.lexsort((columns["time_ms"], columns["zone"]))
        by_time = np.lexsort((columns["zone"], columns["time_ms"]))
        backwards = np.lexsort((columns["time_ms"], -columns["zone"]))
        rows = [by_zone, by_time, backwards][order[0]]
        shuffled = {name: values[rows] for name, values in columns.items()}
        assert judge(NEVER_20_MIN, shuffled, zones=2) == judge(NEVER_20_MIN, columns, zones=2)


class TestExpressions:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("dr_mm <= raw_mm", [True, False, True]),
            ("dr_mm > 5 and not valve_open", [False, True, False]),
            ("dr_mm > 5 or valve_open == 1", [False, True, True]),
            ("0.2 < theta_root <= 0.3", [False, True, True]),
            ("why == PROBE_STUCK", [False, True, False]),
            ("NONE != trap", [False, False, True]),
            ("abs(temp_c) > 10", [False, True, False]),
            ("max(dr_mm, raw_mm) - min(dr_mm, raw_mm) > 4.5 * 2", [False, True, True]),
            ("2 * dr_mm + 1 > -raw_mm", [True, True, True]),
            ("dr_mm / raw_mm > 1", [False, True, False]),
            ("valve_open_s > 60 * 5", [False, False, True]),
        ],
    )
    def test_are_what_they_read_like(self, text: str, expected: list[bool]) -> None:
        columns = {
            "dr_mm": np.array([4.0, 20.0, 1.0]),
            "raw_mm": np.array([5.0, 10.0, 30.0]),
            "theta_root": np.array([0.2, 0.25, 0.3]),
            "valve_open": np.array([0, 0, 1], dtype=np.int8),
            "why": np.array([0, 7, -1], dtype=np.int8),
            "trap": np.array([0, 0, 1], dtype=np.int8),
            "temp_c": np.array([3.0, -12.0, 9.0]),
            "valve_open_s": np.array([0.0, 300.0, 600.0]),
        }
        value, known = expression_values(parse_expression(text), columns)
        assert value.tolist() == expected
        assert known.all()

    @pytest.mark.parametrize(
        ("text", "message", "column"),
        [
            ("", "not an expression", 1),
            ("dr_mm <", "not an expression", 8),
            ("3 > 2", "no signal of the trace in it", 1),
            ("dr_mm > zr_m", "units differ: mm and m", 1),
            ("dr_mm + temp_c > 1", "units differ: mm and degC", 1),
            ("dr_mm > 1 and raw_mm", "`raw_mm` is a number, a condition is needed: compare it", 15),
            ("valve_open > 1 + online", "`online` is true or false, a number is needed", 18),
            ("why == TRAPPED", "unknown signal `TRAPPED`", 8),
            ("counts == PROBE_STUCK", "`PROBE_STUCK` is a code of `why`: compare it with that", 11),
            ("why > PROBE_STUCK", "codes have no order: compare with == or !=", 7),
            ("ks is 1", "permitted comparisons are < <= > >= == !=", 1),
            ("dr_mm ** 9 > 1", "`dr_mm ** 9` is not permitted here", 1),
            ("__import__('os')", "unknown function `__import__`", 1),
            ("dr_mm.__class__ == 1", "`dr_mm.__class__` is not permitted here", 1),
            ("[dr_mm][0] > 1", "`[dr_mm][0]` is not permitted here", 1),
            ("abs(dr_mm, 1) > 1", "`abs` takes 1 value", 1),
            ("ks == True", "`True`: only plain numbers are permitted", 7),
            ("dr_mm > " + "1" * 600, "longer than 500 characters", 1),
        ],
    )
    def test_are_refused_with_the_place(self, text: str, message: str, column: int) -> None:
        with pytest.raises(ExpressionError) as caught:
            parse_expression(text)
        assert (str(caught.value), caught.value.column) == (message, column)

    @given(st.text(max_size=60))
    def test_no_text_does_anything_but_parse_or_be_refused(self, text: str) -> None:
        try:
            expression = parse_expression(text)
        except ExpressionError:
            return
        assert set(expression.signals) <= set(SIGNALS)

    @given(
        st.recursive(
            st.sampled_from(["dr_mm > 3", "valve_open", "ks < 0.5", "raw_mm <= dr_mm"]),
            lambda inner: st.one_of(
                inner.map("not ({})".format),
                st.tuples(inner, inner).map(lambda pair: "({}) and ({})".format(*pair)),
                st.tuples(inner, inner).map(lambda pair: "({}) or ({})".format(*pair)),
            ),
            max_leaves=6,
        )
    )
    def test_logic_agrees_with_python(self, text: str) -> None:
        rows = [(1.0, 0, 0.4, 2.0), (5.0, 1, 0.6, 4.0), (3.0, 0, 1.0, 3.0)]
        names = ("dr_mm", "valve_open", "ks", "raw_mm")
        columns = {
            name: np.array(values)
            for name, values in zip(names, zip(*rows, strict=True), strict=True)
        }
        value, _ = expression_values(parse_expression(text), columns)
        # bool(...) of Python on one row at a time is the reference
        expected = [bool(eval(text, {}, dict(zip(names, row, strict=True)))) for row in rows]
        assert value.tolist() == expected


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS)
    def test_what_a_kind_needs_is_asked_for(self, kind: str) -> None:
        with pytest.raises(ValidationError) as caught:
            Expect.model_validate({"name": "x", "kind": kind})
        for key in KINDS[kind].required:
            assert f"`{key}` is missing: kind `{kind}` needs it" in str(caught.value)
