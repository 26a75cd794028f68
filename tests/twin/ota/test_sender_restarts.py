"""Senders that are killed anywhere in a rollout, and keys that are rotated in the midst of one."""

from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import small_field
from living_field import AnyBroker, living
from living_field import scenario as field_scenario
from mqtt_nodes import MqttNodes
from ota_bench import package
from ota_modules import build_variant
from services import Mosquitto

from levada.guest.lifecycle import Closing
from levada.guest.module.inspect import inspect
from levada.guest.signing.envelope import sign
from levada.guest.signing.keys import KeyFolder, Trusted, new_keys
from levada.guest.signing.manifest import manifest_of
from levada.guest.signing.module_file import manifest_path
from levada.hil.line.mqtt_client import MqttClient
from levada.hil.update.states import UpdateStage
from levada.sim.scenario.load import load
from levada.twin.mqtt.messages import OtaState, decode
from levada.twin.ota.campaign import Campaign
from levada.twin.ota.journal import RolloutFolder, described
from levada.twin.ota.module_file import read_package
from levada.twin.ota.rollout import Rollout, RolloutStatus
from levada.twin.ota.sender import ask_states
from levada.twin.ota.settings import RolloutSettings

STAGES = ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"]


def begun(folder: Path, sent: object, nodes: list[str]) -> RolloutFolder:
    made = RolloutFolder(folder / "20230701T000000-test")
    about = described(sent, who="test", attempt="first")  # type: ignore[arg-type]
    made.begin(sent, about, Rollout(RolloutSettings(rate_per_minute=600.0), nodes))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("stage", STAGES)
def test_a_sender_that_is_killed_at_any_stage_goes_on_from_what_is_on_the_disk(
    stage: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    sent = package()
    folder = begun(tmp_path / "before", sent, ["north", "south"])
    stop = threading.Event()
    with MqttNodes(mosquitto.address, ["north", "south"]) as nodes:
        with Campaign(folder, mosquitto.address) as campaign:
            take = campaign._take

            def look(node: str, state: OtaState) -> bool:
                """What a killed one leaves is what it had written before this word."""
                if state.state == stage and not stop.is_set():
                    shutil.copytree(tmp_path / "before", tmp_path / "after")
                    stop.set()
                return take(node, state)

            campaign._take = look  # type: ignore[method-assign]
            campaign.run(stop)
        again = RolloutFolder(tmp_path / "after" / folder.name)
        assert again.rollout().status is RolloutStatus.IN_PROGRESS
        with Campaign(again, mosquitto.address) as campaign:
            rollout = campaign.run(threading.Event())
        assert rollout.counts() == {"SUCCEEDED": 2}
        assert nodes.installed == {"north": [sent.module], "south": [sent.module]}  # once


def signed_by(keys: KeyFolder, file: Path, counter: int) -> None:
    manifest = manifest_of(inspect(file.read_bytes()), counter=counter)
    envelope = sign(manifest, keys.active(lambda _: ""))
    manifest_path(file).write_bytes(envelope.encode())


def outcome(folder: RolloutFolder, broker: AnyBroker) -> tuple[str, str]:
    """How the update of the one node ends."""
    with Campaign(folder, broker.address) as campaign:
        execution = campaign.run(threading.Event()).executions["maize"]
    return execution.state.value, execution.reason.partition(":")[0]


def trusting(folder: Path, trusted: Trusted) -> str:
    keys = "&".join(f"trust={key.hex()}" for key in trusted.keys)
    field_scenario(folder, f"virtual?{keys}")
    return keys


def test_a_rollout_goes_on_after_a_key_was_rotated_in_its_midst(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Nodes trust the retired key until they are given the new pair; those that have it take the
    module once it is signed anew, with the same counter."""
    keys = new_keys(tmp_path / "keys")
    before = keys.trusted
    module = build_variant(tmp_path, "2.0.0")
    own = build_variant(tmp_path, "1.9.0")
    signed_by(keys, module, 5)
    folder = begun(tmp_path / "rollout", read_package(module), ["maize"])  # what is sent is fixed
    after, _ = keys.rotate(lambda _: "")
    for name, trusted, found in (
        ("old", before, ("SUCCEEDED", "")),
        ("new", after, ("REJECTED", "SIGNATURE")),
    ):
        (tmp_path / name).mkdir()
        trusting(tmp_path / name, trusted)
        signed_by(keys, own, 1)  # by the key that is active now, which both trust
        loaded = load(tmp_path / name / "field.toml", [("guest.file", str(own))])
        copy = tmp_path / f"rollout-{name}"
        shutil.copytree(tmp_path / "rollout", copy)
        with living(loaded, mosquitto):
            assert outcome(RolloutFolder(copy / folder.name), mosquitto) == found
            if name == "new":
                signed_by(keys, module, 5)
                anew = begun(tmp_path / "anew", read_package(module), ["maize"])
                assert outcome(anew, mosquitto) == ("SUCCEEDED", "")


class Levada(Closing):
    """A command as a process of its own, to be killed."""

    def __init__(self, *arguments: str | Path, cwd: Path) -> None:
        self._log = cwd / f"{arguments[0]}-{time.monotonic_ns()}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "levada", *map(str, arguments)],
                cwd=cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._log.read_text("utf-8")

    def ready(self) -> None:
        """Until it says that its boards report."""
        small_field.until(lambda: "reports to" in self.said, 600.0)

    def ended(self) -> int:
        return self._process.wait()

    def close(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("stage", STAGES[:-1])
@pytest.mark.parametrize("who", ["edge", "sender"])
def test_O24_kill_9_of_edge_or_sender_at_any_stage_ends_in_the_old_module_or_the_new_one(
    who: str, stage: str, mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = mosquitto.address
    monkeypatch.setenv("LEVADA_MQTT_USER", address.user or "")
    monkeypatch.setenv("LEVADA_MQTT_PASSWORD", address.password or "")
    url = f"mqtt://127.0.0.1:{address.port}"
    field_scenario(tmp_path)
    module = build_variant(tmp_path, "2.0.0")
    said: queue.Queue[OtaState] = queue.Queue()
    client = MqttClient(
        address,
        subscription="ic/maize/ota/state",
        handler=lambda _topic, payload: said.put(decode(OtaState, payload)),
    )
    edge = ("edge", "field.toml", "--broker", url, "--speed", "6000x", "--out", "kept")
    push = ("ota", "push", module, "--node", "maize", "--suite", "none", "--broker", url)
    with ExitStack() as stack:
        stack.callback(client.close)
        boards = stack.enter_context(Levada(*edge, cwd=tmp_path))
        boards.ready()
        sender = stack.enter_context(Levada(*push, "--trial-steps", "30", cwd=tmp_path))
        while said.get().state != stage:
            pass
        if who == "edge":
            boards.close()
            boards = stack.enter_context(Levada(*edge, cwd=tmp_path))
            boards.ready()
        else:
            sender.close()
            sender = stack.enter_context(Levada("ota", "resume", "--broker", url, cwd=tmp_path))
        code = sender.ended()
        assert code == 0 or (who == "edge" and "RESTART" in sender.said), sender.said
        if code:  # it was on trial, and is not barred by that
            again = stack.enter_context(Levada(*push, cwd=tmp_path))
            assert again.ended() == 0, again.said
        state = ask_states(address, ["maize"], 60.0)["maize"]
        assert state is not None
        assert (state.state, state.guest_version) == (UpdateStage.UPDATED, "2.0.0")
