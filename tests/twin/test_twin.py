"""The twin of a small field: equal worlds agree, broken ones are found out, calibrations hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_field import START_MS, fault, run, scenario

from levada.guest.node import Birth, Node, Readings, StepResult
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.errors import LinkError
from levada.hil.nodes import NodeMaker
from levada.sim.run.build import NodeSettings
from levada.sim.units import HOUR_MS
from levada.twin.diagnosis import Cause
from levada.twin.errors import CalibrationError, TwinMismatchError, UnansweredError
from levada.twin.sources.bench import Bench
from levada.twin.store.store import Store
from levada.twin.twin import Twin

VIRTUAL = 'node = "virtual"'


class Guarded(WasmtimeNode):
    """A device that is simulated here, and whose faults the tests choose."""

    def __init__(self, settings: NodeSettings) -> None:
        super().__init__(
            settings.module,
            name=settings.zone.name,
            config=settings.config,
            parameters=settings.parameters,
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", clock_ms=lambda: START_MS) as opened:
        yield opened


def made(device: Callable[[NodeSettings], Node]) -> Bench:
    return Bench(device, speed=None)


def alerts(store: Store) -> list[tuple[str, bool, str]]:
    """(kind, raised, cause), in order."""
    return [
        (e["evidence"]["alert"], e["evidence"]["raised"], e["evidence"]["cause"])
        for e in store.reader.events(kind="alert")
    ]


def test_device_and_twin_agree_while_nothing_is_broken(tmp_path: Path, store: Store) -> None:
    twin = run(Twin(scenario(tmp_path), store, Bench(speed=None)))
    zone = twin.view.zones[0]
    assert zone.verdict.cause is Cause.NONE
    assert zone.residual == 0.0
    assert zone.water_l > 0.0  # otherwise nothing has been compared
    assert alerts(store) == []
    residual = store.reader.window("maize", "residual", kind="twin")
    assert residual.total == 3 * 144  # the first row comes before the first reading
    assert not residual.value.any()


def test_the_virtual_board_makes_the_calls_of_its_twin(tmp_path: Path, store: Store) -> None:
    field = scenario(tmp_path, zones=VIRTUAL, days=1)
    with NodeMaker() as make_node:
        twin = run(Twin(field, store, Bench(make_node, speed=None)))
    zone = twin.view.zones[0]
    assert "wasm3" in zone.birth.engine
    assert zone.birth.guest_sha256 == twin.info.sha256
    assert zone.steps > 140
    assert zone.verdict.cause is Cause.NONE
    assert zone.residual == 0.0
    assert zone.link is not None and zone.link["retries"] == 0


def test_a_valve_that_does_not_open_is_found_out(tmp_path: Path, store: Store) -> None:
    field = scenario(tmp_path, extra=fault("valve-stuck-closed", "0 h"))
    run(Twin(field, store, Bench(speed=None)))
    assert ("no-flow", True, "valve") in alerts(store)


def test_a_valve_that_does_not_close_is_found_out(tmp_path: Path, store: Store) -> None:
    field = scenario(tmp_path, extra=fault("valve-stuck-open", "1 d 12 h", "3 h"))
    run(Twin(field, store, Bench(speed=None)))
    found = alerts(store)
    assert ("unasked-flow", True, "valve") in found
    assert ("unasked-flow", False, "valve") in found or ("unasked-flow", False, "") in found


def test_a_stuck_probe_is_found_out(tmp_path: Path, store: Store) -> None:
    field = scenario(tmp_path, extra=fault("probe-stuck", "2 h", "60 h"))
    run(Twin(field, store, Bench(speed=None)))
    assert ("probe-stuck", True, "probe") in alerts(store)


def test_a_node_without_link_is_missed(tmp_path: Path, store: Store) -> None:
    field = scenario(tmp_path, extra=fault("link-loss", "6 h", "3 h"))
    run(Twin(field, store, Bench(speed=None)))
    assert [a[:2] for a in alerts(store)] == [("offline", True), ("offline", False)]


def test_a_device_that_acts_differently_on_equal_readings_is_found_out(
    tmp_path: Path, store: Store
) -> None:
    class Wrong(Guarded):
        def step(self, time_ms: int, readings: Readings, **given: Any) -> StepResult:
            dry = (readings[0] + 300, *readings[1:])
            return super().step(time_ms, dry, **given)

    field = scenario(tmp_path, zones=VIRTUAL, days=1)
    run(Twin(field, store, made(Wrong)))
    assert ("different-calls", True, "firmware or engine") in alerts(store)


def test_a_device_that_falls_silent_is_missed_and_taken_back(tmp_path: Path, store: Store) -> None:
    shown: list[str] = []

    class Silent(Guarded):
        def boot(self, time_ms: int, **given: Any) -> StepResult:
            self.listen(time_ms)
            return super().boot(time_ms, **given)

        def step(self, time_ms: int, readings: Readings, **given: Any) -> StepResult:
            self.listen(time_ms)
            return super().step(time_ms, readings, **given)

        def listen(self, time_ms: int) -> None:
            if 6 * HOUR_MS <= time_ms - START_MS < 9 * HOUR_MS:
                shown.append(twin.view.zones[0].lost)
                raise LinkError("no answer")

    field = scenario(tmp_path, zones=VIRTUAL, days=1)
    twin = Twin(field, store, made(Silent))
    run(twin)
    assert shown[0] == "" and set(shown[1:]) == {"no answer"}
    assert next(a for a in alerts(store) if a[0] == "offline") == ("offline", True, "link")
    assert twin.view.zones[0].lost == ""
    assert not any(a[0] == "different-calls" for a in alerts(store))


@pytest.mark.parametrize("asked_to_boot", [False, True])
def test_a_device_that_has_lost_what_its_guest_kept_is_told_and_not_accused(
    tmp_path: Path, store: Store, *, asked_to_boot: bool
) -> None:
    """Another board, or an erased flash: what it reads there differs, not what it does."""

    class Replaced(Guarded):
        def boot(self, time_ms: int, **given: Any) -> StepResult:
            given["forget"] = True
            return super().boot(time_ms, **given)

        def step(self, time_ms: int, readings: Readings, **given: Any) -> StepResult:
            if time_ms - START_MS != 30 * HOUR_MS:
                return super().step(time_ms, readings, **given)
            if asked_to_boot:
                raise LinkError("no answer")  # the twin boots it when it is there again
            booted = self.boot(time_ms)
            result = super().step(time_ms, readings, **given)
            tape = booted.tape + result.tape
            return StepResult(outputs=result.outputs, tape=tape, wake_ms=result.wake_ms)

    field = scenario(tmp_path, zones=VIRTUAL, days=3)
    run(Twin(field, store, made(Replaced)))
    assert not any(a[0] == "different-calls" for a in alerts(store))
    told = list(store.reader.events(kind="forgotten"))
    assert [e["severity"] for e in told] == ["warning"]
    assert "nothing of what its guest had kept" in told[0]["text"]


def test_a_device_with_another_guest_is_refused_and_both_are_named(
    tmp_path: Path, store: Store
) -> None:
    class Other(Guarded):
        def birth(self) -> Birth:
            return replace(super().birth(), guest_sha256="ab" * 32, guest_name="strange")

    field = scenario(tmp_path, zones=VIRTUAL)
    with pytest.raises(TwinMismatchError) as caught:
        Twin(field, store, made(Other))
    assert "ab" * 32 in str(caught.value)
    assert "strange" in str(caught.value)
    assert "ac4c42" in str(caught.value) or "irrigation" in str(caught.value)


def in_background(twin: Twin) -> threading.Thread:
    thread = threading.Thread(target=run, args=(twin,))
    thread.start()
    return thread


@pytest.mark.parametrize("node", ["sim", "virtual", "virtual:mqtt"])
def test_a_calibration_is_read_back_and_kept_with_who_and_from_what(
    tmp_path: Path, store: Store, node: str
) -> None:
    field = scenario(tmp_path, zones=f'node = "{node}"', days=20)
    with NodeMaker() as make_node:
        twin = Twin(field, store, Bench(make_node, speed=2000.0))
        thread = in_background(twin)
        found = twin.calibrate("maize", {"on_pct": 55, "off": 80}, who="Ada").result(30)
        assert found == {"on_pct": 55, "off_pct": 80}
        assert twin.view.zones[0].parameters["on_pct"] == 55
        twin.stop()
        thread.join(30)
    first, second = store.reader.calibrations("maize")
    assert (first["who"], first["parameter"], first["old_value"], first["new_value"]) == (
        "Ada",
        "on_pct",
        70,
        55,
    )
    assert (second["state"], second["read_back"]) == ("in force", 80)


def test_a_calibration_expires(tmp_path: Path, store: Store) -> None:
    twin = Twin(scenario(tmp_path, days=20), store, Bench(speed=50_000.0))
    thread = in_background(twin)
    twin.calibrate("maize", {"on_pct": 55}, who="Ada", expires_s=3600).result(30)
    while twin.view.zones[0].parameters["on_pct"] != 70:
        assert thread.is_alive()
    twin.stop()
    thread.join(30)
    assert [c["who"] for c in store.reader.calibrations("maize")] == ["Ada", "expiry"]


def test_many_calibrations_at_once_are_never_mixed(tmp_path: Path, store: Store) -> None:
    twin = Twin(scenario(tmp_path, days=20), store, Bench(speed=50_000.0))
    thread = in_background(twin)
    wrong: list[dict[str, int]] = []

    def change(first: int) -> None:
        for k in range(25):
            value = first + k % 20
            wanted = {"on_pct": value, "off_pct": value + 30}
            found = twin.calibrate("maize", wanted, who=str(first)).result(60)
            if found != wanted:
                wrong.append(found)

    people = [threading.Thread(target=change, args=(first,)) for first in (10, 30, 50)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    parameters = twin.view.zones[0].parameters
    twin.stop()
    thread.join(30)
    assert wrong == []
    assert parameters["off_pct"] - parameters["on_pct"] == 30


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"on_pct": 101}, "permitted 0 to 100"),
        ({"on_pct": -1}, "permitted 0 to 100"),
        ({"on_pct": 55.5}, "whole number"),
        ({"on_pct": float("nan")}, "whole number"),
        ({"on_pct": "55"}, "whole number"),
        ({"on_pct": True}, "whole number"),
        ({"nonsense": 1}, "the guest has"),
        ({"m": 1}, "may be"),
        ({}, "nothing"),
        ({"on_pct": 50, "max_open_s": 0}, "max_open_s"),
    ],
)
def test_a_wrong_calibration_is_refused_and_nothing_is_changed(
    tmp_path: Path, store: Store, values: dict[str, Any], says: str
) -> None:
    twin = Twin(scenario(tmp_path, days=1), store, Bench(speed=None))
    before = dict(twin.view.zones[0].parameters)
    with pytest.raises(CalibrationError, match=says):
        twin.calibrate("maize", values, who="Ada")
    run(twin)
    assert dict(twin.view.zones[0].parameters) == before
    assert store.reader.calibrations() == []


def test_a_pair_that_breaks_a_rule_of_the_guest_is_refused_as_a_whole(
    tmp_path: Path, store: Store
) -> None:
    """The field has on_pct = 70 and off_pct = 90."""
    twin = Twin(scenario(tmp_path, days=20), store, Bench(speed=2000.0))
    thread = in_background(twin)
    for values in ({"on_pct": 95}, {"off_pct": 70}, {"on_pct": 90, "off_pct": 10}):
        with pytest.raises(CalibrationError, match="the guest asks for on_pct < off_pct unless 0"):
            twin.calibrate("maize", values, who="Ada").result(30)
        with pytest.raises(CalibrationError, match="the guest asks for on_pct < off_pct unless 0"):
            twin.try_out("maize", values, 1)
    found = dict(twin.parameters("maize"))
    assert (found["on_pct"], found["off_pct"]) == (70, 90)
    whole = {"on_pct": 10, "off_pct": 20}
    assert twin.calibrate("maize", whole, who="Ada").result(30) == whole
    back = {"on_pct": 70, "off_pct": 90}
    assert twin.calibrate("maize", back, who="Ada").result(30) == back
    twin.stop()
    thread.join(30)
    states = {c["state"] for c in store.reader.calibrations("maize")}
    assert states == {"refused", "in force"}


def test_a_calibration_of_a_zone_that_is_not_there_is_refused(tmp_path: Path, store: Store) -> None:
    twin = Twin(scenario(tmp_path, days=1), store, Bench(speed=None))
    with pytest.raises(CalibrationError, match="known are maize"):
        twin.calibrate("wheat", {"on_pct": 1}, who="Ada")
    twin.close()


def test_a_calibration_after_the_end_is_refused(tmp_path: Path, store: Store) -> None:
    twin = run(Twin(scenario(tmp_path, days=1), store, Bench(speed=None)))
    done = twin.calibrate("maize", {"on_pct": 50}, who="Ada")
    with pytest.raises(CalibrationError, match="ended"):
        done.result(10)
    assert store.reader.calibrations()[0]["state"] == "refused"


def test_telemetry_decisions_and_the_run_are_kept(tmp_path: Path, store: Store) -> None:
    run(Twin(scenario(tmp_path, days=1), store, Bench(speed=None)))
    assert store.reader.count("maize") > 140
    (kept,) = store.reader.runs()
    assert kept["mode"] == "hil" and kept["ended_ms"] is not None
    who = {e["evidence"]["who"] for e in store.reader.events(kind="decision")}
    assert who == {"device", "twin"}


def test_a_twin_that_is_to_end_asks_no_device_any_more(tmp_path: Path, store: Store) -> None:
    """One that is silent takes ten seconds, and a thousand requests may wait."""
    asked: list[dict[int, int]] = []

    class Silent(Guarded):
        def calibrate(self, values: dict[int, int]) -> dict[int, int]:
            asked.append(values)
            twin.stop()
            raise LinkError("no answer")

    twin = Twin(scenario(tmp_path, zones=VIRTUAL), store, made(Silent))
    done = [twin.calibrate("maize", {"on_pct": value}, who="Ada") for value in (55, 56, 57)]
    run(twin)
    assert len(asked) == 1
    with pytest.raises(UnansweredError):
        done[0].result(0)
    for refused in done[1:]:
        with pytest.raises(CalibrationError, match="the twin has ended"):
            refused.result(0)
