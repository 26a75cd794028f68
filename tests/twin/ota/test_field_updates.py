"""Boards of a field that are given another module over a broker, while they irrigate."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import small_field
import wasmtime
from living_field import (
    KEY,
    AnyBroker,
    Field,
    assert_no_step_was_missed,
    board_parameter,
    live_on,
    living,
    pushed,
    scenario,
    sign,
)
from ota_bench import request
from ota_modules import build_variant
from services import Mosquitto

from levada.guest.signing.envelope import raw_public
from levada.hil.update.states import UpdateStage
from levada.sim.scenario.load import load
from levada.twin.mqtt.messages import OtaState
from levada.twin.ota.chunks import Offer
from levada.twin.ota.module_file import read_package
from levada.twin.ota.receiver import COMMITTED
from levada.twin.ota.sender import Sender, ask_states

TRIAL_WAKE_MS = 3_600_000
"""`LV_TRIAL_WAKE_MS` of the firmware: an hour."""


def test_a_board_takes_a_module_over_a_broker_and_misses_no_step(
    broker: AnyBroker, tmp_path: Path
) -> None:
    better = build_variant(tmp_path, "2.0.0")
    with living(scenario(tmp_path), broker) as field:
        ended, said = pushed(broker, better)
        assert (ended.state, ended.guest_version) == (UpdateStage.UPDATED, "2.0.0")
        stages = list(dict.fromkeys(s.state.value for s in said if s.id))
        assert stages == ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"]
        live_on(field)
        assert_no_step_was_missed(field)
        assert field._parameters[0]["on_pct"] == 70  # declared alike by both: carried over


def test_a_module_that_sleeps_for_a_day_is_on_trial_for_hours_and_not_for_days(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Its valve is held closed meanwhile."""
    sleeper = build_variant(tmp_path, "2.0.0", sleeps=True)
    with living(scenario(tmp_path), mosquitto) as field:
        ended, _ = pushed(mosquitto, sleeper)
        assert (ended.state, ended.guest_version) == (UpdateStage.UPDATED, "2.0.0")
        times = [seen.time_ms for seen in field.steps if seen.readings is not None]
        gaps = [b - a for a, b in pairwise(times)]
        assert gaps.count(TRIAL_WAKE_MS) in (2, 3)  # three steps, and perhaps the next


def test_O18_a_module_that_traps_on_trial_is_rolled_back_and_the_field_goes_on(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    bad = build_variant(tmp_path, "2.0.0", trap=True)
    with living(scenario(tmp_path), mosquitto) as field:
        ended, _ = pushed(mosquitto, bad)
        assert (ended.state, ended.reason) == (UpdateStage.FAILED, "TRAP")
        assert ended.guest_version == "1.2.0"
        live_on(field)
        assert board_parameter(field, "on_pct") == 70
        assert_no_step_was_missed(field)
        assert all(seen.result.trap == 0 for seen in field.steps)
        again, _ = pushed(mosquitto, bad)
        assert again.reason == "BARRED"


def delivered(field: Field) -> list[tuple[int, str]]:
    """Times and messages of the telemetry that leaves the field from now on."""
    found: list[tuple[int, str]] = []
    deliver = field._gateway.deliver

    def noted(node: str, topic: str, time_ms: int, message: str) -> None:
        found.append((time_ms, message))
        deliver(node, topic, time_ms, message)

    field._gateway.deliver = noted  # type: ignore[method-assign]
    return found


def test_O22_what_a_module_on_trial_publishes_leaves_once_it_is_committed_and_none_is_lost(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    better = build_variant(tmp_path, "2.0.0")
    with living(scenario(tmp_path), mosquitto) as field:
        left = delivered(field)
        small_field.until(lambda: bool(left))
        first = len(field.steps)
        ended, _ = pushed(mosquitto, better, steps=40)
        assert ended.state is UpdateStage.UPDATED
        live_on(field)
        field.stop()
        wanted = {
            (seen.time_ms, message)
            for seen in field.steps[first:]
            for _, message in seen.result.publications
        }
        times = [time_ms for time_ms, _ in left]
        assert times == sorted(set(times))  # in order, each once
        assert len(wanted) > 40
        assert len(wanted - set(left)) <= 1  # the last step may not have been looked at


def test_O22_what_a_module_on_trial_publishes_never_leaves_if_no_twin_would_take_it(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    bad = build_variant(tmp_path, "2.0.0", tells='"{\\"raw\\":nonsense"')
    with living(scenario(tmp_path), mosquitto) as field:
        left = delivered(field)
        small_field.until(lambda: bool(left))
        ended, _ = pushed(mosquitto, bad)
        assert (ended.state, ended.reason) == (UpdateStage.FAILED, "REJECTED")
        assert "no twin would take its telemetry" in ended.text
        live_on(field)
        assert_no_step_was_missed(field)
        assert not any("nonsense" in message for _, message in left)
        assert pushed(mosquitto, bad)[0].reason == "BARRED"


def test_an_abort_reaches_a_module_on_trial_and_the_former_one_goes_on_as_it_was(
    broker: AnyBroker, tmp_path: Path
) -> None:
    better, said, news = build_variant(tmp_path, "2.0.0"), list[OtaState](), threading.Condition()

    def heard(_node: str, state: OtaState) -> None:
        with news:
            said.append(state)
            news.notify_all()

    def wait(stage: UpdateStage) -> OtaState:
        with news:
            news.wait_for(lambda: any(s.id and s.state is stage for s in said))
            return next(s for s in said if s.id and s.state is stage)

    with living(scenario(tmp_path), broker) as field:
        sent = read_package(better)
        with Sender(broker.address, sent, on_state=heard, trial_steps=60_000) as sender:
            sender.begin("maize")
            wait(UpdateStage.UPDATING)
            live_on(field)
            sender.abort("maize")
            ended = wait(UpdateStage.FAILED)
            assert (ended.reason, ended.guest_version) == ("ABORTED", "1.2.0")
            assert ended.attempt == said[-1].attempt is not None
        live_on(field)
        assert_no_step_was_missed(field)
        assert field._boards[0].birth().guest_version == "1.2.0"
        assert board_parameter(field, "on_pct") == 70  # of the scenario, not the module's 60
        assert pushed(broker, better)[0].state is UpdateStage.UPDATED  # it is not barred
        said.clear()
        with Sender(broker.address, sent, on_state=heard) as sender:
            sender.abort("maize")
            late = wait(UpdateStage.UPDATED)
            assert (late.text, late.guest_version) == (COMMITTED, "2.0.0")
        live_on(field)
        assert_no_step_was_missed(field)


def test_an_abort_reaches_a_module_that_waits_for_its_trial(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """The former module was not stopped for it, so it is not started again either."""
    with living(scenario(tmp_path), mosquitto) as field:
        update, settled = field._updates[0], list[UpdateStage]()

        def at_once(stage: UpdateStage, *_: object) -> None:
            settled.append(stage)
            if stage is UpdateStage.VERIFIED:
                update._give_up()

        offered = read_package(build_variant(tmp_path, "2.0.0"))
        offer = Offer.of(request(offered))
        update._install(offer, offered.module, at_once)
        small_field.until(lambda: settled[-1:] == [UpdateStage.FAILED])
        assert settled == [UpdateStage.VERIFIED, UpdateStage.FAILED]
        live_on(field)
        assert_no_step_was_missed(field)
        assert board_parameter(field, "on_pct") == 70


def test_O16_what_is_no_guest_is_refused_with_all_that_is_wrong(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    file = tmp_path / "bad.wasm"
    file.write_bytes(bytes(wasmtime.wat2wasm('(module (func (export "other")))')))
    with living(scenario(tmp_path), mosquitto):
        ended, _ = pushed(mosquitto, file)
    assert (ended.state, ended.reason, ended.guest_version) == (
        UpdateStage.FAILED,
        "LOAD",
        "1.2.0",
    )


def test_O24_a_field_that_is_started_again_has_the_modules_that_it_was_given(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    better, kept = build_variant(tmp_path, "2.0.0"), tmp_path / "kept"
    with living(scenario(tmp_path), mosquitto, kept):
        assert pushed(mosquitto, better)[0].state is UpdateStage.UPDATED
    with living(scenario(tmp_path), mosquitto, kept) as field:
        assert field._boards[0].birth().guest_version == "2.0.0"
        ended, said = pushed(mosquitto, better)
        assert ended.state is UpdateStage.UPDATED
        assert not any(s.state is UpdateStage.DOWNLOADING for s in said)
    with living(scenario(tmp_path), mosquitto) as field:
        assert field._boards[0].birth().guest_version == "1.2.0"


def test_O30_a_field_that_trusts_keys_takes_an_older_module_only_as_the_answer_to_its_nonce(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    old, new = build_variant(tmp_path, "1.9.0"), build_variant(tmp_path, "2.0.0")
    sign(old, counter=4)
    scenario(tmp_path, f"virtual?trust={raw_public(KEY).hex()}")
    loaded = load(tmp_path / "field.toml", [("guest.file", str(old))])
    with living(loaded, mosquitto) as field:
        unsigned, _ = pushed(mosquitto, new)
        assert (unsigned.state, unsigned.reason) == (UpdateStage.FAILED, "SIGNATURE")
        sign(new, counter=5)
        taken, _ = pushed(mosquitto, new)
        assert (taken.state, taken.guest_version, taken.counter) == (
            UpdateStage.UPDATED,
            "2.0.0",
            5,
        )
        back, _ = pushed(mosquitto, old)
        assert (back.state, back.reason) == (UpdateStage.FAILED, "ROLLBACK")
        status = ask_states(mosquitto.address, ["maize"], 10.0)["maize"]
        assert status is not None
        sign(old, counter=4, nonce="00" * 16)
        assert pushed(mosquitto, old)[0].reason in ("EXPIRED", "ROLLBACK")
        sign(old, counter=4, nonce=status.nonce)
        returned, _ = pushed(mosquitto, old)
        assert (returned.state, returned.guest_version) == (UpdateStage.UPDATED, "1.9.0")
        live_on(field)
        assert_no_step_was_missed(field)


def test_a_board_that_gives_up_a_module_after_three_crashes_has_the_former_one_for_good(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    bad, kept = build_variant(tmp_path, "2.0.0", crash_after=6), tmp_path / "kept"
    loaded = scenario(tmp_path, guest='[guest]\nrestart = "10 min"\nmay_stop = true\n')
    with living(loaded, mosquitto, kept) as field:
        assert pushed(mosquitto, bad)[0].state is UpdateStage.UPDATED
        receiver = field._updates[0].receiver
        small_field.until(lambda: receiver.state is UpdateStage.FAILED)
        assert field._boards[0].birth().guest_version == "1.2.0"
        assert field._parameters[0]["on_pct"] == 70
        assert ask_states(mosquitto.address, ["maize"], 10.0)["maize"].reason == "CRASHES"
        live_on(field)
        assert pushed(mosquitto, bad)[0].reason == "BARRED"
    with living(loaded, mosquitto, kept) as field:
        assert field._boards[0].birth().guest_version == "1.2.0"


def test_a_board_whose_guest_was_stopped_takes_another_module(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    stopped, better = (
        build_variant(tmp_path, "1.9.0", crash_after=2),
        build_variant(tmp_path, "2.0.0"),
    )
    with living(scenario(tmp_path, guest=f'[guest]\nfile = "{stopped}"\n'), mosquitto) as field:
        small_field.until(lambda: any(seen.result.trap for seen in field.steps))
        ended, _ = pushed(mosquitto, better)
        assert (ended.state, ended.guest_version) == (UpdateStage.UPDATED, "2.0.0")


def test_a_module_that_crashes_is_given_up_though_the_scenario_starts_no_guest_again(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    bad = build_variant(tmp_path, "2.0.0", crash_after=6)
    with living(scenario(tmp_path), mosquitto) as field:
        assert pushed(mosquitto, bad)[0].state is UpdateStage.UPDATED
        receiver = field._updates[0].receiver
        small_field.until(lambda: receiver.state is UpdateStage.FAILED)
        assert field._boards[0].birth().guest_version == "1.2.0"
