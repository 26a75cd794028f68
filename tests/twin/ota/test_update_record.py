"""What the record of a site and its page say of updates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mqtt_nodes import BIRTH, MqttNodes
from ota_bench import package
from services import Mosquitto

from levada.hil.line.broker import EmbeddedBroker
from levada.hil.update.states import FailureType, UpdateStage
from levada.twin.app import pages
from levada.twin.errors import TwinError
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.messages import OtaRequest, OtaState
from levada.twin.mqtt.update_notes import update_offer, update_stage
from levada.twin.ota.journal import RolloutFolder, described, new_folder, rollouts
from levada.twin.ota.rollout import Rollout
from levada.twin.ota.sender import Sender
from levada.twin.ota.settings import RolloutSettings
from levada.twin.sources.shadow import Shadow
from levada.twin.store.reads import NodeInfo
from levada.twin.store.store import Store

AnyBroker = EmbeddedBroker | Mosquitto


def test_who_listens_keeps_who_has_sent_what_why_and_what_became_of_it(
    broker: AnyBroker, store: Store, deliver: Callable[..., Delivery]
) -> None:
    deliver()
    sent = package(version="2.0.0")

    def verdict(_node: str, _module: bytes) -> tuple[UpdateStage, str]:
        return UpdateStage.FAILED, "TRAP"

    with (
        MqttNodes(broker.address, ["north"], verdict=verdict),
        Sender(
            broker.address,
            sent,
            on_state=lambda *_: None,
            who="operator",
            override="the old one leaks",
        ) as sender,
    ):
        sender.begin("north")
        found: list[str] = []
        while not any("not updated" in text for text in found):
            store.flush()
            found = [str(e["text"]) for e in store.reader.events(node="north", kind="update")]
    offer = "operator sends irrigation 2.0.0, though the gate has refused it: the old one leaks"
    assert offer in found
    assert any(text.startswith("not updated (TRAP)") for text in found)
    assert len(found) == len(set(found))  # once each, however often it was said
    assert store.reader.nodes()[0].birth["guest_version"] == "1.0.0"


def test_equal_news_are_noted_once_and_progress_is_none() -> None:
    def state(received: int) -> OtaState:
        return OtaState(id="0" * 8, state=UpdateStage.DOWNLOADING, received=received, size=100)

    assert update_stage(state(10)) == update_stage(state(90))
    assert update_stage(OtaState(state=UpdateStage.IDLE)) is None
    assert update_offer(OtaRequest(id="0" * 8, action="status")) is None


def rolled_out(folder: Path) -> RolloutFolder:
    names = [f"plot-{i}" for i in range(5)]
    rollout = Rollout(RolloutSettings(canary=1, rate_per_minute=60.0), names)
    rollout.due(1_000)
    rollout.succeeded("plot-0", 2_000)
    rollout.due(3_000)
    rollout.failed("plot-1", FailureType.FAILED, "TRAP: <script>", 4_000)
    made = RolloutFolder(folder / "20230701T000000-test")
    about = described(
        package(version="2.0.0"),
        who="operator",
        override="because",
        gate={"failures": ["quickstart: too dry"], "trials": [], "past": None},
    )
    made.begin(package(), about, rollout)
    return made


def test_a_twin_does_not_judge_the_decisions_of_a_module_that_it_does_not_have() -> None:
    births = [BIRTH, replace(BIRTH, guest_sha256="ab" * 32, guest_version="2.0.0"), BIRTH]
    noted: list[str] = []
    zone = SimpleNamespace(birth=BIRTH)
    shadow: Any = Shadow.__new__(Shadow)
    shadow._devices = SimpleNamespace(birth=lambda _name: births[0])
    shadow._followers = [SimpleNamespace(compares_calls=True)]
    shadow._field = SimpleNamespace(
        zones=[zone],
        info=SimpleNamespace(sha256=BIRTH.guest_sha256),
        zone_ms=lambda _i: 0,
        journal=SimpleNamespace(event=lambda _i, _kind, text, *_more, **_named: noted.append(text)),
    )
    judged = []
    while births:
        shadow._note_module(0, "maize")
        shadow._note_module(0, "maize")  # a birth is said more than once
        judged.append(shadow._followers[0].compares_calls)
        births.pop(0)
    assert judged == [True, False, True]
    assert noted == [
        "runs irrigation 2.0.0 now, which is not the twin's module: its decisions are not judged "
        "any more",
        "runs irrigation 1.0.0 now",
    ]


def test_the_page_shows_how_a_rollout_goes_and_what_was_overruled(tmp_path: Path) -> None:
    made = rolled_out(tmp_path)
    (found,) = rollouts(tmp_path)
    text = json.dumps(pages.rollout_section(found.read(), made.name), default=_plain)
    for part in ("irrigation 2.0.0", "because", "too dry", "plot-1", "TRAP: <script>", "waiting"):
        assert part in text
    assert "40.0%" in text  # 2 of 5 have come to an end
    assert "None yet" in json.dumps(pages.rollout_section(None, ""), default=_plain)


def test_the_page_shows_which_module_each_node_runs() -> None:
    node = NodeInfo(
        name="north",
        online=True,
        boot=1,
        birth={"guest_name": "irrigation", "guest_version": "2.0.0", "guest_sha256": "ab" * 32},
        first_ms=0,
        last_ms=0,
    )
    newest = {
        "north": {"text": "updated: runs irrigation 2.0.0", "evidence": {"attempt": "5e11ab0c"}}
    }
    text = json.dumps(pages.module_nodes([node], newest), default=_plain)
    assert "irrigation 2.0.0" in text
    assert "abababababab" in text
    assert "5e11ab0c" in text
    assert "No node" in json.dumps(pages.module_nodes([], {}), default=_plain)


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"rollout": 3}', '{"rollout": {}}'])
def test_a_folder_that_is_no_rollout_is_told_in_words(broken: str, tmp_path: Path) -> None:
    made = rolled_out(tmp_path)
    (made.path / "rollout.json").write_text(broken)
    with pytest.raises(Exception, match=r"no rollout of levada|damaged"):
        made.read()


def _plain(component: object) -> object:
    return component.to_plotly_json()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 5}, "`name`"),
        ({"trial_steps": 10**9}, "`trial_steps`"),
        ({"counter": "x"}, "`counter`"),
        ({"attempt": "x" * 65}, "`attempt`"),
        ({"sha256": "x"}, "`sha256`"),
        ({"executions": [1]}, "`rollout.executions.0`"),
        ({"executions": []}, "`rollout.executions`"),
        ({"group": "x"}, "`rollout.executions.0.group`"),
        ({"began_ms": "x"}, "`rollout.executions.0.began_ms`"),
        ({"began_ms": None}, "`rollout.executions.0`"),
        ({"node": 7}, "`rollout.executions.0.node`"),
        ({"reason": 7}, "`rollout.executions.0.reason`"),
        ({"last_ms": "x"}, "`rollout.last_ms`"),
        ({"settings": None}, "`rollout.settings`"),
        ({"settings": {"canary": -1}}, "`rollout.canary`"),
    ],
)
def test_a_state_that_is_damaged_is_told_by_its_place(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    made = rolled_out(tmp_path)
    file = made.path / "rollout.json"
    state = json.loads(file.read_text())
    ((key, value),) = change.items()
    state_of = state["rollout"]
    first = state_of["executions"][0]
    owner = next(
        o for o in (state, first, state_of) if key in o or key in ("attempt", "trial_steps")
    )
    owner[key] = value
    file.write_text(json.dumps(state))
    with pytest.raises(TwinError, match=said):
        made.read()


def test_a_module_that_was_changed_since_the_gate_is_not_sent(tmp_path: Path) -> None:
    made = rolled_out(tmp_path)
    file = made.path / "module.wasm"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(TwinError, match="is not the module that the gate has seen"):
        made.package()


def test_two_rollouts_of_one_second_have_a_folder_each(tmp_path: Path) -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    names = [new_folder(tmp_path / "ota", package(), now).name for _ in range(3)]
    assert len(set(names)) == 3 and names == sorted(names)


def test_a_rollout_is_driven_by_one_process(tmp_path: Path) -> None:
    made = rolled_out(tmp_path)
    with made.held(), pytest.raises(TwinError, match="driven by another"), made.held():
        raise AssertionError("not reached")
    with made.held():
        pass
