"""What comes back when calibrations that hold for a time have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from levada.twin.calibration.expiries import Expiries

FOR_GOOD = None


def in_force(**values: int) -> Callable[[str], Mapping[str, int]]:
    return lambda _zone: values


@pytest.fixture
def expiries() -> Expiries:
    return Expiries()


def test_of_two_for_a_time_the_last_ends_and_brings_back_what_was_for_good(
    expiries: Expiries,
) -> None:
    expiries.note("maize", {"limit": 1650}, {"limit": 1700}, 100)
    expiries.note("maize", {"limit": 1700}, {"limit": 1750}, 200)
    assert expiries.due(199, in_force(limit=1750)) == {}
    assert expiries.due(200, in_force(limit=1750)) == {"maize": {"limit": 1650}}


def test_what_was_replaced_for_good_brings_nothing_back(expiries: Expiries) -> None:
    expiries.note("maize", {"limit": 1650, "gain": 1}, {"limit": 1700, "gain": 2}, 100)
    expiries.note("maize", {"limit": 1700}, {"limit": 1800}, FOR_GOOD)
    assert expiries.due(100, in_force(limit=1800, gain=2)) == {"maize": {"gain": 1}}


@pytest.mark.parametrize("present", [{"limit": 1680}, {}])
def test_what_somebody_else_has_changed_is_left_alone(
    expiries: Expiries, present: dict[str, int]
) -> None:
    expiries.note("maize", {"limit": 1650}, {"limit": 1700}, 100)
    assert expiries.due(100, in_force(**present)) == {}
    assert expiries.due(100, in_force(limit=1700)) == {}  # nor later


def test_what_could_not_be_done_is_due_again_later(expiries: Expiries) -> None:
    expiries.note("maize", {"limit": 1650}, {"limit": 1700}, 100)
    expiries.postpone("maize", ["limit"], 300)
    assert expiries.due(299, in_force(limit=1700)) == {}
    assert expiries.due(300, in_force(limit=1700)) == {"maize": {"limit": 1650}}


def test_the_audit_tells_what_an_earlier_twin_has_left(expiries: Expiries) -> None:
    def row(state: str, old: int, new: int, expires_ms: int | None) -> dict[str, object]:
        return {
            "node": "maize",
            "parameter": "limit",
            "state": state,
            "old_value": old,
            "new_value": new,
            "expires_ms": expires_ms,
        }

    expiries.recall(
        [
            row("in force", 1600, 1650, FOR_GOOD),
            row("in force", 1650, 1700, 100),
            row("refused", 1700, 1900, FOR_GOOD),
        ]
    )
    assert expiries.due(100, in_force(limit=1700)) == {"maize": {"limit": 1650}}
    expiries.recall([row("in force", 1700, 1650, FOR_GOOD)])  # it has come back already
    assert expiries.due(100, in_force(limit=1700)) == {}
