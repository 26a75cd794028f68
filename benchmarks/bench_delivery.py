"""Telemetry to committed row and acknowledgement, against what broker and disk take by themselves.

Must hold, over amqtt and, where it is installed, mosquitto: at 200 messages a second half of the
messages are committed within twice a bare round trip through the same broker and two synchronised
writes of the same disk.  All of it is measured in the same run, in many short rounds by turns,
since a shared disk is not the same a second later.

Throughput is that of a device which has at most 400 messages on their way, beside that of a
subscriber which only counts.  Device, broker, and what stores and acknowledges are a process each,
as they are in a field.
"""

from __future__ import annotations

import getpass
import itertools
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.messages import Ack, Telemetry, decode
from levada.twin.store.store import Store

ROUNDS: Final = 10
MESSAGES: Final = 60
"""Of a round, and as many synchronised writes."""
RATE: Final = 200
FRAME_BYTES: Final = 4_096 + 24
"""A page in SQLite's write-ahead log (https://sqlite.org/fileformat2.html#walformat)."""
FLOOD: Final = 10_000
WINDOW: Final = 400
PATIENCE_S: Final = 60.0


class Trips:
    """Times from sending a message to an event that covers it and all before it."""

    def __init__(self) -> None:
        self.sent_s: list[float] = []
        self.covered_s: list[float] = []
        self._news = threading.Condition()

    def send(self, publish: Callable[[bytes], bool], count: int) -> None:
        """Send so many more at the rate, and wait until all are covered."""
        start_s = time.perf_counter()
        for k in range(count):
            time.sleep(max(0.0, start_s + k / RATE - time.perf_counter()))
            self._send(publish)
        self._wait(len(self.sent_s))

    def flood(self, publish: Callable[[bytes], bool], count: int) -> float:
        """Send so many more as fast as they are covered [1/s]."""
        start_s = time.perf_counter()
        for _ in range(count):
            self._wait(len(self.sent_s) - WINDOW + 1)
            self._send(publish)
        self._wait(len(self.sent_s))
        return count / (time.perf_counter() - start_s)

    def cover(self, upto: int) -> None:
        """The event has come for messages 0 to `upto`."""
        now_s = time.perf_counter()
        with self._news:
            self.covered_s += [now_s] * (upto + 1 - len(self.covered_s))
            self._news.notify_all()

    def _send(self, publish: Callable[[bytes], bool]) -> None:
        message = Telemetry(boot=1, seq=len(self.sent_s), oldest=0, raw=1500, pct=40, irrigar=0)
        payload = message.encode()
        self.sent_s.append(time.perf_counter())
        if not publish(payload):
            raise RuntimeError("the broker took no message")

    def _wait(self, count: int) -> None:
        with self._news:
            if not self._news.wait_for(lambda: len(self.covered_s) >= count, PATIENCE_S):
                raise RuntimeError(f"{count - len(self.covered_s)} messages were lost")


def _device(address: BrokerAddress, asked: Connection) -> None:
    """The device and a bare publisher and subscriber, in a process of their own.

    Does what it is asked for, and answers how fast it was [1/s]; at the end gives all times [s],
    which are of a clock that the processes of a machine share.
    """
    bare, acknowledged = Trips(), Trips()
    heard = itertools.count()
    with ExitStack() as stack:

        def client(**arguments: Any) -> MqttClient:
            found = MqttClient(address, **arguments)
            stack.callback(found.close)
            return found

        client(subscription="bench/data", handler=lambda *_: bare.cover(next(heard)))
        device = client(
            subscription="ic/n/ack",
            handler=lambda _topic, payload: acknowledged.cover(decode(Ack, payload).seq or 0),
        )
        sender = client()
        ways = {
            "bare": (bare, lambda payload: sender.publish("bench/data", payload)),
            "device": (acknowledged, lambda payload: device.publish("ic/n/data", payload)),
        }
        while (request := asked.recv()) is not None:
            way, what, count = request
            trips, publish = ways[way]
            asked.send(getattr(trips, what)(publish, count))
        asked.send([(trips.sent_s, trips.covered_s) for trips in (bare, acknowledged)])


class Measured:
    """Bare round trips and the whole way, over one broker; what is measured is in this process."""

    def __init__(self, address: BrokerAddress, store: Store) -> None:
        self.syncs_s: list[float] = []
        self._committed = Trips()
        store.listen(lambda commit: self._committed.cover(commit.acks["n", 1]))
        self._delivery = Delivery(store, address)
        spawn = multiprocessing.get_context("spawn")
        self._pipe, asked = spawn.Pipe()
        self._process = spawn.Process(target=_device, args=(address, asked), daemon=True)
        self._process.start()

    def _ask(self, way: str, what: str, count: int) -> Any:
        self._pipe.send((way, what, count))
        return self._answer()

    def _answer(self) -> Any:
        while not self._pipe.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError("the device has ended")
        return self._pipe.recv()

    def rounds(self, folder: Path) -> None:
        """Synchronised writes, bare round trips and the whole way, by turns."""
        for _ in range(ROUNDS):
            self.syncs_s += _synchronised(folder / "appended", MESSAGES)
            self._ask("bare", "send", MESSAGES)
            self._ask("device", "send", MESSAGES)

    def floods(self) -> tuple[float, float]:
        """Messages a second: counted, and stored and acknowledged."""
        return self._ask("bare", "flood", FLOOD), self._ask("device", "flood", FLOOD)

    def times(self) -> dict[str, list[float]]:
        """How long each took of those that were sent at the rate [s]; ends the device."""
        self._pipe.send(None)
        (bare_s, back_s), (sent_s, acknowledged_s) = self._answer()
        first = slice(ROUNDS * MESSAGES)

        def took(begin_s: list[float], end_s: list[float]) -> list[float]:
            return [end - begin for begin, end in zip(begin_s[first], end_s[first], strict=True)]

        return {
            "synchronised write": self.syncs_s,
            "bare round trip": took(bare_s, back_s),
            "telemetry to committed row": took(sent_s, self._committed.covered_s),
            "telemetry to acknowledgement": took(sent_s, acknowledged_s),
        }

    def close(self) -> None:
        """End the device and disconnect."""
        self._process.terminate()
        self._process.join()
        self._delivery.close()


def _synchronised(file: Path, count: int) -> list[float]:
    """Appends of a page, each on the disk before the next begins [s]."""
    took_s = []
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for _ in range(count):
            start_s = time.perf_counter()
            os.write(descriptor, bytes(FRAME_BYTES))
            os.fdatasync(descriptor)
            took_s.append(time.perf_counter() - start_s)
            time.sleep(max(0.0, 1 / RATE - took_s[-1]))
    finally:
        os.close(descriptor)
    return took_s


def mosquitto_program() -> str:
    """Where mosquitto is, as far as can be told."""
    return shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") or "mosquitto"


def free_port() -> int:
    """One on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(host: str, port: int) -> None:
    """Until somebody listens there."""
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.05)


@contextmanager
def _mosquitto() -> Iterator[BrokerAddress | None]:
    """mosquitto on loopback; None where it is not installed."""
    if shutil.which(mosquitto_program()) is None:
        yield None
        return
    address = BrokerAddress(host="127.0.0.1", port=free_port())
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(
            f"user {getpass.getuser()}\nlistener {address.port} 127.0.0.1\nallow_anonymous true\n"
            "set_tcp_nodelay true\n"
        )
        config.flush()
        process = subprocess.Popen(
            [mosquitto_program(), "-c", config.name], stderr=subprocess.DEVNULL
        )
        try:
            wait_for_port(address.host, address.port)
            yield address
        finally:
            process.terminate()
            process.wait()


def _measure(name: str, address: BrokerAddress, folder: Path) -> bool:
    """Measure over one broker; whether the limit was missed."""
    with Store(folder / f"{name}.sqlite") as store:
        measured = Measured(address, store)
        try:
            measured.rounds(folder)
            counted, stored = measured.floods()
            parts = {
                what: np.percentile(took, [50, 95, 99]) * 1e3
                for what, took in measured.times().items()
            }
        finally:
            measured.close()
    for what, (half, most, nearly_all) in parts.items():
        print(f"{name:<10} {what:<29} {half:9.2f} {most:9.2f} {nearly_all:9.2f}")
    sync_ms, bare_ms, committed_ms = (parts[what][0] for what in list(parts)[:3])
    limit_ms = 2 * bare_ms + 2 * sync_ms
    ratio = committed_ms / (bare_ms + 2 * sync_ms)
    print(f"{name:<10} p50 to the row {committed_ms:.2f} ms, limit {limit_ms:.2f} ms")
    print(f"{name:<10} {ratio:.2f} times a round trip and two synchronised writes")
    print(f"{name:<10} {stored:.0f} messages/s stored, {counted:.0f} only counted")
    return bool(committed_ms > limit_ms)


def main() -> int:
    """Measure; 1 if a limit was missed."""
    missed = False
    heads = f"{RATE} messages/s, {ROUNDS} rounds of {MESSAGES}"
    print(f"{heads:<40} {'p50 [ms]':>9} {'p95':>9} {'p99':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with EmbeddedBroker() as broker:
            missed |= _measure("amqtt", broker.address, folder)
        with _mosquitto() as address:
            if address is None:
                print("mosquitto  is not installed")
            else:
                missed |= _measure("mosquitto", address, folder)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
