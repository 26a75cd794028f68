"""B17: hours of 200 messages a second from 100 clients that connect again each minute.

LEVADA_SOAK_S says how long (300 if unset; the matrix asks for 28,800).  Broker and cloud are
processes of their own, whose memory and descriptors are watched.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest
from raw_mqtt import log_in, publish, subscribe
from relay import is_publish, packets
from services import Mosquitto

from levada.hil.line.broker import EmbeddedBroker
from levada.twin.mqtt.messages import Ack, Telemetry, decode
from levada.twin.store.reads import StoreReader

HERE = Path(__file__).parent
SECONDS = int(os.environ.get("LEVADA_SOAK_S", "300"))
CLIENTS = 100
RATE = 200
RECONNECT_S = 60.0
PATIENCE_S = 5.0
WINDOW = 20
"""Messages said again at a time; all that is held would bury a cloud that comes back."""
STUCK_S = 120
"""For so long nothing may be acknowledged at the end."""
JUDGED_S = 3_600
"""Of less, a slope of memory tells nothing: start-up and caches outweigh it."""


class Sender:
    """A node that keeps what is not acknowledged; a socket without a thread of its own."""

    def __init__(self, broker: EmbeddedBroker | Mosquitto, name: str) -> None:
        self._broker = broker
        self._name = name
        self._number = 0
        self.written = 0
        self.losses = 0
        self._acknowledged = -1
        self._progress_s = time.monotonic()
        self.connect()

    def connect(self) -> None:
        """Connect (again), subscribe, and say again what is not acknowledged."""
        deadline = time.monotonic() + 60
        while True:
            self._number += 1
            self._inbox = bytearray()
            try:
                self._socket = log_in(self._broker.address, f"{self._name}-{self._number}")
                self._socket.sendall(subscribe(f"ic/{self._name}/ack", 0))
                self.send_again()
            except OSError:  # the broker is being restarted
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the broker may have been restarted
            self._socket.sendall(b"\xe0\x00")  # DISCONNECT
        self._socket.close()

    def attend(self) -> None:
        """Take acknowledgements that are there; without any for long, say again what is held."""
        if select.select([self._socket], [], [], 0)[0]:
            try:
                data = self._socket.recv(65_536)
            except OSError:
                data = b""
            if not data:
                self.lost()
            self._inbox += data
            for found in packets(self._inbox):
                if is_publish(found):
                    self._hear(decode(Ack, found[found.index(b"{") :]))
        if self.missing and time.monotonic() - self._progress_s > PATIENCE_S:
            try:
                self.send_again()
            except OSError:
                self.lost()

    def _hear(self, ack: Ack) -> None:
        assert ack.seq is not None
        if ack.seq > self._acknowledged:
            self._acknowledged = ack.seq
            self._progress_s = time.monotonic()

    @property
    def missing(self) -> int:
        return self.written - 1 - self._acknowledged

    def measure(self) -> None:
        """Take a measurement and say it."""
        self.written += 1
        try:
            self._send(self.written - 1)
        except OSError:
            self.lost()

    def lost(self) -> None:
        """The connection is gone: make another."""
        self.losses += 1
        self.close()
        self.connect()

    def _send(self, seq: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        oldest = self._acknowledged + 1
        message = Telemetry(boot=1, seq=seq, oldest=oldest, t=now_ms, raw=seq % 4096)
        self._socket.sendall(publish(f"ic/{self._name}/data", message.encode()))

    def send_again(self) -> None:
        """Say the oldest again."""
        self._progress_s = time.monotonic()
        for seq in range(self._acknowledged + 1, self.written)[:WINDOW]:
            self._send(seq)


class Watch:
    """Memory and descriptors of a process."""

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid
        self.rows: list[tuple[float, float, int]] = []

    def look(self, now_s: float) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # the broker is being restarted
            process = psutil.Process(self._pid())
            self.rows.append((now_s, process.memory_info().rss / 1e6, process.num_fds()))

    def slope_mb_h(self) -> float:
        """Of the last two thirds: before, caches fill."""
        rows = np.array(self.rows[len(self.rows) // 3 :])
        return float(np.polyfit(rows[:, 0] / 3_600, rows[:, 1], 1)[0])

    def descriptors(self) -> tuple[float, float]:
        """Medians of the second and of the last third."""
        third = len(self.rows) // 3
        found = np.array([row[2] for row in self.rows])
        return float(np.median(found[third : 2 * third])), float(np.median(found[2 * third :]))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 3_600)
def test_b17_hours_of_telemetry_leave_memory_and_descriptors_flat(
    broker: EmbeddedBroker | Mosquitto, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, str(HERE / "cloud.py"), str(tmp_path / "soak.sqlite")],
        stdin=subprocess.PIPE,
    ) as cloud:
        assert cloud.stdin is not None
        cloud.stdin.write(json.dumps(asdict(broker.address)).encode() + b"\n")
        cloud.stdin.flush()
        watches = {"broker": Watch(lambda: broker.pid), "cloud": Watch(lambda: cloud.pid)}
        senders = [Sender(broker, f"n{number}") for number in range(CLIENTS)]
        start = time.monotonic()
        looked_s = connected_s = 0.0
        turn = itertools.cycle(senders)
        for number in range(SECONDS * RATE):
            now_s = time.monotonic() - start
            time.sleep(max(0.0, number / RATE - now_s))
            sender = senders[number % CLIENTS]
            sender.measure()
            sender.attend()
            if now_s - connected_s > RECONNECT_S / CLIENTS:
                connected_s = now_s
                sender = next(turn)
                sender.close()
                sender.connect()
            if now_s - looked_s > 2.0:
                looked_s = now_s
                for watch in watches.values():
                    watch.look(now_s)
        took_s = time.monotonic() - start
        missing, deadline = SECONDS * RATE, 0.0
        while left := sum(sender.missing for sender in senders):
            if left < missing:
                missing, deadline = left, time.monotonic() + STUCK_S
            assert time.monotonic() < deadline, f"{missing} are not acknowledged"
            for sender in senders:
                sender.attend()
            time.sleep(0.1)
        for sender in senders:
            sender.close()
        cloud.stdin.close()
        assert cloud.wait() == 0
    restarts = broker.restarts if isinstance(broker, EmbeddedBroker) else 0
    print(
        f"{SECONDS * RATE} messages in {took_s:.0f} s, "
        f"{sum(sender.losses for sender in senders)} connections lost, "
        f"{restarts} restarts of the broker"
    )
    for who, watch in watches.items():
        print(
            f"{who}: {watch.slope_mb_h():+.2f} MB/h at {watch.rows[-1][1]:.0f} MB, "
            f"descriptors {watch.descriptors()}"
        )
        early, late = watch.descriptors()
        assert late <= early + 5
        if SECONDS >= JUDGED_S:
            assert watch.slope_mb_h() < 1.0
    reader = StoreReader(str(tmp_path / "soak.sqlite"))
    assert reader.count() == SECONDS * RATE
    reader.close()
