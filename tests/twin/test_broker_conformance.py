"""What each broker does of MQTT 3.1.1, beside a list that is pinned (case B18).

A broker that is upgraded and keeps another rule, or breaks one, is noticed here; nothing of ours
needs a rule that stands as broken.  Numbers are those of the normative statements (MQTT 3.1.1,
appendix B).  The suite of Eclipse Paho tries more, but is published as no package.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest
from raw_mqtt import PINGREQ, connect, log_in, packet, publish, subscribe, text
from services import Mosquitto

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker

PINGRESP, DISCONNECT = b"\xd0\x00", b"\xe0\x00"
SILENT_S = 30.0
"""A broker that neither answers nor closes within it does nothing; none that is pinned takes it."""


def opened(address: BrokerAddress) -> socket.socket:
    sock = socket.create_connection((address.host, address.port))
    sock.settimeout(SILENT_S)
    return sock


def client(address: BrokerAddress, name: str, **options: object) -> socket.socket:
    sock = log_in(address, name, **options)
    sock.settimeout(SILENT_S)
    return sock


def heard(sock: socket.socket, size: int = 4_096) -> bytes | None:
    """What comes; nothing at the end of the connection, None in silence."""
    try:
        return sock.recv(size)
    except TimeoutError:
        return None
    except OSError:
        return b""


def all_heard(sock: socket.socket, upto: bytes) -> bytes:
    """What comes until `upto` has, the connection ends, or it is silent."""
    found = b""
    while upto not in found:
        part = heard(sock)
        if not part:
            break
        found += part
    return found


def closes(sock: socket.socket, *sent: bytes) -> bool:
    """Whether a broker closes the connection upon that, without answering what follows."""
    with sock:
        with suppress(OSError):
            for data in (*sent, PINGREQ):
                sock.sendall(data)
        return PINGRESP not in all_heard(sock, PINGRESP) and heard(sock) == b""


def second_connect(address: BrokerAddress) -> bool:
    return closes(client(address, "twice"), connect(address, "twice"))


def unknown_level(address: BrokerAddress) -> bool:
    data = connect(address, "level").replace(text("MQTT") + b"\x04", text("MQTT") + b"\x63")
    with opened(address) as sock:
        sock.sendall(data)
        return all_heard(sock, b"\x20\x02\x00\x01") == b"\x20\x02\x00\x01"


def reserved_flag(address: BrokerAddress) -> bool:
    data = bytearray(connect(address, "reserved"))
    data[9] |= 1
    return closes(opened(address), bytes(data))


def no_name_without_clean_session(address: BrokerAddress) -> bool:
    with opened(address) as sock:
        sock.sendall(connect(address, "", clean=False))
        return all_heard(sock, b"\x20\x02\x00\x02") == b"\x20\x02\x00\x02"


def name_taken_over(address: BrokerAddress) -> bool:
    first = client(address, "same")
    with client(address, "same"):
        return closes(first)


def subscribe_flags(address: BrokerAddress) -> bool:
    return closes(client(address, "flags"), b"\x80" + subscribe("ic/a", 0)[1:])


def subscribe_nothing(address: BrokerAddress) -> bool:
    return closes(client(address, "nothing"), packet(0x82, b"\x00\x01"))


def subscribe_qos_3(address: BrokerAddress) -> bool:
    return closes(client(address, "qos"), subscribe("ic/a", 3))


def publish_qos_3(address: BrokerAddress) -> bool:
    return closes(client(address, "three"), packet(0x36, text("ic/a") + b"\x00\x01x"))


def publish_wildcard(address: BrokerAddress) -> bool:
    return closes(client(address, "wildcard"), publish("ic/+/data", b"x"))


def ping(address: BrokerAddress) -> bool:
    with client(address, "ping") as sock:
        sock.sendall(PINGREQ)
        return all_heard(sock, PINGRESP) == PINGRESP


def no_dollar_by_wildcard(address: BrokerAddress) -> bool:
    with client(address, "dollar") as sock:
        sock.sendall(
            subscribe("#", 0) + publish("$levada/a", b"dollar") + publish("ic/a", b"plain")
        )
        return b"dollar" not in all_heard(sock, b"plain")


def retained(address: BrokerAddress) -> bool:
    """Is given to who subscribes later, with the flag; an empty one removes it."""
    with client(address, "retains") as sock:
        sock.sendall(packet(0x31, text("ic/kept") + b"kept") + PINGREQ)
        all_heard(sock, PINGRESP)
        with client(address, "reads") as other:
            other.sendall(subscribe("ic/kept", 0))
            wanted = packet(0x31, text("ic/kept") + b"kept")
            given = all_heard(other, wanted)
        sock.sendall(packet(0x31, text("ic/kept")) + PINGREQ)
        all_heard(sock, PINGRESP)
        with client(address, "reads-again") as other:
            other.sendall(subscribe("ic/kept", 0) + publish("ic/kept", b"after"))
            after = all_heard(other, b"after")
    return wanted in given and b"ic/keptkept" not in after


def wills(address: BrokerAddress, last: bytes, upto: bytes) -> bytes:
    """What who listens hears of a client that says that last, and of one that is lost after it."""
    with client(address, "listens") as sock:
        sock.sendall(subscribe("ic/will", 0) + PINGREQ)
        all_heard(sock, PINGRESP)
        for name, word in (("first", last), ("second", b"")):
            dying = client(address, name, will=("ic/will", name.encode()))
            if word:
                dying.sendall(word)
                heard(dying)  # its end
            else:  # no word, and no orderly end
                dying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            dying.close()
        return all_heard(sock, upto)


def will_of_the_lost(address: BrokerAddress) -> bool:
    return b"second" in wills(address, DISCONNECT, b"second")


def no_will_of_who_says_goodbye(address: BrokerAddress) -> bool:
    return b"first" not in wills(address, DISCONNECT, b"second")


RULES: Final[dict[str, Callable[[BrokerAddress], bool]]] = {
    "MQTT-3.1.0-2 a second CONNECT": second_connect,
    "MQTT-3.1.2-2 an unknown protocol level": unknown_level,
    "MQTT-3.1.2-3 the reserved flag of CONNECT": reserved_flag,
    "MQTT-3.1.3-8 no name without a clean session": no_name_without_clean_session,
    "MQTT-3.1.4-2 a name that is taken over": name_taken_over,
    "MQTT-3.1.2-8 the will of a lost client": will_of_the_lost,
    "MQTT-3.14.4-3 no will after DISCONNECT": no_will_of_who_says_goodbye,
    "MQTT-3.3.1-4 PUBLISH with QoS 3": publish_qos_3,
    "MQTT-3.3.1-6 retained, and removed": retained,
    "MQTT-3.3.2-2 PUBLISH to a wildcard": publish_wildcard,
    "MQTT-3.8.1-1 SUBSCRIBE with other flags": subscribe_flags,
    "MQTT-3.8.3-3 SUBSCRIBE to nothing": subscribe_nothing,
    "MQTT-3.8.3-4 SUBSCRIBE with QoS 3": subscribe_qos_3,
    "MQTT-3.12.4-1 PINGREQ": ping,
    "MQTT-4.7.2-1 no $ topic by #": no_dollar_by_wildcard,
}
BROKEN: Final[dict[type, frozenset[str]]] = {
    Mosquitto: frozenset(),
    EmbeddedBroker: frozenset(
        {
            "MQTT-3.3.1-4 PUBLISH with QoS 3",
            "MQTT-3.3.2-2 PUBLISH to a wildcard",
            "MQTT-3.8.1-1 SUBSCRIBE with other flags",
            "MQTT-3.8.3-3 SUBSCRIBE to nothing",
            "MQTT-3.8.3-4 SUBSCRIBE with QoS 3",
        }
    ),
}
"""Rules that each of them does not keep, of the version that is installed with the tests."""


@pytest.mark.slow  # amqtt is silent for a minute
def test_B18_each_broker_keeps_the_rules_of_mqtt_that_it_kept_when_it_was_chosen(
    broker: EmbeddedBroker | Mosquitto,
) -> None:
    broken = {rule for rule, keeps in RULES.items() if not keeps(broker.address)}
    assert broken == BROKEN[type(broker)]
