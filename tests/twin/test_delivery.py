"""Promise P1: an acknowledged message is stored exactly once, whatever lies in between.

Faults B2 to B5, B7, B11, B12, B14 and the kills of 100,000 messages (docs/faults.md).  Every
injector has a fixed seed.
"""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import Commits
from mqtt_device import WINDOW, Device, Journal
from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion
from proof_log import Prove
from raw_mqtt import log_in, publish, subscribe
from relay import Relay, is_publish, swapped, twice
from services import MOSQUITTO_BY_DAY, Mosquitto
from small_field import until

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.scenario.mapping import FieldMapping, PayloadMapping
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.mapping import PayloadMap
from levada.twin.mqtt.messages import (
    Ack,
    Config,
    ConfigAck,
    ForwardedRow,
    Processed,
    Status,
    Telemetry,
    decode,
)
from levada.twin.store.rows import Flag
from levada.twin.store.store import Store

HERE = Path(__file__).parent
Broker = EmbeddedBroker | Mosquitto
Deliver = Callable[..., Delivery]


def _device(address: BrokerAddress, folder: Path, **options: object) -> Device:
    return Device(address, "n", Journal(folder / "journal"), **options)  # type: ignore[arg-type]


def _raw(address: BrokerAddress) -> Paho:
    """A client that keeps none of our rules."""
    client = Paho(CallbackAPIVersion.VERSION2)
    client.username_pw_set(address.user, address.password)
    ready = threading.Event()
    client.on_connect = lambda *_: ready.set()
    client.connect(address.host, address.port)
    client.loop_start()
    assert ready.wait(60)
    return client


def _end(client: Paho) -> None:
    client.disconnect()
    client.loop_stop()


def _stored_once(store: Store, count: int) -> None:
    assert store.flush()
    assert store.reader.count("n") == count
    assert [m.payload["raw"] for m in store.reader.messages("n")] == [
        i % 4096 for i in range(count)
    ]


# -- what networks do ----------


def test_every_message_is_stored_once_and_acknowledged(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    deliver()
    device = _device(broker.address, tmp_path)
    assert device.run(300, patience_s=120.0)  # nothing is sent again
    device.close()
    _stored_once(store, 300)
    assert store.health().duplicates == 0


def test_nothing_is_acknowledged_before_it_is_stored(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    deliver()
    early: list[int] = []

    def check(packet: bytes) -> list[bytes]:
        if is_publish(packet) and b"ic/n/ack" in packet:
            ack = json.loads(packet[packet.index(b"{") :])
            if store.reader.acknowledged("n").get(ack["boot"], -1) < ack["seq"]:
                early.append(ack["seq"])
        return [packet]

    relay = Relay(broker.address)
    relay.down = check
    device = _device(relay.address, tmp_path)
    assert device.run(200)
    assert not early
    device.close()
    relay.close()


def test_the_connection_is_known_before_anything_is_acknowledged(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """As /health tells of it, which is not to be 503 while a device hears that it is heard."""
    device = _device(broker.address, tmp_path)
    told: list[int] = []

    def ready(_client: MqttClient) -> None:
        device.measure(0)
        device.send_pending()
        until(lambda: store.reader.count("n") == 1)
        told.append(len(device.journal.first(WINDOW)))

    delivery = deliver(on_client=ready)
    assert told == [1]
    assert delivery.counters.acknowledged == 0
    assert device.run(1)  # it is sent again
    device.close()


def test_b2_a_connection_cut_inside_a_packet_loses_nothing(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B2, a few places; the next test tries all."""
    _cut(broker, store, deliver, tmp_path, range(1, 301, 23))


@pytest.mark.slow
def test_b2_a_connection_cut_at_any_byte_loses_nothing(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B2."""
    _cut(broker, store, deliver, tmp_path, range(1, 301))


def _cut(broker: Broker, store: Store, deliver: Deliver, folder: Path, places: range) -> None:
    deliver()
    relay = Relay(broker.address)
    device = _device(relay.address, folder, reconnect_s=(0.01, 0.02))
    for number, place in enumerate(places):
        relay.cut_after = place
        device.client._paho._sock_close()  # the next connection is the one that is cut
        device.measure(number)
        while not relay.cuts.acquire(timeout=0.05):
            device.send_again()
            device.send_pending()
    assert device.run(len(places))
    device.close()
    relay.close()
    _stored_once(store, len(places))


def test_a_store_that_comes_in_the_middle_acknowledges_nothing_before_it_has_the_first(
    broker: Broker, store: Store, deliver: Deliver
) -> None:
    """Numbers are modulo 2^32: what lies before 0 would cover all that the device holds."""
    deliver()
    said: queue.Queue[Ack] = queue.Queue()
    node = MqttClient(
        broker.address,
        subscription="ic/n/ack",
        handler=lambda _topic, payload: said.put(decode(Ack, payload)),
    )

    def send(seq: int) -> None:
        message = Telemetry(boot=1, seq=seq, oldest=0, raw=seq)
        assert node.publish("ic/n/data", message.encode())

    for seq in (2, 3):  # 0 and 1 were said when nobody listened
        send(seq)
    while store.reader.count("n") < 2:
        assert store.flush()
    for seq in (0, 1):
        send(seq)
    found = []
    while not found or found[-1].seq != 3:
        found.append(said.get(timeout=30))
    assert all(ack.seq is not None and ack.seq <= 3 for ack in found), found
    node.close()


def test_b3_lost_acknowledgements_lead_to_repetition_but_not_to_a_second_row(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    deliver()
    relay = Relay(broker.address)

    def lose_until_repeated(packet: bytes) -> list[bytes]:
        is_ack = is_publish(packet) and b"ic/n/ack" in packet
        return [] if is_ack and not store.health().duplicates else [packet]

    relay.down = lose_until_repeated
    device = _device(relay.address, tmp_path)
    assert device.run(100, patience_s=0.2)
    device.close()
    relay.close()
    _stored_once(store, 100)
    assert store.health().duplicates > 0


def test_b3_acknowledgements_withheld_for_seven_seconds_make_no_second_row(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B3: ours, and those that MQTT owes a subscriber of QoS 1, who then comes back."""
    deliver()
    mute = log_in(broker.address, "mute", clean=False)
    mute.sendall(subscribe("ic/#", 1))
    assert mute.recv(5)[:4] == b"\x90\x03\x00\x01"
    withheld = [True]
    relay = Relay(broker.address)
    relay.down = lambda packet: [] if is_publish(packet) and withheld else [packet]
    device = _device(relay.address, tmp_path)
    assert not device.run(50, patience_s=0.5, limit_s=7.0)
    mute.close()
    withheld.clear()
    device.client._paho._sock_close()
    mute = log_in(broker.address, "mute", clean=False)
    assert device.run(100)
    mute.close()
    device.close()
    relay.close()
    _stored_once(store, 100)
    assert store.health().duplicates > 0


def test_b4_repeated_publications_are_stored_once(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B4, at QoS 0, which our devices use."""
    deliver()
    relay = Relay(broker.address)
    relay.up = twice
    device = _device(relay.address, tmp_path)
    assert device.run(200)
    device.close()
    relay.close()
    until(lambda: store.health().duplicates == 200)  # the last may be on its way
    _stored_once(store, 200)


def test_b4_repeated_publications_of_qos_1_are_stored_once(broker: Broker, store: Store) -> None:
    """B4: every packet twice on its way to the broker and again on its way to the store."""
    commits = Commits(store)
    relay = Relay(broker.address)
    relay.up = relay.down = twice
    delivery = Delivery(store, relay.address)
    node = log_in(relay.address, "node")
    for seq in range(100):
        message = Telemetry(boot=1, seq=seq, oldest=0, raw=seq)
        node.sendall(publish("ic/n/data", message.encode(), qos=1, number=seq + 1))
    assert commits.wait("n", 1, 99)
    delivery.close()
    node.close()
    relay.close()
    _stored_once(store, 100)
    assert store.health().duplicates >= 100


def test_b5_publications_out_of_order_are_shown_in_order(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B5: neighbours swapped, and one in ten comes two seconds later."""
    deliver()
    relay = Relay(broker.address)
    chance = random.Random(5)
    relay.up = swapped()
    relay.late_s = lambda packet: 2.0 if is_publish(packet) and chance.random() < 0.1 else 0.0
    device = _device(relay.address, tmp_path)
    assert device.run(400, patience_s=5.0)
    device.close()
    relay.close()
    _stored_once(store, 400)
    assert any(m.flags & Flag.HISTORICAL for m in store.reader.messages("n"))
    assert store.reader.events(kind="gap") == []


@MOSQUITTO_BY_DAY
def test_b14_a_half_open_connection_shows_as_offline_within_three_heartbeats(
    broker: Broker, store: Store, deliver: Deliver
) -> None:
    """B14."""
    delivery = deliver()
    seen: queue.Queue[tuple[str, bool, float]] = queue.Queue()
    delivery.presence._tell = lambda node, online: seen.put((node, online, time.monotonic()))
    relay = Relay(broker.address)
    node = MqttClient(relay.address)
    birth = Status(state="birth", boot=1, every_ms=1_000, engine="wasm3 0.5.0")
    said_s = time.monotonic()
    assert node.publish("ic/n/status", birth.encode())
    name, online, _ = seen.get(timeout=60)
    assert (name, online) == ("n", True)
    relay.silent = True
    name, online, gone_s = seen.get(timeout=60)
    assert (name, online) == ("n", False)
    # presence counts in whole milliseconds; test_presence.py has that it is looked at just then
    assert gone_s - said_s >= 3 * 1.0 - 0.002
    assert delivery.presence.present() == []
    node.close()
    relay.close()


# -- what others send ----------


@pytest.mark.parametrize("size", [65_537, 10_000_000])
def test_b7_too_large_a_payload_is_refused_and_the_sender_told(
    broker: Broker, store: Store, deliver: Deliver, size: int
) -> None:
    """B7."""
    delivery = deliver()
    told: queue.Queue[bytes] = queue.Queue()
    listener = MqttClient(
        broker.address, subscription="ic/n/ack", handler=lambda _topic, payload: told.put(payload)
    )
    rogue = _raw(broker.address)
    rogue.publish("ic/n/data", bytes(size))
    refusal = decode(Ack, told.get(timeout=60)).refused
    assert refusal == f"payload of {size} bytes: at most 65536"
    assert store.flush()
    assert store.reader.count() == 0
    assert delivery.counters.oversized == 1
    assert store.reader.events(kind="refused")[0]["text"].endswith("at most 65536")
    listener.close()
    _end(rogue)


FORBIDDEN = ["ic/n/data/more", "ic//data", "ic/n/unknown", "ic/../data", "other/n/data", "ic/data"]


def test_b11_forbidden_topics_are_not_acted_on(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B11, by publication, retained publication and last will; B12: retained before we connect."""
    said = b'{"boot":1,"seq":0,"oldest":0,"raw":1}'
    heard: queue.Queue[str] = queue.Queue()
    rogue = _raw(broker.address)
    rogue.on_message = lambda _client, _data, message: heard.put(message.topic)
    rogue.subscribe("#")

    def until_all_heard() -> None:
        missing = set(FORBIDDEN)
        while missing:
            missing.discard(heard.get(timeout=30))

    for topic in FORBIDDEN:
        rogue.publish(topic, said, retain=True)
    until_all_heard()
    delivery = deliver()
    for topic in FORBIDDEN:
        rogue.publish(topic, said)
    until_all_heard()
    for number, topic in enumerate(FORBIDDEN):
        log_in(broker.address, f"dying-{number}", will=(topic, said)).close()
    until_all_heard()
    device = _device(broker.address, tmp_path)
    assert device.run(10)  # what came before has been handled by now
    device.close()
    _end(rogue)
    _stored_once(store, 10)
    assert store.reader.count() == 10
    assert [node.name for node in store.reader.nodes()] == ["n"]
    assert delivery.counters.foreign > 0


def topic_rights() -> str:
    """The acl file that docs/mqtt.md shows."""
    lines = (HERE.parents[1] / "docs/mqtt.md").read_text().splitlines()
    known = ("    user ", "    topic ", "    pattern ")
    return "".join(line.strip() + "\n" for line in lines if line.startswith(known))


def test_with_topic_rights_nobody_acknowledges_for_the_twin_or_listens_to_others(
    store: Store, tmp_path: Path
) -> None:
    users = ("twin", "n", "stranger")
    with closing(Mosquitto(tmp_path, users=users, acl=topic_rights())) as broker:
        heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        overheard: queue.Queue[str] = queue.Queue()
        twin = MqttClient(
            broker.address, subscription="ic/#", handler=lambda t, p: heard.put((t, p))
        )
        stranger = _raw(replace(broker.address, user="stranger"))
        stranger.on_message = lambda _client, _data, message: overheard.put(message.topic)
        stranger.subscribe("#")
        forged = Ack(boot=1, seq=99).encode()
        stranger.publish("ic/n/ack", forged)
        stranger.publish("ic/n/data", b'{"boot":9,"seq":0,"oldest":0,"raw":1}')
        stranger.publish("ic/stranger/status", b"{}")  # its own
        assert heard.get(timeout=30)[0] == "ic/stranger/status"
        delivery = Delivery(store, broker.address)
        device = _device(replace(broker.address, user="n"), tmp_path)
        assert device.run(10)
        _stored_once(store, 10)
        assert store.reader.count() == 10
        twin.publish("ic/stranger/ask", b"{}")
        assert overheard.get(timeout=30) == "ic/stranger/ask"  # and nothing of n before
        device.close()
        delivery.close()
        twin.close()
        _end(stranger)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no json",
        b"[1]",
        b'{"boot":-1,"seq":0,"oldest":0}',
        b'{"boot":1,"seq":4294967296,"oldest":0}',
        b'{"boot":1,"seq":1.5,"oldest":0}',
        b'{"boot":1,"seq":"1","oldest":0}',
        b'{"raw":true}',
        b'{"raw":1e999}',
        b"\xff\xfe",
        b"[" * 60_000,
    ],
)
def test_a_malformed_payload_is_refused_and_the_next_one_taken(
    store: Store, payload: bytes, tmp_path: Path
) -> None:
    with EmbeddedBroker() as broker:
        delivery = Delivery(store, broker.address)
        rogue = _raw(broker.address)
        rogue.publish("ic/n/data", payload)
        commits = Commits(store)
        rogue.publish("ic/n/data", b'{"boot":5,"seq":0,"oldest":0,"raw":7}')
        assert commits.wait("n", 5, 0)
        assert delivery.counters.malformed == 1
        _end(rogue)
        delivery.close()


@pytest.mark.parametrize(
    ("payload", "signals"),
    [
        (b'{"umidade":2100,"seco":1,"pct":18}', {"raw": 2100.0, "irrigar": 1.0, "pct": 18.0}),
        (b'{"raw":1800,"pct":40,"irrigar":0}', {"raw": 1800.0, "irrigar": 0.0, "pct": 40.0}),
    ],
)
def test_a_node_flashed_long_ago_is_understood(
    broker: Broker,
    store: Store,
    deliver: Deliver,
    payload: bytes,
    signals: dict[str, float],
) -> None:
    deliver()
    stored = threading.Event()
    store.listen(lambda _commit: stored.set())
    node = _raw(broker.address)
    node.publish("ic/esp32/data", payload)
    assert stored.wait(60)
    assert store.flush()
    found = {name: store.reader.window("esp32", name).value.tolist() for name in signals}
    assert found == {name: [value] for name, value in signals.items()}
    (message,) = store.reader.messages("esp32")
    assert message.flags & Flag.UNIDENTIFIED
    _end(node)


def test_a_node_flashed_long_ago_gets_the_calibration_it_knows(
    broker: Broker, deliver: Deliver
) -> None:
    delivery = deliver()
    got: queue.Queue[bytes] = queue.Queue()
    node = MqttClient(
        broker.address,
        subscription="ic/esp32/config",
        handler=lambda _topic, payload: got.put(payload),
    )
    assert delivery.send("esp32", Config(seco=3000, molhado=1200, limiar=2100))
    assert json.loads(got.get(timeout=60)) == {"seco": 3000, "molhado": 1200, "limiar": 2100}
    node.close()


def test_an_acknowledged_calibration_reaches_the_listener(broker: Broker, deliver: Deliver) -> None:
    heard: queue.Queue[tuple[str, object]] = queue.Queue()
    deliver(on_message=lambda node, message: heard.put((node, message)))
    node = MqttClient(broker.address)
    answer = ConfigAck(id="r1", ok=True, values={"limit": 1650})
    assert node.publish("ic/n/config/ack", answer.encode())
    assert heard.get(timeout=60) == ("n", answer)
    node.close()


def test_what_fog_forwards_becomes_the_filtered_series_of_the_node(
    broker: Broker, store: Store, deliver: Deliver
) -> None:
    deliver(fogs=True)
    commits = Commits(store)
    fog = MqttClient(broker.address)
    row = ForwardedRow(node="n", boot=7, seq=41, t=1_700_000_000_000, filt=1510, anomaly=0)
    assert fog.publish("ic/fog/processed", Processed(boot=3, seq=0, oldest=0, rows=(row,)).encode())
    assert commits.wait("fog", 3, 0)
    assert store.reader.window("n", "filt", kind="filtered").value.tolist() == [1510.0]
    assert store.reader.series("fog") == []
    fog.close()


def test_other_payloads_are_mapped(broker: Broker, store: Store, deliver: Deliver) -> None:
    temperature = FieldMapping(signal="temp_c", pointer="/DS/T", unit="degF")
    table = PayloadMapping(topic="ic/tele/+/SENSOR", field=(temperature,))
    deliver(maps=[PayloadMap(table)])
    stored = threading.Event()
    store.listen(lambda _commit: stored.set())
    node = _raw(broker.address)
    node.publish("ic/tele/garden/SENSOR", b'{"DS":{"T":212}}')
    assert stored.wait(60)
    window = store.reader.window("garden", "temp_c")
    assert (window.value.tolist(), window.unit) == ([100.0], "degC")
    _end(node)


def test_values_that_are_no_numbers_are_counted_for_the_node_that_sent_them(
    broker: Broker, store: Store, deliver: Deliver
) -> None:
    fields = [FieldMapping(signal="raw", pointer="/x"), FieldMapping(signal="pct", pointer="/y")]
    table = PayloadMapping(topic="tele/+/SENSOR", field=tuple(fields))
    delivery = deliver(maps=[PayloadMap(table)])
    sender = _raw(broker.address)
    for node, payloads in {"a": 1, "b": 3}.items():
        for _ in range(payloads):
            sender.publish(f"tele/{node}/SENSOR", b'{"x":1,"y":"much"}')
    sender.publish("tele/c/SENSOR", b'{"x":1,"y":2}')
    until(lambda: store.reader.count("c") == 1)
    assert [delivery.not_numbers(node) for node in "abc"] == [1, 3, 0]
    (told,) = store.reader.events(kind="mapping")
    assert told["text"] == "tele/+/SENSOR: `pct` is no number: left out, and counted"
    _end(sender)


def test_telemetry_of_a_device_survives_encoding() -> None:
    message = Telemetry(boot=1, seq=2, oldest=0, t=5, raw=1500, why=3)
    assert decode(Telemetry, message.encode()) == message


# -- kill -9 ----------


class _Soak:
    """A broker, a cloud and a device, each of which is killed so many times.

    When, is counted in work done: a device has so many messages in all, and each kill falls at a
    random place of its own equal share of them.  A share is longer than the window of a device, so
    that all three are alive again before the next one dies.
    """

    def __init__(
        self, broker: Broker, folder: Path, count: int, seed: int, kills_of_each: int
    ) -> None:
        self._broker = broker
        self._folder = folder
        self._count = count
        self._random = random.Random(seed)
        self._victims = ["broker", "cloud", "device"] * kills_of_each
        self._random.shuffle(self._victims)
        self._share = count // (len(self._victims) + 1)
        assert self._share > WINDOW

    def _spawn(self, script: str, *arguments: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, str(HERE / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(self._broker.address)).encode() + b"\n")
        process.stdin.flush()
        return process

    def _cloud(self) -> subprocess.Popen[bytes]:
        return self._spawn("cloud.py", self._folder / "soak.sqlite")

    def _device(self) -> subprocess.Popen[bytes]:
        return self._spawn("mqtt_device.py", self._folder / "journal", "n", self._count)

    def run(self) -> None:
        journal = self._folder / "journal"
        journal.touch()
        cloud, device = self._cloud(), self._device()
        measured = 0
        lines = journal.open("rb")
        try:
            for number, victim in enumerate(self._victims):
                place = round((number + self._random.random()) * self._share)
                while (measured := measured + lines.read().count(b'"data"')) <= place:
                    with suppress(subprocess.TimeoutExpired):
                        pytest.fail(f"the device ended with {device.wait(0.01)} before its end")
                if victim == "cloud":
                    _kill(cloud)
                    cloud = self._cloud()
                elif victim == "device":
                    _kill(device)
                    device = self._device()
                elif isinstance(self._broker, Mosquitto):
                    self._broker.kill()
                else:
                    os.kill(self._broker.pid, signal.SIGKILL)
            assert device.wait() == 0
        finally:
            lines.close()
            _kill(cloud)
            _kill(device)

    def check(self, proof: Prove) -> None:
        written = set()
        for line in (self._folder / "journal").read_text().splitlines():
            try:
                kind, boot, number, value = json.loads(line)
            except ValueError:
                continue
            if kind == "data":
                written.add((boot, number, value % 4096))
        with Store(self._folder / "soak.sqlite") as store:
            stored = [
                (m.boot, m.seq, m.payload["raw"])
                for m in store.reader.messages("n", limit=1_000_000)
            ]
        assert len(written) == self._count
        proof("acknowledged rows lost", tried=self._count, found=len(written - set(stored)))
        doubled = len(stored) - len(set(stored))
        proof("acknowledged rows doubled", tried=self._count, found=doubled)
        assert len(stored) == self._count


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def test_kill_9_of_anything_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path, proof: Prove
) -> None:
    soak = _Soak(broker, tmp_path, count=2_000, seed=1, kills_of_each=2)
    soak.run()
    soak.check(proof)


@pytest.mark.slow
def test_kill_9_of_anything_for_long_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path, proof: Prove
) -> None:
    soak = _Soak(broker, tmp_path, count=100_000, seed=2, kills_of_each=30)
    soak.run()
    soak.check(proof)
