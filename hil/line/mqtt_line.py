"""The line to a device over MQTT: the frames of `docs/wire.md` as payloads of two topics.

    <topic>/link/host      bytes from host to device
    <topic>/link/device    bytes from device to host

`levada.hil.link.Link` on top does the rest: what a broker loses is asked for again, what it repeats
is executed once.  `Bridge` puts any serial device behind the two topics, such as the virtual one.
"""

from __future__ import annotations

import queue
import threading
from typing import Final, Literal

from levada.guest.lifecycle import Closing
from levada.hil.errors import LinkError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.hil.link import Line

__all__ = ["Bridge", "MqttLine"]

_PAYLOADS: Final = 1_000
"""Received payloads that wait to be read at most."""


class MqttLine:
    """One end of the line at a topic such as `ic/esp32`.

    Raises BrokerError if the broker cannot be reached.
    """

    def __init__(
        self, broker: BrokerAddress, topic: str, *, side: Literal["host", "device"] = "host"
    ) -> None:
        self._broker = broker
        self._out = f"{topic}/link/{side}"
        self._in = f"{topic}/link/{'device' if side == 'host' else 'host'}"
        self.url = f"{broker.url}/{topic}"
        self._client: MqttClient | None = None
        self._received: queue.Queue[bytes] = queue.Queue(_PAYLOADS)
        self.open()

    def open(self) -> None:
        """Connect, or connect again."""
        self.close()
        self._received = queue.Queue(_PAYLOADS)
        self._client = MqttClient(
            self._broker, subscription=self._in, handler=self._take, fresh_only=True
        )

    def _take(self, _topic: str, payload: bytes) -> None:
        if not self._received.full():  # who cannot keep up loses the rest, which is sent again
            self._received.put_nowait(payload)

    def write(self, data: bytes) -> None:
        """Send; without a connection it is lost, as on any line, and sent again."""
        if self._client is None:
            raise LinkError(f"{self.url}: closed")
        self._client.publish(self._out, data)

    def read(self, timeout_s: float) -> bytes:
        """What has come, empty after `timeout_s` without any."""
        try:
            return self._received.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return b""

    def close(self) -> None:
        """Disconnect; more than once does no harm."""
        if self._client is not None:
            self._client.close()
            self._client = None


class Bridge(Closing):
    """Passes bytes between a device's own line and its two topics, until closed."""

    def __init__(self, device: Line, mqtt: MqttLine) -> None:
        self._lines: tuple[Line, MqttLine] = (device, mqtt)
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._pump, args=pair, name="bridge", daemon=True)
            for pair in ((device, mqtt), (mqtt, device))
        ]
        for thread in self._threads:
            thread.start()

    def _pump(self, source: Line, sink: Line) -> None:
        while not self._closing.is_set():
            try:
                data = source.read(0.1)
                if data:
                    sink.write(data)
            except LinkError:
                return  # the device or the broker is gone; the host will notice

    def close(self) -> None:
        """End both directions and close both lines."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        for line in self._lines:
            line.close()
