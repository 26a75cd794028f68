"""The line to a device over MQTT: the frames of `docs/wire.md` as payloads of two topics.

    <topic>/link/host      bytes from host to device
    <topic>/link/device    bytes from device to host

`hil.link.Link` on top does the rest: what a broker loses is asked for again, what it repeats is
executed once.  `Bridge` puts any serial device behind the two topics, such as the virtual one.
"""

from __future__ import annotations

import os
import queue
import secrets
import threading
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from hil.errors import LinkError
from hil.link import Line

__all__ = ["Bridge", "MqttLine"]

_ANSWER_S: Final = 10.0
"""Patience with the broker when connecting."""
_PAYLOADS: Final = 1_000
"""Received payloads that wait to be read at most."""


class MqttLine:
    """One end of the line; `broker` is `mqtt(s)://[user@]host[:port]`, `topic` such as `ic/esp32`.

    The password is that of the URL or in LEVADA_MQTT_PASSWORD (user: LEVADA_MQTT_USER).  Raises
    LinkError if the broker cannot be reached.
    """

    def __init__(
        self, broker: str, topic: str, *, side: Literal["host", "device"] = "host"
    ) -> None:
        parts = urlsplit(broker)
        if parts.scheme not in ("mqtt", "mqtts") or parts.hostname is None:
            raise LinkError(f"broker {broker!r}: write mqtt://HOST[:PORT]")
        self._parts = parts
        self._out = f"{topic}/link/{side}"
        self._in = f"{topic}/link/{'device' if side == 'host' else 'host'}"
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._address = (parts.hostname, port)
        self.url = f"{parts.scheme}://{parts.hostname}:{port}/{topic}"
        self._client: Client | None = None
        self._received: queue.Queue[bytes] = queue.Queue(_PAYLOADS)
        self.open()

    def open(self) -> None:
        """Connect, or connect again."""
        self.close()
        self._received = queue.Queue(_PAYLOADS)
        ready: queue.Queue[str] = queue.Queue()
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"levada-link-{secrets.token_hex(8)}"
        )
        user = self._parts.username or os.environ.get("LEVADA_MQTT_USER")
        password = self._parts.password or os.environ.get("LEVADA_MQTT_PASSWORD")
        if user or password:
            client.username_pw_set(unquote(user or ""), unquote(password) if password else None)
        if self._parts.scheme == "mqtts":
            client.tls_set()

        def connected(own: Client, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
            if reason.is_failure:
                ready.put(str(reason))
            else:
                own.subscribe(self._in, qos=0)

        client.on_connect = connected
        client.on_subscribe = lambda *_: ready.put("")
        client.on_message = self._take
        try:
            client.connect(*self._address, keepalive=5)
        except OSError as error:
            raise LinkError(f"{self.url}: {error}") from None
        client.loop_start()
        self._client = client
        try:
            trouble = ready.get(timeout=_ANSWER_S)
        except queue.Empty:
            trouble = f"no answer within {_ANSWER_S:g} s"
        if trouble:
            self.close()
            raise LinkError(f"{self.url}: {trouble}")

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        # a broker may hand out what was not asked for; and who cannot keep up loses the rest,
        # which is then sent again
        if message.topic == self._in and not message.retain and not self._received.full():
            self._received.put_nowait(bytes(message.payload))

    def write(self, data: bytes) -> None:
        """Send."""
        if self._client is None:
            raise LinkError(f"{self.url}: closed")
        self._client.publish(self._out, data, qos=0)

    def read(self, timeout_s: float) -> bytes:
        """What has come, empty after `timeout_s` without any."""
        try:
            return self._received.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return b""

    def close(self) -> None:
        """Disconnect; more than once does no harm."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None


class Bridge:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
