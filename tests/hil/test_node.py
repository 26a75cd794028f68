"""A device as a node: resets at every message, traps, calibration, tapes in parts, other guests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lockstep import (
    FOREVER,
    LOOPER,
    OPENER,
    QUICK,
    READINGS,
    SETTABLE,
    SEVERAL,
    START_MS,
    STEP_MS,
    TALKER,
    TOGGLER,
    calls,
    counted,
)

from levada.guest.abi import Call, TrapKind
from levada.guest.errors import ParameterError
from levada.guest.limits import Budget
from levada.guest.node import StepResult
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.errors import DeviceRestarted, LinkError
from levada.hil.line.serial_port import Port
from levada.hil.link import Link, Patience
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.codec import encode_frame
from levada.hil.wire.message import Message
from levada.hil.wire.messages import (
    Ack,
    Fault,
    FaultKind,
    FaultPoint,
    GetStatistics,
    Ping,
    Statistics,
    Step,
)
from levada.hil.wire.messages import StepResult as StepAnswer

ENGINES = ("wasm3", "wasmtime", "xtensa", "esp32", "aarch64")
"""Those that run any module; the native board has its guest compiled in."""


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    return tmp_path / "pins"


@pytest.fixture
def device(pins: Path) -> Iterator[VirtualDevice]:
    with VirtualDevice(pins=pins) as found:
        yield found


def node_on(device: VirtualDevice, module: bytes, **settings: object) -> DeviceNode:
    link = Link(Port(device.url), patience=QUICK)
    return DeviceNode(link, module, **settings)  # type: ignore[arg-type]


# Resets at every message of a step


def valve(pins: Path) -> int:
    """State of the valve's pin, by the record of the board; off is closed."""
    state = 0
    for line in pins.read_text().splitlines():
        if line in ("off", "boot"):
            state = 0
        elif line.startswith("23 "):
            state = int(line[3:])
    return state


STRIKES = [
    (point, after)
    for point in (
        FaultPoint.RECEIVED,
        FaultPoint.CALL,
        FaultPoint.EXECUTED,
        FaultPoint.HALF_SENT,
        FaultPoint.SENT,
    )
    for after in range(5)
]
"""Each point of each of the next five messages, or, in the guest, each of the next five calls."""


@pytest.mark.parametrize(
    ("point", "after"), STRIKES, ids=lambda value: getattr(value, "name", value)
)
def test_a_reset_at_any_message_loses_and_doubles_no_command_and_leaves_no_valve_open(
    device: VirtualDevice, pins: Path, point: FaultPoint, after: int
) -> None:
    node = node_on(device, TOGGLER)
    node.boot(START_MS)
    node.step(START_MS + STEP_MS, READINGS)
    strike = Fault(kind=FaultKind.RESET, point=point, after=after, argument=0)
    node.link.ask(strike, Ack)
    expected = 1  # steps of the present life of the guest
    lives = 1
    for k in range(2, 9):
        result = node.step(START_MS + k * STEP_MS, READINGS)
        records = calls(result.tape)
        if Call.BOOT in records:
            lives += records.count(Call.BOOT)
            expected = 0
        expected += 1
        # one step a step, by a guest that remembers those of this life and of no other
        assert counted(result.tape) == [expected]
        assert result.outputs == {23: expected & 1}
        # what the node was told is what the device did; one that fell right after its answer has
        # closed its valve, and the next step will tell
        state = valve(pins)
        assert state == expected & 1 or (point == FaultPoint.SENT and state == 0)
    assert lives == 2
    assert len(node.quality()["restarts"]) == 1
    assert node.quality()["restarts"][0].endswith(": power on")
    node.close()
    assert valve(pins) == 0


def test_a_reset_before_and_during_the_first_messages_does_no_harm(
    device: VirtualDevice, pins: Path
) -> None:
    for after in range(8):  # InstallBegin, chunks, InstallEnd, Hello, Configure, Start, Step
        link = Link(Port(device.url), patience=QUICK)
        link.hello()
        link.ask(
            Fault(kind=FaultKind.RESET, point=FaultPoint.EXECUTED, after=after, argument=0), Ack
        )
        node = DeviceNode(link, TOGGLER if after % 2 else OPENER)
        tape = node.boot(START_MS).tape
        result = node.step(START_MS + STEP_MS, READINGS)
        assert calls(tape)[:2] == [Call.BOOT, Call.STEP]
        assert result.outputs == {23: 1}
        assert valve(pins) == 1
        node.close()
        assert valve(pins) == 0


def test_a_device_that_starts_again_and_again_is_given_up(device: VirtualDevice) -> None:
    class Hopeless(Link):
        """Arms a reset in every life."""

        def exchange(self, request: type[Message], body: bytes, kind: type[Message]) -> bytes:
            if request is Step:
                strike = Fault(kind=FaultKind.RESET, point=FaultPoint.RECEIVED, after=0, argument=0)
                super().exchange(Fault, strike.encode(), Ack)
            return super().exchange(request, body, kind)

    node = DeviceNode(Hopeless(Port(device.url), patience=QUICK), TOGGLER)
    node.boot(START_MS)
    with pytest.raises(LinkError, match=r"started again 4 times within one request .*power on"):
        node.step(START_MS + STEP_MS, READINGS)
    node.close()


# Traps and the watchdog


def test_a_trap_is_a_result_and_the_next_boot_goes_on(device: VirtualDevice) -> None:
    node = node_on(device, FOREVER)
    node.boot(START_MS)
    stopped = node.step(START_MS + STEP_MS, READINGS)
    twin = WasmtimeNode(FOREVER)
    twin.boot(START_MS)
    assert stopped.trap == TrapKind.OUT_OF_FUEL
    assert stopped.tape == twin.step(START_MS + STEP_MS, READINGS).tape
    assert stopped.outputs == {}
    assert node.boot(START_MS + 2 * STEP_MS).trap == TrapKind.NONE
    node.close()
    twin.close()


def test_what_the_watchdog_stops_twice_is_a_trap(device: VirtualDevice) -> None:
    """A board that hangs whenever it runs the guest, as one whose engine counts nothing."""

    class Hanging(Link):
        def exchange(self, request: type[Message], body: bytes, kind: type[Message]) -> bytes:
            if request is Step:
                hang = Fault(kind=FaultKind.HANG, point=FaultPoint.CALL, after=0, argument=0)
                super().exchange(Fault, hang.encode(), Ack)
            return super().exchange(request, body, kind)

    node = DeviceNode(Hanging(Port(device.url), patience=QUICK), TOGGLER)
    node.boot(START_MS)
    result = node.step(START_MS + STEP_MS, READINGS)
    assert result.trap == TrapKind.OUT_OF_FUEL
    assert calls(result.tape)[-2:] == [Call.STEP, Call.TRAP]
    assert result.outputs == {}
    assert result.trap_detail == f"guest stopped in step: out of fuel on {device.url}"
    assert node.link.quality.retries > 0
    assert node.link.quality.excused == node.link.quality.retries, "the line is not to blame"
    bite = "2023-04-15T00:10:00: watchdog (the guest ran for ever)"
    assert node.quality()["restarts"][-2:] == [bite, bite]
    node.close()


# Tapes, parameters, modules


def test_a_tape_that_does_not_fit_the_answer_is_read_to_its_end(device: VirtualDevice) -> None:
    node, twin = node_on(device, TALKER), WasmtimeNode(TALKER)
    node.boot(START_MS)
    twin.boot(START_MS)
    result = node.step(START_MS + STEP_MS, READINGS)
    expected = twin.step(START_MS + STEP_MS, READINGS)
    assert len(result.tape) > 1024
    assert result.tape == expected.tape
    assert result.logs == expected.logs
    node.close()
    twin.close()


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        ({"tape_bytes": 2**32 - 1}, "tape of 4294967295 bytes: at most"),
        ({"wake_ms": 0}, "wants to run again at 0 ms"),
        ({"wake_ms": -(2**63)}, "wants to run again at -9223372036854775808 ms"),
    ],
)
def test_what_a_device_promises_is_bounded(
    device: VirtualDevice, monkeypatch: pytest.MonkeyPatch, lie: dict[str, int], says: str
) -> None:
    node = node_on(device, TALKER)
    honest = node.link.ask

    def lying(request: Message, kind: type[Message]) -> Message:
        answer = honest(request, kind)
        return replace(answer, **lie) if isinstance(answer, StepAnswer) else answer

    monkeypatch.setattr(node.link, "ask", lying)
    with pytest.raises(LinkError, match=says):
        node.boot(START_MS)
    node.close()


def test_calibration_and_its_refusal_leave_the_tape_of_the_simulated_node(
    device: VirtualDevice,
) -> None:
    tapes = []
    for node in (
        node_on(device, SETTABLE, parameters={0: 20}),
        WasmtimeNode(SETTABLE, parameters={0: 20}),
    ):
        tape = node.boot(START_MS).tape
        assert node.calibrate({0: 42}) == {0: 42}
        tape += node.step(START_MS + STEP_MS, READINGS).tape
        with pytest.raises(ParameterError, match="parameter 0 = 101: the guest refuses it"):
            node.calibrate({0: 101})
        tape += node.step(START_MS + 2 * STEP_MS, READINGS).tape
        tapes.append(tape)
        node.close()
    assert tapes[0] == tapes[1]
    assert counted(tapes[0]) == [42, 42]


def test_a_calibration_holds_after_a_restart(device: VirtualDevice) -> None:
    node = node_on(device, SETTABLE)
    node.boot(START_MS)
    node.calibrate({0: 77})
    node.link.ask(Fault(kind=FaultKind.RESET, point=FaultPoint.RECEIVED, after=0, argument=0), Ack)
    assert counted(node.step(START_MS + STEP_MS, READINGS).tape) == [77]
    node.close()


def test_a_calibration_of_a_device_that_has_restarted_starts_its_guest_first(
    device: VirtualDevice,
) -> None:
    node = node_on(device, SETTABLE)
    node.boot(START_MS)
    node.link.ask(Fault(kind=FaultKind.RESET, point=FaultPoint.RECEIVED, after=0, argument=0), Ack)
    assert node.calibrate({0: 5}) == {0: 5}
    result = node.step(START_MS + STEP_MS, READINGS)
    assert Call.BOOT in calls(result.tape)
    assert counted(result.tape) == [5]
    node.close()


def test_a_new_guest_is_brought_over_and_runs_from_the_next_boot(device: VirtualDevice) -> None:
    node = node_on(device, TOGGLER)
    node.boot(START_MS)
    born = node.install(OPENER)
    twin = WasmtimeNode(OPENER)
    assert born.guest_sha256 == twin.birth().guest_sha256
    node.boot(START_MS + STEP_MS)
    assert node.step(START_MS + 2 * STEP_MS, READINGS).outputs == {23: 1}
    node.close()
    twin.close()


def test_the_same_guest_is_not_brought_twice(device: VirtualDevice) -> None:
    first = node_on(device, TOGGLER)
    first.boot(START_MS)
    writes = first.link.ask(GetStatistics(), Statistics).flash_writes
    first.close()
    second = node_on(device, TOGGLER)
    second.boot(START_MS)
    assert second.link.ask(GetStatistics(), Statistics).flash_writes == writes
    second.close()


@pytest.mark.usefixtures("no_repair")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "module", [LOOPER, TOGGLER, TALKER], ids=["loops in main", "steps", "talks"]
)
def test_any_guest_makes_the_same_calls_on_every_board(engine: str, module: bytes) -> None:
    with VirtualDevice(engine) as board:
        node, twin = DeviceNode(Link(Port(board.url)), module), WasmtimeNode(module)
        time_ms = START_MS
        left, right = node.boot(time_ms), twin.boot(time_ms)
        assert left.tape == right.tape
        for k in range(200):
            time_ms += max(right.wake_ms, 1)
            readings = (1900 + k, 1500, 3700, k)
            left, right = node.step(time_ms, readings), twin.step(time_ms, readings)
            assert seen(left) == seen(right)
        node.close()
        twin.close()


def seen(result: StepResult) -> tuple[object, ...]:
    return result.tape, result.outputs, result.wake_ms, result.logs, result.publications


def test_a_module_that_does_not_fit_the_device_is_not_sent(device: VirtualDevice) -> None:
    big = TOGGLER + bytes([0, 0xF8, 0x80, 0x04]) + b"\x03pad" + bytes(65_652)  # custom section
    node = node_on(device, big, budget=Budget(module_bytes=200_000))
    with pytest.raises(LinkError, match=f"the guest has {len(big)} bytes, the device takes 65536"):
        node.birth()
    node.close()


def test_a_device_that_is_gone_at_the_end_does_not_spoil_it(device: VirtualDevice) -> None:
    node = node_on(device, TOGGLER)
    node.boot(START_MS)
    device.close()
    node.close()
    node.close()


def test_the_lease_closes_the_valve_and_voids_the_run(device: VirtualDevice, pins: Path) -> None:
    node = node_on(device, OPENER, lease_ms=100)
    node.boot(START_MS)
    node.step(START_MS + STEP_MS, READINGS)
    while valve(pins):
        node.link._line.read(0.05)  # nothing comes; the board's own clock closes the valve
    node.step(START_MS + 2 * STEP_MS, READINGS)
    assert node.quality()["void"] == (
        "the device closed its outputs 1 times: no host was heard for 0.1 s, first told at "
        "2023-04-15T00:20:00"
    )
    node.close()


def test_a_session_that_another_host_takes_voids_the_run(pins: Path) -> None:
    with VirtualDevice(pins=pins, tcp=0) as device:  # a terminal would be locked
        node = node_on(device, TOGGLER)
        node.boot(START_MS)
        other = Link(Port(device.url), patience=QUICK)
        other.hello()
        other.close()
        # the node says hello again and goes on with the guest from its beginning
        assert counted(node.step(START_MS + STEP_MS, READINGS).tape) == [1]
        quality = node.quality()
        assert quality["restarts"] == ["2023-04-15T00:10:00: taken by another host"]
        assert quality["void"] == "another host has taken the device, 1 time(s)"
        node.close()


def test_a_session_whose_end_another_host_was_told_was_taken_too(pins: Path) -> None:
    with VirtualDevice(pins=pins, tcp=0) as device:
        node = node_on(device, TOGGLER)
        node.boot(START_MS)
        other = Link(Port(device.url), patience=QUICK)
        other.hello()
        other.write_raw(encode_frame(Ping.TYPE, other._sequence + 9, b""))  # ends the session
        other._line.read(5.0)
        other.close()
        with pytest.raises(DeviceRestarted, match="another host has taken the device"):
            node.link.ask(GetStatistics(), Statistics)
        node.close()


def test_requests_that_never_arrived_accuse_no_other_host(device: VirtualDevice) -> None:
    class Deaf(Port):
        deaf = False

        def write(self, data: bytes) -> None:
            if not self.deaf:
                super().write(data)

    port = Deaf(device.url)
    impatient = Patience(least_s=0.05, most_s=0.05, tries=1, reopen_s=0.0)
    node = DeviceNode(Link(port, patience=QUICK), TOGGLER)
    node.boot(START_MS)
    port.deaf, node.link.patience = True, impatient
    for k in (1, 2):
        with pytest.raises(LinkError, match="no answer to Step"):
            node.step(START_MS + k * STEP_MS, READINGS)
    port.deaf, node.link.patience = False, QUICK
    assert counted(node.step(START_MS + 3 * STEP_MS, READINGS).tape) == [1]
    assert node.quality()["restarts"] == []
    assert node.quality()["void"] is None
    node.close()


@pytest.mark.usefixtures("no_repair")
@pytest.mark.parametrize("engine", ["wasm3", "wasmtime"])
def test_every_output_and_every_parameter_is_told_under_its_own_number(engine: str) -> None:
    with VirtualDevice(engine) as board:
        node = DeviceNode(Link(Port(board.url)), SEVERAL, parameters={7: 70, 3: 30})
        twin = WasmtimeNode(SEVERAL, parameters={7: 70, 3: 30})
        assert node.boot(START_MS).tape == twin.boot(START_MS).tape
        result = node.step(START_MS + STEP_MS, READINGS)
        assert result.tape == twin.step(START_MS + STEP_MS, READINGS).tape
        assert result.outputs == {23: 1, 21: 1, 18: 0}  # and nothing of pin 19, never set
        assert counted(result.tape) == [30, 70]
        assert node.calibrate({7: 71, 3: 31}) == {7: 71, 3: 31}
        assert counted(node.step(START_MS + 2 * STEP_MS, READINGS).tape) == [31, 71]
        node.close()
        twin.close()


def test_several_parameters_hold_under_their_own_numbers_after_a_restart(
    device: VirtualDevice,
) -> None:
    node = node_on(device, SEVERAL)
    node.boot(START_MS)
    node.calibrate({7: 77})
    node.calibrate({3: 33})
    node.link.ask(Fault(kind=FaultKind.RESET, point=FaultPoint.RECEIVED, after=0, argument=0), Ack)
    assert counted(node.step(START_MS + STEP_MS, READINGS).tape) == [33, 77]
    node.close()
