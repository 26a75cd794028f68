"""Brokers and our client: faults B7, B9, B10, B12 and B16 (docs/faults.md)."""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from relay import Relay
from services import Mosquitto

import levada.hil.line.broker
from levada.guest.children import start_child
from levada.hil.errors import BrokerError, ClientIdTakenError, PayloadError, UsageError
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker, parse_broker
from levada.hil.line.mqtt_client import MqttClient

Broker = EmbeddedBroker | Mosquitto


@pytest.fixture
def inbox(broker: Broker) -> Iterator[tuple[MqttClient, queue.Queue[tuple[str, bytes]]]]:
    """A client that listens to ic/#, and what it heard."""
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    client = MqttClient(broker.address, subscription="ic/#", handler=lambda t, p: heard.put((t, p)))
    yield client, heard
    client.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_b16_the_embedded_broker_refuses_to_listen_beyond_loopback(host: str) -> None:
    """B16."""
    with pytest.raises(BrokerError, match=r"only loopback is permitted.*mosquitto"):
        EmbeddedBroker(host=host)


def test_the_embedded_broker_listens_on_loopback_only() -> None:
    with EmbeddedBroker() as broker:
        assert broker.address.host == "127.0.0.1"
        with socket.socket(socket.AF_INET) as probe, pytest.raises(OSError, match="refused"):
            probe.connect(("127.0.0.2", broker.address.port))


@pytest.mark.parametrize("password", [None, "", "guess"])
def test_a_wrong_token_is_refused(password: str | None) -> None:
    with EmbeddedBroker() as broker:
        wrong = replace(broker.address, password=password)
        with pytest.raises(BrokerError, match=r"[Nn]ot authori[sz]ed|[Bb]ad user name"):
            MqttClient(wrong)


def test_the_token_is_in_no_command_line_and_in_no_output() -> None:
    with EmbeddedBroker() as broker:
        token = broker.address.password
        assert token is not None
        with open(f"/proc/{broker.pid}/cmdline") as file:
            assert token not in file.read()
        with open(f"/proc/{broker.pid}/environ") as file:
            assert token not in file.read()
        assert token not in repr(broker.address)
        assert token not in broker.address.url


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_hung_broker_is_started_again_at_the_same_address(
    how: signal.Signals,
) -> None:
    again = threading.Semaphore(0)
    with EmbeddedBroker() as broker:
        client = MqttClient(broker.address, on_connect=again.release)
        assert again.acquire(timeout=60)
        old = broker.pid
        os.kill(old, how)
        assert again.acquire(timeout=60)
        assert broker.restarts == 1
        assert broker.pid != old
        client.close()


def test_the_broker_ends_with_its_parent() -> None:
    script = (
        "import os\nfrom levada.hil.line.broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker()\nprint(broker.address.port, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    # the broker inherits standard error, so its end is the end of this pipe
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(done.stdout)))


def test_the_broker_ends_with_its_parent_while_a_client_talks() -> None:
    command = [sys.executable, "-m", "levada.hil.line.broker_process"]
    with start_child(command, stdout=subprocess.PIPE, text=True) as process:
        told = {"host": "127.0.0.1", "port": 0, "token": "secret"}
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        port = json.loads(process.stdout.readline())["port"]
        address = BrokerAddress(host="127.0.0.1", port=port, user="n", password="secret")
        heard = threading.Semaphore(0)
        client = MqttClient(address, subscription="n", handler=lambda *_message: heard.release())
        client.publish("n", b"")
        assert heard.acquire(timeout=60)
        process.stdin.close()
        while process.poll() is None:
            client.publish("n", b"")
            heard.acquire(timeout=0.01)
        client.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://pi.local", ("pi.local", 1883, False, None, None)),
        ("mqtts://ana:s%40@h:99", ("h", 99, True, "ana", "s@")),
        ("mqtt://[::1]:5", ("::1", 5, False, None, None)),
    ],
)
def test_a_broker_url_says_where_and_how(
    url: str, expected: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEVADA_MQTT_USER", raising=False)
    monkeypatch.delenv("LEVADA_MQTT_PASSWORD", raising=False)
    found = parse_broker(url)
    assert (found.host, found.port, found.tls, found.user, found.password) == expected


def test_credentials_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVADA_MQTT_USER", "ana")
    monkeypatch.setenv("LEVADA_MQTT_PASSWORD", "x")
    found = parse_broker("mqtt://h")
    assert (found.user, found.password) == ("ana", "x")


@pytest.mark.parametrize("url", ["http://h", "mqtt://", "mqtt://h/topic", "mqtt://h:99999", "h"])
def test_a_wrong_broker_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        parse_broker(url)


def test_a_broker_that_is_not_there_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BrokerError, match="refused"):
        MqttClient(BrokerAddress(host="127.0.0.1", port=port))


def test_b7_too_large_a_payload_is_refused_before_it_is_sent(
    inbox: tuple[MqttClient, queue.Queue[tuple[str, bytes]]],
) -> None:
    client, heard = inbox
    with pytest.raises(PayloadError, match="65537 bytes to ic/n/data: at most 65536"):
        client.publish("ic/n/data", bytes(65_537))
    assert client.publish("ic/n/data", bytes(65_536))
    assert heard.get(timeout=60) == ("ic/n/data", bytes(65_536))


@pytest.mark.parametrize("topic", ["ic/+/data", "ic/#", "$SYS/x", ""])
def test_a_wildcard_topic_is_never_published(broker: Broker, topic: str) -> None:
    client = MqttClient(broker.address)
    with pytest.raises(PayloadError, match="no wildcard"):
        client.publish(topic, b"x")
    client.close()


def test_b12_what_was_not_subscribed_is_ignored(
    inbox: tuple[MqttClient, queue.Queue[tuple[str, bytes]]], broker: Broker
) -> None:
    """B12: amqtt hands retained messages of anybody's subscription to whoever connects."""
    client, heard = inbox
    relay = Relay(broker.address)
    once = [True]

    def and_a_foreign_one(packet: bytes) -> list[bytes]:
        if packet[0] >> 4 == 3 and once.pop():
            once.append(False)
            foreign = b"\x31\x09\x00\x05other!!"  # retained PUBLISH to `other`
            return [foreign, packet]
        return [packet]

    relay.down = and_a_foreign_one
    got: queue.Queue[str] = queue.Queue()
    other = MqttClient(
        relay.address, subscription="ic/#", handler=lambda topic, _payload: got.put(topic)
    )
    client.publish("ic/n/data", b"{}")
    assert got.get(timeout=60) == "ic/n/data"
    assert other.ignored == 1
    assert heard.get(timeout=60)[0] == "ic/n/data"
    other.close()
    relay.close()


def test_b9_of_two_clients_with_one_id_one_gives_up(broker: Broker) -> None:
    """B9."""
    back = threading.Semaphore(0)
    pushed: queue.Queue[BrokerError] = queue.Queue()
    heard: queue.Queue[bytes] = queue.Queue()
    options = {
        "client_id": "same",
        "reconnect_s": (0.01, 0.1),
        "on_give_up": pushed.put,
        "on_connect": back.release,
        "subscription": "ic/#",
        "handler": lambda _topic, payload: heard.put(payload),
    }
    first = MqttClient(broker.address, **options)  # type: ignore[arg-type]
    assert back.acquire(timeout=60)
    second = MqttClient(broker.address, **options)  # type: ignore[arg-type]
    error = pushed.get(timeout=60)
    assert isinstance(error, ClientIdTakenError)
    assert "'same' is used by somebody else" in str(error)
    assert [first.failure, second.failure].count(None) == 1
    loser, winner = (first, second) if first.failure else (second, first)
    network = loser._paho._thread
    if network is not None:
        network.join(20)
    assert loser._paho._thread is None  # it does not come back: no pushing without end
    assert winner._connected.wait(20)
    assert winner.publish("ic/n/data", b"served")
    assert heard.get(timeout=60) == b"served"
    assert pushed.empty()
    first.close()
    second.close()


def test_b10_a_failed_login_with_our_id_does_us_no_harm(mosquitto: Mosquitto) -> None:
    """B10; amqtt would let go of us, one reason why it is kept on loopback (B16)."""
    heard: queue.Queue[str] = queue.Queue()
    ours = MqttClient(
        mosquitto.address,
        subscription="ic/#",
        handler=lambda topic, _payload: heard.put(topic),
        client_id="ours",
    )
    for _ in range(5):
        with pytest.raises(BrokerError):
            MqttClient(replace(mosquitto.address, password="no"), client_id="ours")
    assert ours.publish("ic/n/data", b"{}")
    assert heard.get(timeout=60) == "ic/n/data"
    assert ours.connections == 1
    ours.close()


def test_a_broker_that_takes_nothing_does_not_fill_our_memory(broker: Broker) -> None:
    relay = Relay(broker.address)
    client = MqttClient(relay.address)
    relay.hears.clear()
    taken = 0
    while client.publish("ic/n/data", bytes(8_000)):
        taken += 1
        assert taken < 5_000
    assert client.connected
    assert taken >= 1_000
    relay.hears.set()
    client.close()
    relay.close()


def test_a_silent_broker_is_noticed_by_the_client() -> None:
    made, lost = threading.Semaphore(0), threading.Semaphore(0)
    with EmbeddedBroker() as broker:
        relay = Relay(broker.address)
        client = MqttClient(
            relay.address,
            on_connect=made.release,
            on_lost=lost.release,
            reconnect_s=(0.05, 0.1),
        )
        assert made.acquire(timeout=60)
        relay.silent = True
        assert lost.acquire(timeout=30)
        assert not client.connected
        relay.silent = False
        assert made.acquire(timeout=30)
        client.close()
        relay.close()


@pytest.mark.parametrize(
    "child", ["levada.hil.line.broker_process", "levada.twin.sources.virtual_field"]
)
def test_a_child_whose_parent_ends_at_once_says_nothing(child: str) -> None:
    command = [sys.executable, "-m", child]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    end_s = time.monotonic() + 120.0
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def exhausted(*_arguments: object, **_named: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_what_we_lack_ourselves_is_not_put_down_to_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file descriptor for a probe: the broker is healthy and stays; once there is one, all is
    well again."""
    probed = threading.Semaphore(0)

    def probe(*_arguments: object, **_named: object) -> None:
        probed.release()
        exhausted()

    monkeypatch.setattr(levada.hil.line.broker, "_PROBE_S", 0.01)
    with EmbeddedBroker() as broker:
        pid = broker.pid
        with monkeypatch.context() as lacking:
            lacking.setattr(socket, "create_connection", probe)
            for _ in range(10):  # three would count as hung
                assert probed.acquire(timeout=60)
            assert (broker.pid, broker.restarts) == (pid, 0)
            assert "Too many open files" in broker.trouble
        until(lambda: broker.trouble == "")
        assert broker.pid == pid


def test_who_watches_the_broker_survives_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levada.hil.line.broker, "_AGAIN_S", 0.01)
    with EmbeddedBroker() as broker:
        with monkeypatch.context() as lacking:
            lacking.setattr(subprocess, "Popen", exhausted)
            os.kill(broker.pid, signal.SIGKILL)
            until(lambda: "cannot be started" in broker.trouble)
            lacking.setattr(EmbeddedBroker, "_start", lambda *_: 1 / 0)
            until(lambda: "division by zero" in broker.trouble)
        until(lambda: broker.restarts == 1)
        assert broker.trouble == ""
        assert MqttClient(broker.address).close() is None


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://me:s3cret@host:port",
        "mqtt://me:s3/cret@host",
        "mqtt://me:s3?cret@host",
        "mqtt://me:s3#cret@host",
        "mqtt://me:s3 cret'@[host",
        "http://me:s3cret@host",
        "me:s3cret@host",
        "mqtt://host?password=s3cret",
        "mqtt://s3cret@host/ic/node",
    ],
)
def test_a_refused_url_keeps_its_password_to_itself(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_broker(url)
    assert "cret" not in str(refused.value) and "s3" not in str(refused.value)
    assert "s3" not in repr(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"host": 5, "port": 1883}',
        '{"host": "h", "port": "s3cret"}',
        '{"host": "h", "port": 0}',
        '{"host": "h", "port": true}',
        '{"host": "h", "port": 1, "password": ["s3cret"]}',
        '{"host": "h", "port": 1, "password": "s3cret", "colour": "red"}',
    ],
)
def test_a_file_that_is_no_address_is_refused_in_words(text: str, tmp_path: Path) -> None:
    file = tmp_path / "broker.json"
    file.write_text(text)
    with pytest.raises(UsageError, match="not the address of a broker") as refused:
        parse_broker(str(file))
    assert "s3cret" not in str(refused.value)
