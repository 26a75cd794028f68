"""What a difference between device and twin is put down to."""

from __future__ import annotations

import pytest
from small_field import READINGS, step

from levada.guest.abi import Call
from levada.guest.node import Readings, StepResult
from levada.guest.tape import encode, first_difference
from levada.twin.diagnosis import AGREEING_STEPS, STUCK_STEPS, Cause, Diagnoser, Verdict
from levada.twin.observer import StepObservation


def tape(readings: Readings, valve: int) -> bytes:
    return (
        encode(Call.STEP, 0, 1)
        + encode(Call.READ_SENSOR, 0, readings[0])
        + encode(Call.SET_OUTPUT, 23, valve)
        + encode(Call.RETURN, 600_000)
    )


class Field:
    """Device, mirror and twin, stepped by hand; device and twin agree unless told otherwise."""

    def __init__(self) -> None:
        self.diagnoser = Diagnoser(tolerance_counts=12.0)
        self.time_ms = 0

    def step(
        self,
        counts: int = 2300,
        twin_counts: int | None = None,
        *,
        valve: int = 0,
        mirror_valve: int | None = None,
        twin_valve: int | None = None,
        pulses: int = 0,
        took_s: float = 0.01,
        lost: str = "",
        still: bool = False,
    ) -> Verdict:
        self.time_ms += 600_000
        if not still:  # soil is never quite still
            counts += self.time_ms // 600_000 % 2
            twin_counts = twin_counts and twin_counts + self.time_ms // 600_000 % 2
        readings = (counts, *READINGS[1:3], pulses)
        others = (counts if twin_counts is None else twin_counts, *READINGS[1:3], 0)
        mirrored = valve if mirror_valve is None else mirror_valve
        device = StepObservation(
            time_ms=self.time_ms,
            readings=readings,
            online=True,
            result=StepResult(outputs={}) if lost else step(tape(readings, valve), valve=valve),
            took_s=took_s,
            lost=lost,
        )
        twin = StepObservation(
            time_ms=self.time_ms,
            readings=others,
            online=True,
            result=step(tape(others, valve), valve=valve if twin_valve is None else twin_valve),
            took_s=0.0,
        )
        calls = tape(readings, mirrored), tape(readings, valve)
        return self.diagnoser.judge(device, twin, None if lost else first_difference(*calls))


@pytest.fixture
def field() -> Field:
    return Field()


def test_equal_readings_and_equal_calls_accuse_nobody(field: Field) -> None:
    assert field.step().cause is Cause.NONE


def test_equal_readings_and_different_calls_accuse_firmware_or_engine(field: Field) -> None:
    verdict = field.step(valve=1, mirror_valve=0)
    assert verdict.cause is Cause.FIRMWARE
    assert "set_output" in verdict.evidence["difference"]
    assert field.diagnoser.different_calls == 1
    field.step(valve=1)
    assert field.diagnoser.different_calls == 0


def test_different_readings_accuse_plant_probe_or_weather(field: Field) -> None:
    assert field.step(2300, 2312, still=True).cause is Cause.NONE
    verdict = field.step(2300, 2313, still=True)
    assert verdict.cause is Cause.PLANT
    assert "2300 and 2313 counts" in verdict.text


def test_equal_readings_and_another_valve_are_not_called_agreement(field: Field) -> None:
    verdict = field.step(valve=0, twin_valve=1)
    assert verdict.cause is Cause.NONE and verdict.compared
    assert "the device's valve is closed and the twin's open" in verdict.text
    field.step(valve=1)
    field.step(valve=1, pulses=0)  # no water comes
    field.step(valve=1, pulses=5)  # until it does
    verdict = field.step(valve=0, twin_valve=1, pulses=5)  # but its guest has been made to wait
    assert verdict.cause is Cause.VALVE
    assert "since this was seen: Commanded open, but no water flowed" in verdict.text


def test_a_device_that_does_not_answer_accuses_the_link(field: Field) -> None:
    verdict = field.step(lost="no answer to Step")
    assert verdict.cause is Cause.LINK
    assert "no answer to Step" in verdict.text


def test_a_late_answer_accuses_the_link(field: Field) -> None:
    assert field.step(took_s=1.0).cause is Cause.NONE
    assert field.step(took_s=1.2).cause is Cause.LINK


def test_no_flow_after_an_opening_accuses_the_valve(field: Field) -> None:
    field.step(valve=1)
    verdict = field.step(valve=1, pulses=0)
    assert verdict.cause is Cause.VALVE
    assert "no water flowed" in verdict.text


def test_a_valve_that_was_never_asked_is_not_accused_of_no_flow(field: Field) -> None:
    field.step()
    assert field.step(valve=1, pulses=0).cause is Cause.NONE


def test_a_starved_valve_stays_accused_while_it_is_closed_until_water_flows(field: Field) -> None:
    field.step(valve=1)
    field.step(valve=0)
    assert field.step(valve=0).cause is Cause.VALVE
    field.step(valve=1)
    assert field.step(valve=1, pulses=900).cause is Cause.NONE


def test_flow_through_a_closed_valve_accuses_the_valve(field: Field) -> None:
    field.step()
    field.step()
    verdict = field.step(pulses=500)
    assert verdict.cause is Cause.VALVE
    assert "500 pulses" in verdict.text


def test_water_of_the_last_open_interval_is_no_leak(field: Field) -> None:
    field.step(valve=1)
    field.step(valve=0, pulses=900)
    assert field.step(valve=0, pulses=30).cause is Cause.NONE  # the valve takes time to close
    assert field.step(valve=0, pulses=30).cause is Cause.VALVE


def test_a_probe_that_stands_still_while_the_twins_moves_is_accused(field: Field) -> None:
    for k in range(STUCK_STEPS + 1):
        verdict = field.step(2300, 2300 + 3 * k, still=True)
    assert verdict.cause is Cause.PROBE
    assert f"{STUCK_STEPS} steps" in verdict.text


def test_a_probe_that_stands_still_in_still_soil_is_not_accused(field: Field) -> None:
    for _ in range(3 * STUCK_STEPS):
        verdict = field.step(2300, 2300, still=True)
    assert verdict.cause is Cause.NONE


def test_a_probe_without_an_answer_is_accused(field: Field) -> None:
    verdict = field.step(-2, 2300, still=True)
    assert verdict.cause is Cause.PROBE
    assert "unavailable" in verdict.text


def test_what_a_broken_valve_leaves_behind_is_put_down_to_it(field: Field) -> None:
    field.step(valve=1)
    field.step(valve=1)  # no flow
    field.step(valve=1, pulses=900)
    for _ in range(AGREEING_STEPS - 2):
        field.step(valve=1, pulses=900)
    verdict = field.step(2300, 2400, valve=1, pulses=900)
    assert verdict.cause is Cause.VALVE
    assert "since this was seen" in verdict.text


def test_after_a_day_of_agreement_a_former_fault_explains_nothing(field: Field) -> None:
    field.step(valve=1)
    field.step(valve=1)
    for _ in range(AGREEING_STEPS):
        field.step(valve=1, pulses=900)
    assert field.step(2300, 2400, valve=1, pulses=900).cause is Cause.PLANT
