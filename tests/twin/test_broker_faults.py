"""Brokers under load and abuse: faults B1, B6, B8, B13, B15 and B17 (docs/faults.md).

The short forms run in CI and check that everything survives; the long ones have the figures.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest
import wasmtime
from mqtt_device import Device, Journal
from raw_mqtt import PINGREQ, connect, packet, text
from services import Mosquitto

from levada.guest.abi import TrapKind
from levada.guest.limits import Budget
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.errors import BrokerError
from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.delivery import Delivery
from levada.twin.store.store import Store

HERE = Path(__file__).parent
Broker = EmbeddedBroker | Mosquitto
Deliver = Callable[..., Delivery]
DROPPED = "$SYS/broker/publish/messages/dropped"


def kill(broker: Broker) -> None:
    """kill -9; it is started again, here or by its watcher."""
    if isinstance(broker, Mosquitto):
        broker.kill()
    else:
        os.kill(broker.pid, signal.SIGKILL)


def paced(count: int, rate: float, send: Callable[[int], object]) -> None:
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        send(number)


class Echo:
    """Publishes to itself and notes how long each message took."""

    def __init__(self, broker: Broker, topic: str = "echo/n") -> None:
        self.took_s: list[float] = []
        self.sends = 0
        self._sent: dict[int, float] = {}
        self._topic = topic
        self._news = threading.Condition()
        self.client = MqttClient(broker.address, subscription="echo/#", handler=self._heard)

    def send(self, number: int, size: int) -> None:
        self._sent[number] = time.monotonic()
        self.sends += 1
        self.client.publish(self._topic, number.to_bytes(4, "big").ljust(size, b"x"))

    def _heard(self, _topic: str, payload: bytes) -> None:
        with self._news:
            self.took_s.append(time.monotonic() - self._sent[int.from_bytes(payload[:4], "big")])
            self._news.notify_all()

    def all_heard(self, count: int) -> bool:
        with self._news:
            return self._news.wait_for(lambda: len(self.took_s) >= count, timeout=240)

    def p99_ms(self, first: int = 0, last: int | None = None) -> float:
        return float(np.percentile(self.took_s[first:last], 99)) * 1e3


# -- B1: killed and restarted under load ----------


def test_b1_a_broker_killed_under_load_loses_nothing(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B1 in short."""
    _killed_under_load(broker, store, deliver, tmp_path, rate=200, seconds=3, kills=1)


@pytest.mark.slow
def test_b1_a_broker_killed_under_a_thousand_messages_a_second_loses_nothing(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B1: or where the computer is too busy for that, no later than twice as late as at rest."""
    at_rest_s, back_s = _killed_under_load(
        broker, store, deliver, tmp_path, rate=1_000, seconds=10, kills=3
    )
    assert max(back_s) < max(5.0, 2 * at_rest_s), back_s


def _killed_under_load(
    broker: Broker,
    store: Store,
    deliver: Deliver,
    folder: Path,
    *,
    rate: int,
    seconds: int,
    kills: int,
) -> tuple[float, list[float]]:
    """How long all were away, when nothing was sent yet, and at every kill [s]."""
    delivery = deliver()
    device = Device(broker.address, "n", Journal(folder / "journal"), window=1_000)
    clients = (device.client, delivery.client)
    at_rest_s = _killed(broker, *clients)
    count = rate * seconds
    measuring = threading.Thread(target=paced, args=(count, rate, device.measure))
    sending = threading.Thread(target=device.deliver, args=(count,))
    measuring.start()
    sending.start()
    back_s = []
    for number in range(kills):
        while device.journal.written < count * (number + 1) // (kills + 1):
            time.sleep(0.01)  # the moment of the kill is a part of the load
        back_s.append(_killed(broker, *clients))
    print(f"again after {at_rest_s:.2f} s at rest, {[round(s, 2) for s in back_s]} s")
    measuring.join()
    sending.join()
    device.close()
    assert store.flush()
    stored = [m.seq for m in store.reader.messages("n", limit=count + 1)]
    assert stored == list(range(count))
    return at_rest_s, back_s


def _killed(broker: Broker, *clients: MqttClient) -> float:
    """Kill the broker; after how long all clients are connected again [s]."""
    before = [client.connections for client in clients]
    begin_s = time.monotonic()
    kill(broker)
    while any(
        client.connections == connections or not client.connected
        for client, connections in zip(clients, before, strict=True)
    ):
        assert time.monotonic() - begin_s < 60
        time.sleep(0.005)
    return time.monotonic() - begin_s


# -- B6: a consumer that does not read ----------

CONSUMER = """
import json, sys
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
address = json.loads(sys.stdin.readline())
client = Client(CallbackAPIVersion.VERSION2)
client.username_pw_set(address["user"], address["password"])
client.on_message = lambda _c, _d, message: print(message.payload[:4].hex(), flush=True)
client.on_subscribe = lambda *_: print("ready", flush=True)
# longer than it is stopped: a broker leaves out who is silent for longer than that
client.connect(address["host"], address["port"], keepalive=600)
client.subscribe("echo/#")
client.loop_start()
sys.stdin.read()
"""


def test_b6_a_stopped_consumer_is_left_out_and_counted(broker: Broker) -> None:
    """B6 in short."""
    _stopped_consumer(broker, rate=200, seconds=8, size=20_000)


@pytest.mark.slow
def test_b6_a_stopped_consumer_slows_nobody_down(broker: Broker) -> None:
    """B6: or where the computer is too busy for that, no slower than twice what it was before or
    is afterwards."""
    without_ms, beside_ms = _stopped_consumer(broker, rate=200, seconds=60, size=8_000)
    assert beside_ms < max(100.0, 2 * without_ms)


def _stopped_consumer(broker: Broker, *, rate: int, seconds: int, size: int) -> tuple[float, float]:
    """What other consumers wait, p99 [ms], without and while one is stopped; without it is the
    longer of before and afterwards."""
    if isinstance(broker, Mosquitto):
        broker.keep_at_most(1_000)
    dropped: queue.Queue[int] = queue.Queue()
    monitor = MqttClient(
        broker.address, subscription=DROPPED, handler=lambda _topic, p: dropped.put(int(p))
    )
    echo = Echo(broker)
    with (
        subprocess.Popen(
            [sys.executable, "-c", CONSUMER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as consumer,
        contextlib.ExitStack() as open_,
    ):
        assert consumer.stdin is not None
        assert consumer.stdout is not None
        consumer.stdin.write(json.dumps(asdict(broker.address)) + "\n")
        consumer.stdin.flush()
        assert consumer.stdout.readline() == "ready\n"
        open_.callback(consumer.kill)  # a stopped one would never end by itself
        early = rate * seconds // 4
        paced(early, rate, lambda number: echo.send(number, size))
        assert echo.all_heard(early)
        consumer.send_signal(signal.SIGSTOP)
        count = early + rate * seconds
        paced(rate * seconds, rate, lambda number: echo.send(early + number, size))
        assert echo.all_heard(count)
        rss_mb = psutil.Process(broker.pid).memory_info().rss / 1e6
        number = next(n for n in (dropped.get(timeout=30) for _ in range(60)) if n)
        consumer.send_signal(signal.SIGCONT)
        # awake again, it gets what came before the loss, and then what comes now
        heard = threading.Event()
        reader = threading.Thread(target=_until, args=(consumer.stdout, count, heard))
        reader.start()
        while not heard.wait(0.2):
            echo.send(count, 4)
            assert reader.is_alive() or heard.is_set()
        reader.join()
        consumer.stdin.close()
    assert echo.all_heard(echo.sends)
    later = echo.sends
    paced(early, rate, lambda number: echo.send(later + number, size))
    assert echo.all_heard(echo.sends)
    before_ms, beside_ms = echo.p99_ms(0, early), echo.p99_ms(early, count)
    after_ms = echo.p99_ms(later)
    print(
        f"p99 {before_ms:.1f} ms before, {beside_ms:.1f} ms beside, {after_ms:.1f} ms afterwards, "
        f"broker {rss_mb:.0f} MB, {number} dropped"
    )
    assert rss_mb < 200.0
    assert 0 < number < count
    monitor.close()
    echo.client.close()
    return max(before_ms, after_ms), beside_ms


def _until(lines: Iterable[str], number: int, heard: threading.Event) -> None:
    wanted = number.to_bytes(4, "big").hex()
    for line in lines:
        if line.strip() == wanted:
            heard.set()
            return


# -- B8: packets that are none ----------

MALFORMED: list[tuple[bool, bytes]] = [
    # before CONNECT
    (False, PINGREQ),  # 3.1: the first packet must be CONNECT
    (False, b"\x00\x00"),  # 2.2.1: reserved type 0
    (False, b"\xf0\x00"),  # reserved type 15
    (False, b"\x10\xff\xff\xff\xff\x7f"),  # 2.2.3: remaining length of five bytes
    (False, b"\x10\x00"),  # CONNECT without anything
    (False, packet(0x10, text("MQTT") + b"\x04")),  # cut off
    (False, packet(0x10, text("XXXX") + b"\x04\x02\x00\x3c" + text("a"))),  # protocol name
    (False, packet(0x10, text("MQTT") + b"\x09\x02\x00\x3c" + text("a"))),  # protocol level
    (False, packet(0x10, text("MQTT") + b"\x04\x03\x00\x3c" + text("a"))),  # reserved flag
    (False, packet(0x10, text("MQTT") + b"\x04\x1c\x00\x3c" + text("a"))),  # will QoS 3
    (False, packet(0x10, text("MQTT") + b"\x04\x42\x00\x3c" + text("a"))),  # password, no user
    (False, packet(0x10, text("MQTT") + b"\x04\x02\x00\x3c\x00\x01\xff")),  # id is no UTF-8
    (False, b"\x10\xff\xff\xff\x7f"),  # announces 256 MB and sends none
    # after it
    (True, b"\x36" + b"\x07" + text("a") + b"\x00\x01x\x00"),  # 3.3.1.2: QoS 3
    (True, packet(0x30, text("a/+/b") + b"x")),  # 3.3.2.1: wildcard in a topic
    (True, packet(0x30, b"\x00\x00x")),  # empty topic
    (True, packet(0x30, b"\xff\xffab")),  # topic longer than the packet
    (True, packet(0x30, b"\x00\x02\xc3\x28x")),  # topic is no UTF-8
    (True, packet(0x32, text("a") + b"\x00\x00x")),  # packet identifier 0
    (True, packet(0x80, b"\x00\x01" + text("a") + b"\x00")),  # 3.8.1: reserved bits of SUBSCRIBE
    (True, packet(0x82, b"\x00\x01")),  # SUBSCRIBE of nothing
    (True, packet(0x82, b"\x00\x01" + text("a") + b"\x03")),  # QoS 3
    (True, packet(0x10, text("MQTT") + b"\x04\x02\x00\x3c" + text("a"))),  # a second CONNECT
]
"""(whether after a good CONNECT, bytes); sections are those of MQTT 3.1.1."""


def test_b8_malformed_packets_harm_nobody_else(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B8 in short."""
    _abuse(broker, store, deliver, tmp_path, fuzz=200)


@pytest.mark.slow
def test_b8_three_thousand_malformed_connections_harm_nobody_else(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B8."""
    _abuse(broker, store, deliver, tmp_path, fuzz=3_000)


def _abuse(broker: Broker, store: Store, deliver: Deliver, folder: Path, *, fuzz: int) -> None:
    deliver()
    device = Device(broker.address, "n", Journal(folder / "journal"))
    sending = threading.Thread(target=device.deliver, args=(500,))
    sending.start()
    before = psutil.Process(broker.pid).num_fds()
    assert len(MALFORMED) == 23
    for number, (logged_in, data) in enumerate(MALFORMED):
        _send(broker, f"bad-{number}" if logged_in else "", data)
        device.measure(number)
    seed = 8
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(fuzz):
        size = chance.choice([1, 2, 10, 100, 1_000])
        data = chance.randbytes(size)
        if chance.random() < 0.5:  # a header that makes it look like something
            data = packet(chance.randrange(1, 16) << 4 | chance.randrange(16), data)
        _send(broker, f"fuzz-{number}" if chance.random() < 0.5 else "", data)
        device.measure(23 + number)
    for number in range(23 + fuzz, max(500, 23 + fuzz)):
        device.measure(number)
    sending.join()
    assert device.run(23 + fuzz)
    device.close()
    assert store.flush()
    count = max(500, 23 + fuzz)
    assert [m.seq for m in store.reader.messages("n", limit=count + 1)] == list(range(count))
    # and the broker has forgotten them all
    deadline = time.monotonic() + 30
    while psutil.Process(broker.pid).num_fds() > before + 5:
        assert time.monotonic() < deadline, psutil.Process(broker.pid).num_fds() - before
        time.sleep(0.1)


def _send(broker: Broker, client_id: str, data: bytes) -> None:
    """On a connection of its own; whatever the answer is, or none."""
    address = broker.address
    with (
        contextlib.suppress(OSError),
        contextlib.closing(
            socket.create_connection((address.host, address.port), timeout=30)
        ) as sock,
    ):
        if client_id:
            sock.sendall(connect(address, client_id))
            sock.recv(4)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


# -- B13: many who say nothing ----------


def test_b13_connections_beyond_the_limit_are_refused_and_that_is_said(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B13 without its figure."""
    _crowd(broker, store, deliver, tmp_path, seconds=2)


@pytest.mark.slow
def test_b13_a_thousand_idle_connections_do_not_slow_telemetry_down(
    broker: Broker, store: Store, deliver: Deliver, tmp_path: Path
) -> None:
    """B13: or where the computer is too busy for that, no slower than twice what it was before or
    is afterwards."""
    without_ms, beside_ms = _crowd(broker, store, deliver, tmp_path, seconds=20)
    assert beside_ms < max(200.0, 2 * without_ms)


def _crowd(
    broker: Broker, store: Store, deliver: Deliver, folder: Path, *, seconds: int
) -> tuple[float, float]:
    """What consumers wait, p99 [ms], without and beside 1,000 idle connections; without them it
    is the longer of before and afterwards."""
    deliver()
    echo = Echo(broker)
    early = 200 * seconds
    paced(early, 200, lambda number: echo.send(number, 200))
    assert echo.all_heard(early)
    with _idle(broker, 1_000) as accepted:
        assert accepted == 1_000
        count = 2 * early
        paced(early, 200, lambda number: echo.send(early + number, 200))
        assert echo.all_heard(count)
        device = Device(broker.address, "n", Journal(folder / "journal"))
        assert device.run(100)
        device.close()
        with _idle(broker, 50) as accepted:
            assert 10 < accepted < 50
            with pytest.raises(BrokerError, match=r"[Ss]erver unavailable|closed the connection"):
                MqttClient(broker.address)
            echo.send(count, 200)
            assert echo.all_heard(count + 1)  # those within the limit are served
    MqttClient(broker.address, timeout_s=30).close()  # and there is room again
    count += 1
    paced(early, 200, lambda number: echo.send(count + number, 200))
    assert echo.all_heard(count + early)
    echo.client.close()
    before_ms, beside_ms = echo.p99_ms(0, early), echo.p99_ms(early, 2 * early)
    after_ms = echo.p99_ms(count)
    print(
        f"p99 {before_ms:.1f} ms before, {beside_ms:.1f} ms beside 1000 idle connections, ", end=""
    )
    print(f"{after_ms:.1f} ms afterwards")
    return max(before_ms, after_ms), beside_ms


@contextlib.contextmanager
def _idle(broker: Broker, count: int) -> Iterator[int]:
    """So many clients that say nothing; how many were accepted."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "crowd.py"), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    ) as crowd:
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        crowd.stdin.write(json.dumps(asdict(broker.address)) + "\n")
        crowd.stdin.flush()
        yield int(crowd.stdout.readline())
        crowd.stdin.close()


# -- B15: a guest that burns its budget ----------

PINGER = """
import json, sys, time
from raw_mqtt import PINGREQ, log_in
from levada.hil.line.broker import BrokerAddress
sock = log_in(BrokerAddress(**json.loads(sys.stdin.readline())), "pinger")
pings = []
for _ in range(200):
    begin = time.monotonic()
    sock.sendall(PINGREQ)
    assert sock.recv(2) == b"\\xd0\\x00"
    pings.append((begin, time.monotonic()))
    time.sleep(0.01)
print(json.dumps(pings))
"""
ENDLESS = (
    '(module (memory (export "memory") 1) (func (export "abi_version") (result i32) i32.const 1) \
(func (export "init") (result i32) i32.const 0) \
(func (export "step") (result i32) (loop $l (br $l)) i32.const 0))'
)


def test_b15_a_guest_that_burns_its_budget_does_not_stall_the_broker(broker: Broker) -> None:
    """B15: the guest runs where the embedded broker was started."""
    node = WasmtimeNode(bytes(wasmtime.wat2wasm(ENDLESS)), budget=Budget(instructions=100_000_000))
    with subprocess.Popen(
        [sys.executable, "-c", PINGER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
    ) as pinger:
        assert pinger.stdin is not None
        pinger.stdin.write(json.dumps(asdict(broker.address)) + "\n")
        pinger.stdin.close()
        pinger.stdin = None
        ticks: list[tuple[float, float]] = []
        while pinger.poll() is None:
            now_ms = 1_000 * (len(ticks) + 1)
            node.boot(now_ms)  # what has trapped runs no further without
            begin_s = time.monotonic()
            result = node.step(now_ms, (1, 1, 1, 1))
            ticks.append((begin_s, time.monotonic()))
            assert result.trap == TrapKind.OUT_OF_FUEL
        assert pinger.stdout is not None
        pings = json.loads(pinger.stdout.read())
    node.close()
    p95, worst = np.percentile([1e3 * (end - begin) for begin, end in pings], [95, 100])
    print(f"{len(ticks)} ticks burned; ping p95 {p95:.1f} ms, worst {worst:.1f} ms")
    # a broker that stood still with the guest would answer between two ticks only
    during = [begin <= sent and heard <= end for begin, end in ticks for sent, heard in pings]
    assert len(ticks) >= 2
    assert sum(during) >= len(pings) / 4
