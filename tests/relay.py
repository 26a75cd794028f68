"""A relay between clients and a broker that does what networks do, packet by packet."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import replace

from levada.hil.line.broker import BrokerAddress

__all__ = ["Relay", "is_publish", "packets", "swapped", "twice"]

Rule = Callable[[bytes], list[bytes]]
"""One MQTT packet -> the packets to pass on."""


def packets(buffer: bytearray) -> list[bytes]:
    """Take whole MQTT packets (MQTT 3.1.1 section 2.2) off the front of `buffer`."""
    found = []
    while len(buffer) >= 2:
        length, shift, at = 0, 0, 1
        while at < len(buffer) and at < 5:
            length |= (buffer[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not buffer[at - 1] & 0x80:
                break
        else:
            return found
        if len(buffer) < at + length:
            return found
        found.append(bytes(buffer[: at + length]))
        del buffer[: at + length]
    return found


def _receive(source: socket.socket) -> bytes:
    """As `recv`; but a thread that waits in it would keep a closed socket alive."""
    while True:
        try:
            return source.recv(65_536)
        except TimeoutError:
            if source.fileno() < 0:
                return b""


def is_publish(packet: bytes) -> bool:
    return packet[0] >> 4 == 3


class Relay:
    """Listens on loopback and passes on to `target`; `address` is what a client is given."""

    def __init__(self, target: BrokerAddress) -> None:
        self._target = target
        self.up: Rule = lambda packet: [packet]
        """From client to broker."""
        self.down: Rule = lambda packet: [packet]
        """From broker to client."""
        self.late_s: Callable[[bytes], float] = lambda _packet: 0.0
        """How long a packet to the broker is held back while others pass it [s]."""
        self.cut_after: int | None = None
        """Reset the next connection after so many bytes from the client; then this is None."""
        self.cuts = threading.Semaphore(0)
        """Released at every reset."""
        self.silent = False
        """Swallow everything, and tell nobody."""
        self.hears = threading.Event()
        """While cleared, nothing is read of what clients send."""
        self.hears.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = replace(target, port=self._server.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection((self._target.host, self._target.port))
            except OSError:
                client.close()
                continue
            for sock in (client, broker):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(0.2)
            self._sockets += [client, broker]
            for source, sink, is_up in ((client, broker, True), (broker, client, False)):
                thread = threading.Thread(
                    target=self._pump, args=(source, sink, is_up), daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        buffer = bytearray()
        sending = threading.Lock()

        def send(packet: bytes) -> None:
            with sending, contextlib.suppress(OSError):  # closed in the meantime
                sink.sendall(packet)

        limit = None
        if is_up:
            limit, self.cut_after = self.cut_after, None
        passed = 0
        try:
            while data := _receive(source):
                if is_up:
                    self.hears.wait()
                if self.silent:
                    continue
                if limit is not None:
                    part = data[: limit - passed]
                    sink.sendall(part)
                    passed += len(part)
                    if passed >= limit:
                        self._reset(source, sink)
                        return
                    continue
                buffer += data
                rule = self.up if is_up else self.down
                for packet in packets(buffer):
                    for out in rule(packet):
                        late_s = self.late_s(out) if is_up else 0.0
                        if late_s:
                            later = threading.Timer(late_s, send, (out,))
                            self._threads.append(later)
                            later.start()
                        else:
                            send(out)
        except OSError:
            pass  # the other direction has closed both
        finally:
            for sock in (source, sink):
                with contextlib.suppress(OSError):  # closed already
                    sock.shutdown(socket.SHUT_RDWR)

    def _reset(self, *both: socket.socket) -> None:
        for sock in both:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.cuts.release()

    def close(self) -> None:
        self.hears.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # closed already
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()


def twice(packet: bytes) -> list[bytes]:
    """Every publication comes twice."""
    return [packet, packet] if is_publish(packet) else [packet]


def swapped() -> Rule:
    """Neighbours change places."""
    waiting: list[bytes] = []

    def rule(packet: bytes) -> list[bytes]:
        if not is_publish(packet):
            return [packet]
        if waiting:
            return [packet, waiting.pop()]
        waiting.append(packet)
        return []

    return rule
