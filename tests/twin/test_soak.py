"""B17: hours of 200 messages a second from 100 clients that connect again each minute.

LEVADA_SOAK_S says how long (600 if unset; the matrix asks for 28,800).  Broker and cloud are
processes of their own, whose memory and descriptors are watched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest
from services import Mosquitto

from hil.broker import EmbeddedBroker
from hil.mqtt_client import MqttClient
from twin.messages import Ack, Telemetry, decode
from twin.store_reads import StoreReader

HERE = Path(__file__).parent
SECONDS = int(os.environ.get("LEVADA_SOAK_S", "600"))
CLIENTS = 100
RATE = 200
RECONNECT_S = 60.0
JUDGED_S = 3_600
"""Of less, a slope of memory tells nothing: start-up and caches outweigh it."""


class Sender:
    """A node that keeps what is not acknowledged, and connects again now and then."""

    def __init__(self, broker: EmbeddedBroker | Mosquitto, name: str) -> None:
        self._broker = broker
        self._name = name
        self.written = 0
        self._acknowledged = -1
        self._client = self._connect()

    def _connect(self) -> MqttClient:
        return MqttClient(
            self._broker.address,
            subscription=f"ic/{self._name}/ack",
            handler=self._heard,
            on_connect=self.send_again,
            timeout_s=60,
        )

    def _heard(self, _topic: str, payload: bytes) -> None:
        self._acknowledged = max(self._acknowledged, decode(Ack, payload).seq or 0)

    @property
    def missing(self) -> int:
        return self.written - 1 - self._acknowledged

    def measure(self) -> None:
        self.written += 1
        self._send(self.written - 1)

    def _send(self, seq: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        message = Telemetry(boot=1, seq=seq, oldest=0, t=now_ms, raw=seq % 4096, pct=seq % 101)
        self._client.publish(f"ic/{self._name}/data", message.encode())

    def send_again(self) -> None:
        for seq in range(self._acknowledged + 1, self.written):
            self._send(seq)

    def reconnect(self) -> None:
        self._client.close()
        self._client = self._connect()

    def close(self) -> None:
        self._client.close()


class Watch:
    """Memory and descriptors of a process."""

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid
        self.rows: list[tuple[float, float, int]] = []

    def look(self, now_s: float) -> None:
        process = psutil.Process(self._pid())
        with process.oneshot():
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
@pytest.mark.timeout(SECONDS + 900)
def test_hours_of_telemetry_leave_memory_and_descriptors_flat(
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
        looked = reconnected = 0.0
        for number in range(SECONDS * RATE):
            now = time.monotonic() - start
            time.sleep(max(0.0, number / RATE - now))
            senders[number % CLIENTS].measure()
            if now - reconnected > RECONNECT_S / CLIENTS:
                reconnected += RECONNECT_S / CLIENTS
                senders[int(now / RECONNECT_S * CLIENTS) % CLIENTS].reconnect()
            if now - looked > 2.0:
                looked = now
                for watch in watches.values():
                    watch.look(now)
        deadline = time.monotonic() + 120
        while any(sender.missing for sender in senders):
            assert time.monotonic() < deadline, [sender.missing for sender in senders]
            for sender in senders:
                sender.send_again()
            time.sleep(2.0)
        for sender in senders:
            sender.close()
        cloud.stdin.close()
        assert cloud.wait(60) == 0
    for who, watch in watches.items():
        print(
            f"{who}: {watch.slope_mb_h():+.2f} MB/h at {watch.rows[-1][1]:.0f} MB, "
            f"descriptors {watch.descriptors()}, {SECONDS} s"
        )
        early, late = watch.descriptors()
        assert late <= early + 5
        if SECONDS >= JUDGED_S:
            assert watch.slope_mb_h() < 1.0
    reader = StoreReader(str(tmp_path / "soak.sqlite"))
    assert reader.count() == SECONDS * RATE
    reader.close()
