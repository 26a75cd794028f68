"""What a module on trial is judged by at the node: telemetry that a twin takes."""

from __future__ import annotations

import pytest

from levada.twin.sources.trial_judge import GuestMessage, TrialJudge

GOOD = GuestMessage(0, "data", '{"raw":1502,"pct":40}')
OTHER = GuestMessage(0, "event", "hello")


def judged(*steps: list[GuestMessage], reported: bool = True) -> TrialJudge:
    judge = TrialJudge("north", 3, reported=reported)
    for published in steps:
        judge.made_step(published)
    return judge


@pytest.mark.parametrize("topic", ["data", "ic/north/data"])
def test_telemetry_that_a_twin_takes_and_all_steps_are_what_is_wanted(topic: str) -> None:
    told = [GuestMessage(0, topic, GOOD.message)]
    assert not judged(told, told).good
    assert judged([], [], told).good
    assert judged(told, [], []).good


def test_a_module_after_one_that_told_must_tell_within_ten_times_its_steps() -> None:
    silent = judged(*[[OTHER]] * 29)
    assert (silent.good, silent.why) == (False, "")
    silent.made_step([])
    assert silent.why.startswith("rolled back: no telemetry in 30 steps")
    assert not silent.good
    assert judged(*[[]] * 29, [GOOD]).good
    assert judged([], [], [], reported=False).good  # after one that was silent as well


@pytest.mark.parametrize("message", ['{"raw":', "[1]", '{"t":"now"}', '{"pct":"wet"}'])
def test_telemetry_that_no_twin_takes_is_a_reason_to_reject(message: str) -> None:
    judge = judged([GOOD], [GuestMessage(0, "data", message)], [GOOD])
    assert judge.why.startswith("rolled back: no twin would take its telemetry: ")
    assert not judge.good
