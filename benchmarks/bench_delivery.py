"""Telemetry to committed row and acknowledgement, against what broker and disk take by themselves.

Must hold, over amqtt and, where it is installed, mosquitto: at 200 messages a second half of the
messages are committed within twice a bare round trip through the same broker and two synchronised
writes of the same disk.  All of it is measured in the same run, in many short rounds by turns,
since a shared disk is not the same a second later.

Throughput is that of a device which has at most 400 messages on their way, beside that of a
subscriber which only counts.  Everything but the broker is in one process.
"""

from __future__ import annotations

import getpass
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.messages import Ack, Telemetry, decode
from levada.twin.store.rows import Commit
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
        self.took_s: list[float] = []
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
            self.took_s += [now_s - sent_s for sent_s in self.sent_s[len(self.took_s) : upto + 1]]
            self._news.notify_all()

    def _send(self, publish: Callable[[bytes], bool]) -> None:
        message = Telemetry(boot=1, seq=len(self.sent_s), oldest=0, raw=1500, pct=40, irrigar=0)
        payload = message.encode()
        self.sent_s.append(time.perf_counter())
        if not publish(payload):
            raise RuntimeError("the broker took no message")

    def _wait(self, count: int) -> None:
        with self._news:
            if not self._news.wait_for(lambda: len(self.took_s) >= count, PATIENCE_S):
                raise RuntimeError(f"{count - len(self.took_s)} messages were lost")


class Measured:
    """Bare round trips and the whole way, over one broker."""

    def __init__(self, address: BrokerAddress, store: Store) -> None:
        self.bare, self.committed, self.acknowledged = Trips(), Trips(), Trips()
        self.committed.sent_s = self.acknowledged.sent_s
        self.syncs_s: list[float] = []
        store.listen(self._commit)
        self._delivery = Delivery(store, address)
        self._device = MqttClient(address, subscription="ic/n/ack", handler=self._ack)
        heard = itertools.count()
        self._listener = MqttClient(
            address, subscription="bench/data", handler=lambda *_: self.bare.cover(next(heard))
        )
        self._sender = MqttClient(address)

    def _commit(self, commit: Commit) -> None:
        self.committed.cover(commit.acks["n", 1])

    def _ack(self, _topic: str, payload: bytes) -> None:
        self.acknowledged.cover(decode(Ack, payload).seq or 0)

    def _publish(self, payload: bytes) -> bool:
        return self._device.publish("ic/n/data", payload)

    def _publish_bare(self, payload: bytes) -> bool:
        return self._sender.publish("bench/data", payload)

    def rounds(self, folder: Path) -> None:
        """Synchronised writes, bare round trips and the whole way, by turns."""
        for _ in range(ROUNDS):
            self.syncs_s += _synchronised(folder / "appended", MESSAGES)
            self.bare.send(self._publish_bare, MESSAGES)
            self.acknowledged.send(self._publish, MESSAGES)

    def floods(self) -> tuple[float, float]:
        """Messages a second: counted, and stored and acknowledged."""
        return (
            self.bare.flood(self._publish_bare, FLOOD),
            self.acknowledged.flood(self._publish, FLOOD),
        )

    def close(self) -> None:
        """Disconnect."""
        for client in (self._sender, self._listener, self._device, self._delivery):
            client.close()


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


@contextmanager
def _mosquitto() -> Iterator[BrokerAddress | None]:
    """mosquitto on loopback; None where it is not installed."""
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = BrokerAddress(host="127.0.0.1", port=probe.getsockname()[1])
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(
            f"user {getpass.getuser()}\nlistener {address.port} 127.0.0.1\nallow_anonymous true\n"
            "set_tcp_nodelay true\n"
        )
        config.flush()
        process = subprocess.Popen([program, "-c", config.name], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex((address.host, address.port)) == 0:
                        break
                time.sleep(0.05)
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
            found = {
                "synchronised write": measured.syncs_s,
                "bare round trip": measured.bare.took_s,
                "telemetry to committed row": measured.committed.took_s,
                "telemetry to acknowledgement": measured.acknowledged.took_s,
            }
            parts = {what: np.percentile(took, [50, 95, 99]) * 1e3 for what, took in found.items()}
            counted, stored = measured.floods()
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
