"""A broker by hand, which sends whatever it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from raw_mqtt import ACCEPTED, PINGREQ, packet, publish

from levada.hil.line.broker import BrokerAddress

__all__ = ["GOOD", "raw_publish", "sending"]

GOOD = publish("ic/n/data", b"good")


def raw_publish(topic: bytes, payload: bytes) -> bytes:
    return packet(0x30, len(topic).to_bytes(2, "big") + topic + payload)


@contextmanager
def sending(packets: Sequence[bytes], good: bytes = GOOD) -> Iterator[BrokerAddress]:
    """A broker that greets, sends the next of these and hangs up; in the end, only a good one."""
    listener = socket.create_server(("127.0.0.1", 0))
    waiting = iter(packets)
    held: list[socket.socket] = []

    def drain(peer: socket.socket) -> None:
        try:
            while said := peer.recv(65_536):
                if said.endswith(PINGREQ):
                    peer.sendall(b"\xd0\x00")
        except OSError:
            return

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peer.settimeout(30)
            last = False
            try:
                peer.recv(1024)
                peer.sendall(ACCEPTED)
                asked = peer.recv(1024)
                peer.sendall(packet(0x90, asked[2:4] + b"\x00"))
                noise = next(waiting, None)
                last = noise is None
                peer.sendall((noise or b"") + good)
            except OSError:  # it has hung up on what it was sent
                pass
            if last:
                held.append(peer)
                threading.Thread(target=drain, args=(peer,), daemon=True).start()
            else:
                peer.close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        yield BrokerAddress(host="127.0.0.1", port=listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join()
        for peer in held:
            peer.close()
