"""Lockstep with the virtual board against a bare ping-pong of equal frames over a pseudo terminal.

The ping-pong is what the kernel allows a Python program: the same bytes there and back, no frame,
no check, no guest, a C program at the other end.  Lockstep must reach at least half its rate.
Many short rounds are taken in turns.  The rate is that of the median round: on a shared machine it
says the same from run to run, while that of the best round, shown beside it, hangs on where the
kernel's worker for terminals happened to run.  Both sides stay on one processor, since they take
turns.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
import tty
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from levada.guest.shipped import DEFAULT_GUEST
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice

START_MS: Final = 1_681_516_800_000
STEP_MS: Final = 600_000
ROUNDS: Final = 400
STEPS: Final = 25
LEAST: Final = 0.5
ENGINES: Final = ("native", "wasm3", "wasmtime")


class Counting:
    """A port that counts what goes through it."""

    def __init__(self, port: Port) -> None:
        self.url = port.url
        self.port = port
        self.sent = 0
        self.received = 0

    def open(self) -> None:
        """Open again."""
        self.port.open()

    def write(self, data: bytes) -> None:
        """Send."""
        self.sent += len(data)
        self.port.write(data)

    def read(self, timeout_s: float) -> bytes:
        """Receive."""
        data = self.port.read(timeout_s)
        self.received += len(data)
        return data

    def close(self) -> None:
        """Release."""
        self.port.close()


def stepper(node: DeviceNode) -> Callable[[int], float]:
    """Steps the shipped guest so often; steps a second."""
    now_ms = START_MS
    node.boot(now_ms)

    def go(count: int) -> float:
        nonlocal now_ms
        began_s = perf_counter()
        for k in range(count):
            now_ms += STEP_MS
            node.step(now_ms, (1800 + k % 300, 1500, 3700, k % 50))
        return count / (perf_counter() - began_s)

    return go


def frame_sizes(module: bytes) -> tuple[int, int]:
    """Mean bytes of a step's request and answer."""
    with VirtualDevice("native") as device:
        line = Counting(Port(device.url))
        node = DeviceNode(Link(line), module)
        go = stepper(node)
        line.sent = line.received = 0
        go(500)
        sizes = round(line.sent / 500), round(line.received / 500)
        node.close()
    return sizes


def bare(
    folder: Path, request: int, answer: int
) -> tuple[Callable[[int], float], Callable[[], None]]:
    """A ping-pong of so many bytes; exchanges a second, and what ends it."""
    peer = folder / "peer"
    source = Path(__file__).with_name("pty_peer.c")
    subprocess.run(["cc", "-O2", "-o", peer, source], check=True)
    master, slave = pty.openpty()
    tty.setraw(slave)
    process = subprocess.Popen([peer, str(request), str(answer)], stdin=master, stdout=master)
    os.close(master)
    data = bytes(range(1, 1 + request % 255)).ljust(request, b"x")

    def go(count: int) -> float:
        began_s = perf_counter()
        for _ in range(count):
            os.write(slave, data)
            got = len(os.read(slave, 4096))
            while got < answer:
                got += len(os.read(slave, 4096))
        return count / (perf_counter() - began_s)

    def end() -> None:
        process.kill()
        process.wait()
        os.close(slave)

    return go, end


def main() -> int:
    """Print the table; 1 if lockstep is slower than it must be."""
    module = DEFAULT_GUEST.read_bytes()
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        return measure(module)
    finally:
        os.sched_setaffinity(0, processors)


def measure(module: bytes) -> int:
    """Take turns, print the table."""
    request, answer = frame_sizes(module)
    with tempfile.TemporaryDirectory() as folder:
        ping, end = bare(Path(folder), request, answer)
        devices = [VirtualDevice(engine) for engine in ENGINES]
        nodes = [DeviceNode(Link(Port(device.url)), module) for device in devices]
        ways = {"bare ping-pong": ping}
        ways |= {f"virtual:{e}": stepper(n) for e, n in zip(ENGINES, nodes, strict=True)}
        rounds: dict[str, list[float]] = {way: [] for way in ways}
        try:
            for _ in range(ROUNDS):
                for name, go in ways.items():
                    rounds[name].append(go(STEPS))
        finally:
            end()
            for node, device in zip(nodes, devices, strict=True):
                node.close()
                device.close()
    print(f"a step: {request} bytes there, {answer} bytes back; {ROUNDS} rounds of {STEPS}\n")
    print(
        f"{'':18} {'exchanges/s':>12} {'us each':>9} {'of bare':>8} {'best us':>9} {'of bare':>8}"
    )
    typical = {name: median(rates) for name, rates in rounds.items()}
    best = {name: max(rates) for name, rates in rounds.items()}
    for name in rounds:
        cells = ""
        for rate in (typical, best):
            cells += f" {1e6 / rate[name]:9.1f} {rate[name] / rate['bare ping-pong']:8.2f}"
        print(f"{name:18} {typical[name]:12,.0f}{cells}")
    held = typical["virtual:wasm3"] >= LEAST * typical["bare ping-pong"]
    print(f"\nvirtual:wasm3 at least {LEAST:.0%} of bare: {'yes' if held else 'NO'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
