"""Our MQTT client against a broker that sends whatever it likes."""

from __future__ import annotations

import itertools
import logging
import queue
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client
import pytest
from hand_broker import raw_publish, sending
from raw_mqtt import ACCEPTED, PINGREQ, packet, publish
from services import Mosquitto

from levada.guest.text.logs import LimitedLog
from levada.hil.errors import PayloadError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient


@contextmanager
def listening(address: BrokerAddress, heard: queue.Queue[bytes]) -> Iterator[MqttClient]:
    client = MqttClient(
        address, subscription="ic/#", handler=lambda _, data: heard.put(data), reconnect_s=(0.01, 1)
    )
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("topic", [b"ic/\xff/data", b"ic/n\xc3", b"\xed\xa0\x80"])
def test_a_topic_that_is_no_text_is_ignored(topic: bytes) -> None:
    heard: queue.Queue[bytes] = queue.Queue()
    with sending([raw_publish(topic, b"{}")]) as address, listening(address, heard) as client:
        assert heard.get(timeout=60) == b"good"  # on the same connection
        assert client.ignored == 1
        assert heard.get(timeout=60) == b"good"
        assert client.connected


@pytest.mark.parametrize(
    "broken",
    [
        packet(0x30, b"\xff\xff"),  # a topic longer than its packet
        packet(0x30, b"\x00"),
        packet(0x90, b""),  # an answer to no subscription
        packet(0x20, b"\x00"),
    ],
)
def test_a_packet_that_cannot_be_read_costs_the_connection_not_the_client(broken: bytes) -> None:
    heard: queue.Queue[bytes] = queue.Queue()
    with sending([broken]) as address, listening(address, heard) as client:
        assert heard.get(timeout=60) == b"good"
        assert client._connected.wait(60)


def test_no_bytes_end_the_network_thread() -> None:
    """Whatever comes, the client is connected again afterwards and hears what is well formed."""
    chance = random.Random(9)
    noise = [
        packet(chance.choice([0x30, 0x32, 0x34, 0x90, 0xB0, 0x20, 0xE0]), chance.randbytes(size))
        for size in itertools.islice(itertools.cycle(range(24)), 150)
    ]
    heard: queue.Queue[bytes] = queue.Queue()
    with sending(noise) as address, listening(address, heard) as client:
        while client.connections <= len(noise):
            heard.get(timeout=60)
        assert client._connected.wait(60)


def test_a_small_packet_waits_for_none_before_it() -> None:
    """Nor after a reconnection."""
    heard: queue.Queue[bytes] = queue.Queue()
    with sending([packet(0x30, b"\x00")]) as address, listening(address, heard) as client:
        assert heard.get(timeout=60) == b"good"
        assert client.connections == 2
        connection = client._paho.socket()
        assert isinstance(connection, socket.socket)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_handlers_refuse_is_told_in_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def refuse(_topic: str, payload: bytes) -> None:
        if payload == b"good":
            done.set()
        elif payload == b"fault":
            raise RuntimeError("ours")
        raise PayloadError("seq = 'x': not a number")

    flood = publish("ic/n\n/ack", b"bad") * 500 + publish("ic/n/ack", b"fault") * 500
    with sending([flood]) as address:
        client = MqttClient(address, subscription="ic/#", handler=refuse)
        assert done.wait(60)
        client.close()
    # that this broker hangs up is another line, and comes if the client is not closed before
    ours = [r for r in caplog.records if r.name == "levada.hil.line.mqtt_client"]
    lines = [r for r in ours if not r.getMessage().startswith("connection to")]
    assert lines[0].getMessage() == ("message on 'ic/n\\n/ack' ignored: seq = 'x': not a number")
    assert lines[0].exc_info in (None, False)
    assert len(lines) == 10


def test_what_was_left_out_of_a_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = LimitedLog(logging.getLogger("x"), lines=2, clock_s=lambda: now[0])
    for number in range(5):
        log.warning("line %d", number)
    now[0] = 60.0
    log.warning("line %d", 5)
    assert caplog.messages == ["line 0", "line 1", "line 5 (3 more like it before)"]


def test_a_network_thread_that_ends_while_it_is_waited_for_has_ended(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paho looks whether there is a thread, and then joins it; in between it may be forgotten."""
    client = MqttClient(mosquitto.address)
    network = next(t for t in threading.enumerate() if t.name.startswith("paho"))
    here, own = threading.current_thread, threading.current_thread()
    pause = threading.Event()

    def current() -> threading.Thread:  # called between the look and the join
        while here() is own and network.is_alive():
            pause.wait(0.001)
        return here()

    monkeypatch.setattr(paho.mqtt.client.threading, "current_thread", current)
    client.close()
    assert not client.connected


def test_messages_are_signs_of_life_though_the_answer_to_a_ping_is_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a burst: what the broker still has to send comes before its answer."""
    monkeypatch.setattr("levada.hil.line.mqtt_client._KEEPALIVE_S", 1)
    listener = socket.create_server(("127.0.0.1", 0))
    pings = threading.Semaphore(0)
    connections: list[socket.socket] = []

    def serve() -> None:
        peer, _ = listener.accept()
        connections.append(peer)
        peer.recv(1024)
        peer.sendall(ACCEPTED)
        asked = peer.recv(1024)
        peer.sendall(packet(0x90, asked[2:4] + b"\x00"))
        peer.settimeout(0.05)
        try:
            while True:
                peer.sendall(publish("ic/n/data", b"more"))
                try:
                    said = peer.recv(1024)
                except TimeoutError:
                    continue
                if not said:
                    return
                for _ in range(said.count(PINGREQ)):
                    pings.release()
        except OSError:
            return

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    address = BrokerAddress(host="127.0.0.1", port=listener.getsockname()[1])
    lost = threading.Event()
    client = MqttClient(address, subscription="ic/#", handler=lambda *_: None, on_lost=lost.set)
    for _ in range(4):  # each as long after the one before as a silent broker is believed
        assert pings.acquire(timeout=30)
    assert not lost.is_set()
    assert client.connected
    client.close()
    listener.close()
    server.join()
    connections[0].close()
