"""Updates on the virtual board, by a serial line and by MQTT: rows O of the acceptance matrix.

Unit tests with the same numbers are in unit_update.c, power cuts at every write in power_cuts.c.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from device_bench import BUILD, CONFIGURE, Bench, build
from device_guests import guest
from proof_log import Prove
from services import Mosquitto
from test_board import SETTABLE, step
from update_bench import (
    COUNTER,
    NEW,
    OLD,
    OPEN,
    SECOND,
    STRANGER,
    TRUST,
    Device,
    envelope,
    failing,
    kept,
    module,
)

from levada.guest.abi import TrapKind
from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_line import Bridge, MqttLine
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.codec import encode_frame
from levada.hil.wire.messages import (
    Ack,
    Calibrate,
    Calibrated,
    Confirm,
    Fault,
    FaultKind,
    FaultPoint,
    GetParameter,
    InstallAbort,
    InstallBegin,
    InstallChunk,
    InstallEnd,
    InstallTrial,
    Nak,
    NakError,
    Parameter,
    Reject,
    Reset,
    ResetReason,
    Start,
    Step,
    StepFlag,
    TrialFlag,
    UpdateReason,
    UpdateState,
)

pytestmark = pytest.mark.usefixtures("boards")


def sha(wasm: bytes) -> bytes:
    return hashlib.sha256(wasm).digest()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench("wasm3", *TRUST) as found:
        yield found


@pytest.fixture
def device(bench: Bench) -> Device:
    """A board that trusts a key, and whose signed guest has made its first step."""
    return running(Device(bench))


def running(device: Device) -> Device:
    device.hello()
    assert isinstance(device.send(OLD, envelope(OLD, 1), piece=1000), Ack)
    assert isinstance(device.ask(InstallEnd()), Ack)
    device.start()
    assert device.step().outputs == 1
    return device


def goes_on(device: Device) -> bool:
    """The old guest makes the next step."""
    result = device.step()
    return (kept(result), result.trap, result.outputs) == (1, TrapKind.NONE, 1)


def failed(device: Device) -> tuple[UpdateReason, int]:
    status = device.status
    assert status.state == UpdateState.FAILED
    return UpdateReason(status.reason), status.detail


# The same on every line


def story(device: Device) -> None:
    """An update that is committed, one that is rolled back, one that is not signed."""
    running(device)
    assert device.waiting == 1
    # byte by byte the old guest goes on, and misses no step
    made: list[int | None] = []
    sealed = envelope(NEW, 2)
    assert device.send(NEW, sealed, between=lambda: made.append(kept(device.step()))) == Ack(
        value=len(NEW)
    )
    assert made == [1] * len(made) and len(made) == -(-len(NEW) // 200)
    assert isinstance(device.ask(InstallTrial(steps=3, within_ms=0, flags=0, carried=b"")), Ack)
    assert device.status.state == UpdateState.VERIFIED
    assert device.step().outputs == 1
    before = device.waiting

    assert device.start().flags == StepFlag.TRIAL
    for _ in range(2):
        result = device.step()
        assert (kept(result), result.outputs, result.flags) == (2, 0, StepFlag.TRIAL)
        assert device.waiting == before
    assert device.status.state == UpdateState.UPDATING
    result = device.step()
    assert (kept(result), result.outputs, result.flags) == (2, 1, 0)
    assert device.waiting == before + 3
    status = device.status
    assert (status.state, status.counter, status.version) == (UpdateState.UPDATED, 2, "2.0")
    assert status.sha256 == sha(NEW)

    bad = failing(3, at_step=2)
    assert isinstance(device.try_(bad, envelope(bad, 3)), Ack)
    assert device.start().flags == StepFlag.TRIAL
    assert device.step().flags == StepFlag.TRIAL
    result = device.step()  # the module before makes the step in which the other one trapped
    assert (kept(result), result.outputs, result.flags) == (2, 1, StepFlag.ROLLED_BACK)
    assert result.trap == TrapKind.NONE
    assert failed(device) == (UpdateReason.TRAP, TrapKind.UNREACHABLE)
    assert device.waiting == before + 4
    refused = Nak(error=NakError.BARRED, request=InstallBegin.TYPE, detail=0)
    assert device.begin(bad, envelope(bad, 4)) == refused
    forged = device.begin(OLD, envelope(OLD, 9, STRANGER))
    assert forged == Nak(error=NakError.SIGNATURE, request=InstallBegin.TYPE, detail=0)
    result = device.step()
    assert (kept(result), result.outputs, result.flags) == (2, 1, 0)


@pytest.mark.parametrize("engine", ["wasm3", "xtensa", "esp32", "aarch64", "wasmtime"])
def test_o18_o22_an_update_over_a_serial_line(engine: str) -> None:
    with Bench(engine, *TRUST) as bench:
        story(Device(bench))


def test_o18_o22_an_update_over_mqtt(broker: EmbeddedBroker | Mosquitto) -> None:
    with ExitStack() as stack:
        board = stack.enter_context(VirtualDevice("wasm3", options=TRUST))
        far = MqttLine(broker.address, "ic/esp32", side="device")
        stack.enter_context(Bridge(Port(board.url), far))
        link = Link(MqttLine(broker.address, "ic/esp32"))
        stack.callback(link.close)
        story(Device(link))


# Transfer


def test_o01_a_chunk_that_is_lost_is_asked_for_by_its_offset(device: Device) -> None:
    sealed = envelope(NEW, 2)
    pieces = range(0, len(NEW), 100)
    for lost in pieces[:-1]:
        assert device.ask(InstallAbort()) == Ack(value=0)
        assert device.begin(NEW, sealed) == Ack(value=0)
        for at in pieces:
            answer = device.ask(InstallChunk(offset=at, data=NEW[at : at + 100]))
            if at == lost:  # as if it had not come: the device is put back to before it
                device.ask(InstallAbort())
                device.begin(NEW, sealed)
                assert lost == 0 or isinstance(
                    device.ask(InstallChunk(offset=0, data=NEW[:lost])), Ack
                )
                continue
            if at > lost and isinstance(answer, Nak):
                assert (answer.error, answer.detail) == (NakError.STATE, lost)
                break
    rest = device.status.received
    assert isinstance(device.ask(InstallChunk(offset=rest, data=NEW[rest:])), Ack)
    assert isinstance(device.ask(InstallEnd()), Ack)
    device.start()
    assert kept(device.step()) == 2


def test_o02_o03_chunks_twice_and_in_any_order_give_the_same_bytes(device: Device) -> None:
    source = random.Random(3)
    size = 150
    pieces = [(at, NEW[at : at + size]) for at in range(0, len(NEW), size)]
    assert device.begin(NEW, envelope(NEW, 2)) == Ack(value=0)
    there = 0
    refused = 0
    while there < len(NEW):
        order = pieces * 2
        source.shuffle(order)
        for at, data in order:
            answer = device.ask(InstallChunk(offset=at, data=data))
            if at > there:
                assert answer == Nak(error=NakError.STATE, request=9, detail=there)
                refused += 1
            else:
                there = max(there, at + len(data))
                assert answer == Ack(value=there)
    assert refused > 0
    assert isinstance(device.ask(InstallEnd()), Ack)
    device.start()
    assert kept(device.step()) == 2


def test_o04_a_damaged_chunk_is_not_taken(bench: Bench, device: Device) -> None:
    data = NEW[:90]
    assert device.begin(NEW, envelope(NEW, 2)) == Ack(value=0)
    for at in range(len(data)):
        chunk = InstallChunk(offset=0, data=data)
        frame = bytearray(encode_frame(chunk.TYPE, bench.sequence + 1, chunk.encode()))
        frame[9 + at] ^= 0x10 if frame[9 + at] != 0x10 else 0x20  # no zero: it stays one frame
        os.write(bench.line, frame)
    assert device.status.received == 0
    assert isinstance(device.ask(InstallAbort()), Ack)
    assert goes_on(device)


def test_o05_what_flash_damages_before_its_trial_is_not_tried(tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with Bench("wasm3", *TRUST, "--flash", flash) as bench:
        device = running(Device(bench))
        assert isinstance(device.try_(NEW, envelope(NEW, 2)), Ack)
    content = bytearray(flash.read_bytes())
    at = content.index(NEW)
    content[at + 100] ^= 1
    flash.write_bytes(content)
    with Bench("wasm3", *TRUST, "--flash", flash) as bench:
        device = Device(bench)
        device.hello()
        assert failed(device) == (UpdateReason.DIGEST, 0)
        device.start()
        assert goes_on(device)


POINTS = (FaultPoint.FLASH_BEFORE, FaultPoint.FLASH_HALF, FaultPoint.FLASH_AFTER)


@pytest.mark.parametrize(
    ("engine", "point", "write"),
    [
        *(("wasm3", point, write) for write, point in product(range(0, 12, 2), POINTS)),
        *(
            pytest.param(engine, point, write, marks=pytest.mark.slow)
            for engine in ("wasm3", "xtensa", "aarch64")
            for write, point in product(range(12), POINTS)
        ),
    ],
)
def test_o06_after_a_power_cut_at_a_write_a_whole_module_runs_and_the_valve_is_closed(
    engine: str, point: FaultPoint, write: int, tmp_path: Path
) -> None:
    pins = tmp_path / "pins"
    with Bench(engine, *TRUST, "--pins", pins) as bench:
        device = running(Device(bench))
        armed = Fault(kind=FaultKind.RESET, point=point, after=write, argument=0)
        assert device.ask(armed) == Ack(value=0)
        requests = [
            InstallBegin(size=len(NEW), sha256=sha(NEW), envelope=envelope(NEW, 2)),
            *(InstallChunk(offset=at, data=NEW[at : at + 500]) for at in range(0, len(NEW), 500)),
            InstallTrial(steps=1, within_ms=0, flags=0, carried=b""),
            Start(time_ms=device.time_ms, flags=1, parameters=()),
        ]
        died = any(bench.answer_or_death(request) is None for request in requests)
        if not died:
            died = bench.answer_or_death(step_of(device)) is None
        lines = pins.read_text().splitlines()
        if died:
            device.hello()
            lines = pins.read_text().splitlines()
            assert lines[-2:] == ["off", "boot"]
            before = device.status.state
            assert device.start().outputs == 0
            first = device.step()
            assert kept(first) in (1, 2)
            assert first.outputs == 1 or before == UpdateState.VERIFIED
        assert isinstance(device.ask(InstallAbort()), Ack)
        assert device.step().outputs == 1
        if device.status.sha256 != sha(NEW):  # and it can be brought over again
            assert isinstance(device.try_(NEW, envelope(NEW, 2), steps=1), Ack)
            device.start()
            assert kept(device.step()) == 2
        assert device.status.sha256 == sha(NEW)


def step_of(device: Device) -> Step:
    """The next one, to be sent to a board that may die of it."""
    device.time_ms += 1000
    return step(device.time_ms)


@pytest.mark.parametrize(
    ("selection", "cuts", "second_cuts"),
    [([], 3_000, 3_000), pytest.param(["--full"], 30_000, 100_000, marks=pytest.mark.slow)],
    ids=["quick", "full"],
)
def test_o06_o07_o08_o09_power_cuts_at_every_write(
    selection: list[str], cuts: int, second_cuts: int, proof: Prove
) -> None:
    build("build/test/power_cuts")
    done = subprocess.run(
        [BUILD / "test" / "power_cuts", *selection], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert found["cuts"] > cuts and found["second_cuts"] > second_cuts
    tried = sum(found[of] for of in ("cuts", "second_cuts", "refused_writes", "bit_flips"))
    proof("bad boots after a power cut", tried=tried, found=found["failures"])
    assert done.returncode == 0, done.stderr


# Who may install


def test_o10_a_wrong_signature_a_wrong_key_and_none_change_nothing(
    device: Device, proof: Prove
) -> None:
    good = envelope(NEW, 2)
    damaged = bytearray(good)
    damaged[40] ^= 1
    for sealed in (b"", envelope(NEW, 2, STRANGER), bytes(damaged)):
        refused = Nak(error=NakError.SIGNATURE, request=InstallBegin.TYPE, detail=0)
        assert device.begin(NEW, sealed) == refused
    answers = [device.begin(NEW, good[:length]) for length in range(len(good))]
    taken = sum(not isinstance(answer, Nak) for answer in answers)
    proof("modules taken that must not be", tried=3 + len(answers), found=taken)
    other = Nak(error=NakError.DIGEST, request=InstallBegin.TYPE, detail=0)
    assert device.begin(OLD, good) == other
    assert device.status.state == UpdateState.UPDATED
    assert goes_on(device)


def test_o11_o12_an_older_module_is_refused_also_after_the_record_was_edited(
    tmp_path: Path, proof: Prove
) -> None:
    flash = tmp_path / "flash"
    refused = Nak(error=NakError.ROLLBACK, request=InstallBegin.TYPE, detail=2)
    with Bench("wasm3", *TRUST, "--flash", flash) as bench:
        device = running(Device(bench))
        assert isinstance(device.send(NEW, envelope(NEW, 2)), Ack)
        assert isinstance(device.ask(InstallEnd()), Ack)
        third = module(3)
        older = [device.begin(OLD, envelope(OLD, 1)), device.begin(third, envelope(third, 2))]
    content = bytearray(flash.read_bytes())
    for at in (0, 1024):
        record = content[at : at + 440]
        record[344:348] = struct.pack("<I", 0)
        content[at : at + 444] = record + struct.pack("<I", zlib.crc32(record))
    flash.write_bytes(content)
    with Bench("wasm3", *TRUST, "--flash", flash) as bench:
        device = Device(bench)
        device.hello()
        assert device.status.counter == 2
        older.append(device.begin(OLD, envelope(OLD, 1)))
    taken = sum(answer != refused for answer in older)
    proof("modules taken that must not be", tried=len(older), found=taken)


@pytest.mark.parametrize("changes", [{"target": "zone7"}, {"abi": 2}, {"tiers": 2}, {"profile": 9}])
def test_o13_a_module_for_something_else_is_refused(
    device: Device, changes: dict[str, Any], proof: Prove
) -> None:
    refused = Nak(error=NakError.TARGET, request=InstallBegin.TYPE, detail=0)
    taken = device.begin(NEW, envelope(NEW, 2, **changes)) != refused
    proof("modules taken that must not be", tried=1, found=taken)
    assert goes_on(device)


def test_o14_o27_what_is_too_large_is_refused_at_the_beginning_and_a_stream_without_end(
    device: Device, proof: Prove
) -> None:
    large = OLD.ljust(65_537, b"\0")
    refused = Nak(error=NakError.SIZE, request=InstallBegin.TYPE, detail=0)
    taken = device.begin(large, envelope(large, 2)) != refused
    proof("modules taken that must not be", tried=1, found=taken)
    assert isinstance(device.send(NEW, envelope(NEW, 2)), Ack)
    for _ in range(100):
        more = device.ask(InstallChunk(offset=len(NEW), data=b"x" * 1000))
        assert more == Nak(error=NakError.SIZE, request=InstallChunk.TYPE, detail=len(NEW))
    assert isinstance(device.ask(InstallEnd()), Ack)


BAD: dict[str, bytes] = {
    "missing export": guest(SECOND).replace(b"step", b"stop"),
    "wrong type": guest(SECOND, more='(func (export "param_get") (result i64) (i64.const 0))'),
    "extra import": guest(SECOND, first='(import "env" "format_flash" (func))'),
    "malformed": OLD[:-9],
}


@pytest.mark.parametrize("name", BAD)
def test_o16_o17_what_is_no_guest_is_refused_before_its_trial(device: Device, name: str) -> None:
    wasm = BAD[name]
    answer = device.try_(wasm, envelope(wasm, 2))
    if isinstance(answer, Ack):  # what only a start can know
        assert name in ("missing export", "wrong type")
        result = device.start()
        assert result.flags == StepFlag.ROLLED_BACK
        assert failed(device)[0] == UpdateReason.LOAD
    else:
        assert isinstance(answer, Nak)
        assert answer.error == NakError.LOAD
        assert failed(device) == (UpdateReason.LOAD, answer.detail)
    assert goes_on(device)


# Trial

LOOP = "(loop $l (br $l))"
TRAPS: dict[str, tuple[bytes, UpdateReason, int]] = {
    "o18 trap at the start": (
        module(9, more='(func (export "_initialize") (unreachable))'),
        UpdateReason.TRAP,
        TrapKind.UNREACHABLE,
    ),
    "o18 trap in init": (
        module(9, init="(unreachable)"),
        UpdateReason.TRAP,
        TrapKind.UNREACHABLE,
    ),
    "o18 trap in the first step": (failing(9, 1), UpdateReason.TRAP, TrapKind.UNREACHABLE),
    "o18 trap in the second step": (failing(9, 2), UpdateReason.TRAP, TrapKind.UNREACHABLE),
    "o19 loop in init": (
        module(9, init=f"{LOOP} {SECOND}"),
        UpdateReason.BUDGET,
        TrapKind.OUT_OF_FUEL,
    ),
    "o19 loop in a step": (module(9, step=LOOP), UpdateReason.BUDGET, TrapKind.OUT_OF_FUEL),
    "o20 memory beyond its cap": (
        module(
            9,
            step="(drop (memory.grow (i32.const 60000)))"
            "(i32.store (i32.const 0x7fff0000) (i32.const 1))",
        ),
        UpdateReason.TRAP,
        TrapKind.MEMORY_OUT_OF_BOUNDS,
    ),
    "fault": (
        guest(f"{OPEN} (i32.const -3)", SECOND, COUNTER),
        UpdateReason.FAULT,
        TrapKind.GUEST_FAULT,
    ),
}


@pytest.mark.parametrize("engine", ["wasm3", pytest.param("xtensa", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TRAPS)
def test_o18_o19_o20_a_trial_that_is_stopped_is_rolled_back_and_barred(
    engine: str, name: str
) -> None:
    wasm, reason, detail = TRAPS[name]
    with Bench(engine, *TRUST) as bench:
        device = running(Device(bench))
        assert isinstance(device.try_(wasm, envelope(wasm, 2)), Ack)
        result = device.start()
        while result.flags == StepFlag.TRIAL:
            assert result.outputs == 0
            result = device.step()
        assert (result.flags, result.trap) == (StepFlag.ROLLED_BACK, TrapKind.NONE)
        assert failed(device) == (reason, detail)
        assert goes_on(device)
        refused = Nak(error=NakError.BARRED, request=InstallBegin.TYPE, detail=0)
        assert device.begin(wasm, envelope(wasm, 3)) == refused


def test_o21_a_trial_without_a_report_ends_with_its_time(device: Device) -> None:
    silent = guest(f"{OPEN} {SECOND}", SECOND)
    want = TrialFlag.REPORT
    assert isinstance(
        device.try_(silent, envelope(silent, 2), steps=1, flags=want, within_ms=300), Ack
    )
    device.start()
    assert device.step().flags == StepFlag.TRIAL
    while device.status.state == UpdateState.UPDATING:
        pass
    assert failed(device) == (UpdateReason.TIMEOUT, 1)
    result = device.step()
    assert (kept(result), result.flags, result.outputs) == (1, StepFlag.ROLLED_BACK, 1)


def test_a_trial_that_wants_a_confirmation_waits_for_it(device: Device) -> None:
    assert isinstance(device.try_(NEW, envelope(NEW, 2), steps=1, flags=TrialFlag.CONFIRM), Ack)
    device.start()
    assert [device.step().flags for _ in range(3)] == [StepFlag.TRIAL] * 3
    wrong = Nak(error=NakError.VALUE, request=Confirm.TYPE, detail=0)
    assert device.ask(Confirm(sha256=sha(OLD))) == wrong
    assert device.ask(Confirm(sha256=sha(NEW))) == Ack(value=UpdateState.UPDATED)
    assert device.step().outputs == 1
    assert device.ask(Reject()) == Nak(error=NakError.STATE, request=Reject.TYPE, detail=0)


# Restarts, senders


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
def test_o24_a_restart_in_a_transfer_keeps_the_module_in_use(device: Device, percent: int) -> None:
    there = len(NEW) * percent // 100
    assert device.begin(NEW, envelope(NEW, 2)) == Ack(value=0)
    assert device.ask(InstallChunk(offset=0, data=NEW[:there])) == Ack(value=there)
    assert device.ask(Reset()) == Ack(value=0)
    device.hello()
    assert device.status.state == UpdateState.UPDATED  # the update before
    device.start()
    assert goes_on(device)
    assert isinstance(device.try_(NEW, envelope(NEW, 2), steps=1), Ack)
    device.start()
    assert kept(device.step()) == 2


def test_o23_a_new_session_goes_on_where_the_transfer_was(device: Device) -> None:
    assert device.begin(NEW, envelope(NEW, 2)) == Ack(value=0)
    assert device.ask(InstallChunk(offset=0, data=NEW[:300])) == Ack(value=300)
    device.hello(session=8)
    assert device.begin(NEW, envelope(NEW, 2)) == Ack(value=300)
    assert device.ask(InstallChunk(offset=300, data=NEW[300:])) == Ack(value=len(NEW))


def test_o25_of_two_senders_one_wins_and_the_other_is_told(device: Device) -> None:
    source = random.Random(25)
    third = module(3)
    for _ in range(25):
        first, second = source.sample([NEW, third], 2)
        device.hello(session=1)
        assert isinstance(device.begin(first, envelope(first, 2)), Ack)
        device.ask(InstallChunk(offset=0, data=first[:100]))
        device.hello(session=2)
        busy = device.begin(second, envelope(second, 2))
        assert isinstance(busy, Nak)
        assert busy.error == NakError.BUSY
        assert 0 < busy.detail <= 10_001
        device.hello(session=3)
        assert device.begin(first, envelope(first, 2)) == Ack(value=100)
        assert isinstance(device.ask(InstallAbort()), Ack)
    assert goes_on(device)


def test_o18_a_restart_in_a_trial_boots_the_module_before(device: Device, bench: Bench) -> None:
    assert isinstance(device.try_(NEW, envelope(NEW, 2)), Ack)
    device.start()
    assert device.step().flags == StepFlag.TRIAL
    cut = Fault(kind=FaultKind.RESET, point=FaultPoint.CALL, after=1, argument=0)
    assert device.ask(cut) == Ack(value=0)
    assert bench.answer_or_death(step_of(device)) is None
    device.hello()
    assert failed(device) == (UpdateReason.RESTART, ResetReason.POWER_ON)
    device.start()
    assert goes_on(device)
    assert device.begin(NEW, envelope(NEW, 2)) == Ack(value=len(NEW))  # it is not to blame


def test_a_module_that_hangs_the_board_in_its_trial_is_barred(bench: Bench) -> None:
    device = running(Device(bench))
    assert isinstance(device.try_(NEW, envelope(NEW, 2)), Ack)
    device.start()
    hang = Fault(kind=FaultKind.HANG, point=FaultPoint.CALL, after=1, argument=0)
    assert device.ask(hang) == Ack(value=0)
    assert bench.answer_or_death(step_of(device)) is None
    device.hello()
    assert failed(device) == (UpdateReason.RESTART, ResetReason.WATCHDOG)
    refused = Nak(error=NakError.BARRED, request=InstallBegin.TYPE, detail=0)
    assert device.begin(NEW, envelope(NEW, 2)) == refused


def test_o28_parameters_that_both_declare_are_carried_over(device: Device) -> None:
    settable = {n: SETTABLE + bytes([0, 2, 1, 0x30 + n]) for n in (1, 2)}  # a custom section
    for number, wasm in settable.items():
        if number == 1:
            assert isinstance(device.send(wasm, envelope(wasm, 2)), Ack)
            assert isinstance(device.ask(InstallEnd()), Ack)
            device.start()
            change = device.ask(Calibrate(flags=1, parameters=((0, 77),)))
            assert isinstance(change, Calibrated)
            continue
        for carried, value in (((), 10), ((0,), 77)):
            answer = device.try_(wasm, envelope(wasm, 3), steps=9, carried=carried)
            assert isinstance(answer, Ack)
            assert device.start().flags == StepFlag.TRIAL
            assert device.ask(GetParameter(id=0)) == Parameter(id=0, value=value)
            device.ask(InstallAbort())
            device.step()
            assert device.ask(GetParameter(id=0)) == Parameter(id=0, value=77)


def test_no_publication_is_lost_by_an_update_and_numbers_go_on(device: Device) -> None:
    before = device.waiting
    for wasm, counter, good in ((failing(9, 2), 2, False), (NEW, 3, True)):
        assert isinstance(device.try_(wasm, envelope(wasm, counter), steps=3), Ack)
        device.start()
        flags = [device.step().flags for _ in range(3)]
        assert (flags[-1] == 0) == good or StepFlag.ROLLED_BACK in flags
    # the old one made two of the three steps of the first trial, the new one all of its own
    assert device.waiting == before + 2 + 3


def test_an_open_device_tries_an_unsigned_module_and_goes_back() -> None:
    with Bench("wasm3") as bench:
        device = Device(bench)
        device.hello()
        device.send(OLD)
        assert isinstance(device.ask(InstallEnd()), Ack)
        device.start()
        assert isinstance(device.try_(NEW, steps=9), Ack)
        device.start()
        assert device.ask(Reject()) == Ack(value=0)
        assert goes_on(device)
        refused = Nak(error=NakError.BARRED, request=InstallTrial.TYPE, detail=0)
        assert device.try_(NEW) == refused
        assert (CONFIGURE.node, device.status.counter) == ("esp32", 0)
