"""A device that keeps its telemetry until it is acknowledged, for tests.

It follows `docs/mqtt.md`: a message is written to the journal (the flash of a real device) before
it is sent, and sent again until an acknowledgement covers it.  As a program it runs until all is
acknowledged and may be killed at any time; it goes on with a new life and the old journal:

    python tests/twin/mqtt_device.py JOURNAL NODE COUNT   (address as JSON on standard input)
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from levada.hil.errors import BrokerError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.messages import Ack, Telemetry, decode

__all__ = ["WINDOW", "Device", "Journal"]

WINDOW = 100
"""Messages that a device sends without an acknowledgement."""


class Journal:
    """Messages that are not acknowledged, per life; survives the end of the process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.pending: dict[int, dict[int, int]] = {}
        """boot -> seq -> value"""
        self.written = 0
        self.boot = 1
        self._lock = threading.Lock()
        if file.exists():
            for line in file.read_text().splitlines():
                try:
                    kind, boot, number, value = json.loads(line)
                except ValueError:
                    continue  # the line that was being written when the power went
                self._apply(kind, boot, number, value)
                self.boot = max(self.boot, boot + 1)
        self._out = file.open("a")
        self._note("boot", self.boot, 0, 0)

    def _apply(self, kind: str, boot: int, number: int, value: int) -> None:
        held = self.pending.setdefault(boot, {})
        if kind == "data":
            held[number] = value
            self.written = max(self.written, value + 1)
        elif kind == "ack":
            for known in [n for n in held if n <= number]:
                del held[known]

    def _note(self, kind: str, boot: int, number: int, value: int) -> None:
        # the newline first: a torn line of a former life must not swallow this one
        self._out.write("\n" + json.dumps([kind, boot, number, value]))
        self._out.flush()
        self._apply(kind, boot, number, value)

    def add(self, seq: int, value: int) -> None:
        with self._lock:
            self._note("data", self.boot, seq, value)

    def acknowledge(self, boot: int, seq: int) -> bool:
        """Whether the acknowledgement covered anything."""
        with self._lock:
            if any(n <= seq for n in self.pending.get(boot, {})):
                self._note("ack", boot, seq, 0)
                return True
            return False

    def first(self, count: int) -> list[tuple[int, int, int, int]]:
        """(boot, seq, oldest, value) of the messages that have waited longest."""
        with self._lock:
            found = []
            for boot, held in sorted(self.pending.items()):
                oldest = min(held, default=0)
                found += [(boot, seq, oldest, held[seq]) for seq in sorted(held)]
                if len(found) >= count:
                    break
            return found[:count]

    def close(self) -> None:
        self._out.close()


class Device:
    """The device itself; `run` returns when all `count` messages are acknowledged."""

    def __init__(
        self,
        address: BrokerAddress,
        node: str,
        journal: Journal,
        *,
        window: int = WINDOW,
        reconnect_s: tuple[float, float] = (0.1, 2.0),
    ) -> None:
        self.node = node
        self.journal = journal
        self._window = window
        self._seq = 0
        self._on_the_way: set[tuple[int, int]] = set()
        self._progress = threading.Event()
        self.sent = 0
        self.refused: list[str] = []
        self.client = MqttClient(
            address,
            subscription=f"ic/{node}/ack",
            handler=self._on_ack,
            on_connect=self._connected,
            reconnect_s=reconnect_s,
        )

    def _connected(self) -> None:
        self.send_again()  # whatever was under way is lost with the connection
        self._progress.set()

    def _on_ack(self, _topic: str, payload: bytes) -> None:
        ack = decode(Ack, payload)
        if ack.refused is not None:
            self.refused.append(ack.refused)
        if (
            ack.boot is not None
            and ack.seq is not None
            and self.journal.acknowledge(ack.boot, ack.seq)
        ):
            self._progress.set()

    def reading(self, value: int) -> dict[str, int]:
        """What it says of a value."""
        now_ms = time.time_ns() // 1_000_000
        return {"t": now_ms, "raw": value % 4096, "pct": value % 101, "irrigar": value & 1}

    def measure(self, value: int) -> None:
        """Take a measurement into the journal."""
        self.journal.add(self._seq, value)
        self._seq += 1

    def send_pending(self) -> int:
        """Send what waits and is not on its way, as far as the window goes; how many wait."""
        waiting = self.journal.first(self._window)
        for boot, seq, oldest, value in waiting:
            if (boot, seq) in self._on_the_way:
                continue
            message = Telemetry(boot=boot, seq=seq, oldest=oldest, **self.reading(value))
            if self.client.publish(f"ic/{self.node}/data", message.encode()):
                self.sent += 1
                self._on_the_way.add((boot, seq))
        return len(waiting)

    def send_again(self) -> None:
        """Take everything that is on its way for lost."""
        self._on_the_way.clear()

    def run(self, count: int, *, limit_s: float = 3_600.0, patience_s: float = 1.0) -> bool:
        """Measure `count` values in all lives and deliver them; False if it takes too long."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            held = len(self.journal.first(self._window))
            while held < self._window and self.journal.written < count:
                self.measure(self.journal.written)
                held += 1
            self._progress.clear()
            if not self.send_pending():
                return True
            if not self._progress.wait(patience_s):
                self.send_again()
        return False

    def deliver(self, count: int, *, patience_s: float = 1.0) -> None:
        """Deliver what another thread measures, until `count` messages are acknowledged."""
        heard_s = time.monotonic()
        while self.send_pending() or self.journal.written < count:
            if self._progress.wait(0.02):
                self._progress.clear()
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > patience_s:
                self.send_again()
                heard_s = time.monotonic()

    def close(self) -> None:
        self.client.close()
        self.journal.close()


def _main() -> int:
    journal, node, count = sys.argv[1:4]
    address = BrokerAddress(**json.loads(sys.stdin.readline()))
    while True:
        try:
            device = Device(address, node, Journal(Path(journal)))
            break
        except BrokerError:
            threading.Event().wait(0.1)  # the broker is being killed, too
    try:
        return 0 if device.run(int(count)) else 1
    finally:
        device.close()


if __name__ == "__main__":
    sys.exit(_main())
