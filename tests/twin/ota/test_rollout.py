"""The logic of a rollout, on a fleet in simulated time."""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Sequence
from datetime import timedelta
from typing import Any

import pytest
import simpy

from levada.hil.update.states import FailureType
from levada.sim.errors import SettingError
from levada.twin.ota.rollout import ExecutionState, Rollout, RolloutStatus
from levada.twin.ota.settings import AbortCriterion, RolloutSettings

MINUTE_MS = 60_000


class Fleet:
    """Nodes that take 20 to 60 s each, of which some fail; time is SimPy's [ms]."""

    def __init__(self, rollout: Rollout, faulty: Sequence[str] = (), seed: int = 1) -> None:
        self.env = simpy.Environment()
        self.rollout = rollout
        self.faulty = frozenset(faulty)
        self.random = random.Random(seed)
        self.began: list[tuple[int, str]] = []
        self.news = self.env.event()

    def run(self, until_ms: int | None = None) -> None:
        self.env.process(self._drive())
        self.env.run(until_ms)

    def _drive(self) -> Generator[Any, Any, None]:
        while not self.rollout.has_ended:
            now = int(self.env.now)
            for node in self.rollout.due(now):
                self.began.append((now, node))
                self.env.process(self._node(node))
            wake_ms = self.rollout.wake_ms()
            waits = [self.news]
            if wake_ms is not None:
                waits.append(self.env.timeout(max(wake_ms - now, 1)))
            yield simpy.AnyOf(self.env, waits)
            self.news = self.env.event()

    def _node(self, node: str) -> Generator[Any, Any, None]:
        yield self.env.timeout(self.random.randrange(20_000, 60_000))
        if node in self.faulty:
            self.rollout.failed(node, FailureType.FAILED, "TRAP", int(self.env.now))
        else:
            self.rollout.succeeded(node, int(self.env.now))
        if not self.news.triggered:
            self.news.succeed()


def names(count: int) -> list[str]:
    return [f"node-{i:04}" for i in range(count)]


def one_in_twenty(nodes: Sequence[str]) -> list[str]:
    return random.Random(8).sample(list(nodes), len(nodes) // 20)


def test_O29_a_rollout_to_20_with_3_bad_stops_at_the_threshold_and_leaves_the_rest_untouched() -> (
    None
):
    nodes = names(20)
    settings = RolloutSettings(
        rate_per_minute=2.0, abort=(AbortCriterion(threshold_percentage=20.0, min_executed=5),)
    )
    fleet = Fleet(Rollout(settings, nodes), faulty=[nodes[1], nodes[4], nodes[5]])
    fleet.run()
    rollout = fleet.rollout
    # by hand: of the first five two have failed, 40 %, which is beyond 20 % as soon as five count
    assert rollout.status is RolloutStatus.CANCELED
    assert rollout.reason == "ALL: 2 of 5 nodes, 40.0 %; threshold 20 %"
    begun = {node for _, node in fleet.began}
    untouched = [n for n in nodes if n not in begun]
    assert len(untouched) >= 13
    assert all(rollout.executions[n].state is ExecutionState.CANCELED for n in untouched)
    assert all(rollout.executions[n].began_ms is None for n in untouched)
    assert rollout.running == []


def test_O29_a_thousand_nodes_with_5_percent_faulty_stop_at_3_percent_and_not_at_10() -> None:
    nodes = names(1000)
    faulty = one_in_twenty(nodes)
    ended = {}
    for threshold in (3.0, 10.0):
        settings = RolloutSettings(
            canary=5,
            groups=(10.0, 30.0, 60.0),
            soak=timedelta(minutes=10),
            rate_per_minute=50.0,
            increment_factor=2.0,
            increase_after=200,
            maximum_per_minute=200.0,
            abort=(AbortCriterion(threshold_percentage=threshold, min_executed=50),),
        )
        fleet = Fleet(Rollout(settings, nodes), faulty)
        fleet.run()
        ended[threshold] = fleet
    stopped, through = ended[3.0].rollout, ended[10.0].rollout
    assert through.status is RolloutStatus.COMPLETED, through.reason
    assert through.counts() == {"SUCCEEDED": 950, "FAILED": 50}
    assert stopped.status is RolloutStatus.CANCELED
    assert stopped.counts()["CANCELED"] > 800
    executed = [e for e in stopped.executions.values() if e.has_ended]
    failed = [e.node for e in executed if e.state is ExecutionState.FAILED]
    assert set(failed) <= set(faulty)
    assert 0.03 <= len(failed) / len(executed) < 0.2


def test_the_same_events_give_the_same_rollout_and_an_interrupted_one_goes_on() -> None:
    nodes = names(200)
    settings = RolloutSettings(
        canary=2, groups=(25.0, 75.0), abort=(AbortCriterion(threshold_percentage=90.0),)
    )
    whole = Fleet(Rollout(settings, nodes), one_in_twenty(nodes))
    whole.run()

    first = Fleet(Rollout(settings, nodes), one_in_twenty(nodes))
    first.run(until_ms=3 * MINUTE_MS)
    text = json.dumps(first.rollout.state())
    resumed = Rollout.resumed(json.loads(text))
    assert resumed.state() == first.rollout.state()
    assert resumed.executions == first.rollout.executions
    for execution in resumed.running:  # what was under way is asked again, and then ends
        resumed.succeeded(execution.node, 3 * MINUTE_MS)
    second = Fleet(resumed, one_in_twenty(nodes))
    second.env = simpy.Environment(3 * MINUTE_MS)
    second.news = second.env.event()
    second.run()
    assert resumed.status is whole.rollout.status is RolloutStatus.COMPLETED
    before, after = {n for _, n in first.began}, {n for _, n in second.began}
    assert before & after == set()
    assert len(before | after) == 200


def test_canaries_must_all_succeed_before_anybody_else_begins() -> None:
    nodes = names(50)
    fleet = Fleet(Rollout(RolloutSettings(canary=3), nodes), faulty=[nodes[2]])
    fleet.run()
    assert [node for _, node in fleet.began] == nodes[:3]
    assert fleet.rollout.reason == "canaries: 2 of 3 succeeded, 100 % are wanted"


def test_a_group_begins_after_the_soak_of_the_group_before() -> None:
    nodes = names(11)
    settings = RolloutSettings(canary=1, soak=timedelta(hours=1), rate_per_minute=600.0)
    fleet = Fleet(Rollout(settings, nodes))
    fleet.run()
    executions = fleet.rollout.executions
    first_end = executions[nodes[0]].ended_ms
    assert first_end is not None
    assert executions[nodes[1]].began_ms == first_end + 60 * MINUTE_MS
    assert fleet.rollout.status is RolloutStatus.COMPLETED


def test_the_rate_grows_as_the_aws_example_of_50_a_minute_says() -> None:
    # AWS IoT, "Job rollout rates": a base of 50 a minute and an increment factor of 2, doubled with
    # every 1,000 that have succeeded, at most 1,000 a minute; here with every 10
    settings = RolloutSettings(
        rate_per_minute=50.0, increment_factor=2.0, increase_after=10, maximum_per_minute=1000.0
    )
    assert [rate_after(settings, done) for done in (0, 10, 20, 30, 40, 50, 60)] == [
        50, 100, 200, 400, 800, 1000, 1000
    ]  # fmt: skip


def rate_after(settings: RolloutSettings, done: int) -> float:
    """The rate when so many have succeeded."""
    rollout = Rollout(settings, names(70))
    now_ms = 0
    while rollout.counts().get("SUCCEEDED", 0) < done:
        now_ms += 10
        for node in rollout.due(now_ms):
            rollout.succeeded(node, now_ms)
    return rollout.rate_per_minute()


def test_so_many_nodes_begin_a_minute_as_the_rate_says() -> None:
    fleet = Fleet(Rollout(RolloutSettings(rate_per_minute=50.0), names(200)))
    fleet.run()
    times = [time for time, _ in fleet.began]
    assert times[:3] == [0, 1200, 2400]  # 60,000 ms / 50
    assert sum(time < MINUTE_MS for time in times) == 50
    assert times[-1] == 199 * 1200


def test_who_looks_seldom_catches_up_on_a_second_and_no_more() -> None:
    rollout = Rollout(RolloutSettings(rate_per_minute=600.0), names(100))
    assert len(rollout.due(0)) == 1
    assert len(rollout.due(500)) == 5  # every 100 ms
    assert len(rollout.due(60_000)) == 11


def test_a_node_without_a_verdict_is_timed_out_and_counts_as_such() -> None:
    settings = RolloutSettings(
        timeout=timedelta(minutes=5),
        abort=(
            AbortCriterion(failure_type="TIMED_OUT", threshold_percentage=50.0, min_executed=1),
        ),
    )
    rollout = Rollout(settings, names(3))
    assert rollout.due(0) == ["node-0000"]
    assert rollout.wake_ms() == 1200
    assert rollout.due(5 * MINUTE_MS) == []
    assert rollout.executions["node-0000"].state is ExecutionState.TIMED_OUT
    assert rollout.reason == "TIMED_OUT: 1 of 1 nodes, 100.0 %; threshold 50 %"


def test_whoever_has_begun_the_last_node_looks_again_when_its_time_is_over() -> None:
    rollout = Rollout(RolloutSettings(timeout=timedelta(minutes=5)), names(1))
    assert rollout.due(1000) == ["node-0000"]
    assert rollout.wake_ms() == 1000 + 5 * MINUTE_MS
    assert rollout.due(999 + 5 * MINUTE_MS) == [] and len(rollout.running) == 1
    assert rollout.due(1000 + 5 * MINUTE_MS) == [] and rollout.running == []
    assert rollout.executions["node-0000"].state is ExecutionState.TIMED_OUT


def test_the_last_node_is_looked_at_for_the_time_of_a_group_before_all_is_completed() -> None:
    rollout = Rollout(RolloutSettings(soak=timedelta(minutes=10)), names(1))
    rollout.due(0)
    rollout.succeeded("node-0000", 1000)
    assert rollout.wake_ms() == 1000 + 10 * MINUTE_MS
    assert rollout.due(999 + 10 * MINUTE_MS) == [] and not rollout.has_ended
    assert rollout.due(1000 + 10 * MINUTE_MS) == []
    assert rollout.status is RolloutStatus.COMPLETED


def test_the_canaries_are_group_0_and_the_shares_count_from_1() -> None:
    rollout = Rollout(RolloutSettings(canary=1, groups=(40.0, 60.0)), names(6))
    assert [e.group for e in rollout.executions.values()] == [0, 1, 1, 2, 2, 2]
    rollout = Rollout(RolloutSettings(), names(2))
    assert [e.group for e in rollout.executions.values()] == [1, 1]


def test_a_share_is_of_all_that_are_not_canaries() -> None:
    rollout = Rollout(RolloutSettings(groups=(10.0, 90.0)), names(300))
    assert [e.group for e in rollout.executions.values()] == 30 * [1] + 270 * [2]


@pytest.mark.parametrize(("wanted", "status"), [(66.6, "IN_PROGRESS"), (66.7, "CANCELED")])
def test_two_of_three_are_no_more_than_two_thirds(wanted: float, status: str) -> None:
    settings = RolloutSettings(
        groups=(50.0, 50.0), success_percentage=wanted, rate_per_minute=600.0, abort=()
    )
    rollout = Rollout(settings, names(6))
    for now_ms, node in enumerate(names(3)):
        assert rollout.due(100 * now_ms) == [node]
    rollout.failed("node-0000", FailureType.FAILED, "TRAP", 400)
    rollout.succeeded("node-0001", 500)
    rollout.succeeded("node-0002", 600)
    assert rollout.status.value == status


def test_a_cancelled_rollout_has_ended_when_the_last_node_under_way_has() -> None:
    rollout = Rollout(RolloutSettings(), names(3))
    [node] = rollout.due(0)
    rollout.cancel("enough")
    assert not rollout.has_ended
    rollout.succeeded(node, 1000)
    assert rollout.has_ended


def test_a_rollout_that_goes_on_has_the_rate_it_had() -> None:
    settings = RolloutSettings(rate_per_minute=50.0, increment_factor=2.0, increase_after=1)
    rollout = Rollout(settings, names(3))
    [node] = rollout.due(0)
    rollout.succeeded(node, 1000)
    assert rollout.rate_per_minute() == 100.0
    assert Rollout.resumed(rollout.state()).rate_per_minute() == 100.0


def test_settings_outlive_an_interruption_whatever_they_are() -> None:
    settings = RolloutSettings(
        canary=1,
        groups=(40.0, 60.0),
        success_percentage=80.0,
        soak=timedelta(hours=2, seconds=3),
        rate_per_minute=3,
        timeout=timedelta(days=1, minutes=5),
        abort=(
            AbortCriterion(failure_type="STRESS", limit=timedelta(hours=6), min_executed=2),
            AbortCriterion(threshold_percentage=12.5),
        ),
    )
    state = json.loads(json.dumps(Rollout(settings, names(5)).state()))
    assert Rollout.resumed(state).settings == settings


def test_only_failures_of_the_named_type_count() -> None:
    settings = RolloutSettings(
        rate_per_minute=60_000.0,
        abort=(AbortCriterion(failure_type="REJECTED", threshold_percentage=50.0, min_executed=2),),
    )
    rollout = Rollout(settings, names(6))
    assert len(rollout.due(0) + rollout.due(60) + rollout.due(120) + rollout.due(180)) == 4
    rollout.failed("node-0000", FailureType.FAILED, "TRAP", 10)
    rollout.failed("node-0001", FailureType.FAILED, "TRAP", 10)
    assert rollout.status is RolloutStatus.IN_PROGRESS
    rollout.failed("node-0002", FailureType.REJECTED, "SIGNATURE", 10)
    assert rollout.status is RolloutStatus.IN_PROGRESS  # 1 of 3
    rollout.failed("node-0003", FailureType.REJECTED, "SIGNATURE", 10)
    assert rollout.reason == "REJECTED: 2 of 4 nodes, 50.0 %; threshold 50 %"


def test_valves_that_are_open_too_long_stop_a_rollout_that_has_no_fault() -> None:
    criterion = AbortCriterion(
        failure_type="VALVE_TIME",
        limit=timedelta(hours=6),
        threshold_percentage=20.0,
        min_executed=5,
    )
    settings = RolloutSettings(
        canary=10, soak=timedelta(days=1), rate_per_minute=600.0, abort=(criterion,)
    )
    nodes = names(100)
    rollout = Rollout(settings, nodes)
    for second in range(10):
        for node in rollout.due(second * 1000):
            rollout.succeeded(node, second * 1000 + 500)
    assert rollout.counts() == {"QUEUED": 90, "SUCCEEDED": 10}
    rollout.breached(nodes[0], "VALVE_TIME", 3_600_000)
    rollout.breached(nodes[0], "VALVE_TIME", 3_700_000)  # again, which is no second node
    assert rollout.status is RolloutStatus.IN_PROGRESS
    rollout.breached(nodes[1], "VALVE_TIME", 3_800_000)
    assert rollout.reason == "VALVE_TIME: 2 of 10 nodes, 20.0 %; threshold 20 %"
    assert rollout.counts() == {"SUCCEEDED": 10, "CANCELED": 90}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"groups": (10.0, 20.0)}, "sum up to 100"),
        ({"rate_per_minute": 0.0}, "rate_per_minute"),
        ({"success_percentage": 101.0}, "success_percentage"),
        ({"timeout": "0 s"}, "at least 1 s"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        RolloutSettings(**values)


def test_an_agronomic_criterion_needs_a_limit_and_others_have_none() -> None:
    with pytest.raises(SettingError, match="needs a time a day"):
        AbortCriterion(failure_type="STRESS")
    with pytest.raises(SettingError, match="has none"):
        AbortCriterion(failure_type="FAILED", limit=timedelta(hours=1))


def test_a_node_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="north"):
        Rollout(RolloutSettings(), ["north", "south", "north"])
    with pytest.raises(ValueError, match="none"):
        Rollout(RolloutSettings(), [])


def test_a_clock_that_was_ahead_and_is_put_right_holds_nothing_up() -> None:
    rollout = Rollout(RolloutSettings(rate_per_minute=60.0), ["a", "b"])
    assert rollout.due(10**15) == ["a"]
    rollout.succeeded("a", 10**15)
    assert rollout.due(5_000) == []
    assert rollout.due(6_000) == ["b"]
