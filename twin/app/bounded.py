"""A WSGI server (waitress) with bounds: of connections, threads, time, and of what a request holds.

Who connects and says nothing, who sends a request byte by byte, and who does not read the answer
is cut off; who waits behind such connections gets the next place.  Nothing here can use up the file
descriptors or the memory of the process, which belong to broker and store first.  Times are those
of the monotonic clock: a computer whose clock is set lets nobody stay.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["MOST_BODY", "MOST_CONNECTIONS", "MOST_HEADERS", "BoundedServer"]

_log = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 100
MOST_THREADS: Final = 16
MOST_BODY: Final = 1 << 20
"""Bytes of a request; the page of a thousand zones sends a quarter of it."""
MOST_HEADERS: Final = 16_384
"""Bytes of the request line and the headers."""
IDLE_S: Final = 20.0
"""Time in which a request has to be complete, or the next one to come."""
CROWDED_S: Final = 1.0
"""The same while all places are taken."""
UNREAD_S: Final = 30.0
"""Time in which at least a part of an answer has to be read."""
LINGER_S: Final = 5.0
"""Time for reading, and forgetting, what comes after a refusal, so that it is seen at all."""
PAUSE_S: Final = 0.2
"""After a connection that could not be taken, for want of descriptors."""


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress gives no types
    """What the server refuses itself, said as the pages say it."""

    def execute(self) -> None:
        error = self.request.error
        self.request.error = _Said(error.code, error.reason, error.body)
        super().execute()


class _Said:
    def __init__(self, code: int, reason: str, detail: str) -> None:
        self.code = code
        self.reason = reason
        bounds = {
            413: f"the body of a request may hold {MOST_BODY} bytes",
            431: f"request line and headers may hold {MOST_HEADERS} bytes",
        }
        self.text = bounds.get(code, detail)

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        body = json.dumps({"error": self.text}).encode() + b"\n"
        return f"{self.code} {self.reason}", [("Content-Type", "application/json")], body


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when nothing has come of it."""

    error_task_class = _Refusal

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.since_s = time.monotonic()
        self.lingering = False
        self._refused = False
        super().__init__(*arguments, **named)

    def handle_read(self) -> None:
        if self.lingering:
            with contextlib.suppress(OSError):
                self.recv(MOST_HEADERS)  # closes at the end
            return
        unfinished = self.request is not None
        super().handle_read()
        if not (unfinished and self.request is not None):  # a byte more is no progress
            self.since_s = time.monotonic()

    def readable(self) -> bool:
        return self.lingering or bool(super().readable())

    def writable(self) -> bool:
        return not self.lingering and bool(super().writable())

    def _flush_some(self, do_close: bool = True) -> bool:
        sent = bool(super()._flush_some(do_close))
        if sent:
            self.since_s = time.monotonic()
        return sent

    def service(self) -> None:
        self._refused = bool(self.requests and self.requests[0].error)
        super().service()
        self.since_s = time.monotonic()

    def handle_close(self) -> None:
        if self._refused and self.connected and not self.lingering:
            # to close while the rest still comes would reset the connection, answer and all
            self.lingering, self.will_close = True, False
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            else:
                return
        super().handle_close()

    def overdue(self, now_s: float, patience_s: float) -> bool:
        """Whether the other side has had its time."""
        silent_s = now_s - self.since_s
        if self.lingering:
            return silent_s > LINGER_S
        if self.total_outbufs_len:
            return silent_s > UNREAD_S
        return not self.requests and silent_s > patience_s


class _SecureChannel(_Channel):
    """A connection with TLS; its handshake has the time of a request.

    The loop reads and worker threads write, and OpenSSL takes one at a time.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._tls = threading.Lock()
        self._ready = False
        self._to_write = False
        self._plain = b""
        super().__init__(*arguments, **named)

    def readable(self) -> bool:
        return not self._ready or super().readable()

    def writable(self) -> bool:
        return bool(self.will_close) or (super().writable() if self._ready else self._to_write)

    def handle_read(self) -> None:
        if not (self._ready or self._shake_hands()):
            return
        try:
            with self._tls:
                self._plain = self.socket.recv(self.adj.recv_bytes)
                while rest := self.socket.pending():  # poll() does not see it
                    self._plain += self.socket.recv(rest)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self._plain = b""
        super().handle_read()

    def handle_write(self) -> None:
        if self._ready or self.will_close:
            super().handle_write()
        else:
            self._shake_hands()

    def recv(self, _size: int) -> bytes:
        data, self._plain = self._plain, b""
        if not data:
            self.handle_close()
        return data

    def send(self, data: bytes, do_close: bool = True) -> int:
        try:
            with self._tls:
                return int(self.socket.send(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError:
            if do_close:
                self.handle_close()
            return 0

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        self._to_write = False
        try:
            with self._tls:
                self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self._to_write = True
            return False
        except OSError:
            self.handle_close()
            return False
        self._ready = True
        self.since_s = time.monotonic()
        return True


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel

    def handle_accept(self) -> None:
        taken = len(self.active_channels)
        super().handle_accept()
        if len(self.active_channels) == taken:
            _log.warning("the page could not take a connection: out of file descriptors?")
            time.sleep(PAUSE_S)  # it is still waiting, and would be tried for ever

    def maintenance(self, _now: float) -> None:
        """Nothing by the clock on the wall; see `tidy`."""

    def tidy(self) -> None:
        """Cut off who has had his time."""
        crowded = len(self._map) >= self.adj.connection_limit
        patience_s = CROWDED_S if crowded else IDLE_S
        now_s = time.monotonic()
        for channel in list(self.active_channels.values()):
            if channel.overdue(now_s, patience_s):
                channel._refused = False
                channel.handle_close()


class _SecureServer(_Server):
    channel_class = _SecureChannel
    context: ssl.SSLContext

    def accept(self) -> tuple[socket.socket, Any] | None:
        found = super().accept()
        if found is None:
            return None
        connection, address = found
        try:
            connection.setblocking(False)
            secure = self.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        except OSError:
            connection.close()
            raise
        return secure, address


class BoundedServer:
    """Serves `application` in threads of its own; raises OSError if it cannot listen.

    With a `context` it speaks TLS alone, which the application sees as the scheme of its requests.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        host: str,
        port: int,
        context: ssl.SSLContext | None = None,
    ) -> None:
        for name in ("waitress", "waitress.queue"):  # what strangers send is no news
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._closing = threading.Event()
        self._map: dict[int, Any] = {}
        adjustments = Adjustments(
            host=host,
            port=port,
            connection_limit=_places(),
            backlog=128,
            max_request_body_size=MOST_BODY + 1,
            max_request_header_size=MOST_HEADERS,
            inbuf_overflow=2 * MOST_BODY,
            outbuf_high_watermark=8 << 20,
            log_socket_errors=False,
            asyncore_use_poll=True,  # select() knows descriptors up to 1023 only
            expose_tracebacks=False,
            ident="",
            server_name=host,
            url_scheme="http" if context is None else "https",
        )
        workers = ThreadedTaskDispatcher()  # without threads until there is a port
        kind = _Server if context is None else _SecureServer
        try:
            self._server = kind(application, map=self._map, adj=adjustments, dispatcher=workers)
        except OSError:
            wasyncore.close_all(self._map, ignore_all=True)
            raise
        self._server.context = context
        workers.set_thread_count(MOST_THREADS)
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.active_channels)

    def close(self) -> None:
        """Stop listening and hang up."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._server.pull_trigger()
        self._thread.join()
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map, ignore_all=True)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                wasyncore.loop(timeout=0.5, use_poll=True, map=self._map, count=1)
                self._server.tidy()
            except Exception:  # noqa: BLE001 - the page must not end before the twin does
                _log.exception("the page's server goes on after")
                self._closing.wait(PAUSE_S)


def _places() -> int:
    """Connections at a time: few enough to leave most descriptors to broker and store."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft < 0 else max(8, min(MOST_CONNECTIONS, soft // 6))
