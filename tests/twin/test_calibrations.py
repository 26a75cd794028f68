"""What becomes of calibrations that are wanted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from levada.guest.errors import ParameterError
from levada.hil.errors import LinkError
from levada.twin.calibration.requests import Calibrations
from levada.twin.errors import CalibrationError, StoreFullError, UnansweredError
from levada.twin.store.store import Store

BEFORE = {"on_pct": 70}
WANTED = {"on_pct": 55}


def states(store: Store) -> list[str]:
    return [c["state"] for c in store.reader.calibrations()]


def test_a_stream_of_calibrations_does_not_hold_up_the_guest(store: Store) -> None:
    granted = 0

    def apply(zone: str, values: Mapping[str, int]) -> dict[str, int]:
        nonlocal granted
        granted += 1
        calibrations.submit(zone, BEFORE, values, who="again")
        return dict(values)

    calibrations = Calibrations(store, apply, lambda _request: None)
    calibrations.submit("maize", BEFORE, WANTED, who="first")
    for round_ in (1, 2):
        calibrations.process_pending(0, lambda _zone: BEFORE)
        assert granted == round_


@pytest.mark.parametrize(
    ("error", "state", "raised", "says"),
    [
        (LinkError("no answer"), "unanswered", UnansweredError, "may be in force or not"),
        (ParameterError("on_pct = 55: refused"), "refused", CalibrationError, "refused"),
    ],
)
def test_what_is_not_answered_is_not_said_to_be_refused(
    store: Store, error: Exception, state: str, raised: type[CalibrationError], says: str
) -> None:
    def apply(_zone: str, _values: Mapping[str, int]) -> dict[str, int]:
        raise error

    calibrations = Calibrations(store, apply, lambda _request: None)
    done = calibrations.submit("maize", BEFORE, WANTED, who="Ada")
    calibrations.process_pending(0, lambda _zone: BEFORE)
    with pytest.raises(raised, match=says) as found:
        done.result(0)
    assert found.type is raised
    assert states(store) == [state]


def test_what_is_read_back_wrong_is_refused(store: Store) -> None:
    calibrations = Calibrations(store, lambda _z, _v: {"on_pct": 54}, lambda _request: None)
    done = calibrations.submit("maize", BEFORE, WANTED, who="Ada")
    calibrations.process_pending(0, lambda _zone: BEFORE)
    with pytest.raises(CalibrationError, match="read back"):
        done.result(0)
    assert states(store) == ["refused"]


def test_the_values_before_come_back_when_the_time_is_over(store: Store) -> None:
    present = dict(BEFORE)

    def apply(_zone: str, values: Mapping[str, int]) -> dict[str, int]:
        present.update(values)
        return dict(values)

    calibrations = Calibrations(store, apply, lambda _request: None)
    calibrations.submit("maize", dict(BEFORE), WANTED, who="Ada", expires_ms=1_000)
    calibrations.process_pending(999, lambda _zone: present)
    assert present == WANTED
    calibrations.process_pending(1_000, lambda _zone: present)
    assert present == BEFORE
    assert [c["who"] for c in store.reader.calibrations()] == ["Ada", "expiry"]


def test_what_cannot_be_put_back_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.twin.calibration.requests._AGAIN_MS", 10)
    present = dict(BEFORE)
    reachable = True

    def apply(_zone: str, values: Mapping[str, int]) -> dict[str, int]:
        if not reachable:
            raise LinkError("no answer")
        present.update(values)
        return dict(values)

    calibrations = Calibrations(store, apply, lambda _request: None)
    calibrations.submit("maize", BEFORE, WANTED, who="Ada", expires_ms=100)
    calibrations.process_pending(0, lambda _zone: present)
    reachable = False
    calibrations.process_pending(100, lambda _zone: present)
    reachable = True
    calibrations.process_pending(109, lambda _zone: present)
    assert present == WANTED
    calibrations.process_pending(110, lambda _zone: present)
    assert present == BEFORE
    assert states(store) == ["in force", "unanswered", "in force"]


def test_an_expiry_outlives_the_twin(store: Store) -> None:
    def apply(_zone: str, values: Mapping[str, int]) -> dict[str, int]:
        present.update(values)
        return dict(values)

    present = dict(BEFORE)
    first = Calibrations(store, apply, lambda _request: None)
    first.submit("maize", BEFORE, WANTED, who="Ada", expires_ms=100)
    first.process_pending(0, lambda _zone: present)
    second = Calibrations(store, apply, lambda _request: None)
    second.recall(["maize", "beans"])
    second.process_pending(99, lambda _zone: present)
    assert present == WANTED
    second.process_pending(100, lambda _zone: present)
    assert present == BEFORE


def test_who_has_seen_other_values_is_refused(store: Store) -> None:
    present = {"on_pct": 70, "off_pct": 90}

    def apply(_zone: str, values: Mapping[str, int]) -> dict[str, int]:
        present.update(values)
        return dict(values)

    calibrations = Calibrations(store, apply, lambda _request: None)
    both_saw = dict(present)
    first = calibrations.submit("maize", both_saw, {"on_pct": 55}, who="Ada", seen=both_saw)
    late = calibrations.submit("maize", both_saw, {"on_pct": 60}, who="Bob", seen=both_saw)
    other = calibrations.submit("maize", both_saw, {"off_pct": 80}, who="Cem", seen=both_saw)
    blind = calibrations.submit("maize", both_saw, {"on_pct": 50}, who="Dan")
    calibrations.process_pending(0, lambda _zone: present)
    assert first.result(0) == {"on_pct": 55}
    with pytest.raises(CalibrationError, match="on_pct is 55 by now, not 70"):
        late.result(0)
    assert other.result(0) == {"off_pct": 80}
    assert blind.result(0) == {"on_pct": 50}
    assert present == {"on_pct": 50, "off_pct": 80}
    # from what is that of the moment in which it was set
    assert [(c["who"], c["old_value"], c["state"]) for c in store.reader.calibrations()] == [
        ("Ada", 70, "in force"),
        ("Bob", 70, "refused"),
        ("Cem", 90, "in force"),
        ("Dan", 55, "in force"),
    ]


def test_a_store_that_is_full_ends_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calibrations = Calibrations(store, lambda _z, values: dict(values), lambda _request: None)
    done = calibrations.submit("maize", BEFORE, WANTED, who="Ada", expires_ms=1)

    def full(*_arguments: object, **_options: object) -> None:
        raise StoreFullError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(store, "settle_calibration", full)
        patch.setattr(store, "request_calibration", full)
        calibrations.process_pending(0, lambda _zone: BEFORE)
        assert done.result(0) == WANTED
        calibrations.process_pending(5, lambda _zone: WANTED)  # not noted: tried again
    calibrations.process_pending(6, lambda _zone: WANTED)
    assert [c["who"] for c in store.reader.calibrations()] == ["Ada", "expiry"]


def test_too_many_at_once_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levada.twin.calibration.requests._MOST", 1)
    calibrations = Calibrations(store, lambda _z, values: dict(values), lambda _request: None)
    calibrations.submit("maize", BEFORE, WANTED, who="Ada")
    with pytest.raises(CalibrationError, match="too many"):
        calibrations.submit("maize", BEFORE, WANTED, who="Bob")
    assert states(store) == ["wanted", "refused"]
