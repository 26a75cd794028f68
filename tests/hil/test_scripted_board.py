"""Node and session, request by request: the board is a script, so every field is known exactly."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
from lockstep import LOOPER, READINGS, SETTABLE, START_MS, STEP_MS, TOGGLER, calls
from scripted_line import BORN, Clock

from levada.guest.abi import Call, ErrorCode, TrapKind
from levada.guest.errors import ParameterError
from levada.guest.limits import EDGE
from levada.guest.tape import iter_records
from levada.hil import lease
from levada.hil import session as session_module
from levada.hil.errors import DeviceError, LinkError
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.wire import messages as m
from levada.hil.wire.codec import Decoder, Frame, encode_frame
from levada.hil.wire.message import Message

SHA = hashlib.sha256(TOGGLER).digest()
LOG_INT = b"\x06\x07\0\0\0"
"""A record of the tape: the guest has logged 7."""
LAPSED = int(m.StepFlag.LEASE_EXPIRED)
WAKE_MS = 600_000


_M = TypeVar("_M", bound=Message)
Answer = Message | Callable[[], Message] | None


class Board:
    """Answers as a healthy board with the guest installed does, unless `answers` has something for
    the type of the request: a message, what makes one, or None for silence, each once."""

    url = "board"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.birth = replace(BORN, guest_sha256=SHA, reset_reason=m.ResetReason.POWER_ON)
        self.answers: defaultdict[type[Message], deque[Answer]] = defaultdict(deque)
        self.asked: list[Message] = []
        self.tape = b""
        self.stored = b""
        self.gone = False
        self.openings = 0
        self._waiting = b""

    def of(self, kind: type[_M]) -> list[_M]:
        """Requests of that type."""
        return [request for request in self.asked if isinstance(request, kind)]

    def restart(self, reason: int = m.ResetReason.POWER_ON) -> m.Nak:
        """Start again; the refusal of the request."""
        self.birth = replace(self.birth, boot_id=self.birth.boot_id + 1, reset_reason=reason)
        return m.Nak(error=m.NakError.NO_SESSION, request=0, detail=self.birth.boot_id)

    def write(self, data: bytes) -> None:
        if self.gone:
            raise LinkError("gone")
        [frame] = Decoder().feed(data)
        assert isinstance(frame, Frame)
        request = frame.message()
        self.asked.append(request)
        waiting = self.answers[type(request)]
        answer = waiting.popleft() if waiting else self._healthy(request)
        if callable(answer):
            answer = answer()
        if answer is not None:
            self._waiting += encode_frame(answer.TYPE, frame.sequence, answer.encode())

    def _healthy(self, request: Message) -> Message:
        match request:
            case m.Hello():
                return replace(self.birth, session=request.session)
            case m.Start() | m.Step():
                return result(request.time_ms + WAKE_MS)
            case m.Calibrate():
                return m.Calibrated(tape_bytes=len(self.tape), parameters=request.parameters)
            case m.ReadTape():
                part = self.tape[request.offset :][:1000]
                return m.Tape(offset=request.offset, tape=part)
            case m.InstallChunk():
                self.stored += request.data
            case m.InstallEnd():
                digest = hashlib.sha256(self.stored).digest()
                self.birth = replace(self.birth, guest_sha256=digest)
        return m.Ack(value=0)

    def open(self) -> None:
        self.openings += 1
        if self.gone:
            raise LinkError("gone")

    def read(self, timeout_s: float) -> bytes:
        data, self._waiting = self._waiting, b""
        if not data:
            self._clock.wait(timeout_s)
        return data

    def close(self) -> None:
        pass


def result(wake_ms: int, **other: int | bytes) -> m.StepResult:
    """An answer to Start or Step, in which nothing happened but that."""
    plain = dict.fromkeys(
        ("trap", "trap_call", "flags", "outputs", "ever_set", "host_calls", "active_us"), 0
    )
    tape = other.get("tape", b"")
    assert isinstance(tape, bytes)
    size = {"tape_bytes": len(tape), "tape": tape}
    return m.StepResult(wake_ms=wake_ms, **(plain | size | other))  # type: ignore[arg-type]


@pytest.fixture
def board(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr(lease, "BEAT_S", 3600.0)
    return Board(clock)


@pytest.fixture
def node(board: Board) -> DeviceNode:
    return DeviceNode(Link(board), TOGGLER)


def booted(node: DeviceNode) -> DeviceNode:
    node.boot(START_MS)
    return node


# What is asked


def test_a_node_says_who_it_is_what_its_guest_may_and_when_it_runs(
    board: Board, node: DeviceNode
) -> None:
    first = node.boot(START_MS, skew_ms=50)
    assert (first.wake_ms, first.outputs, first.tape) == (WAKE_MS, {}, b"")
    node.step(START_MS + STEP_MS, READINGS, skew_ms=20)
    node.step(START_MS + 2 * STEP_MS, READINGS, online=False)
    assert [type(request) for request in board.asked] == [
        *(m.Hello, m.Configure, m.Start, m.Step, m.Step)
    ]
    assert (
        board.asked[1]
        == m.Configure(
            node="esp32",
            prefix="ic/",
            counts=(2500, 1000, 2000),
            imports=0xFFE,  # bits 1 to 11
            pin_count=len(EDGE.pins),
            pins=(EDGE.pins + 16 * (0,))[:16],
            instructions=1_000_000,
            deadline_ms=5_000,
            memory_pages=4,
            host_calls=256,
            log_bytes=1_024,
            publish_bytes=2_048,
            lease_ms=60_000,
        )
    )
    assert board.asked[2:] == [
        m.Start(time_ms=START_MS, flags=m.StartFlag.FORGET, parameters=()),
        m.Step(time_ms=START_MS + STEP_MS, flags=1, readings=READINGS, uptime_ms=600_030),
        m.Step(time_ms=START_MS + 2 * STEP_MS, flags=0, readings=READINGS, uptime_ms=1_200_050),
    ]
    assert node.quality()["restarts"] == []


def test_a_clock_that_is_right_needs_no_word(board: Board, node: DeviceNode) -> None:
    booted(node).step(START_MS + STEP_MS, READINGS)
    assert board.asked[-1] == m.Step(
        time_ms=START_MS + STEP_MS, flags=1, readings=READINGS, uptime_ms=STEP_MS
    )


def test_what_else_the_node_can_read_is_named_by_its_kind(board: Board, node: DeviceNode) -> None:
    booted(node).step(START_MS + STEP_MS, (*READINGS, 3, ErrorCode.UNAVAILABLE, 512))
    [step] = board.of(m.Step)
    assert (step.readings, step.further) == (READINGS, ((4, 3), (6, 512)))


def test_a_guest_forgets_at_the_first_start_and_when_it_is_told_to(
    board: Board, node: DeviceNode
) -> None:
    booted(booted(node)).boot(START_MS, forget=True)
    assert [start.flags for start in board.of(m.Start)] == [2, 0, 2]


def test_what_was_calibrated_before_the_first_boot_has_a_start_at_time_zero(board: Board) -> None:
    board.birth = replace(board.birth, guest_sha256=hashlib.sha256(SETTABLE).digest())
    node = DeviceNode(Link(board), SETTABLE, parameters={0: 5})
    board.answers[m.Calibrate].append(board.restart)
    assert node.calibrate({0: 7}) == {0: 7}
    start = m.Start(time_ms=0, flags=m.StartFlag.FORGET, parameters=((0, 5),))
    assert board.of(m.Start) == [start, replace(start, flags=0)]
    assert board.of(m.Calibrate)[-1] == m.Calibrate(flags=0, parameters=((0, 7),))
    assert node.quality()["restarts"] == ["1970-01-01T00:00:00: power on"]
    node.step(START_MS, READINGS)
    [step] = board.of(m.Step)
    assert step.uptime_ms == START_MS


def test_a_guest_is_brought_over_in_pieces_of_a_thousand_bytes(board: Board) -> None:
    big = TOGGLER + bytes([0, 0x84, 0x10]) + b"\x03pad" + bytes(2048)  # a custom section
    board.birth = replace(board.birth, slot_bytes=len(big))
    node = DeviceNode(Link(board), big)
    assert node.birth().guest_sha256 == hashlib.sha256(big).hexdigest()
    begin = m.InstallBegin(size=len(big), sha256=hashlib.sha256(big).digest())
    assert board.of(m.InstallBegin) == [begin]
    chunks = board.of(m.InstallChunk)
    assert [chunk.offset for chunk in chunks] == [0, 1000, 2000]
    assert board.stored == big
    assert len(board.of(m.Hello)) == len(board.of(m.Configure)) == 2
    assert node.quality()["restarts"] == []


def test_a_guest_one_byte_too_long_is_not_sent(board: Board, node: DeviceNode) -> None:
    board.birth = replace(board.birth, guest_sha256=bytes(32), slot_bytes=len(TOGGLER) - 1)
    with pytest.raises(LinkError, match=f"the guest has {len(TOGGLER)} bytes, the device takes"):
        node.birth()
    assert not board.of(m.InstallBegin)


def other_guest(board: Board) -> None:
    board.birth = replace(board.birth, guest_sha256=bytes(32))


@pytest.mark.parametrize(("detail_ms", "waits_s"), [(1, 0.001), (2500, 2.5), (11_000, 11.0)])
def test_an_installation_that_another_host_has_left_alone_is_waited_for(
    board: Board, node: DeviceNode, detail_ms: int, waits_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_s: list[float] = []
    monkeypatch.setattr(session_module, "sleep", waited_s.append)
    other_guest(board)
    busy = m.Nak(error=m.NakError.BUSY, request=m.InstallBegin.TYPE, detail=detail_ms)
    board.answers[m.InstallBegin].append(busy)
    assert node.birth().guest_sha256 == SHA.hex()
    assert waited_s == [waits_s]
    assert len(board.of(m.InstallBegin)) == 2


@pytest.mark.parametrize(
    ("error", "detail_ms"),
    [(m.NakError.BUSY, 0), (m.NakError.BUSY, 11_001), (m.NakError.STATE, 500)],
)
def test_what_cannot_be_waited_for_is_told(
    board: Board, node: DeviceNode, error: int, detail_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "sleep", lambda _: pytest.fail("waits"))
    other_guest(board)
    refused = m.Nak(error=error, request=m.InstallBegin.TYPE, detail=detail_ms)
    board.answers[m.InstallBegin].append(refused)
    with pytest.raises(DeviceError, match="refused InstallBegin"):
        node.birth()


def test_a_board_that_keeps_another_guest_says_which(board: Board, node: DeviceNode) -> None:
    board.birth = replace(board.birth, guest_sha256=b"\xab" * 32)
    board.answers[m.InstallEnd].append(m.Ack(value=0))
    ours = SHA.hex()[:16]
    with pytest.raises(LinkError, match=f"has guest {'ab' * 8} after {ours} was installed"):
        node.birth()


# What is made of the answers


def test_bit_i_is_pin_i_of_the_list_if_it_was_ever_set(board: Board) -> None:
    node = DeviceNode(Link(board), TOGGLER, profile=replace(EDGE, pins=(23, 18, 21)))
    booted(node)
    for outputs, ever_set, expected in (
        (0b101, 0b111, {23: 1, 18: 0, 21: 1}),
        (0b010, 0b110, {18: 1, 21: 0}),
        (0b111, 0b100, {21: 1}),
        (0b111, 0b000, {}),
    ):
        answer = result(START_MS + STEP_MS, outputs=outputs, ever_set=ever_set)
        board.answers[m.Step].append(answer)
        assert node.step(START_MS + STEP_MS, READINGS).outputs == expected
    [configure] = board.of(m.Configure)
    assert configure.pins == (23, 18, 21, *13 * (0,))


def test_a_guest_may_want_to_run_at_once_and_not_before(board: Board, node: DeviceNode) -> None:
    slept: list[int] = []
    node._session.heart.expect = slept.append  # type: ignore[assignment, method-assign]
    booted(node)
    board.answers[m.Step] += [result(START_MS + 1), result(START_MS)]
    assert node.step(START_MS + 1, READINGS).wake_ms == 0
    with pytest.raises(LinkError, match=f"wants to run again at {START_MS} ms, but it is"):
        node.step(START_MS + 1, READINGS)
    assert slept == [WAKE_MS, 0, -1]


def test_a_tape_is_read_to_its_end_and_no_further(board: Board, node: DeviceNode) -> None:
    booted(node)
    board.tape = bytes(k % 251 for k in range(2500))
    answer = result(START_MS + STEP_MS, tape=board.tape[:300], tape_bytes=2500)
    board.answers[m.Step].append(answer)
    assert node.step(START_MS + STEP_MS, READINGS).tape == board.tape
    offsets = [part.offset for part in board.of(m.ReadTape)]
    assert offsets == [300, 1300, 2300]
    board.answers[m.Step].append(replace(answer, tape_bytes=2501))
    with pytest.raises(LinkError, match="board: the tape ends at 2500 of 2501 bytes"):
        node.step(START_MS + STEP_MS, READINGS)


def test_a_tape_is_as_long_as_the_budget_permits_at_most(board: Board, node: DeviceNode) -> None:
    most = 65_536 + 1_024 + 2_048 + 16 * 256
    booted(node)
    board.tape = bytes(most)
    board.answers[m.Step].append(result(START_MS + STEP_MS, tape_bytes=most))
    assert len(node.step(START_MS + STEP_MS, READINGS).tape) == most
    board.answers[m.Step].append(result(START_MS + STEP_MS, tape_bytes=most + 1))
    with pytest.raises(LinkError, match=f"a tape of {most + 1} bytes: at most {most} in this"):
        node.step(START_MS + STEP_MS, READINGS)


def test_a_trap_is_a_result_without_outputs(board: Board, node: DeviceNode) -> None:
    booted(node)
    stopped = result(START_MS, trap=TrapKind.GUEST_FAULT, outputs=1, ever_set=1, tape=LOG_INT)
    board.answers[m.Step].append(stopped)
    found = node.step(START_MS + STEP_MS, READINGS)
    assert (found.trap, found.outputs, found.tape) == (TrapKind.GUEST_FAULT, {}, LOG_INT)
    assert found.trap_detail.endswith(" on board")


def test_records_of_a_calibration_stand_before_those_of_the_next_step(board: Board) -> None:
    board.birth = replace(board.birth, guest_sha256=hashlib.sha256(SETTABLE).digest())
    node = booted(DeviceNode(Link(board), SETTABLE, parameters={0: 5}))
    board.tape = LOG_INT
    node.calibrate({0: 7})
    refused = m.Nak(error=m.NakError.PARAMETER, request=m.Calibrate.TYPE, detail=0)
    board.answers[m.Calibrate] += [refused, replace(refused, error=m.NakError.VALUE)]
    board.tape = 2 * LOG_INT
    with pytest.raises(ParameterError, match="parameter 0 = 9: the guest refuses it"):
        node.calibrate({0: 9})
    with pytest.raises(DeviceError, match="refused Calibrate: value"):
        node.calibrate({0: 9})
    board.answers[m.Step].append(result(START_MS + STEP_MS, tape=LOG_INT))
    assert node.step(START_MS + STEP_MS, READINGS).tape == 4 * LOG_INT
    assert node.step(START_MS + STEP_MS, READINGS).tape == b""
    board.answers[m.Start] += [refused, replace(refused, error=m.NakError.LOAD)]
    with pytest.raises(ParameterError, match="parameter 0 = 7: the guest refuses it"):
        node.boot(START_MS)
    with pytest.raises(DeviceError, match="refused Start: load"):
        node.boot(START_MS)


# Restarts


def test_a_board_that_starts_again_is_started_at_the_present_time(
    board: Board, node: DeviceNode
) -> None:
    booted(node)
    now_ms = START_MS + STEP_MS
    board.answers[m.Step] += [
        partial(board.restart, m.ResetReason.BROWN_OUT),
        result(now_ms, tape=LOG_INT),
    ]
    board.answers[m.Start].append(result(now_ms, tape=2 * LOG_INT))
    assert node.step(now_ms, READINGS).tape == 3 * LOG_INT
    assert board.of(m.Start)[-1] == m.Start(time_ms=now_ms, flags=0, parameters=())
    assert board.of(m.Step)[-1] == m.Step(time_ms=now_ms, flags=1, readings=READINGS, uptime_ms=0)
    assert len(board.of(m.Start)) == 2
    node.step(now_ms, READINGS)
    assert len(board.of(m.Start)) == 2
    assert node.quality()["restarts"] == ["2023-04-15T00:10:00: brown out"]


def test_a_guest_that_is_stopped_while_it_starts_again_runs_no_step(
    board: Board, node: DeviceNode
) -> None:
    booted(node)
    board.answers[m.Step].append(partial(board.restart, 9))
    board.answers[m.Start].append(result(START_MS, trap=TrapKind.GUEST_FAULT))
    assert node.step(START_MS + STEP_MS, READINGS).trap == TrapKind.GUEST_FAULT
    assert len(board.of(m.Step)) == 1
    assert node.quality()["restarts"] == ["2023-04-15T00:10:00: reason 9"]


def test_three_restarts_in_one_request_are_borne_and_a_fourth_is_not(
    board: Board, node: DeviceNode
) -> None:
    board.answers[m.Start] += 3 * [board.restart]
    # a bite before the request is none in it
    board.birth = replace(board.birth, reset_reason=m.ResetReason.WATCHDOG)
    assert node.boot(START_MS).wake_ms == WAKE_MS
    assert node.quality()["restarts"] == 3 * ["2023-04-15T00:00:00: power on"]
    board.answers[m.Start] += 5 * [board.restart]
    with pytest.raises(LinkError, match=r"had to be started again 4 times within one request \(2"):
        node.boot(START_MS)
    assert len(board.answers[m.Start]) == 1


@pytest.mark.parametrize(
    ("module", "entry"), [(TOGGLER, 1), (LOOPER, 2)], ids=["in step", "in main"]
)
def test_what_the_watchdog_stops_at_every_try_ran_for_ever(
    board: Board, module: bytes, entry: int
) -> None:
    board.birth = replace(board.birth, guest_sha256=hashlib.sha256(module).digest())
    node = booted(DeviceNode(Link(board), module))
    bite = partial(board.restart, m.ResetReason.WATCHDOG)
    # it hangs, and the request is sent again to the board that has started
    board.answers[m.Step] += 2 * [None, bite]
    borne = node.step(START_MS + STEP_MS, READINGS)
    assert (borne.trap, node.link.quality.retries, node.link.quality.excused) == (0, 2, 0)
    board.answers[m.Step] += 3 * [None, bite]
    board.answers[m.Start] += 3 * [result(START_MS + 2 * STEP_MS, tape=LOG_INT)]
    stopped = node.step(START_MS + 2 * STEP_MS, READINGS)
    assert stopped.trap == TrapKind.OUT_OF_FUEL and stopped.outputs == {}
    assert [record.call for record in iter_records(stopped.tape)][-2:] == [Call.STEP, Call.TRAP]
    now_ms = (START_MS + 2 * STEP_MS).to_bytes(8, "little")
    assert bytes([Call.STEP]) + now_ms + bytes([entry]) in stopped.tape
    assert stopped.tape.startswith(LOG_INT)
    assert (node.link.quality.retries, node.link.quality.excused) == (5, 3)
    assert node.quality()["restarts"] == [
        *(2 * ["2023-04-15T00:10:00: watchdog"]),
        *(3 * ["2023-04-15T00:20:00: watchdog (the guest ran for ever)"]),
    ]
    assert node.step(START_MS + 3 * STEP_MS, READINGS).trap == TrapKind.NONE


def test_a_guest_that_runs_for_ever_in_init_has_a_tape_that_begins_with_its_boot(
    board: Board, node: DeviceNode
) -> None:
    booted(node)
    board.answers[m.Start] += 2 * [partial(board.restart, m.ResetReason.WATCHDOG)]
    stopped = node.boot(START_MS + STEP_MS)
    assert stopped.trap == TrapKind.OUT_OF_FUEL
    assert calls(stopped.tape) == [Call.BOOT, Call.STEP, Call.TRAP]
    assert bytes([Call.STEP]) + (START_MS + STEP_MS).to_bytes(8, "little") + b"\0" in stopped.tape


# An update on trial


def trial(node: DeviceNode) -> DeviceNode:
    """A node that was given `SETTABLE` beside `TOGGLER` and tries it."""
    booted(node).session.adopt(SETTABLE)
    node.try_next({0: 5})
    return node


def test_a_module_on_trial_is_started_at_the_next_step_with_its_parameters(
    board: Board, node: DeviceNode
) -> None:
    assert (node.on_trial, node.rolled_back) == (False, False)
    assert trial(node).on_trial
    now_ms = START_MS + STEP_MS
    told = result(now_ms + WAKE_MS, flags=int(m.StepFlag.TRIAL))
    board.answers[m.Start].append(told)
    board.answers[m.Step].append(told)
    node.step(now_ms, READINGS)
    assert board.of(m.Start)[-1] == m.Start(time_ms=now_ms, flags=0, parameters=((0, 5),))
    assert (node.on_trial, node.rolled_back) == (True, False)
    assert (node.session.module, node.session.former) == (SETTABLE, (TOGGLER, b""))


def test_a_module_that_has_passed_stays_and_an_ordinary_result_takes_nothing_back(
    board: Board, node: DeviceNode
) -> None:
    trial(node).end_trial(committed=True)
    assert not node.on_trial
    node.step(START_MS + STEP_MS, READINGS)
    assert node.session.module == SETTABLE
    assert node.birth().guest_sha256 == hashlib.sha256(SETTABLE).hexdigest()


def test_a_device_that_has_rolled_back_runs_the_module_before(
    board: Board, node: DeviceNode
) -> None:
    trial(node).end_trial(committed=True)
    told = result(START_MS + WAKE_MS, flags=int(m.StepFlag.ROLLED_BACK))
    board.answers[m.Step] += [told, told]
    node.step(START_MS + STEP_MS, READINGS)
    assert (node.rolled_back, node.session.former) == (True, None)
    assert node.session.module == TOGGLER
    assert node.birth().guest_sha256 == SHA.hex()
    assert len(board.of(m.Hello)) == 1, "the session goes on"
    node.step(START_MS + STEP_MS, READINGS)  # told once more: there is nothing to go back to
    assert node.session.module == TOGGLER


def test_a_device_that_comes_back_with_the_module_before_goes_on_with_it(
    board: Board, node: DeviceNode
) -> None:
    trial(node)
    board.answers[m.Step].append(board.restart)  # its flash still says TOGGLER
    node.end_trial(committed=True)
    node.step(START_MS + STEP_MS, READINGS)
    assert (node.session.module, node.session.former) == (TOGGLER, None)
    assert not board.of(m.InstallBegin)


def test_a_device_that_comes_back_with_the_new_module_keeps_what_was_before_it(
    board: Board, node: DeviceNode
) -> None:
    trial(node).end_trial(committed=True)
    board.birth = replace(board.birth, guest_sha256=hashlib.sha256(SETTABLE).digest())
    board.answers[m.Step].append(board.restart)
    node.step(START_MS + STEP_MS, READINGS)
    assert (node.session.module, node.session.former) == (SETTABLE, (TOGGLER, b""))


# Lease and end


def test_a_lease_that_ended_is_kept_unless_the_host_had_let_go(
    board: Board, node: DeviceNode, caplog: pytest.LogCaptureFixture
) -> None:
    board.birth = replace(board.birth, flags=board.birth.flags | m.BirthFlag.HEARTBEAT)
    assert node.quality()["lease_ms"] == 4000
    lapsed = result(START_MS, flags=LAPSED)
    board.answers[m.Start] += [lapsed, lapsed]
    booted(node)
    assert node.lapses == [], "of a node that was not stepped for long the lease was let go"
    booted(node)
    assert node.lapses == ["2023-04-15T00:00:00"]
    board.answers[m.Step].append(result(START_MS + STEP_MS, flags=LAPSED))
    node.step(START_MS + STEP_MS, READINGS)
    assert node.lapses == ["2023-04-15T00:00:00", "2023-04-15T00:10:00"]
    assert "board: it had closed its outputs, as no host was heard for 4 s" in caplog.messages
    assert node.quality()["void"] == (
        "the device closed its outputs 2 times: no host was heard for 4 s, first told at "
        "2023-04-15T00:00:00"
    )
    node.close()


def test_a_firmware_without_heartbeats_is_told_of_once(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    node = booted(DeviceNode(Link(board), TOGGLER, speed=0.001))
    board.answers[m.Step].append(board.restart)
    node.step(START_MS + STEP_MS, READINGS)
    # the longest sleep of an hour lasts a thousand hours, and a minute more
    told = "takes no heartbeat: without a host its outputs close after 3600060 s"
    assert [message.endswith(told) for message in caplog.messages] == [True]


def test_a_lease_is_set_with_the_next_configuration_or_at_once(
    board: Board, node: DeviceNode
) -> None:
    node.set_lease(700)
    assert board.asked == []
    booted(node)
    node.set_lease(0)
    node.set_lease(None)
    leases = [c.lease_ms for c in board.of(m.Configure)]
    assert leases == [700, 0, 60_000]


def test_a_silence_is_kept_with_its_time(node: DeviceNode) -> None:
    booted(node)
    node.link.on_silence(5.04)
    assert node.quality()["silences"] == ["2023-04-15T00:00:00: not heard for 5.0 s"]


def test_the_outputs_are_closed_once_and_not_of_a_device_that_was_never_asked(
    board: Board, node: DeviceNode
) -> None:
    DeviceNode(Link(board), TOGGLER).close()
    assert board.asked == []
    booted(node)
    node.close()
    node.close()
    assert len(board.of(m.Close)) == 1


def test_the_last_word_to_a_device_that_is_silent_or_gone_is_brief(clock: Clock) -> None:
    silent, gone = Board(clock), Board(clock)
    silent.answers[m.Close] += 20 * [None]
    for board in (silent, gone):
        node = booted(DeviceNode(Link(board), TOGGLER))
        gone.gone = board is gone
        node.close()
    assert len(silent.of(m.Close)) == 4  # two, the line is opened anew, two
    assert gone.openings == 1
