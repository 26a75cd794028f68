"""A module on its way over real brokers, which are killed meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from mqtt_nodes import MqttNodes
from ota_bench import package
from services import Mosquitto

from levada.hil.errors import PayloadError
from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.messages import OtaState
from levada.twin.ota.campaign import Campaign
from levada.twin.ota.chunks import CHUNK_BYTES
from levada.twin.ota.journal import RolloutFolder, described, rollouts
from levada.twin.ota.receiver import Identity
from levada.twin.ota.rollout import ExecutionState, Rollout, RolloutStatus
from levada.twin.ota.sender import Sender, ask_states
from levada.twin.ota.settings import AbortCriterion, RolloutSettings

AnyBroker = EmbeddedBroker | Mosquitto


def kill(broker: AnyBroker) -> None:
    """kill -9; it is started again at the same port."""
    if isinstance(broker, Mosquitto):
        broker.kill()
    else:
        os.kill(broker.pid, signal.SIGKILL)


class Ends:
    """What nodes say of the end of their update."""

    def __init__(self) -> None:
        self.found: dict[str, OtaState] = {}
        self._news = threading.Condition()

    def __call__(self, node: str, state: OtaState) -> None:
        with self._news:
            if state.id is not None and state.state.is_final:
                self.found[node] = state
                self._news.notify_all()

    def wait(self, count: int) -> dict[str, OtaState]:
        with self._news:
            self._news.wait_for(lambda: len(self.found) >= count)
            return dict(self.found)


def test_O23_a_broker_that_is_killed_on_the_way_costs_no_byte_that_has_come(
    broker: AnyBroker,
) -> None:
    sent = package(size=100 * 600)
    shares = [0.1, 0.5, 0.9, 0.99]
    places = [int(share * len(sent.module)) // CHUNK_BYTES * CHUNK_BYTES for share in shares]
    due, killed, ends = threading.Event(), threading.Event(), Ends()

    def at(_node: str, offset: int) -> None:
        if offset in places:
            places.remove(offset)
            due.set()
            killed.wait()
            killed.clear()

    with (
        MqttNodes(broker.address, ["north"], chunk=at) as nodes,
        Sender(broker.address, sent, on_state=ends) as sender,
    ):
        sender.begin("north")
        for _ in shares:
            due.wait()
            due.clear()
            kill(broker)
            killed.set()
        found = ends.wait(1)
        assert nodes.installed == {"north": [sent.module]}
        # a chunk that was under way when the broker died may be asked for again, and no more
        assert sender.sent_bytes <= len(sent.module) + 2 * len(shares) * CHUNK_BYTES
    assert found["north"].state is UpdateStage.UPDATED
    assert found["north"].guest_sha256 == sent.sha256


def test_O25_of_two_senders_at_a_broker_one_wins_and_the_other_is_told_busy(
    broker: AnyBroker,
) -> None:
    offers, ends = [package(seed=1), package(seed=2)], [Ends(), Ends()]
    wait = threading.Event()

    def lost_at_first(_node: str, _offset: int) -> None:
        if not wait.is_set():
            raise PayloadError("this chunk is lost")

    with (
        MqttNodes(broker.address, ["north"], chunk=lost_at_first) as nodes,
        Sender(broker.address, offers[0], on_state=ends[0]) as one,
        Sender(broker.address, offers[1], on_state=ends[1]) as other,
    ):
        one.begin("north")
        other.begin("north")
        loser = _loser(ends)
        wait.set()
        winner = ends[1 - loser].wait(1)["north"]
        assert ends[loser].found["north"].reason == "BUSY"
        assert winner.state is UpdateStage.UPDATED
        assert nodes.installed["north"] == [offers[1 - loser].module]


def _loser(ends: list[Ends]) -> int:
    """The first of the two that is told of an end."""
    while not any(end.found for end in ends):
        time.sleep(0.01)
    return 0 if ends[0].found else 1


def begun(
    folder: Path, sent: ModulePackage, nodes: list[str], settings: RolloutSettings
) -> RolloutFolder:
    made = RolloutFolder(folder / "20230701T000000-test")
    made.begin(sent, described(sent, who="test", attempt="first"), Rollout(settings, nodes))
    return made


def test_O29_a_rollout_over_a_broker_stops_at_the_threshold_and_leaves_the_rest_untouched(
    broker: AnyBroker, tmp_path: Path
) -> None:
    names = [f"node-{i:02}" for i in range(20)]
    bad = {names[3], names[4], names[6]}

    def verdict(node: str, _module: bytes) -> tuple[UpdateStage, str]:
        return (UpdateStage.FAILED, "TRAP") if node in bad else (UpdateStage.UPDATED, "")

    settings = RolloutSettings(
        rate_per_minute=300.0, abort=(AbortCriterion(threshold_percentage=30.0, min_executed=5),)
    )
    folder = begun(tmp_path, package(), names, settings)
    with MqttNodes(broker.address, names, verdict=verdict) as nodes:
        with Campaign(folder, broker.address) as campaign:
            rollout = campaign.run(threading.Event())
        installed = [name for name in names if nodes.installed[name]]
    assert rollout.status is RolloutStatus.CANCELED
    assert rollout.reason.startswith("ALL: 2 of 5 nodes, 40.0 %")
    assert set(installed) <= set(names[:12]) - bad
    assert folder.rollout().state() == rollout.state()
    untouched = [e for e in rollout.executions.values() if e.state is ExecutionState.CANCELED]
    assert len(untouched) >= 8
    assert all(not nodes.installed[e.node] for e in untouched)


def test_a_rollout_that_was_interrupted_goes_on_where_it_was(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    names = [f"node-{i}" for i in range(6)]
    folder = begun(tmp_path, package(), names, RolloutSettings(rate_per_minute=600.0))
    stop = threading.Event()
    with MqttNodes(mosquitto.address, names) as nodes:

        def interrupt(rollout: Rollout, _states: object) -> None:
            if rollout.counts().get("SUCCEEDED", 0) >= 2:
                stop.set()

        with Campaign(folder, mosquitto.address, on_change=interrupt) as campaign:
            first = campaign.run(stop)
        assert first.status is RolloutStatus.IN_PROGRESS
        (again,) = rollouts(tmp_path)
        with Campaign(again, mosquitto.address) as campaign:
            second = campaign.run(threading.Event())
        assert second.counts() == {"SUCCEEDED": 6}
        assert second.status is RolloutStatus.COMPLETED
        assert all(len(modules) == 1 for modules in nodes.installed.values())


def test_an_abort_stops_what_has_not_begun_and_what_is_being_fetched(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    names = [f"node-{i}" for i in range(3)]
    folder = begun(tmp_path, package(), names, RolloutSettings(rate_per_minute=2.0))

    def never(_node: str, offset: int) -> None:
        if offset > 0:
            folder.abort("the wrong file")
            raise PayloadError("this chunk is lost")

    with MqttNodes(mosquitto.address, names, chunk=never) as nodes:
        with Campaign(folder, mosquitto.address) as campaign:
            rollout = campaign.run(threading.Event())
        assert nodes.installed == {name: [] for name in names}
    assert (rollout.status, rollout.reason) == (RolloutStatus.CANCELED, "the wrong file")
    assert rollout.executions["node-0"].reason == "ABORTED: by the operator"
    assert rollout.counts() == {"FAILED": 1, "CANCELED": 2}


def test_a_node_that_does_not_answer_an_abort_is_not_waited_for_until_its_time_is_over(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """The rollout's timeout is half an hour."""
    folder = begun(tmp_path, package(), ["nobody"], RolloutSettings())
    stop = threading.Event()
    with Campaign(
        folder, mosquitto.address, on_change=lambda r, _: stop.set() if r.running else None
    ) as campaign:
        campaign.run(stop)
    assert folder.stop("the wrong file") == ["nobody"]  # nobody drives it, and one was under way
    assert folder.rollout().status is RolloutStatus.CANCELED
    with Campaign(folder, mosquitto.address, answer_s=0.5) as campaign:
        rollout = campaign.run(threading.Event())
    assert rollout.counts() == {"TIMED_OUT": 1}
    assert rollout.executions["nobody"].reason == "no answer to the abort within 0.5 s"
    assert folder.rollout().has_ended


def test_after_an_abort_a_node_that_was_started_again_is_not_offered_the_module(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Its first word says that nothing is under way there; another runs the module by now."""
    sent = package()
    folder = begun(tmp_path, sent, ["north", "south"], RolloutSettings())
    stop = threading.Event()
    with Campaign(
        folder,
        mosquitto.address,
        on_change=lambda r, _: stop.set() if len(r.running) == 2 else None,
    ) as campaign:
        campaign.run(stop)
    folder.abort("the wrong file")
    with MqttNodes(mosquitto.address, ["north", "south"]) as nodes:
        nodes.identities["south"] = Identity(guest_sha256=sent.sha256)
        with Campaign(folder, mosquitto.address) as campaign:
            rollout = campaign.run(threading.Event())
        assert nodes.installed == {"north": [], "south": []}
    assert (rollout.status, rollout.reason) == (RolloutStatus.CANCELED, "the wrong file")
    assert rollout.executions["north"].reason == "ABORTED: nothing of it was under way there"
    assert rollout.executions["south"].state is ExecutionState.SUCCEEDED


def test_the_failure_of_an_attempt_before_is_not_taken_for_that_of_this_one(
    mosquitto: Mosquitto,
) -> None:
    sent, ends = package(), Ends()
    with (
        MqttNodes(mosquitto.address, ["north"]) as nodes,
        Sender(mosquitto.address, sent, on_state=ends, attempt="second") as sender,
    ):
        for attempt, said in (("first", "of the attempt before"), ("second", "of this one")):
            nodes.gateway.send(
                "north",
                OtaState(id=sent.id, attempt=attempt, state=UpdateStage.FAILED, text=said),
            )
        assert ends.wait(1)["north"].text == "of this one"
        sender.begin("north")
        nodes.wait("north")


def test_whoever_reads_an_abort_while_it_is_written_sees_all_of_it_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path, package(), ["node-0"], RolloutSettings())
    write, seen = Path.write_text, []

    def slowly(path: Path, text: str, encoding: str) -> int:
        path.touch()
        seen.append(folder.aborted())
        return write(path, text, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", slowly)
    folder.abort("the wrong file")
    assert seen == [""]
    assert folder.aborted() == "the wrong file"


def test_valves_that_are_open_too_long_after_an_update_stop_a_rollout(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    names = [f"node-{i}" for i in range(4)]
    criterion = AbortCriterion(
        failure_type="VALVE_TIME",
        limit=timedelta(hours=2),
        threshold_percentage=50.0,
        min_executed=2,
    )
    settings = RolloutSettings(
        canary=2, soak=timedelta(hours=1), rate_per_minute=600.0, abort=(criterion,)
    )
    folder = begun(tmp_path, package(), names, settings)
    with MqttNodes(mosquitto.address, names) as nodes:

        def irrigate(rollout: Rollout, _states: object) -> None:
            if rollout.counts().get("SUCCEEDED") == 2 and not started.is_set():
                started.set()
                for k in range(14):  # of ten minutes
                    nodes.gateway.deliver("node-1", "data", 600_000 * k, '{"irrigar":1}')

        started = threading.Event()
        with Campaign(folder, mosquitto.address, on_change=irrigate) as campaign:
            rollout = campaign.run(threading.Event())
    assert rollout.reason == "VALVE_TIME: 1 of 2 nodes, 50.0 %; threshold 50 %"
    assert rollout.executions["node-1"].breaches == ["VALVE_TIME"]
    assert rollout.counts() == {"SUCCEEDED": 2, "CANCELED": 2}


def test_who_asks_is_told_which_module_a_node_runs_and_who_does_not_answer(
    mosquitto: Mosquitto,
) -> None:
    with MqttNodes(mosquitto.address, ["north"]):
        found = ask_states(mosquitto.address, ["north", "south"], 0.5)
    assert found["south"] is None
    assert found["north"] is not None
    assert found["north"].guest_sha256 == "00" * 32


@pytest.mark.slow
def test_O29_a_thousand_nodes_over_a_broker_with_5_percent_faulty(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    names = [f"node-{i:04}" for i in range(1000)]
    bad = set(names[7::20])

    def verdict(node: str, _module: bytes) -> tuple[UpdateStage, str]:
        return (UpdateStage.FAILED, "TRAP") if node in bad else (UpdateStage.UPDATED, "")

    ended = {}
    for threshold in (4.0, 10.0):
        settings = RolloutSettings(
            canary=5,
            rate_per_minute=3_000.0,
            abort=(AbortCriterion(threshold_percentage=threshold, min_executed=100),),
        )
        folder = begun(tmp_path / str(threshold), package(), names, settings)
        with (
            MqttNodes(mosquitto.address, names, verdict=verdict) as nodes,
            Campaign(folder, mosquitto.address) as campaign,
        ):
            ended[threshold] = campaign.run(threading.Event())
            touched = {name for name in names if nodes.installed[name]}
        for e in ended[threshold].executions.values():
            assert (e.node in touched) == (e.state is ExecutionState.SUCCEEDED)
    assert ended[10.0].counts() == {"SUCCEEDED": 950, "FAILED": 50}
    assert ended[4.0].status is RolloutStatus.CANCELED
    assert ended[4.0].counts()["CANCELED"] > 700


@pytest.mark.parametrize("last", ["ota/state", "ota/request", "ota/want", "ota/chunk/00ff00ff/0"])
def test_a_guest_cannot_speak_about_updates(last: str, mosquitto: Mosquitto) -> None:
    heard: list[str] = []
    news = threading.Event()

    def take(topic: str, _payload: bytes) -> None:
        heard.append(topic)
        if topic.endswith("/other"):
            news.set()

    with MqttNodes(mosquitto.address, ["north"]) as nodes:
        client = MqttClient(mosquitto.address, subscription="ic/north/#", handler=take)
        nodes.gateway.deliver("north", last, 0, "forged")
        nodes.gateway.deliver("north", "other", 0, "allowed")
        news.wait()
        client.close()
    assert f"ic/north/{last}" not in heard
