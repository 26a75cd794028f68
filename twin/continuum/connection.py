"""A connection to a broker that need not be there yet: a tier waits for the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from levada.guest.lifecycle import Closing
from levada.hil.errors import BrokerError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.health import Part, client_part

__all__ = ["Connection"]

_log = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0


class Connection(Closing):
    """Tries until a broker can be reached; from then on `MqttClient` keeps the connection.

    Retained messages are not heard: a reading or a calibration of some day is no news.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        subscription: Sequence[str],
        handler: Callable[[str, bytes], object],
        on_connect: Callable[[], object] = lambda: None,
        on_oversized: Callable[[str, int], None] = lambda _topic, _size: None,
    ) -> None:
        self.address = address
        self._subscription = list(subscription)
        self._handler = handler
        self._on_connect = on_connect
        self._on_oversized = on_oversized
        self._client: MqttClient | None = None
        self._closing = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._connect, name="connect", daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        while not self._closing.is_set():
            try:
                client = MqttClient(
                    self.address,
                    subscription=self._subscription,
                    handler=self._handler,
                    on_connect=self._on_connect,
                    fresh_only=True,
                )
            except BrokerError as error:
                if str(error) != self._trouble:
                    _log.warning("%s; tried again until it is there", error)
                self._trouble = str(error)
                self._closing.wait(_AGAIN_S)
            else:
                client.on_oversized(self._on_oversized)
                self._client = client
                self._on_connect()  # when it was called before, nothing could be published
                return

    @property
    def connected(self) -> bool:
        """Whether messages come and go."""
        return self._client is not None and self._client.connected

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send; False if there is no connection, or too much waits to be sent.  Never blocks."""
        return self._client is not None and self._client.publish(topic, payload)

    def part(self) -> Part:
        """How it is, for /health."""
        if self._client is None:
            return Part(ok=False, detail=self._trouble or "not connected yet")
        return client_part(self._client)

    def close(self) -> None:
        """Hang up."""
        self._closing.set()
        self._thread.join()
        if self._client is not None:
            self._client.close()
