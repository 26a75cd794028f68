"""The virtual board when things go wrong: resets, damage, silence, power cuts, stale requests."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_bench import BUILD, CONFIGURE, START_MS, Bench
from device_guests import OPEN_VALVE, guest

from levada.hil.wire.codec import Console, Damage, Decoder, Frame, encode_frame
from levada.hil.wire.message import Message
from levada.hil.wire.messages import (
    Ack,
    Birth,
    BirthFlag,
    Calibrate,
    Calibrated,
    Close,
    Configure,
    Fault,
    FaultKind,
    FaultPoint,
    GetParameter,
    GetStatistics,
    GetTelemetry,
    Hello,
    InstallBegin,
    InstallChunk,
    InstallEnd,
    Nak,
    NakError,
    Parameter,
    Ping,
    Pong,
    ReadTape,
    Reset,
    ResetReason,
    Start,
    StartFlag,
    Statistics,
    Step,
    StepFlag,
    StepResult,
    Tape,
    Telemetry,
    TelemetryAck,
)

pytestmark = pytest.mark.usefixtures("boards")

IRRIGATION = (
    Path(__file__).parents[2] / "levada/guest" / "irrigation" / "irrigation.wasm"
).read_bytes()
OPENER = guest(f"{OPEN_VALVE} (i32.const 60000)")
"""Opens the valve in its first step and leaves it so."""
COUNTER = guest(
    "(global.set $n (i32.add (global.get $n) (i32.const 1))) (call $log_int (global.get $n))"
    f"{OPEN_VALVE} (i32.const 60000)",
    more="(global $n (mut i32) (i32.const 0))",
)
"""Counts its steps, so that one executed twice shows."""
PUBLISHER = guest("(drop (call $mqtt_publish (i32.const 16) (i32.const 21))) (i32.const 60000)")
SETTABLE = guest(
    "(i32.const 60000)",
    more="""
    (global $p (mut i32) (i32.const 10))
    (func (export "param_get") (param i32) (result i32)
      (if (result i32) (i32.eqz (local.get 0)) (then (global.get $p)) (else (i32.const -1))))
    (func (export "param_set") (param i32 i32) (result i32)
      (if (i32.or (local.get 0) (i32.gt_u (local.get 1) (i32.const 100)))
        (then (return (i32.const -1))))
      (global.set $p (local.get 1)) (i32.const 0))
    """,
)
"""Parameter 0, from 0 to 100."""
READINGS = (2000, 1500, 3700, 0)


def step(time_ms: int = START_MS) -> Step:
    return Step(
        time_ms=time_ms,
        flags=StepFlag.ONLINE,
        readings=READINGS,
        uptime_ms=max(0, time_ms - START_MS),
    )


def lease(ms: int) -> Configure:
    values = {name: getattr(CONFIGURE, name) for name, _ in CONFIGURE.FORMS}
    return Configure(**values | {"lease_ms": ms})


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    return tmp_path / "pins"


@pytest.fixture
def bench(pins: Path) -> Iterator[Bench]:
    with Bench("wasm3", "--pins", pins) as found:
        yield found


def said(bench: Bench, session: int = 2) -> Birth:
    """The birth of the board; says hello again, as what a dying board has read is gone."""
    birth = None
    while birth is None:
        birth = bench.receive(bench.send(Hello(session=session)), timeout_s=0.5)
    assert isinstance(birth, Birth)
    return birth


# Sessions and sequence numbers


def test_before_hello_every_request_is_refused(bench: Bench) -> None:
    assert bench.ask(step()) == Nak(error=NakError.NO_SESSION, request=4, detail=1)


def test_a_repeated_request_is_answered_again_and_not_executed_again(bench: Bench) -> None:
    bench.start(COUNTER)
    first = bench.ask(step())
    again = [bench.receive(bench.send(step(), bench.sequence)) for _ in range(3)]
    assert again == [first] * 3
    following = bench.ask(step())
    assert isinstance(first, StepResult)
    assert isinstance(following, StepResult)
    # STEP of 10 bytes, LOG_INT 6 and the count in little endian
    assert first.tape[10:15] == b"\x06\x01\0\0\0"
    assert following.tape[10:15] == b"\x06\x02\0\0\0"
    statistics = bench.ask(GetStatistics())
    assert isinstance(statistics, Statistics)
    assert (statistics.steps, statistics.repeats) == (2, 3)


def test_a_number_that_is_neither_last_nor_next_ends_the_session(bench: Bench) -> None:
    bench.start(COUNTER)
    bench.ask(step())
    for stale in (bench.sequence - 1, bench.sequence + 2):
        said(bench)
        expected = bench.sequence
        wanted = (stale if stale < expected else expected + 2) & 0xFFFF
        refused = bench.receive(bench.send(step(), wanted))
        assert refused == Nak(error=NakError.SEQUENCE, request=4, detail=expected)
        refused = bench.receive(bench.send(step(), expected + 1))
        assert isinstance(refused, Nak)
        assert refused.error == NakError.NO_SESSION
    said(bench)
    result = bench.ask(step())
    assert isinstance(result, StepResult)
    assert result.tape[10:15] == b"\x06\x02\0\0\0"


def test_sequence_numbers_wrap(bench: Bench) -> None:
    bench.sequence = 0xFFFE
    said(bench)
    assert [bench.ask(Ping(data=b"a")) for _ in range(3)] == [Pong(data=b"a")] * 3
    assert bench.sequence == 2


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        (0x7F, b"", NakError.UNKNOWN),
        (0x83, b"", NakError.UNKNOWN),
        (0x04, b"short", NakError.LENGTH),
        (0x0A, b"long", NakError.LENGTH),
        (0x06, bytes(8), NakError.LENGTH),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    bench: Bench, kind: int, body: bytes, error: NakError
) -> None:
    said(bench)
    bench.sequence += 1
    os.write(bench.line, encode_frame(kind, bench.sequence, body))
    assert bench.receive(bench.sequence) == Nak(error=error, request=kind, detail=0)


def test_steps_without_a_guest_are_refused(bench: Bench) -> None:
    said(bench)
    assert bench.ask(step()) == Nak(error=NakError.NO_GUEST, request=4, detail=0)
    start = Start(time_ms=0, flags=0, parameters=())
    assert bench.ask(start) == Nak(error=NakError.NO_GUEST, request=3, detail=0)


def test_budgets_whose_tape_would_not_fit_are_refused(bench: Bench) -> None:
    said(bench)
    values = {name: getattr(CONFIGURE, name) for name, _ in CONFIGURE.FORMS}
    refused = bench.ask(Configure(**values | {"host_calls": 2**32 - 1}))
    assert isinstance(refused, Nak)
    assert refused.error == NakError.SIZE


def test_a_long_tape_is_read_in_parts(bench: Bench) -> None:
    long = guest(
        "(loop $l (call $log_int (global.get $n)) (br_if $l (i32.lt_s (global.get $n)"
        " (i32.add (global.get $n) (i32.const 0))))"
        " (global.set $n (i32.add (global.get $n) (i32.const 1)))"
        " (br_if $l (i32.lt_s (global.get $n) (i32.const 250)))) (i32.const 60000)",
        more="(global $n (mut i32) (i32.const 0))",
    )
    bench.start(long)
    result = bench.ask(step())
    assert isinstance(result, StepResult)
    # STEP 10 bytes, 250 x LOG_INT of 5, RETURN 5
    assert result.tape_bytes == 10 + 250 * 5 + 5
    assert len(result.tape) == 1024 - 27
    records = bench.tape(result)
    assert [records[10 + 5 * k + 1] for k in range(250)] == list(range(250))
    assert bench.ask(ReadTape(offset=result.tape_bytes)) == Tape(offset=result.tape_bytes, tape=b"")
    refused = bench.ask(ReadTape(offset=result.tape_bytes + 1))
    assert refused == Nak(error=NakError.VALUE, request=5, detail=result.tape_bytes)


# Damage on the line


def test_a_dropped_or_damaged_answer_is_sent_again_on_request(bench: Bench) -> None:
    bench.start(COUNTER)
    for kind, argument in ((FaultKind.DROP, 0), (FaultKind.CORRUPT, 77), (FaultKind.CONSOLE, 0)):
        bench.ask(Fault(kind=kind, point=FaultPoint.EXECUTED, after=0, argument=argument))
        comes = kind == FaultKind.CONSOLE
        lost = bench.receive(bench.send(step()), timeout_s=20.0 if comes else 0.2)
        assert (lost is not None) == comes
        assert isinstance(bench.receive(bench.send(step(), bench.sequence)), StepResult)
    statistics = bench.ask(GetStatistics())
    assert isinstance(statistics, Statistics)
    assert statistics.steps == 3
    assert [type(item) for item in bench.others].count(Damage) == 1
    assert any("virtual" in item.text for item in bench.others if isinstance(item, Console))


def test_a_damaged_request_is_counted_and_not_executed(bench: Bench) -> None:
    bench.start(COUNTER)
    frame = bytearray(encode_frame(Step.TYPE, bench.sequence + 1, step().encode()))
    frame[12] ^= 4
    os.write(bench.line, frame)
    assert bench.receive(bench.sequence + 1, timeout_s=0.2) is None
    assert isinstance(bench.ask(step()), StepResult)
    statistics = bench.ask(GetStatistics())
    assert isinstance(statistics, Statistics)
    assert (statistics.bad_frames, statistics.steps) == (1, 1)


def test_noise_before_a_request_does_no_harm(bench: Bench) -> None:
    said(bench)
    generator = random.Random(3)
    print("seed 3")
    for _ in range(20):
        os.write(bench.line, generator.randbytes(1500))
        assert bench.ask(Ping(data=b"x")) == Pong(data=b"x")


def test_a_host_that_goes_and_comes_back_finds_the_guest_as_it_was(bench: Bench) -> None:
    bench.start(COUNTER)
    bench.ask(step())
    bench.unplug()
    bench.plug()
    assert said(bench).flags & BirthFlag.STARTED
    result = bench.ask(step())
    assert isinstance(result, StepResult)
    assert result.tape[10:15] == b"\x06\x02\0\0\0"


# Resets


POINTS = (
    FaultPoint.RECEIVED,
    FaultPoint.CALL,
    FaultPoint.EXECUTED,
    FaultPoint.HALF_SENT,
    FaultPoint.SENT,
)


@pytest.mark.parametrize("engine", ["native", "wasm3", "xtensa", "esp32"])
@pytest.mark.parametrize("point", POINTS, ids=lambda p: p.name)
def test_a_reset_anywhere_in_a_step_leaves_the_valve_closed_and_executes_nothing_twice(
    point: FaultPoint, engine: str, pins: Path
) -> None:
    wasm = IRRIGATION if engine == "native" else OPENER
    with Bench(engine, "--pins", pins) as bench:
        bench.start(wasm)
        bench.ask(Fault(kind=FaultKind.RESET, point=point, after=0, argument=0))
        answer = bench.answer_or_death(step())
        assert (answer is not None) == (point == FaultPoint.SENT)
        # the same bytes again, as a host does that has heard nothing
        again = bench.receive(bench.send(step(), bench.sequence))
        assert again == Nak(error=NakError.NO_SESSION, request=4, detail=2)
        # what the board was still saying when it died is damage, not an answer
        assert sum(isinstance(item, Frame) for item in bench.others) == 0
        birth = said(bench)
        assert (birth.boot_id, birth.reset_reason) == (2, ResetReason.POWER_ON)
        assert birth.flags == BirthFlag.INSTALLED | BirthFlag.HEARTBEAT | BirthFlag.UPDATES
        statistics = bench.ask(GetStatistics())
        assert isinstance(statistics, Statistics)
        assert statistics.steps == 0
    lines = pins.read_text().splitlines()
    off = lines.index("off")
    assert lines[off + 1] == "boot"
    assert "23 1" not in lines[off:]


def test_a_reset_on_request_is_acknowledged_and_counted(bench: Bench, pins: Path) -> None:
    bench.start(OPENER)
    bench.ask(step())
    assert pins.read_text().splitlines() == ["boot", "23 1"]
    assert bench.ask(Reset()) == Ack(value=0)
    birth = said(bench)
    assert (birth.boot_id, birth.reset_reason) == (2, ResetReason.SOFTWARE)
    assert birth.guest_sha256 == hashlib.sha256(OPENER).digest()
    # closed before the answer leaves, whose line may be slow
    assert pins.read_text().splitlines() == ["boot", "23 1", "23 0", "off", "boot"]


def test_the_watchdog_restarts_a_board_that_hangs(bench: Bench, pins: Path) -> None:
    bench.start(OPENER)
    bench.ask(step())
    bench.ask(Fault(kind=FaultKind.HANG, point=FaultPoint.RECEIVED, after=0, argument=0))
    assert bench.answer_or_death(step()) is None
    assert said(bench).reset_reason == ResetReason.WATCHDOG
    assert pins.read_text().splitlines() == ["boot", "23 1", "off", "boot"]


def test_a_board_that_dies_is_started_again_with_its_valve_closed(bench: Bench, pins: Path) -> None:
    bench.start(OPENER)
    bench.ask(step())
    os.kill(bench.board, signal.SIGKILL)
    bench.sequence = 10
    assert said(bench).reset_reason == ResetReason.PANIC
    assert pins.read_text().splitlines() == ["boot", "23 1", "off", "boot"]


def test_the_valve_is_closed_at_close_and_at_the_end(bench: Bench, pins: Path) -> None:
    bench.start(OPENER)
    bench.ask(step())
    bench.ask(Close())
    assert pins.read_text().splitlines() == ["boot", "23 1", "23 0"]
    bench.ask(Start(time_ms=START_MS, flags=0, parameters=()))
    bench.ask(step())
    assert bench.process.stdin is not None
    bench.process.stdin.close()
    bench.process.wait(60)
    assert pins.read_text().splitlines()[3:] == ["23 1", "off"]


def test_a_new_guest_closes_the_valve_of_the_old_one(bench: Bench, pins: Path) -> None:
    bench.start(OPENER)
    bench.ask(step())
    bench.install(COUNTER)
    assert pins.read_text().splitlines() == ["boot", "23 1", "23 0"]


def test_the_valve_closes_when_the_host_is_silent_beyond_the_lease(
    bench: Bench, pins: Path
) -> None:
    bench.start(OPENER)
    bench.ask(lease(100))
    opened = bench.ask(step())
    assert isinstance(opened, StepResult)
    assert opened.outputs == 1
    while pins.read_text().splitlines()[-1] != "23 0":
        assert bench.receive(0, timeout_s=0.05) is None  # nothing is said meanwhile
    result = bench.ask(step())
    assert isinstance(result, StepResult)
    assert result.flags == StepFlag.LEASE_EXPIRED
    assert result.outputs == 1  # the guest opens it again
    following = bench.ask(step())
    assert isinstance(following, StepResult)
    assert following.flags == 0


# Parameters


def test_a_calibration_is_read_back_and_recorded(bench: Bench) -> None:
    bench.start(SETTABLE)
    done = bench.ask(Calibrate(flags=0, parameters=((0, 42),)))
    assert done == Calibrated(tape_bytes=13, parameters=((0, 42),))
    # PARAM_SET, id, value, result
    assert bench.tape(done) == b"\x12" + bytes(4) + b"\x2a\0\0\0" + bytes(4)
    assert bench.ask(GetParameter(id=0)) == Parameter(id=0, value=42)


def test_a_refused_value_undoes_the_others(bench: Bench) -> None:
    bench.start(SETTABLE)
    refused = bench.ask(Calibrate(flags=1, parameters=((0, 50), (0, 60), (7, 1))))
    assert refused == Nak(error=NakError.PARAMETER, request=6, detail=7)
    assert bench.ask(GetParameter(id=0)) == Parameter(id=0, value=10)


ON, OFF, DRY, WET = 0, 1, 15, 16
"""Parameters of the shipped guest that rules tie together (docs/abi.md)."""


@pytest.mark.parametrize("engine", ["native", "wasm3", "wasmtime", "xtensa", "esp32"])
def test_a_calibration_that_agrees_as_a_whole_is_taken_in_every_order(engine: str) -> None:
    with Bench(engine) as bench:
        bench.start(IRRIGATION, ((OFF, 30), (ON, 20), (DRY, 3000), (WET, 1000)))
        for low, high in ((50, 60), (10, 20), (97, 98), (1, 2)):
            for whole in (((ON, low), (OFF, high)), ((OFF, high), (ON, low))):
                assert isinstance(
                    found := bench.ask(Calibrate(flags=0, parameters=whole)), Calibrated
                )
                assert found.parameters == whole
        # changing places
        for whole in (((DRY, 1000), (WET, 3000)), ((WET, 1000), (DRY, 3000))):
            assert isinstance(found := bench.ask(Calibrate(flags=0, parameters=whole)), Calibrated)
            assert found.parameters == whole


@pytest.mark.parametrize("engine", ["native", "wasm3", "wasmtime", "xtensa", "esp32"])
def test_a_calibration_that_disagrees_as_a_whole_changes_nothing(engine: str) -> None:
    with Bench(engine) as bench:
        bench.start(IRRIGATION, ((ON, 20), (OFF, 30), (DRY, 3000), (WET, 1000)))
        for whole in (
            ((ON, 90), (OFF, 10)),
            ((OFF, 10), (ON, 90)),
            ((ON, 30),),
            ((DRY, 1500), (WET, 1500), (ON, 1), (OFF, 2)),
        ):
            refused = bench.ask(Calibrate(flags=1, parameters=whole))
            assert isinstance(refused, Nak) and refused.error == NakError.PARAMETER
            found = [bench.ask(GetParameter(id=p)) for p in (ON, OFF, DRY, WET)]
            assert [p.value for p in found if isinstance(p, Parameter)] == [20, 30, 3000, 1000]


def test_kept_parameters_are_set_at_a_start_in_an_order_that_the_guest_accepts(
    bench: Bench,
) -> None:
    stored = Start(time_ms=START_MS, flags=StartFlag.STORED_PARAMETERS, parameters=())
    bench.start(IRRIGATION)
    bench.ask(Calibrate(flags=1, parameters=((OFF, 60), (ON, 0))))
    bench.ask(Calibrate(flags=1, parameters=((ON, 50),)))
    bench.ask(Calibrate(flags=1, parameters=((OFF, 100), (ON, 90))))
    bench.ask(Reset())
    said(bench)
    assert isinstance(bench.ask(stored), StepResult)
    assert bench.ask(GetParameter(id=ON)) == Parameter(id=ON, value=90)
    assert bench.ask(GetParameter(id=OFF)) == Parameter(id=OFF, value=100)
    disagree = Start(time_ms=START_MS, flags=0, parameters=((ON, 90), (OFF, 10)))
    assert isinstance(nak := bench.ask(disagree), Nak) and nak.error == NakError.PARAMETER


def test_kept_parameters_survive_a_reset_and_a_new_guest_forgets_them(bench: Bench) -> None:
    stored = Start(time_ms=START_MS, flags=StartFlag.STORED_PARAMETERS, parameters=())
    bench.start(SETTABLE)
    bench.ask(Calibrate(flags=1, parameters=((0, 42),)))
    bench.ask(Calibrate(flags=0, parameters=((0, 43),)))
    bench.ask(Reset())
    said(bench)
    assert isinstance(bench.ask(stored), StepResult)
    assert bench.ask(GetParameter(id=0)) == Parameter(id=0, value=42)
    bench.start(OPENER)
    bench.start(SETTABLE)
    bench.ask(stored)
    assert bench.ask(GetParameter(id=0)) == Parameter(id=0, value=10)


def test_parameters_of_a_start_are_in_force_and_a_refused_one_stops_it(bench: Bench) -> None:
    result = bench.start(SETTABLE, ((0, 33),))
    assert result.tape_bytes == 9 + 10 + 5 + 13
    assert bench.ask(GetParameter(id=0)) == Parameter(id=0, value=33)
    refused = bench.ask(Start(time_ms=START_MS, flags=0, parameters=((0, 101),)))
    assert refused == Nak(error=NakError.PARAMETER, request=3, detail=0)
    assert bench.ask(step()) == Nak(error=NakError.NO_GUEST, request=4, detail=0)


# Telemetry


def test_publications_wait_until_they_are_acknowledged(bench: Bench) -> None:
    bench.start(PUBLISHER)
    for k in range(3):
        bench.ask(step(START_MS + k))
    expected = Telemetry(
        boot_id=1,
        sequence=1,
        time_ms=START_MS,
        waiting=3,
        dropped=0,
        topic_bytes=4,
        payload=b"datahello",
    )
    assert bench.ask(GetTelemetry()) == expected
    assert bench.ask(TelemetryAck(boot_id=9, sequence=3)) == Ack(value=3)
    assert bench.ask(TelemetryAck(boot_id=1, sequence=400)) == Ack(value=3)
    assert bench.ask(TelemetryAck(boot_id=1, sequence=2)) == Ack(value=1)
    third = bench.ask(GetTelemetry())
    assert isinstance(third, Telemetry)
    assert (third.sequence, third.time_ms, third.waiting) == (3, START_MS + 2, 1)
    assert bench.ask(TelemetryAck(boot_id=1, sequence=3)) == Ack(value=0)
    nothing = bench.ask(GetTelemetry())
    assert isinstance(nothing, Telemetry)
    assert (nothing.sequence, nothing.payload) == (0, b"")


# Installation


def installation(wasm: bytes) -> list[Message]:
    chunks = [InstallChunk(offset=k, data=wasm[k : k + 1000]) for k in range(0, len(wasm), 1000)]
    begin = InstallBegin(size=len(wasm), sha256=hashlib.sha256(wasm).digest())
    return [begin, *chunks, InstallEnd()]


def test_chunks_come_in_order_and_whole(bench: Bench) -> None:
    said(bench)
    begin, first, *_ = installation(IRRIGATION)
    assert bench.ask(InstallEnd()) == Nak(error=NakError.STATE, request=0x0A, detail=0)
    assert bench.ask(begin) == Ack(value=0)
    late = InstallChunk(offset=5, data=b"x")
    assert bench.ask(late) == Nak(error=NakError.STATE, request=0x09, detail=0)
    assert bench.ask(first) == Ack(value=1000)
    assert bench.ask(first) == Ack(value=1000)  # it is there already
    assert bench.ask(InstallEnd()) == Nak(error=NakError.STATE, request=0x0A, detail=0)


def test_bytes_that_are_not_those_promised_are_refused(bench: Bench) -> None:
    bench.start(OPENER)
    damaged = bytearray(COUNTER)
    damaged[-1] ^= 1
    messages = installation(COUNTER)
    bench.ask(messages[0])
    bench.ask(InstallChunk(offset=0, data=bytes(damaged)))
    assert bench.ask(InstallEnd()) == Nak(error=NakError.DIGEST, request=0x0A, detail=0)
    assert said(bench).guest_sha256 == hashlib.sha256(OPENER).digest()
    assert isinstance(bench.ask(step()), StepResult)


@pytest.mark.parametrize("size", [0, 65_537, 2**32 - 1])
def test_a_module_that_is_too_large_is_refused_at_the_beginning(bench: Bench, size: int) -> None:
    said(bench)
    refused = bench.ask(InstallBegin(size=size, sha256=bytes(32)))
    assert refused == Nak(error=NakError.SIZE, request=0x08, detail=0)


def test_more_bytes_than_promised_are_refused(bench: Bench) -> None:
    said(bench)
    bench.ask(InstallBegin(size=10, sha256=bytes(32)))
    refused = bench.ask(InstallChunk(offset=0, data=bytes(11)))
    assert refused == Nak(error=NakError.SIZE, request=0x09, detail=0)


@pytest.mark.parametrize(
    "point",
    [FaultPoint.FLASH_BEFORE, FaultPoint.FLASH_HALF, FaultPoint.FLASH_AFTER],
    ids=lambda p: p.name,
)
@pytest.mark.parametrize("engine", ["wasm3", "esp32"])
def test_a_power_cut_at_any_write_leaves_the_old_guest_or_the_new_one(
    engine: str, point: FaultPoint, tmp_path: Path
) -> None:
    old, new = hashlib.sha256(OPENER).digest(), hashlib.sha256(COUNTER).digest()
    found = []
    for write in range(10):
        with Bench(engine, "--flash", tmp_path / f"flash{write}") as bench:
            bench.start(OPENER)
            bench.ask(Fault(kind=FaultKind.RESET, point=point, after=write, argument=0))
            for message in installation(COUNTER):
                if bench.answer_or_death(message) is None:
                    break
            bench.sequence = 0
            birth = said(bench)
            assert birth.guest_sha256 in (old, new)
            assert isinstance(
                bench.ask(Start(time_ms=START_MS, flags=0, parameters=())), StepResult
            )
            found.append(birth.guest_sha256 == new)
            if birth.boot_id == 1:  # this installation has fewer writes
                break
    # erase, one chunk, record, and the record again in its other place: the cut before or within
    # the first record keeps the old guest
    assert found == [False, False, point == FaultPoint.FLASH_AFTER, True, True]


def test_flash_outlives_the_board(tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    for life in range(1, 4):
        with Bench("wasm3", "--flash", flash) as bench:
            birth = said(bench)
            assert birth.boot_id == life
            if life == 1:
                bench.start(OPENER)
            else:
                assert birth.guest_sha256 == hashlib.sha256(OPENER).digest()


def test_a_board_whose_flash_was_erased_has_a_boot_id_that_it_never_had(tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    lives = []
    for _ in range(3):
        with Bench("wasm3", "--flash", flash, boot_id=None) as bench:
            first = said(bench).boot_id
        with Bench("wasm3", "--flash", flash, boot_id=None) as bench:
            assert said(bench).boot_id == first + 1
        lives += [first, first + 1]
        flash.unlink()
    assert len(set(lives)) == 6
    assert all(0 < boot_id < 2**31 for boot_id in lives)


@pytest.mark.parametrize("wrong", ["0", "-1", "2147483648", "x"])
def test_a_boot_id_out_of_range_is_refused(wrong: str) -> None:
    done = subprocess.run(
        [BUILD / "levada-device", "--boot-id", wrong], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (f"levada-device: boot id {wrong}: must be from 1 to 2147483647\n")


def test_a_damaged_slot_is_not_run(tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with Bench("wasm3", "--flash", flash) as bench:
        bench.start(OPENER)
        bench.start(COUNTER)
        assert said(bench).slot == 0
    data = bytearray(flash.read_bytes())
    data[4096 + 100] ^= 1
    flash.write_bytes(data)
    with Bench("wasm3", "--flash", flash) as bench:
        birth = said(bench)
        # the other slot still has the guest before
        assert (birth.slot, birth.guest_sha256) == (1, hashlib.sha256(OPENER).digest())


# The launcher


def test_faults_of_the_command_line_are_for_the_first_life(pins: Path) -> None:
    with Bench("wasm3", "--pins", pins, "--fault", "1,0,0,0") as bench:
        assert bench.answer_or_death(Hello(session=1)) is None
        assert said(bench).boot_id == 2
        assert said(bench).boot_id == 2


def test_a_tcp_port_of_this_computer_is_a_line_too() -> None:
    with Bench("wasm3") as other:
        assert other.path.startswith("/dev/")
    launcher = subprocess.Popen(
        [BUILD / "levada-device", "--tcp", "0", "--until-eof", "--boot-id", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    url = launcher.stdout.readline().decode().strip()
    assert url.startswith("socket://127.0.0.1:")
    port = int(url.rpartition(":")[2])
    for session in (1, 2):  # a second host finds the same board
        decoder = Decoder()
        frames: list[Frame] = []
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(encode_frame(Hello.TYPE, 1, Hello(session=session).encode()))
            while not frames:
                frames = [f for f in decoder.feed(line.recv(4096)) if isinstance(f, Frame)]
        birth = frames[0].message()
        assert isinstance(birth, Birth)
        assert (birth.session, birth.boot_id) == (session, 1)
    launcher.stdin.close()
    assert launcher.wait(60) == 0
    launcher.stdout.close()


def test_no_board_outlives_its_launcher(bench: Bench) -> None:
    said(bench)
    board = bench.board
    line = os.pidfd_open(board)
    bench.process.kill()
    import select

    assert select.select([line], [], [], 20)[0]  # readable once the process has ended
    os.close(line)
