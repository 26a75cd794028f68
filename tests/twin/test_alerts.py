"""Alerts: two thresholds, a time to hold, evidence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from levada.sim.scenario.alert import ALERTS, Alert
from levada.sim.units import MINUTE_MS
from levada.twin.alerts import Alerts, Change


class Zone:
    name = "maize"
    group = "maize"


def rule(**values: Any) -> Alerts:
    return Alerts([Alert.model_validate(values)], [Zone()])


def give(
    alerts: Alerts, minute: float, value: float | None, kind: str = "residual"
) -> list[Change]:
    return alerts.update(
        0, round(minute * MINUTE_MS), {kind: value}, cause="valve", evidence={"said": "so"}
    )


def test_an_alert_is_raised_at_its_threshold_and_cleared_at_the_other() -> None:
    alerts = rule(kind="residual", raise_at=0.03, clear_at=0.01, hold="0 s")
    assert give(alerts, 0, 0.0299) == []
    (raised,) = give(alerts, 1, 0.03)
    assert raised.raised and raised.zone == 0
    assert give(alerts, 2, 0.0101) == []
    (cleared,) = give(alerts, 3, 0.01)
    assert not cleared.raised
    assert alerts.active(0) == []


def test_a_value_that_trembles_between_the_thresholds_rings_once() -> None:
    alerts = rule(kind="residual", raise_at=0.03, clear_at=0.01, hold="0 s")
    changes = [give(alerts, m, 0.031 if m % 2 else 0.02) for m in range(50)]
    assert sum(map(len, changes)) == 1


def test_a_value_must_stay_bad_as_long_as_the_rule_says() -> None:
    alerts = rule(kind="residual", raise_at=0.03, clear_at=0.01, hold="10 min")
    assert give(alerts, 0, 0.05) == []
    assert give(alerts, 9, 0.05) == []
    assert give(alerts, 9.5, 0.02) == []  # the time starts again
    assert give(alerts, 10, 0.05) == []
    assert give(alerts, 19.9, 0.05) == []
    assert len(give(alerts, 20, 0.05)) == 1


def test_small_values_are_the_bad_ones_of_a_forecast() -> None:
    alerts = rule(kind="stress-forecast", raise_at=12, clear_at=24, hold="0 s")
    assert give(alerts, 0, 13, "stress-forecast") == []
    assert give(alerts, 1, 12, "stress-forecast")[0].raised
    assert give(alerts, 2, 23, "stress-forecast") == []
    assert not give(alerts, 3, 24, "stress-forecast")[0].raised


def test_what_is_not_known_changes_nothing() -> None:
    alerts = rule(kind="residual", raise_at=0.03, clear_at=0.01, hold="0 s")
    give(alerts, 0, 0.05)
    assert give(alerts, 1, None) == []
    assert [a.kind for a in alerts.active(0)] == ["residual"]


def test_an_alert_carries_its_evidence() -> None:
    alerts = rule(kind="no-flow", raise_at=5, clear_at=1, hold="0 s", severity="error")
    (change,) = give(alerts, 0, 20, "no-flow")
    assert change.severity == "error"
    assert change.text == (
        "The valve was commanded open, but no water flowed for 20 min. Probable cause: valve."
    )
    assert change.evidence["value"] == 20
    assert change.evidence["raise_at"] == 5
    assert change.evidence["cause"] == "valve"
    assert change.evidence["said"] == "so"


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0.5, "30 s"),
        (9.9, "9 min 54 s"),
        (20.4, "20 min"),
        (125, "2 h 5 min"),
        (599.6, "10 h"),
        (36 * 60 + 20, "1 d 12 h"),
    ],
)
def test_durations_have_one_form(minutes: float, said: str) -> None:
    alerts = rule(kind="no-flow", raise_at=0.1, clear_at=0.05, hold="0 s")
    (raised,) = give(alerts, 0, minutes, "no-flow")
    assert f"no water flowed for {said}." in raised.text


def test_an_alert_that_is_over_says_what_it_was_and_how_long_it_lasted() -> None:
    alerts = rule(kind="no-flow", raise_at=5, clear_at=1, hold="0 s")
    give(alerts, 0, 20, "no-flow")
    (over,) = give(alerts, 130, 0, "no-flow")
    assert over.text == "No flow while commanded open: over after 2 h 10 min."


def test_without_rules_every_kind_has_its_defaults() -> None:
    alerts = Alerts([], [Zone()])
    for kind, known in ALERTS.items():
        bad = 0.0 if known.falls else 1e6
        assert give(alerts, 0, bad, kind) == [] or known.hold.total_seconds() == 0
        give(alerts, 60, bad, kind)
    assert {a.kind for a in alerts.active(0)} == set(ALERTS)


def test_a_rule_for_other_zones_does_not_ring_here() -> None:
    alerts = rule(kind="residual", zones="wheat", hold="0 s")
    assert give(alerts, 0, 1.0) == []


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "residual", "raise_at": 0.02, "clear_at": 0.02},
        {"kind": "residual", "raise_at": 0.02, "clear_at": 0.05},
        {"kind": "stress-forecast", "raise_at": 24, "clear_at": 12},
    ],
)
def test_thresholds_on_the_wrong_side_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="clear_at"):
        Alert.model_validate(values)


def test_the_second_threshold_follows_the_first() -> None:
    known = ALERTS["residual"]
    alert = Alert.model_validate({"kind": "residual", "raise_at": 2 * known.raise_at})
    assert alert.thresholds == (2 * known.raise_at, 2 * known.clear_at)
