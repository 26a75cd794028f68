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
        twin_pulses: int = 0,
        took_s: float = 0.01,
        lost: str = "",
        still: bool = False,
    ) -> Verdict:
        self.time_ms += 600_000
        if not still:  # soil is never quite still
            counts += self.time_ms // 600_000 % 2
            twin_counts = twin_counts and twin_counts + self.time_ms // 600_000 % 2
        readings = (counts, *READINGS[1:3], pulses)
        others = (counts if twin_counts is None else twin_counts, *READINGS[1:3], twin_pulses)
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
    assert verdict.text == "The device did not answer: no answer to Step"


def test_a_late_answer_accuses_the_link(field: Field) -> None:
    assert field.step(took_s=1.0).cause is Cause.NONE
    verdict = field.step(took_s=1.04)
    assert (verdict.cause, verdict.text) == (Cause.LINK, "The device answered after 1.0 s.")
    assert verdict.evidence["took_s"] == 1.04


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


@pytest.mark.parametrize(
    ("counts", "code"),
    [(-1, "invalid"), (-2, "unavailable"), (-4, "offline"), (-5, "-5"), (-77, "-77")],
)
def test_a_probe_without_an_answer_is_accused(field: Field, counts: int, code: str) -> None:
    verdict = field.step(counts, 2300, still=True)
    assert (verdict.cause, verdict.text) == (Cause.PROBE, f"The probe did not answer ({code}).")


def test_no_counts_are_an_answer_of_the_probe(field: Field) -> None:
    assert field.step(0, 0, still=True).text == "Equal readings, equal calls."


def seen(readings: Readings | None, *, valve: int = 0, led: int = 0) -> StepObservation:
    """A run of which nothing else matters."""
    result = StepResult(outputs={23: valve, 18: led})
    return StepObservation(time_ms=5, readings=readings, online=True, result=result, took_s=0.0)


def test_a_verdict_tells_what_both_read_and_commanded() -> None:
    verdict = Diagnoser(12.0).judge(
        seen((2300, 20, 40, 1), valve=1), seen((2288, 21, 41, 2), led=1), None
    )
    assert verdict == Verdict(
        time_ms=5,
        cause=Cause.NONE,
        text="The readings agree within noise, but the device's valve is open and the twin's "
        "closed: near a threshold, or by what their guests remember.",
        evidence={
            "device": (2300, 20, 40, 1),
            "twin": (2288, 21, 41, 2),
            "valve_device": 1,
            "valve_twin": 0,
        },
    )


def test_readings_within_noise_are_told_from_equal_ones() -> None:
    diagnoser = Diagnoser(12.0)
    verdicts = [
        diagnoser.judge(seen((2300, 0, 0, 0)), seen((n, 0, 0, 0)), None) for n in (2300, 2312)
    ]
    assert [verdict.text for verdict in verdicts] == [
        "Equal readings, equal calls.",
        "Readings that agree within noise, equal calls.",
    ]
    assert all(verdict.compared for verdict in verdicts)


@pytest.mark.parametrize(
    ("device", "twin"),
    [((2300, 0, 0, 0), None), ((2300, 0, 0, 0), seen(None)), (None, seen((2300, 0, 0, 0)))],
    ids=["no twin", "twin booted", "device booted"],
)
def test_where_one_has_read_nothing_there_is_nothing_to_compare(
    device: Readings | None, twin: StepObservation | None
) -> None:
    diagnoser = Diagnoser(12.0)
    verdict = diagnoser.judge(seen(device), twin, None)
    assert (verdict.cause, verdict.text) == (Cause.NONE, "Nothing to compare yet.")
    assert not verdict.compared
    assert verdict.evidence["twin"] == (twin.readings if twin else None)
    assert verdict.evidence["valve_twin"] == (0 if twin else None)
    assert (diagnoser.still_steps, diagnoser.still_twin_counts, diagnoser.agreeing) == (0, 0, 0)
    assert not diagnoser.leaks and not diagnoser.starved


def test_steps_with_different_calls_are_counted_while_they_go_on(field: Field) -> None:
    for count in 1, 2, 3:
        field.step(valve=1, mirror_valve=0)
        assert field.diagnoser.different_calls == count


def test_a_meter_that_counts_a_third_less_is_found_while_the_water_flows(field: Field) -> None:
    """Both valves are open; the first interval is not compared, for one may have opened later."""
    field.step(valve=1)
    found = [field.step(valve=1, pulses=670, twin_pulses=1000) for _ in range(5)]
    assert [verdict.cause for verdict in found] == [Cause.NONE] * 3 + [Cause.VALVE] * 2
    assert found[-1].text == (
        "With both valves open the flow meter has counted 67 % of what the twin's has: flow meter, "
        "clogging or pressure."
    )


@pytest.mark.parametrize(("pulses", "twin_pulses"), [(850, 1000), (1150, 1000), (-2, 1000), (5, 0)])
def test_meters_may_differ_a_little_or_not_answer(
    pulses: int, twin_pulses: int, field: Field
) -> None:
    field.step(valve=1)
    for _ in range(6):
        verdict = field.step(valve=1, pulses=pulses, twin_pulses=twin_pulses)
        assert verdict.cause is Cause.NONE


@pytest.mark.parametrize(
    ("pulses", "cause"),
    [(80, Cause.NONE), (79, Cause.VALVE), (120, Cause.NONE), (121, Cause.VALVE)],
)
def test_meters_may_differ_by_a_fifth(pulses: int, cause: Cause, field: Field) -> None:
    """A sum of three intervals; what was counted before a closing is forgotten."""
    field.step(valve=1)
    field.step(valve=1, pulses=500, twin_pulses=500)
    field.step(valve=0, pulses=50, twin_pulses=50)
    field.step(valve=1)
    field.step(valve=1, pulses=1, twin_pulses=100)  # one may have opened later
    found = [field.step(valve=1, pulses=pulses, twin_pulses=100) for _ in range(3)]
    assert [verdict.cause for verdict in found] == [Cause.NONE, Cause.NONE, cause]


@pytest.mark.parametrize("pulses", [-2, -4])
def test_a_flow_meter_that_does_not_answer_forgives_no_valve(field: Field, pulses: int) -> None:
    field.step(valve=1)
    assert field.step(valve=1, pulses=0).cause is Cause.VALVE
    verdict = field.step(valve=1, pulses=pulses)
    assert verdict.text == (
        "Commanded open, but no water flowed: valve, supply, flow meter, or a command that was "
        "lost."
    )


def test_a_flow_meter_that_does_not_answer_tells_of_no_leak(field: Field) -> None:
    field.step()
    field.step()
    assert field.step(pulses=1).text == (
        "Commanded closed, but 1 pulses of water flowed: the valve leaks, or has not got the "
        "command to close."
    )
    verdict = field.step(pulses=-2)
    assert verdict.cause is Cause.NONE
    assert field.step(pulses=0).cause is Cause.NONE


def test_the_first_pulse_after_a_closing_says_that_water_comes_again(field: Field) -> None:
    field.step(valve=1)
    assert field.step(valve=0).cause is Cause.VALVE
    assert field.step(valve=0, pulses=0).cause is Cause.VALVE
    assert field.step(valve=0, pulses=1).text.startswith("Commanded closed, but 1 pulses")
    assert not field.diagnoser.starved


def test_a_single_pulse_while_it_is_open_is_water(field: Field) -> None:
    field.step(valve=1)
    assert field.step(valve=1, pulses=1).cause is Cause.NONE


def test_what_flowed_before_the_first_step_accuses_nobody(field: Field) -> None:
    assert field.step(pulses=900).cause is Cause.NONE


def test_a_leak_is_seen_from_the_second_step_on(field: Field) -> None:
    field.step()
    assert field.step(pulses=1).cause is Cause.VALVE


def test_a_twin_that_comes_later_is_not_said_to_have_moved_from_nothing() -> None:
    """In still soil: without a reading of the twin at the start of it, there is no distance."""
    diagnoser = Diagnoser(12.0)
    still = (2300, 0, 0, 0)
    diagnoser.judge(seen(still), None, None)
    for _ in range(2 * STUCK_STEPS):
        assert diagnoser.judge(seen(still), seen(still), None).cause is Cause.NONE


def test_how_still_the_probe_is_is_counted_from_its_last_movement() -> None:
    diagnoser = Diagnoser(12.0)
    found = []
    for counts, twin in (2300, 2300), (2310, 2309), (2310, 2300), (2310, 2305), (2311, 2290):
        diagnoser.judge(seen((counts, 7, 0, 0)), seen((twin, 9, 0, 0)), None)
        found.append((diagnoser.still_steps, diagnoser.still_twin_counts))
    assert found == [(0, 0), (0, 0), (1, 9), (2, 9), (0, 0)]


def test_a_probe_may_stand_still_for_a_while_or_within_noise(field: Field) -> None:
    """Six steps, and more than the tolerance."""
    for steps, counts in (5, 13), (6, 12):
        diagnoser = Diagnoser(12.0)
        verdicts = [
            diagnoser.judge(seen((2300, 0, 0, 0)), seen((2300 + moved, 0, 0, 0)), None)
            for moved in (0, *[counts] * steps)
        ]
        assert {verdict.cause for verdict in verdicts} <= {Cause.NONE, Cause.PLANT}
    field.step(2300, 2300, still=True)
    for _ in range(6):
        verdict = field.step(2300, 2313, still=True)
    assert verdict.text == (
        "The probe has read 2300 counts for 6 steps while the twin's moved by 13 counts."
    )


def test_agreement_is_counted_from_the_last_disagreement() -> None:
    """A former fault of the probe explains 143 steps that agree, and a difference begins anew."""
    diagnoser = Diagnoser(12.0)

    def judge(counts: int, twin: int = 2300) -> Verdict:
        return diagnoser.judge(seen((counts, 0, 0, 0)), seen((twin, 0, 0, 0)), None)

    judge(-2)
    for _ in range(143):
        judge(2300)
    assert judge(2400).text == (
        "Different readings, 2400 and 2300 counts, since this was seen: "
        "The probe did not answer (unavailable)."
    )
    for _ in range(143):
        judge(2300)
    assert judge(2400).cause is Cause.PROBE
    for _ in range(144):
        judge(2300)
    assert judge(2400).text == (
        "Different readings, 2400 and 2300 counts: plant, probe or weather."
    )


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
