"""A bad network between machines that do not exist: network namespaces joined packet by packet.

Each machine is a network namespace with one address and nothing else; what it sends arrives here
as whole IP packets (TUN), and this module decides which are lost, when the others arrive, and
therefore in which order.  No module of the kernel such as `sch_netem` is needed, but root is.

    with BadNetwork(["broker", "boards", "twin"], seed=1, link=Link(loss=0.01)) as network:
        network.start("broker", ["mosquitto", "-c", "mosquitto.conf"])
        network.cut("twin")      # nothing passes until
        network.join("twin")

The decisions are drawn from one seed, yet which packet meets which of them depends on when the
programs send: what must hold has to hold for any of it.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import IO, Any, Final, Self

__all__ = ["BadNetwork", "Link", "can_make_namespaces"]

CLONE_NEWNET: Final = 0x40000000
TUNSETIFF: Final = 0x400454CA
IFF_TUN_NO_PI: Final = 0x0001 | 0x1000
MTU: Final = 1500
QUEUE: Final = 2_000
"""Packets under way; a router drops what comes beyond."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """What happens to each packet, independently."""

    loss: float = 0.0
    """Share of the packets that never arrive."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Uniform, on top of the delay: packets overtake each other."""


@dataclass(frozen=True)
class _Machine:
    address: str
    namespace: int
    """Descriptor that keeps the namespace."""
    tun: int


def can_make_namespaces() -> bool:
    """Whether this user may make network namespaces with a TUN device."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not os.access("/dev/net/tun", os.W_OK):
        return False
    command = ["unshare", "--net", "ip", "tuntap", "add", "dev", "t0", "mode", "tun"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class BadNetwork:
    """Namespaces with the addresses 10.77.0.1, .2, ... in the order of their names."""

    def __init__(self, names: Sequence[str], *, seed: int, link: Link) -> None:
        self._open = ExitStack()
        self._machines: dict[str, _Machine] = {}
        try:
            for number, name in enumerate(names, 1):
                self._machines[name] = self._machine(f"10.77.0.{number}")
            self._router = self._started(seed, link)
        except BaseException:
            self._open.close()
            raise

    def _machine(self, address: str) -> _Machine:
        found: list[_Machine | Exception] = []

        def make() -> None:
            try:
                found.append(_make_machine(address))
            except OSError as error:
                found.append(error)

        thread = threading.Thread(target=make)  # leaving a namespace is leaving the thread
        thread.start()
        thread.join()
        if isinstance(found[0], Exception):
            raise found[0]
        for descriptor in (found[0].tun, found[0].namespace):
            self._open.callback(os.close, descriptor)
        return found[0]

    def _started(self, seed: int, link: Link) -> subprocess.Popen[str]:
        tuns = [machine.tun for machine in self._machines.values()]
        settings = json.dumps({"tuns": tuns, "seed": seed, "link": asdict(link)})
        router = subprocess.Popen(
            [sys.executable, __file__, settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=tuns,
        )
        self._open.callback(_ended, router)
        return router

    def address(self, name: str) -> str:
        """IPv4 address of a machine."""
        return self._machines[name].address

    def start(self, name: str, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """A program on a machine; whoever starts it ends it."""
        namespace = self._machines[name].namespace
        entered = ["nsenter", f"--net=/proc/self/fd/{namespace}", "--", *command]
        return subprocess.Popen(entered, pass_fds=(namespace,), **options)

    def cut(self, name: str) -> None:
        """From now on nothing that this machine sends or is sent arrives."""
        self._tell("cut", name)

    def join(self, name: str) -> None:
        """The end of `cut`."""
        self._tell("join", name)

    def _tell(self, order: str, name: str) -> None:
        assert self._router.stdin is not None
        assert self._router.stdout is not None
        print(order, list(self._machines).index(name), file=self._router.stdin, flush=True)
        assert self._router.stdout.readline() == "done\n"

    def counters(self) -> dict[str, int]:
        """Packets by what became of them: passed, overtaken, lost, cut, overflowed."""
        self_in, self_out = self._router.stdin, self._router.stdout
        assert self_in is not None
        assert self_out is not None
        print("count 0", file=self_in, flush=True)
        counters: dict[str, int] = json.loads(self_out.readline())
        return counters

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()


def _make_machine(address: str) -> _Machine:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"net0", IFF_TUN_NO_PI))
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{address}/24", "dev", "net0"],
        ["ip", "link", "set", "net0", "mtu", str(MTU), "up"],
    ):
        subprocess.run(command, check=True)
    return _Machine(address, namespace, tun)


def _ended(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait()
    process.stdout.close()


class _Router:
    """Passes packets on; a program of its own, since tests would starve a thread."""

    def __init__(self, tuns: Sequence[int], seed: int, link: Link) -> None:
        self._tuns = list(tuns)
        self._draw = random.Random(seed)
        self._link = link
        self._cut: set[int] = set()
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._number = 0
        self._newest: dict[int, int] = {}
        self._counters = dict.fromkeys(("passed", "overtaken", "lost", "cut", "overflowed"), 0)

    def run(self, orders: IO[str]) -> None:
        poll = select.poll()
        for tun in self._tuns:
            os.set_blocking(tun, False)
            poll.register(tun, select.POLLIN)
        poll.register(orders, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(self._patience_ms()):
                if descriptor == orders.fileno():
                    line = orders.readline()
                    if not line:
                        return
                    self._obey(*line.split())
                else:
                    self._take(self._tuns.index(descriptor))
            self._deliver()

    def _patience_ms(self) -> float | None:
        if not self._under_way:
            return None
        return max(0.0, (self._under_way[0][0] - time.monotonic()) * 1e3 + 0.5)

    def _obey(self, order: str, which: str) -> None:
        if order == "cut":
            self._cut.add(int(which))
        elif order == "join":
            self._cut.discard(int(which))
        print(json.dumps(self._counters) if order == "count" else "done", flush=True)

    def _take(self, sender: int) -> None:
        while True:
            try:
                packet = os.read(self._tuns[sender], MTU)
            except BlockingIOError:
                return
            if packet[0] >> 4 == 4:  # IPv6 finds no neighbours here
                self._accept(sender, packet)

    def _accept(self, sender: int, packet: bytes) -> None:
        receiver = packet[19] - 1  # the last byte of the destination's address
        if not 0 <= receiver < len(self._tuns):
            return
        if {sender, receiver} & self._cut:
            self._counters["cut"] += 1
        elif self._draw.random() < self._link.loss:
            self._counters["lost"] += 1
        elif len(self._under_way) >= QUEUE:
            self._counters["overflowed"] += 1
        else:
            late_ms = self._link.delay_ms + self._draw.uniform(0.0, self._link.jitter_ms)
            self._number += 1
            due_s = time.monotonic() + late_ms / 1e3
            heapq.heappush(self._under_way, (due_s, self._number, receiver, packet))

    def _deliver(self) -> None:
        now_s = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now_s:
            _, number, receiver, packet = heapq.heappop(self._under_way)
            if receiver in self._cut:
                self._counters["cut"] += 1
                continue
            if number < self._newest.get(receiver, 0):
                self._counters["overtaken"] += 1
            self._newest[receiver] = max(number, self._newest.get(receiver, 0))
            self._counters["passed"] += 1
            try:
                os.write(self._tuns[receiver], packet)
            except BlockingIOError:
                self._counters["overflowed"] += 1


def _main() -> None:
    settings = json.loads(sys.argv[1])
    _Router(settings["tuns"], settings["seed"], Link(**settings["link"])).run(sys.stdin)


if __name__ == "__main__":
    _main()
