"""Boards of a field that end anywhere in an update, and go on with what they keep."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import small_field
from living_field import (
    KEY,
    AnyBroker,
    Field,
    assert_no_step_was_missed,
    live_on,
    living,
    pushed,
    scenario,
    sign,
)
from ota_modules import build_variant
from services import Mosquitto

from levada.guest.signing.envelope import raw_public
from levada.hil.errors import HilError
from levada.hil.update.states import UpdateStage
from levada.sim.scenario.load import load
from levada.twin.mqtt.messages import OtaState
from levada.twin.ota.module_file import read_package
from levada.twin.ota.sender import Sender, ask_states


def test_a_board_knows_barred_modules_and_its_counter_after_the_field_was_started_again(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    old, new, bad = (
        build_variant(tmp_path, "1.9.0"),
        build_variant(tmp_path, "2.0.0"),
        build_variant(tmp_path, "3.0.0", trap=True),
    )
    for counter, file in enumerate((old, new, bad), start=4):
        sign(file, counter=counter)
    scenario(tmp_path, f"virtual?trust={raw_public(KEY).hex()}")
    loaded = load(tmp_path / "field.toml", [("guest.file", str(old))])
    kept = tmp_path / "kept"
    with living(loaded, mosquitto, kept):
        assert pushed(mosquitto, new)[0].state is UpdateStage.UPDATED
        assert pushed(mosquitto, bad)[0].reason == "TRAP"
    for last, reason in ((UpdateStage.FAILED, "TRAP"), (UpdateStage.UPDATED, "")):
        with living(loaded, mosquitto, kept) as field:
            assert field._boards[0].birth().guest_version == "2.0.0"
            status = ask_states(mosquitto.address, ["maize"], 10.0)["maize"]
            assert status is not None
            assert (status.counter, status.state, status.reason) == (5, last, reason)
            assert pushed(mosquitto, old)[0].reason == "ROLLBACK"
            assert pushed(mosquitto, bad)[0].reason == "BARRED"
            again, said = pushed(mosquitto, new)
            assert (again.state, again.text) == (UpdateStage.UPDATED, "it runs already")
            assert not any(s.state is UpdateStage.DOWNLOADING for s in said)


def test_a_field_whose_scenario_has_an_older_module_than_its_boards_says_so(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    old, new = build_variant(tmp_path, "1.9.0"), build_variant(tmp_path, "2.0.0")
    sign(old, counter=4)
    sign(new, counter=5)
    scenario(tmp_path, f"virtual?trust={raw_public(KEY).hex()}")
    kept = tmp_path / "kept"
    for file, refused in ((new, False), (old, True), (new, False)):
        loaded = load(tmp_path / "field.toml", [("guest.file", str(file))])
        with Field(loaded, mosquitto, kept) as field:
            if refused:
                with pytest.raises(HilError, match="refused InstallBegin: rollback"):
                    field.run()
            else:
                field._plant.advance_to(field._plant.start_ms)
                assert field._boards[0].birth().guest_version == "2.0.0"


class _Killed(Exception):  # noqa: N818 - an event
    pass


def killed_at(
    stage: str, module: Path, broker: AnyBroker, folder: Path, kept: Path
) -> list[OtaState]:
    """Let the field end when its update is there, as kill -9 would: what was on the disk then is
    all that the next one has.  What was told before."""
    said: list[OtaState] = []
    reached = threading.Event()
    copy = folder / f"at-{stage}"

    def heard(_node: str, state: OtaState) -> None:
        said.append(state)

    with living(load(folder / "field.toml"), broker, kept) as field:
        update = field._updates[0]
        before = update.before_step

        def look() -> None:
            """Between two steps, so nothing of the board is written meanwhile."""
            state = update.receiver.state.value
            there = {
                "DOWNLOADING": (kept / "node-maize").is_dir()
                and any((kept / "node-maize").glob("*.part")),
                "UPDATING": update._device.on_trial,
            }.get(stage, True)
            if not reached.is_set() and state == stage and there:
                shutil.copytree(kept, copy)
                reached.set()
            elif not reached.is_set():
                before()

        update.before_step = look  # type: ignore[method-assign]
        with Sender(broker.address, read_package(module), on_state=heard, attempt="a") as sender:
            if stage == "DOWNLOADING":
                sender._hand_out = _once(sender._hand_out)  # type: ignore[method-assign]
            sender.begin("maize")
            small_field.until(reached.is_set)
    shutil.rmtree(kept)
    copy.rename(kept)
    return said


def _once(hand_out: Callable[..., None]) -> Callable[..., None]:
    """The first part of a module, and no other."""

    def some(node: str, want: object) -> None:
        if getattr(want, "offset", 0) == 0:
            hand_out(node, want)

    return some


@pytest.mark.parametrize("stage", ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"])
def test_O24_a_field_that_is_killed_at_any_stage_has_the_old_module_or_the_new_one(
    stage: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Its sender repeats the request, as after any silence; a trial that was cut off has failed."""
    better, kept = build_variant(tmp_path, "2.0.0"), tmp_path / "kept"
    scenario(tmp_path)
    killed_at(stage, better, mosquitto, tmp_path, kept)
    with living(load(tmp_path / "field.toml"), mosquitto, kept) as field:
        version = field._boards[0].birth().guest_version
        assert version == ("2.0.0" if stage == "UPDATED" else "1.2.0")
        ended, said = pushed(mosquitto, better, attempt="a")
        if stage == "UPDATING":
            assert (ended.state, ended.reason) == (UpdateStage.FAILED, "RESTART")
            ended, said = pushed(mosquitto, better, attempt="b")  # and is not barred by that
        assert (ended.state, ended.guest_version) == (UpdateStage.UPDATED, "2.0.0")
        if stage == "DOWNLOADING":
            first = next(s for s in said if s.id)
            assert 0 < first.received < first.size
        if stage == "UPDATED":
            assert not any(s.state is UpdateStage.DOWNLOADING for s in said)
        live_on(field)
        assert_no_step_was_missed(field)


def test_a_field_that_is_killed_before_it_notes_a_commit_goes_on_with_the_new_module(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    better, kept = build_variant(tmp_path, "2.0.0"), tmp_path / "kept"
    scenario(tmp_path)
    with living(load(tmp_path / "field.toml"), mosquitto, kept) as field:
        update, ended = field._updates[0], threading.Event()

        def cut(_coming: object, verdict: object) -> None:
            shutil.copytree(kept, tmp_path / "cut")
            ended.set()

        update._end = cut  # type: ignore[method-assign, assignment]
        with Sender(
            mosquitto.address, read_package(better), on_state=lambda *_: None, attempt="a"
        ) as sender:
            sender.begin("maize")
            small_field.until(ended.is_set)
    shutil.rmtree(kept)
    (tmp_path / "cut").rename(kept)
    assert not (kept / "node-maize" / "modules.json").exists()
    with living(load(tmp_path / "field.toml"), mosquitto, kept) as field:
        assert field._boards[0].birth().guest_version == "2.0.0"
        told, _ = pushed(mosquitto, better, attempt="a")
        assert (told.state, told.guest_version) == (UpdateStage.UPDATED, "2.0.0")
        about = json.loads((kept / "node-maize" / "modules.json").read_text())
        assert [entry["version"] for entry in about] == ["2.0.0", ""]
        live_on(field)
        assert_no_step_was_missed(field)


def test_two_fields_cannot_have_the_same_board(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.hil.virtual.START_S", 0.5)
    loaded, kept = scenario(tmp_path), tmp_path / "kept"
    with (
        Field(loaded, mosquitto, kept),
        pytest.raises(HilError, match=r"did not start.*flash.bin in use\?"),
        Field(loaded, mosquitto, kept),
    ):
        pass
