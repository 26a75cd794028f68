"""Our MQTT client: paho with the rules that make an unreliable broker harmless.

Unique random client id, one wildcard subscription, own limit of the payload, topics that were not
subscribed are ignored (a broker may hand out anybody's retained messages), reconnection for ever.
Publishing is QoS 0: what must arrive is repeated until the other side has acknowledged it.

Whatever bytes arrive, on whatever topic: the network thread goes on, and the log has ten lines a
minute about it at most.  Where paho itself gives up on a packet, the connection is made anew.
"""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from paho.mqtt.client import Client as Paho
from paho.mqtt.client import MQTTMessage, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from levada.guest.text.logs import LimitedLog
from levada.hil.errors import BrokerError, ClientIdTakenError, PayloadError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.tls import client_context, explained, refused_by_peer

__all__ = ["MAX_PAYLOAD_BYTES", "MqttClient", "matches"]

_log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES: Final = 65_536
"""Own limit; not every broker has one."""
_KEEPALIVE_S: Final = 5
"""After about twice that a silent broker is given up."""
_SHORT_S: Final = 3.0
"""A first connection that breaks sooner, under a chosen id, was pushed out by another client."""
_QUEUE: Final = 1_000
"""Messages that wait for the network at most; a broker that hangs takes none."""
_SELECT_KNOWS: Final = 1024
"""Descriptors that paho can wait for (FD_SETSIZE of the C library)."""

_USUAL: Final = 256
"""Characters of a topic that is worth remembering."""

Handler = Callable[[str, bytes], object]


def matches(subscription: str, topic: str) -> bool:
    """Whether a filter covers a topic, by the rules of MQTT (3.1.1, section 4.7)."""
    if len(topic) > _USUAL:
        return bool(topic_matches_sub(subscription, topic))
    return _remembered(subscription, topic)


@lru_cache(maxsize=16_384)
def _remembered(subscription: str, topic: str) -> bool:
    """A few topics come again and again, and to look takes paho a third of what a message costs."""
    return bool(topic_matches_sub(subscription, topic))


class _Paho(Paho):
    """paho, with a network thread that outlives what it cannot parse."""

    def __init__(self, *arguments: Any, on_broken: Callable[[], bool], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._on_broken = on_broken

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        """Serve the connection until it is to end; `on_broken()` says whether to go on after an
        exception."""
        while True:
            try:
                return super().loop_forever(timeout, retry_first_connection)
            except Exception:  # noqa: BLE001 - whatever it was, a thread that ended would look alive
                if not self._on_broken():
                    return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def loop_stop(self) -> MQTTErrorCode:
        """Wait for the network thread to end, also if it just does so by itself."""
        try:
            return super().loop_stop()
        except AttributeError:
            # paho forgets a thread that ends, be it between its own check for one and its `join`
            return MQTTErrorCode.MQTT_ERR_SUCCESS


class MqttClient:
    """A connection to a broker.

    `handler(topic, payload)` is called in the network thread for messages that match
    `subscription`, one filter or several that do not overlap, without retained ones if
    `fresh_only`; `on_connect()` after every connection, `on_lost()` after every loss, and
    `on_give_up(error)` when there is no point in trying again.  Without `client_id` it is random,
    and nobody can push us out by chance.  `reconnect_s` is the first and the longest pause between
    attempts.  Raises BrokerError if the first connection fails or the login is refused.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        subscription: str | Sequence[str] | None = None,
        handler: Handler | None = None,
        on_connect: Callable[[], object] | None = None,
        on_lost: Callable[[], object] | None = None,
        on_give_up: Callable[[BrokerError], object] | None = None,
        fresh_only: bool = False,
        client_id: str | None = None,
        timeout_s: float = 10.0,
        reconnect_s: tuple[float, float] = (0.1, 2.0),
    ) -> None:
        self.address = address
        self._filters = (
            [subscription] if isinstance(subscription, str) else list(subscription or ())
        )
        self._fresh_only = fresh_only
        self._handler = handler
        self._on_connect = on_connect
        self._on_lost = on_lost
        self._on_give_up = on_give_up
        self._connected = threading.Event()
        self._answered = threading.Event()
        self._refusal: BrokerError | None = None
        self._closing = False
        self._said = LimitedLog(_log)
        self._pause_s = reconnect_s
        self._since_s = 0.0
        self._hung_up = 0
        self.connections = 0
        """How often a connection was made."""
        self.ignored = 0
        """Messages of topics that were not subscribed or are no UTF-8, or too large."""
        self._waiting = 0
        self._sending = threading.Lock()
        self._own_id = client_id is None
        self._oversized: Callable[[str, int], None] | None = None
        client_id = client_id or f"levada-{secrets.token_hex(8)}"
        self.client_id = client_id
        self._paho = _Paho(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            on_broken=self._connect_anew,
        )
        self._paho.reconnect_delay_set(*reconnect_s)  # type: ignore[arg-type]  # floats do
        if address.user is not None or address.password is not None:
            self._paho.username_pw_set(address.user or "", address.password)
        if address.tls:
            self._paho.tls_set_context(client_context(address.pki))
            self._paho.on_log = self._logged
            self._paho.on_connect_fail = self._not_connected
        self._paho.on_socket_open = _send_at_once
        self._paho.on_connect = self._connect_done
        self._paho.on_disconnect = self._disconnected
        self._paho.on_subscribe = self._subscribed
        self._paho.on_message = self._message
        self._paho.on_publish = self._sent
        try:
            self._paho.connect(address.host, address.port, keepalive=_KEEPALIVE_S)
        except OSError as error:
            self.close()
            raise BrokerError(f"broker {address.url}: {explained(error)}") from None
        connection = self._paho.socket()
        if connection is not None and connection.fileno() >= _SELECT_KNOWS:
            descriptor = connection.fileno()
            self.close()
            raise BrokerError(
                f"broker {address.url}: the connection has file descriptor {descriptor}, and the "
                f"MQTT client serves those below {_SELECT_KNOWS} only: connect before other files "
                "are opened, or use fewer virtual boards in this process"
            )
        self._paho.loop_start()
        if not self._answered.wait(timeout_s):
            self.close()
            raise BrokerError(
                f"broker {address.url}: closed the connection {self._hung_up} times without an "
                "answer; it may have too many clients, or be no MQTT broker"
                if self._hung_up
                else f"broker {address.url}: no answer within {timeout_s:g} s"
            )
        failure = self.failure  # set by the network thread
        if failure is not None:
            self.close()
            raise failure

    @property
    def connected(self) -> bool:
        """Whether there is a connection at present, with its subscription."""
        return self._connected.is_set()

    @property
    def failure(self) -> BrokerError | None:
        """Why the client has given up, if it has."""
        return self._refusal

    def on_oversized(self, callback: Callable[[str, int], None]) -> None:
        """Call `callback(topic, bytes)` for a message that is too large to be looked at."""
        self._oversized = callback

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send; False if there is no connection, or too much waits to be sent.  Never blocks.

        Raises PayloadError for more than 64 KiB or a wildcard in the topic.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadError(
                f"payload of {len(payload)} bytes to {topic}: at most {MAX_PAYLOAD_BYTES}"
            )
        if not topic or "+" in topic or "#" in topic or topic.startswith("$"):
            raise PayloadError(f"topic {topic!r}: no wildcard and no $ permitted")
        return self._send(topic, payload, retain=False)

    def retain(self, topic: str, payload: bytes) -> bool:
        """Publish as retained, for programs that want it so (Home Assistant)."""
        return self._send(topic, payload, retain=True)

    def _send(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        with self._sending:  # `_sent` waits until this one is counted
            if not self._connected.is_set() or self._waiting >= _QUEUE:
                return False
            done = self._paho.publish(topic, payload, qos=0, retain=retain)
            if done.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
            self._waiting += 1
            return True

    def close(self) -> None:
        """Disconnect and end the network thread."""
        self._closing = True
        self._connected.clear()
        self._paho.disconnect()
        self._paho.loop_stop()
        with self._sending:
            self._paho._reset_sockets()  # it would keep those that wake its thread

    # -- called by paho, in the network thread -------------------------------------------------

    def _connect_done(
        self, client: Paho, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = BrokerError(f"broker {self.address.url}: {reason}")
            self._answered.set()
            if not self.connections:
                self._give_up()
            return
        self.connections += 1
        self._since_s = time.monotonic()
        with self._sending:
            self._waiting = 0  # what waited is lost with the former connection
        if self._filters:
            client.subscribe([(name, 0) for name in self._filters])
        else:
            self._ready()

    def _subscribed(
        self, _client: Paho, _data: Any, _mid: int, reasons: Any, _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = BrokerError(
                f"broker {self.address.url}: subscription {', '.join(self._filters)} refused"
            )
            self._answered.set()
            self._give_up()
        else:
            self._ready()

    def _ready(self) -> None:
        self._refusal = None
        self._connected.set()
        self._answered.set()
        if self._on_connect is not None:
            self._on_connect()

    def _disconnected(
        self, _client: Paho, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._connected.clear()
        if self._closing:
            return
        if not self.connections:
            self._hung_up += 1
            if self._refusal is not None:  # by TLS: trying again would change nothing
                self._answered.set()
                self._give_up()
            return
        if self._on_lost is not None:
            self._on_lost()
        now = time.monotonic()
        _log.warning("connection to %s lost: %s", self.address.url, reason)
        # A random id is nobody else's, so there it is the network.  Under a chosen id exactly one
        # of two clients sees its *first* connection pushed out by the other's return.
        first = self.connections == 1 and now - self._since_s < _SHORT_S
        if first and not self._own_id:
            self._refusal = ClientIdTakenError(
                f"client id {self.client_id!r} is used by somebody else at "
                f"{self.address.url}: give every client its own"
            )
            _log.error("%s", self._refusal)
            self._answered.set()
            self._give_up()

    def _logged(self, _client: Paho, _data: Any, _level: int, text: str) -> None:
        """A broker that refuses our certificate says so when it hears us first, and hangs up."""
        why = refused_by_peer(text)
        if why is not None:
            self._tls_failed(why)

    def _not_connected(self, _client: Paho, _data: Any) -> None:
        """A connection that was there before could not be made again."""
        error = sys.exception()
        if isinstance(error, ssl.SSLError):
            self._tls_failed(explained(error))

    def _tls_failed(self, why: str) -> None:
        self._refusal = BrokerError(f"broker {self.address.url}: {why}")
        self._said.warning("%s", self._refusal)

    def _sent(self, *_: Any) -> None:
        with self._sending:
            self._waiting = max(0, self._waiting - 1)

    def _give_up(self) -> None:
        self._closing = True
        self._paho.disconnect()
        self._paho.loop_stop()  # only this keeps paho from connecting again after a loss
        if self._on_give_up is not None and self._refusal is not None:
            self._on_give_up(self._refusal)

    def _connect_anew(self) -> bool:
        """After an exception in the network thread: whether there is a connection to serve."""
        self._said.warning(
            "connection to %s: a packet that nobody can read", self.address.url, traceback=True
        )
        was_there = self._connected.is_set()
        self._connected.clear()
        if was_there and self._on_lost is not None and not self._closing:
            try:
                self._on_lost()
            except Exception:  # noqa: BLE001 - as above
                self._said.warning("on_lost failed", traceback=True)
        pause_s, longest_s = self._pause_s
        while not self._closing:
            time.sleep(pause_s)
            try:
                self._paho.reconnect()
            except OSError:
                pause_s = min(2 * pause_s, longest_s)
            else:
                return True
        return False

    def _message(self, _client: Paho, _data: Any, message: MQTTMessage) -> None:
        # a sign of life as good as the answer to a ping, which may wait behind thousands of these
        self._paho._ping_t = 0.0
        try:
            topic = message.topic
        except UnicodeDecodeError as error:
            self.ignored += 1
            name = error.object[:80]
            self._said.warning("message on a topic that is no UTF-8 ignored: %r", name)
            return
        asked = any(matches(name, topic) for name in self._filters)
        if not asked or (self._fresh_only and message.retain):
            self.ignored += 1
            return
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            self.ignored += 1
            if self._oversized is not None:
                self._oversized(topic, len(message.payload))
            return
        if self._handler is not None:
            try:
                self._handler(topic, bytes(message.payload))
            except PayloadError as error:
                self._said.warning("message on %r ignored: %s", topic, error)
            except Exception:  # noqa: BLE001 - one message must not end the connection
                self._said.warning("handler of %r failed", topic, traceback=True)


def _send_at_once(_client: Paho, _data: Any, connection: Any) -> None:
    """Nagle's algorithm (RFC 896) holds a small packet back until the one before is acknowledged,
    which may take a peer that has nothing to say 40 ms."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
