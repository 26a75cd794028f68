"""MQTT 3.1.1 by hand (sections 2.2, 3.1, 3.3, 3.8), for clients that keep none of our rules."""

from __future__ import annotations

import socket
import struct

from levada.hil.line.broker import BrokerAddress

__all__ = ["ACCEPTED", "PINGREQ", "connect", "log_in", "packet", "publish", "subscribe", "text"]

ACCEPTED = b"\x20\x02\x00\x00"
PINGREQ = b"\xc0\x00"


def text(value: str) -> bytes:
    return struct.pack(">H", len(value.encode())) + value.encode()


def packet(first: int, body: bytes) -> bytes:
    """Fixed header and body; the remaining length has seven bits a byte."""
    length, left = bytearray(), len(body)
    while True:
        left, part = divmod(left, 128)
        length.append(part | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(length) + body


def connect(
    address: BrokerAddress,
    client_id: str,
    *,
    clean: bool = True,
    keepalive_s: int = 0,
    will: tuple[str, bytes] | None = None,
) -> bytes:
    assert address.user is not None
    assert address.password is not None
    flags = 0xC0 | (0x02 if clean else 0) | (0x04 if will else 0)
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", keepalive_s) + text(client_id)
    if will:
        body += text(will[0]) + struct.pack(">H", len(will[1])) + will[1]
    return packet(0x10, body + text(address.user) + text(address.password))


def subscribe(topic: str, qos: int) -> bytes:
    return packet(0x82, b"\x00\x01" + text(topic) + bytes([qos]))


def publish(topic: str, payload: bytes, *, qos: int = 0, number: int = 1) -> bytes:
    mid = struct.pack(">H", number) if qos else b""
    return packet(0x30 | qos << 1, text(topic) + mid + payload)


def log_in(address: BrokerAddress, client_id: str, **options: object) -> socket.socket:
    """A socket that the broker has accepted as a client; ValueError if it refuses."""
    sock = socket.create_connection((address.host, address.port))
    sock.settimeout(30)
    sock.sendall(connect(address, client_id, **options))  # type: ignore[arg-type]
    answer = sock.recv(4)
    if answer[:2] != ACCEPTED[:2] or answer[3:] != ACCEPTED[3:]:  # between: session present
        sock.close()
        raise ValueError(f"CONNECT answered with {answer!r}")
    return sock
