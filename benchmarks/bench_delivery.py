"""Telemetry to store over amqtt, against a bare publish-subscribe round trip in the same run.

Must hold: from publishing to the acknowledged commit, half of the messages take at most twice the
bare round trip plus the commit interval.  Also: a page's window out of a million values while 200
messages a second arrive, 95th percentile under 1 s.
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
from twin import store_schema
from twin.delivery import Delivery
from twin.messages import Telemetry
from twin.store import Store
from twin.store_commit import write_points
from twin.store_rows import Commit, Points, Row

_MESSAGES = 400
_RATE = 200
_VALUES = 1_000_000
_WINDOWS = 40


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


def _windows(store: Store) -> list[float]:
    start_ms = store.now_ms() - _VALUES * 1_000
    store.submit(Points(node="m", time_ms=start_ms, signals={"theta": 0.3}))
    store.flush()
    with store.transaction() as connection:
        series = int(
            connection.scalar(
                store_schema.series.select()
                .with_only_columns(store_schema.series.c.id)
                .where(store_schema.series.c.name == "theta")
            )
            or 0
        )
        for begin in range(1, _VALUES, 50_000):
            part = range(begin, min(begin + 50_000, _VALUES))
            write_points(
                connection,
                {(series, start_ms + i * 1_000, 0): float(np.sin(i / 9e3)) for i in part},
            )
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.wait(1 / _RATE):
            now = store.now_ms()
            store.submit(
                Row(
                    node="w",
                    boot=1,
                    seq=number,
                    oldest=0,
                    received_ms=now,
                    payload="{}",
                    signals={"raw": 1.0, "pct": 2.0, "irrigar": 0.0},
                )
            )
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    took = []
    for _ in range(_WINDOWS):
        begin = time.perf_counter()
        store.reader.window("m", "theta", kind="twin", max_points=2_000)
        took.append(time.perf_counter() - begin)
    stop.set()
    writer.join()
    return took


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
        window = np.percentile(_windows(store), [50, 95]) * 1e3
    print(f"{_RATE} messages/s, {_MESSAGES} messages   p50 [ms]   p99 [ms]")
    print(f"bare publish-subscribe          {bare[0]:10.1f} {bare[1]:10.1f}")
    print(f"telemetry to committed          {full[0]:10.1f} {full[1]:10.1f}   limit {limit:.1f}")
    print(f"window of {_VALUES} values: p50 {window[0]:.0f} ms, p95 {window[1]:.0f} ms, limit 1000")
    return int(full[0] > limit or window[1] > 1_000)


if __name__ == "__main__":
    sys.exit(main())
