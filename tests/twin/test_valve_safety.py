"""Whatever happens, the valve closes: the table of docs/faults.md, each row injected.

What is measured is the board's own record of its pins, by its own clock, so that a computer that
is busy changes nothing: a valve has to be closed when the board looks at its lease for the first
time after that has ended, and it looks every 50 ms.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest
import wasmtime
from proof_log import Prove

from levada.guest.abi import TrapKind
from levada.hil.lease import LEASE_MS
from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_line import Bridge, MqttLine
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.nodes import NodeMaker
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.messages import Ack, Reset
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.sim.units import DAY_S

FAULTS = Path(__file__).parents[2] / "docs" / "faults.md"
WEATHER = Path(__file__).parents[2] / "levada/scenarios/weather/greeley_co_2023_daily.csv"
SHIPPED = Path(__file__).parents[2] / "levada/guest/irrigation/irrigation.wasm"
START_MS = 1_688_601_600_000
READINGS = (2000, 1500, 3700, 0)
SPEEDS = ("1x", "600x")
LOOK_MS = 50


def guest(step: str) -> bytes:
    """Runs for the first time after a second, and opens the valve before it does anything else."""
    return bytes(
        wasmtime.wat2wasm(
            '(module (import "env" "set_output" (func $set_output (param i32 i32)))'
            ' (memory (export "memory") 1) (global $n (mut i32) (i32.const 0))'
            ' (func (export "abi_version") (result i32) (i32.const 1))'
            ' (func (export "init") (result i32) (i32.const 1000))'
            ' (func (export "step") (result i32)'
            "  (global.set $n (i32.add (global.get $n) (i32.const 1)))"
            f"  (call $set_output (i32.const 23) (i32.const 1)) {step} (i32.const 3600000)))"
        )
    )


OPENER = guest("")
"""Then it sleeps for an hour, with the valve open."""
TRAPS = guest("(if (i32.eq (global.get $n) (i32.const 2)) (then (unreachable)))")
SOON_TRAPS = guest(
    "(if (i32.eq (global.get $n) (i32.const 1)) (then (return (i32.const 600000)))) (unreachable)"
)


def stated() -> dict[str, dict[str, float]]:
    """The table: fault -> kind of node -> longest time until the valve is closed [s]."""
    text = FAULTS.read_text("utf-8").split("## The valve")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    head = rows[0][1:4]
    return {
        row[0]: {
            kind: float(match[1])
            for kind, cell in zip(head, row[1:4], strict=True)
            if (match := re.match(r"([\d.]+) s", cell))
        }
        for row in rows[2:]
    }


class Board:
    """A virtual board that lives on when its host dies, with the record of its pins."""

    def __init__(self, pins: Path, stack: ExitStack) -> None:
        self._pins = pins
        self.device = stack.enter_context(VirtualDevice(pins=pins, options=["--times"]))

    @property
    def record(self) -> list[str]:
        return self._pins.read_text().splitlines()

    @property
    def is_open(self) -> bool:
        return self.record[-1].startswith("23 1 ")

    def silence_s(self) -> tuple[float, float]:
        """Since the host was heard last, when it closed, and when it looked before that."""
        match = re.fullmatch(r"23 0 at (\d+) heard (\d+) looked (\d+)", self.record[-1])
        assert match is not None, self.record
        at_ms, heard_ms, looked_ms = map(int, match.groups())
        return (at_ms - heard_ms) / 1000.0, (looked_ms - heard_ms) / 1000.0


def wait_for(what: Callable[[], object], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 200.0
    while not what():
        if process is not None:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def field(folder: Path, nodes: dict[str, str], extra: str = "") -> Path:
    """A scenario with a zone a node; `extra` continues the last of them."""
    zones = "".join(
        f"""
[[zone]]
name = "{name}"
node = "{node}"
soil.model = "bucket"
soil.texture = "sandy loam"
crop.name = "maize"
crop.planting = 2023-05-02
"""
        for name, node in nodes.items()
    )
    path = folder / "field.toml"
    path.write_text(
        f"""
version = 1
name = "valve-safety"
title = "Valve safety"
period.start = 2023-07-06
period.end = 2023-07-07
weather.file = "{WEATHER}"

[site]
latitude_deg = 40.45
longitude_deg = -104.64
elevation_m = 1427
utc_offset_h = -7
{zones}
{extra}
"""
    )
    return path


class Cable:
    """A byte line between a board and one host, until it is pulled."""

    def __init__(self, board: VirtualDevice) -> None:
        self._port = Port(board.url)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"serial:socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._host: socket.socket | None = None
        self._pulled = threading.Event()
        self._threads = [threading.Thread(target=self._plug, daemon=True)]
        self._threads[0].start()

    def _plug(self) -> None:
        self._host, _ = self._server.accept()
        self._threads.append(threading.Thread(target=self._to_host, daemon=True))
        self._threads[-1].start()
        with suppress(OSError):
            while data := self._host.recv(4096):
                self._port.write(data)

    def _to_host(self) -> None:
        assert self._host is not None
        with suppress(OSError):
            while not self._pulled.is_set():
                if data := self._port.read(0.1):
                    self._host.sendall(data)

    def pull(self) -> None:
        self._pulled.set()
        self._server.close()
        if self._host is not None:
            self._host.shutdown(socket.SHUT_RDWR)
            self._host.close()

    def close(self) -> None:
        if not self._pulled.is_set():
            self.pull()
        for thread in self._threads:
            thread.join()
        self._port.close()


class Host:
    """`levada run` at a speed, with two boards whose valves it has opened: one on a cable, one at a
    broker.  Boards, cable and broker are not its own, and live on without it."""

    def __init__(self, folder: Path, speed: str, stack: ExitStack) -> None:
        folder.mkdir()
        self.broker = stack.enter_context(EmbeddedBroker())
        address = self.broker.address
        assert address.user is not None and address.password is not None
        self.boards = {
            kind: Board(folder / f"{kind}.pins", stack) for kind in ("virtual", "virtual:mqtt")
        }
        self.cable = stack.enter_context(closing(Cable(self.boards["virtual"].device)))
        far = self.boards["virtual:mqtt"].device
        stack.enter_context(Bridge(Port(far.url), MqttLine(address, "ic/far", side="device")))
        nodes = {
            "near": self.cable.url,
            "far": f"mqtt://{address.user}@{address.host}:{address.port}/ic/far",
        }
        (folder / "guest.wasm").write_bytes(OPENER)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from levada.twin.cli.main import main; main()"),
                *("run", field(folder, nodes), "--guest", folder / "guest.wasm"),
                *("--speed", speed, "--out", folder / "run"),
            ],
            env=os.environ | {"LEVADA_MQTT_PASSWORD": address.password},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        stack.callback(self._end)

    def _end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def has_opened(self) -> bool:
        return all(board.is_open for board in self.boards.values())

    def suffers(self, fault: str) -> None:
        match fault:
            case "host killed":
                self.process.kill()
            case "host stopped":
                self.process.send_signal(signal.SIGSTOP)
            case "cable pulled":
                self.cable.pull()
            case "broker killed":
                self.broker._closing.set()  # for good: another one would be there within the lease
                os.kill(self.broker.pid, signal.SIGKILL)


CUT = ("cable pulled", "broker killed")
WHAT = ("host killed", "host stopped", CUT)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Host]]:
    """Hosts by fault and speed, all started at once, all of which have suffered theirs."""
    with ExitStack() as stack:
        made = {}
        for speed in SPEEDS:
            for faults in WHAT:
                folder = tmp_path_factory.mktemp("host") / "field"
                made[faults, speed] = Host(folder, speed, stack)
        found = {}
        for (faults, speed), host in made.items():
            wait_for(host.has_opened, host.process)
            for fault in faults if isinstance(faults, tuple) else (faults,):
                host.suffers(fault)
                found[fault, speed] = host
        yield found


HOST_FAULTS = [
    ("host killed", "virtual"),
    ("host killed", "virtual:mqtt"),
    ("host stopped", "virtual"),
    ("host stopped", "virtual:mqtt"),
    ("cable pulled", "virtual"),
    ("broker killed", "virtual:mqtt"),
]


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize(("fault", "kind"), HOST_FAULTS)
def test_without_its_host_a_board_closes_its_valve_within_the_stated_time(
    hosts: dict[tuple[str, str], Host], fault: str, kind: str, speed: str, proof: Prove
) -> None:
    board = hosts[fault, speed].boards[kind]
    wait_for(lambda: not board.is_open)
    silence_s, looked_s = board.silence_s()
    too_long = looked_s > LEASE_MS / 1000.0
    proof("valves open longer than permitted", tried=1, found=int(too_long))
    assert silence_s > LEASE_MS / 1000.0  # at the first look after the lease
    # after the last sign of life its host may have lived for as long as between two of them
    assert 1000.0 * stated()[fault][kind] >= LEASE_MS + LOOK_MS


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_live_host_keeps_the_valve_open_for_longer_than_a_lease(
    hosts: dict[tuple[str, str], Host], speed: str
) -> None:
    """While the cable of the other was pulled the host went on, and its board knows no lapse."""
    host = hosts["cable pulled", speed]
    wait_for(lambda: not host.boards["virtual:mqtt"].is_open)
    opened, closed = (
        int(line.split(" at ")[1].split()[0]) for line in host.boards["virtual:mqtt"].record[-2:]
    )
    assert closed - opened > LEASE_MS


def test_the_hosts_own_board_goes_with_it(stack: ExitStack, tmp_path: Path) -> None:
    """`--node virtual`: the board is a child of the host, which dies when that is killed."""
    code = (
        "import sys; from pathlib import Path; from levada.hil.virtual import VirtualDevice\n"
        "from levada.hil.link import Link; from levada.hil.line.serial_port import Port\n"
        "from levada.hil.node import DeviceNode\n"
        f"device = VirtualDevice(pins=Path({str(tmp_path / 'pins')!r}))\n"
        f"module = Path({str(tmp_path / 'wasm')!r}).read_bytes()\n"
        "node = DeviceNode(Link(Port(device.url)), module)\n"
        f"node.boot({START_MS}); node.step({START_MS + 1000}, {READINGS})\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    (tmp_path / "wasm").write_bytes(OPENER)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    stack.enter_context(process)
    assert process.stdout is not None and process.stdout.readline() == b"open\n"
    process.kill()
    wait_for(lambda: (tmp_path / "pins").read_text().splitlines()[-1] == "off")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def with_open_valve(folder: Path, kind: str, module: bytes, stack: ExitStack) -> _Open:
    board = Board(folder / "pins", stack)
    if kind == "virtual:mqtt":
        address = stack.enter_context(EmbeddedBroker()).address
        stack.enter_context(
            Bridge(Port(board.device.url), MqttLine(address, "ic/far", side="device"))
        )
        link = Link(MqttLine(address, "ic/far"))
    else:
        link = Link(Port(board.device.url))
    node = DeviceNode(link, module)
    stack.callback(node.close)
    node.boot(START_MS)
    node.step(START_MS + 1000, READINGS)
    assert board.is_open
    return node, board


_Open = tuple[DeviceNode, Board]
KINDS = ("virtual", "virtual:mqtt")


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_that_traps_has_closed_its_valve_before_it_is_told(
    tmp_path: Path, stack: ExitStack, kind: str
) -> None:
    node, board = with_open_valve(tmp_path, kind, TRAPS, stack)
    assert node.step(START_MS + 2000, READINGS).trap == TrapKind.UNREACHABLE
    assert board.record[-1].startswith("23 0 ")
    assert stated()["guest trapped"][kind] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_restarts_without_end_open_no_valve_by_themselves(
    tmp_path: Path, stack: ExitStack, kind: str
) -> None:
    node, board = with_open_valve(tmp_path, kind, OPENER, stack)
    for _ in range(10):
        node.link.ask(Reset(), Ack)
        node.link.hello()
    assert not any(line.startswith("23 1") for line in board.record[2:])
    assert board.record.count("boot") == 11


@pytest.mark.parametrize("kind", KINDS)
def test_without_power_the_valve_is_closed(tmp_path: Path, stack: ExitStack, kind: str) -> None:
    _, board = with_open_valve(tmp_path, kind, OPENER, stack)
    [process] = psutil.Process(board.device.process.pid).children()
    process.kill()
    wait_for(lambda: "off" in board.record)
    assert board.record[2] == "off"  # nothing opened or closed in between
    assert stated()["power cut"][kind] == 0.0


# By the time of the field, as fast as the computer can: the plant's timer, and the shipped guest

TIMER = "valve.max_open_s = 1800"
"""As an ESP32 has."""
DRY = "soil.initial.available_pct = 30\nparameters.on_pct = 60\nparameters.off_pct = 100"
"""So dry that the shipped guest is never done; the valve has no timer of less than six hours."""
CLOSING_S = 2
"""Of the simulated valve."""


def simulated(
    folder: Path, module: bytes, faults: str, node: str = "sim", zone: str = TIMER
) -> RunDir:
    """A day of a field; `zone` is about its one zone."""
    (folder / "guest.wasm").write_bytes(module)
    extra = f'[guest]\nfile = "{folder / "guest.wasm"}"\n{faults}'
    path = field(folder, {"maize": node}, f"{zone}\n{extra}")
    with NodeMaker() as make_node:
        run_scenario(scenarios.load(path), folder / "run", make_node=make_node, report=False)
    return RunDir(folder / "run")


def fault(kind: str, start: str, more: str = "") -> str:
    return f'[[fault]]\nkind = "{kind}"\nstart = 2023-07-06T{start}\n{more}\n'


ALL_KINDS = ("sim", "virtual", pytest.param("virtual:mqtt", marks=pytest.mark.slow))
"""A day over a broker takes long, and what closes the valve is the same as on `virtual`."""


@pytest.mark.parametrize("kind", ("sim", *KINDS))
@pytest.mark.parametrize("jump", ["1 d", pytest.param("-1 d", marks=pytest.mark.slow)])
def test_a_clock_that_jumps_keeps_no_valve_open_beyond_the_timer_of_its_board(
    tmp_path: Path, kind: str, jump: str, proof: Prove
) -> None:
    more = f'duration = "12 h"\nmagnitude = "{jump}"'
    run = simulated(tmp_path, OPENER, fault("clock-skew", "00:10:00", more), kind)
    assert run.summary["steps"] > 10
    named = "clock jumped, a guest that never closes"
    longest_s = run.summary["longest_opening_s"]
    proof("valves open longer than permitted", tried=1, found=int(longest_s > 1800))
    assert longest_s == 1800 == stated()[named][kind]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_clock_that_jumps_changes_no_opening_of_the_shipped_guest(
    tmp_path: Path, kind: str
) -> None:
    # it opens at 2402 s for the first time, and then 20 minutes in every hour
    jumps = "".join(
        fault("clock-skew", start, f'duration = "{how_long}"\nmagnitude = "{jump}"')
        for start, how_long, jump in (
            ("00:45:30", "10 min", "1 d"),
            ("01:50:30", "2 min", "-1 d"),
            ("02:45:30", "12 h", "5 h"),
        )
    )
    run = simulated(tmp_path, SHIPPED.read_bytes(), jumps, kind, DRY)
    assert run.summary["longest_opening_s"] == 1200 == stated()["clock jumped"][kind]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_guest_that_opens_after_each_restart_is_held_by_the_timer_of_its_board(
    tmp_path: Path, kind: str
) -> None:
    restarts = "".join(fault("reboot", f"{k // 60:02}:{k % 60:02}:00") for k in range(2, 600, 2))
    run = simulated(tmp_path, OPENER, restarts, kind)
    # a restart every 120 s; opened again after a second the valve has not closed meanwhile
    named = "restart loop, a guest that opens at once"
    assert 1700 < run.summary["longest_opening_s"] <= stated()[named][kind]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_restarts_close_the_valve_of_the_shipped_guest_and_open_it_no_more(
    tmp_path: Path, kind: str
) -> None:
    # it opens at 2402 s; at 3480 s it restarts, and no pause of 2400 s passes before the next
    minutes = range(58, 24 * 60, 20)
    restarts = "".join(fault("reboot", f"{k // 60:02}:{k % 60:02}:00") for k in minutes)
    run = simulated(tmp_path, SHIPPED.read_bytes(), restarts, kind, DRY)
    at_s = (run.trace["time_ms"] - START_MS) / 1000
    open_s = run.trace["valve_run_s"]
    longest_s = stated()["restart loop"][kind]
    assert open_s[at_s <= 3600].max() == 3480 - 2402 + longest_s + CLOSING_S
    assert open_s[(at_s > 3600) & (at_s < DAY_S)].max() == 0


@pytest.mark.slow
def test_the_simulated_valve_closes_at_once_with_its_guest_and_its_power(
    tmp_path: Path,
) -> None:
    for name in ("trap", "power"):
        (tmp_path / name).mkdir()
    # opened at 1 s; the second step, in which it traps, is at 601 s
    trapped = simulated(tmp_path / "trap", SOON_TRAPS, "")
    assert trapped.summary["longest_opening_s"] == 600
    cut = simulated(tmp_path / "power", OPENER, fault("brown-out", "00:10:00", 'duration = "23 h"'))
    dark = cut.trace["time_ms"] <= START_MS + 23 * 3_600_000
    assert cut.trace["valve_run_s"][dark].max() == 599  # from 1 s to 600 s
    for fault_name in ("guest trapped", "power cut"):
        assert stated()[fault_name]["sim"] == 0.0
