"""Telemetry to store, against a bare publish-subscribe round trip over the same broker.

Must hold, over amqtt and, where it is installed, mosquitto: from publishing to the acknowledged
commit, half of the messages take at most twice the bare round trip of the same run plus the commit
interval.

And over SQLite, for a twin that goes through its past again: values that are stored as they are, or
others at the same times, take at most twice as long as new ones.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.messages import Telemetry
from levada.twin.store.rows import Commit, Points
from levada.twin.store.store import Store

_MESSAGES = 400
_RATE = 200
_AGAIN = 2.0
"""Times as long values of a known window may take as new ones."""


def _paced(count: int, send: Callable[[int], None]) -> None:
    start = time.perf_counter()
    for number in range(count):
        pause = start + number / _RATE - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        send(number)


def _round_trips(address: BrokerAddress) -> list[float]:
    sent: dict[int, float] = {}
    took: list[float] = []
    done = threading.Event()

    def heard(_topic: str, payload: bytes) -> None:
        took.append(time.perf_counter() - sent[json.loads(payload)["seq"]])
        if len(took) == _MESSAGES:
            done.set()

    listener = MqttClient(address, subscription="bench/#", handler=heard)
    sender = MqttClient(address)

    def send(number: int) -> None:
        message = Telemetry(boot=1, seq=number, oldest=0, raw=1500, pct=40, irrigar=0)
        sent[number] = time.perf_counter()
        sender.publish("bench/data", message.encode())

    _paced(_MESSAGES, send)
    done.wait(10)
    sender.close()
    listener.close()
    return took


def _stored(address: BrokerAddress, store: Store) -> list[float]:
    sent: dict[int, float] = {}
    took: queue.Queue[float] = queue.Queue()
    last = -1
    done = threading.Event()

    def committed(commit: Commit) -> None:
        nonlocal last
        now = time.perf_counter()
        upto = commit.acks.get(("n", 1), last)
        for number in range(last + 1, upto + 1):
            took.put(now - sent[number])
        last = upto
        if last == _MESSAGES - 1:
            done.set()

    store.listen(committed)
    delivery = Delivery(store, address)
    sender = MqttClient(address)

    def send(number: int) -> None:
        message = Telemetry(boot=1, seq=number, oldest=0, raw=1500, pct=40, irrigar=0)
        sent[number] = time.perf_counter()
        sender.publish("ic/n/data", message.encode())

    _paced(_MESSAGES, send)
    done.wait(10)
    sender.close()
    delivery.close()
    return [took.get() for _ in range(took.qsize())]


@contextmanager
def _mosquitto() -> Iterator[BrokerAddress | None]:
    """mosquitto on loopback; None where it is not installed."""
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = BrokerAddress(host="127.0.0.1", port=probe.getsockname()[1])
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(
            f"user {getpass.getuser()}\nlistener {address.port} 127.0.0.1\nallow_anonymous true\n"
            "set_tcp_nodelay true\n"
        )
        config.flush()
        process = subprocess.Popen([program, "-c", config.name], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex((address.host, address.port)) == 0:
                        break
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.wait()


def _latency(name: str, address: BrokerAddress, folder: Path) -> bool:
    """Measure over one broker; whether the limit was missed."""
    with Store(folder / f"{name}.sqlite") as store:
        bare = np.percentile(_round_trips(address), [50, 99]) * 1e3
        full = np.percentile(_stored(address, store), [50, 99]) * 1e3
        limit = 2 * bare[0] + store.settings.group_ms
    print(f"{name:<10} bare publish-subscribe    {bare[0]:10.1f} {bare[1]:10.1f}")
    print(f"{name:<10} telemetry to committed    {full[0]:10.1f} {full[1]:10.1f} {limit:10.1f}")
    return bool(full[0] > limit)


def _past(folder: Path) -> bool:
    """Measure what values of a known window cost; whether the limit was missed."""
    zones, minutes, signals = 20, 200, 15

    def seconds(store: Store, start_ms: int, change: float) -> float:
        start = time.perf_counter()
        for minute in range(minutes):
            for zone in range(zones):
                values = {f"s{k}": k + math.sin(minute + change) for k in range(signals)}
                point = Points(node=f"z{zone}", time_ms=start_ms + 60_000 * minute, signals=values)
                while not store.submit(point):
                    store.flush()
        store.flush()
        return time.perf_counter() - start

    with Store(folder / "past.sqlite") as store:
        seconds(store, 0, 0.0)  # makes nodes and series
        new = seconds(store, 60_000 * minutes, 0.0)
        same = seconds(store, 60_000 * minutes, 0.0)
        other = seconds(store, 60_000 * minutes, 1.0)
    count = zones * minutes * signals
    print(f"{count} values of {zones} zones, new    {new:10.2f} s")
    for name, took in (("the same again", same), ("others at their times", other)):
        print(f"{name:<36} {took:10.2f} s {took / new:9.1f} times, limit {_AGAIN:g}")
    return max(same, other) > _AGAIN * new


def main() -> int:
    """Measure; 1 if a limit was missed."""
    missed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        missed |= _past(folder)
        heads = f"{_RATE} messages/s, {_MESSAGES} messages"
        print(f"{heads:<36} {'p50 [ms]':>10} {'p99 [ms]':>10} {'p50 limit':>10}")
        with EmbeddedBroker() as broker:
            missed |= _latency("amqtt", broker.address, folder)
        with _mosquitto() as address:
            if address is None:
                print("mosquitto  is not installed")
            else:
                missed |= _latency("mosquitto", address, folder)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
