"""Telemetry to store over amqtt, against a bare publish-subscribe round trip in the same run.

Must hold: from publishing to the acknowledged commit, half of the messages take at most twice the
bare round trip plus the commit interval.
"""

from __future__ import annotations

import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hil.broker import EmbeddedBroker
from hil.mqtt_client import MqttClient
from twin.delivery import Delivery
from twin.messages import Telemetry
from twin.store import Store
from twin.store_rows import Commit

_MESSAGES = 400
_RATE = 200


def _paced(count: int, send: Callable[[int], None]) -> None:
    start = time.perf_counter()
    for number in range(count):
        pause = start + number / _RATE - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        send(number)


def _round_trips(broker: EmbeddedBroker) -> list[float]:
    sent: dict[int, float] = {}
    took: list[float] = []
    done = threading.Event()

    def heard(_topic: str, payload: bytes) -> None:
        took.append(time.perf_counter() - sent[json.loads(payload)["seq"]])
        if len(took) == _MESSAGES:
            done.set()

    listener = MqttClient(broker.address, subscription="bench/#", handler=heard)
    sender = MqttClient(broker.address)

    def send(number: int) -> None:
        message = Telemetry(boot=1, seq=number, oldest=0, raw=1500, pct=40, irrigar=0)
        sent[number] = time.perf_counter()
        sender.publish("bench/data", message.encode())

    _paced(_MESSAGES, send)
    done.wait(10)
    sender.close()
    listener.close()
    return took


def _stored(broker: EmbeddedBroker, store: Store) -> list[float]:
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
    delivery = Delivery(store, broker.address)
    sender = MqttClient(broker.address)

    def send(number: int) -> None:
        message = Telemetry(boot=1, seq=number, oldest=0, raw=1500, pct=40, irrigar=0)
        sent[number] = time.perf_counter()
        sender.publish("ic/n/data", message.encode())

    _paced(_MESSAGES, send)
    done.wait(10)
    sender.close()
    delivery.close()
    return [took.get() for _ in range(took.qsize())]


def main() -> int:
    """Measure; 1 if a limit was missed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedBroker() as broker,
        Store(Path(folder) / "bench.sqlite") as store,
    ):
        bare = np.percentile(_round_trips(broker), [50, 99]) * 1e3
        full = np.percentile(_stored(broker, store), [50, 99]) * 1e3
        limit = 2 * bare[0] + store.settings.group_ms
    print(f"{_RATE} messages/s, {_MESSAGES} messages   p50 [ms]   p99 [ms]")
    print(f"bare publish-subscribe          {bare[0]:10.1f} {bare[1]:10.1f}")
    print(f"telemetry to committed          {full[0]:10.1f} {full[1]:10.1f}   limit {limit:.1f}")
    return int(full[0] > limit)


if __name__ == "__main__":
    sys.exit(main())
