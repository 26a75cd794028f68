"""amqtt with bounds: how many connect, how long one may keep silent, how much one may leave unread.

amqtt 0.12 bounds none of these, and of two clients with one id it goes on with both while serving
one.  What is overridden here are inner parts of amqtt, whose version is therefore pinned in
`setup.cfg`.  No other module uses them: `tests/test_private_names.py` names and tries every one,
`tests/twin/test_broker_faults.py` (rows B6, B8, B13) would notice another behaviour.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from typing import Any, Final

from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.errors import AMQTTError  # type: ignore[import-untyped]

__all__ = ["DROPPED_TOPIC", "MAX_CONNECTIONS", "GuardedBroker"]

_log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 1_024
"""Beyond, a connection is answered with `server unavailable`."""
_CONNECT_S: Final = 10.0
"""Within this time a connection has to say CONNECT."""
_UNREAD_BYTES: Final = 1 << 20
"""A consumer that leaves more unread gets nothing more until it has read."""
DROPPED_TOPIC: Final = "$SYS/broker/publish/messages/dropped"
"""Messages that were not sent to slow consumers, said every second; mosquitto's topic for it."""
_UNAVAILABLE: Final = b"\x20\x02\x00\x03"
"""CONNACK (MQTT 3.1.1 section 3.2) with return code 3."""


class GuardedBroker(Broker):  # type: ignore[misc]  # amqtt gives no types
    """The broker; `count_aloud` has to run beside it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._open = 0
        self._full = False
        self._dropped = 0
        self._slow: set[str] = set()
        _permit_descriptors(2 * MAX_CONNECTIONS)

    @property
    def port(self) -> int:
        """Where the started broker listens."""
        port: int = self._servers["default"].instance.sockets[0].getsockname()[1]
        return port

    async def count_aloud(self) -> None:
        """Say every second how many messages were dropped."""
        while True:
            await self.internal_message_broadcast(DROPPED_TOPIC, b"%d" % self._dropped)
            await asyncio.sleep(1.0)

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve a connection, or refuse it; whatever it sends, it ends without a trace."""
        if self._open >= MAX_CONNECTIONS:
            await self._refuse(reader, writer)
            return
        self._full = False
        self._open += 1
        # amqtt waits for room in the buffer, with all that is to be sent behind; so we drop before
        writer.transport.set_write_buffer_limits(high=2 * _UNREAD_BYTES)
        try:
            await super().stream_connected(reader, writer, listener_name)
        except OSError:
            pass  # the client has gone
        except Exception as error:  # noqa: BLE001 - amqtt lets out what bad packets cause
            _log.warning("connection ended by %r", error)
        finally:
            self._open -= 1
            writer.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._full:
            self._full = True
            _log.error("%d connections, the limit, are open: no further is served", self._open)
        try:
            # what is left unread would turn our answer into a reset
            await asyncio.wait_for(reader.read(65_536), 1.0)
            writer.write(_UNAVAILABLE)
        except (OSError, TimeoutError):
            pass  # gone, or never meant to connect
        finally:
            writer.close()

    async def _initialize_client_session(self, *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await super()._initialize_client_session(*arguments)
        except TimeoutError:
            raise AMQTTError(f"no CONNECT within {_CONNECT_S:g} s") from None

    async def _delete_session(self, client_id: str) -> None:
        """MQTT 3.1.1, section 3.1.4-2: who comes under an id pushes out who was there."""
        session, handler = self._sessions.get(client_id, (None, None))
        await super()._delete_session(client_id)
        if session is not None and session.transitions.is_connected():
            await handler.handle_connection_closed()

    def _get_handler(self, session: Any) -> Any:
        """Who sends to a client; None, and the message is dropped, while it does not read."""
        handler = super()._get_handler(session)
        if handler is None or handler.writer is None:
            return handler
        unread = handler.writer._writer.transport.get_write_buffer_size()
        if unread <= _UNREAD_BYTES:
            self._slow.discard(session.client_id)
            return handler
        self._dropped += 1
        if session.client_id not in self._slow:
            self._slow.add(session.client_id)
            _log.warning(
                "client %s has %d bytes unread: it misses what comes until it has read",
                session.client_id,
                unread,
            )
        return None


def _permit_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
