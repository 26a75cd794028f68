"""Messages a second that fog takes from 100 publishers, against subscribers that do less.

All subscribers get the same load in turn, over mosquitto, as fast as it comes: one of paho's that
only counts; one that calls the guest's `filter` by wasmtime-py and publishes each result, as one
would write it at first; and `levada fog`, which also judges, sums up, keeps all of it on the disk
and forwards it to a cloud that acknowledges.

Must hold: fog takes 12,000 messages a second, or as many as the one that only counts, whichever is
less, and loses none.  What the guest computes costs at most a fifth of a call by wasmtime-py.  And
after a million messages fog's process has at most 120 MB.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import wasmtime

from levada.guest.shipped import DEFAULT_GUEST
from levada.twin.continuum.guests import Guests
from levada.twin.continuum.tier import Sample, Tier

_PUBLISHERS = 100
_MESSAGES = 100_000
_GOAL = 12_000.0
_CALLS = 5.0
"""Times as fast as wasmtime-py the guest's functions have to run."""
_MEMORY_MB = 120.0
"""Of fog's process after `_LONG` messages."""
_LONG = 1_000_000
_BURST = 20_000
"""Of them at once: a broker answers a ping of fog only behind what waits."""
_TICK = os.sysconf("SC_CLK_TCK")


# -- processes that are started: python -m benchmarks.bench_fog ROLE PORT ----------


def _text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def _packet(node: str, seq: int) -> bytes:
    payload = json.dumps(
        {
            "boot": 7,
            "seq": seq,
            "oldest": max(0, seq - 1_000),
            "t": 1_700_000_000_000 + seq * 1_000,
            "raw": 1_500 + seq * 7 % 50,
            "pct": 40,
            "irrigar": 0,
            "why": 0,
            "flow": seq % 3,
        }
    ).encode()
    body = _text(f"ic/{node}/data") + payload
    return bytes([0x30, len(body) & 127 | 128, len(body) >> 7]) + body


def _publish(port: int, messages: int = _MESSAGES, first: int = 0) -> None:
    """QoS 0 by hand: a library could not make the load beside what it is taken by."""
    body = _text("MQTT") + b"\x04\x02\x00\x00"
    sockets = []
    for number in range(_PUBLISHERS):
        sock = socket.create_connection(("127.0.0.1", port))
        hello = body + _text(f"p{number}")
        sock.sendall(bytes([0x10, len(hello)]) + hello)
        assert sock.recv(4) == b"\x20\x02\x00\x00"
        sockets.append(sock)
    each, at_once = messages // _PUBLISHERS, 10
    load = [
        b"".join(_packet(f"n{number:03d}", seq) for seq in range(begin, begin + at_once))
        for begin in range(first, first + each, at_once)
        for number in range(_PUBLISHERS)
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    for index, packets in enumerate(load):
        sockets[index % _PUBLISHERS].sendall(packets)
    sys.stdin.readline()


def _subscribe(port: int, calls: bool) -> None:
    """Count, or call the guest as well; prints when all have come."""
    guests: dict[str, tuple[wasmtime.Store, Any]] = {}
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, DEFAULT_GUEST.read_bytes())
    linker = wasmtime.Linker(engine)
    linker.define_unknown_imports_as_traps(module)
    count, done = 0, threading.Event()

    def filtered(node: str, raw: int) -> int:
        if node not in guests:
            store = wasmtime.Store(engine)
            guests[node] = store, linker.instantiate(store, module).exports(store)["filter"]
        store, function = guests[node]
        found: int = function(store, raw)
        return found

    def on_message(client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal count
        count += 1
        if calls:
            data = json.loads(message.payload)
            node = message.topic.split("/")[1]
            row = {"node": node, "seq": data["seq"], "filt": filtered(node, data["raw"])}
            client.publish("ic/fog/processed", json.dumps(row))
        if count == _MESSAGES:
            done.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_connect = lambda c, *_: c.subscribe("ic/+/data")
    client.connect("127.0.0.1", port)
    client.loop_start()
    sys.stdin.readline()
    begin, used = time.perf_counter(), time.process_time()
    while not done.wait(0.2):
        if time.perf_counter() - begin > 300:
            break
    took, used = time.perf_counter() - begin, time.process_time() - used
    print(json.dumps({"taken": count, "s": took, "cpu_s": used}), flush=True)


def _cloud(port: int) -> None:
    """Acknowledge what comes."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        data = json.loads(message.payload)
        last = data["seq"] + len(data["rows"]) - 1
        client.publish("ic/fog/ack", json.dumps({"boot": data["boot"], "seq": last}))

    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_connect = lambda c, *_: c.subscribe([("ic/+/relayed", 0), ("ic/+/processed", 0)])
    client.connect("127.0.0.1", port)
    client.loop_start()
    sys.stdin.readline()


# -- the measurement ----------


@contextmanager
def _mosquitto() -> Iterator[int | None]:
    """Port of a mosquitto that drops nothing; None where it is not installed."""
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(
            f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
            "set_tcp_nodelay true\nmax_queued_messages 0\n"
        )
        config.flush()
        process = subprocess.Popen([program, "-c", config.name], stderr=subprocess.DEVNULL)
        try:
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _role(role: str, *numbers: int) -> Iterator[subprocess.Popen[str]]:
    """A process of this file; the first of `numbers` is the broker's port."""
    command = [sys.executable, "-m", "benchmarks.bench_fog", role, *map(str, numbers)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.stdin.close()


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _measure(role: str, port: int) -> dict[str, float]:
    with _role(role, port) as subscriber, _role("publish", port) as load:
        _go(subscriber)
        _go(load)
        assert subscriber.stdout is not None
        found: dict[str, float] = json.loads(subscriber.stdout.readline())
    return found


def _seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


@contextmanager
def _fog(port: int, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Fog that takes messages, with a cloud that acknowledges, and the URL of its health."""
    command = [str(Path(sys.executable).with_name("levada")), "fog", "--health-port", "0"]
    command += ["--edge-broker", f"mqtt://127.0.0.1:{port}", "--buffer", str(folder / "fog.sqlite")]
    with (
        _role("cloud", port),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as fog,
    ):
        assert fog.stdout is not None
        fog.stdout.readline()
        url = json.loads((folder / "fog.json").read_text())["health"]
        while not json.load(urllib.request.urlopen(f"{url}/health"))["parts"]["edge broker"]["ok"]:
            time.sleep(0.1)
        try:
            yield fog, url
        finally:
            fog.terminate()


def _wait(url: str, name: str, done: Callable[[float], bool], begin: float) -> float:
    """The value of a metric once it is as wanted, or after 300 s."""
    while True:
        value = _metric(url, name)
        if done(value) or time.perf_counter() - begin > 300:
            return value
        time.sleep(0.1)


def _measure_fog(port: int, folder: Path) -> dict[str, float]:
    with _fog(port, folder) as (fog, url), _role("publish", port) as load:
        used, begin = _seconds_of(fog.pid), time.perf_counter()
        _go(load)
        received = "levada_fog_received_total"
        taken = _wait(url, received, lambda messages: messages >= _MESSAGES, begin)
        took = time.perf_counter() - begin
        used = _seconds_of(fog.pid) - used
        _wait(url, "levada_fog_buffer_rows", lambda rows: not rows, begin)
        drained = time.perf_counter() - begin
    return {"taken": taken, "s": took, "cpu_s": used, "drained_s": drained}


def _memory(port: int, folder: Path) -> bool:
    """Memory of fog's process over many messages; whether the limit was missed."""
    rss = "levada_fog_memory_rss_bytes"
    with _fog(port, folder) as (_, url):
        print(f"\nfog's memory at the start{_metric(url, rss) / 1e6:19.1f} MB")
        for sent in range(0, _LONG, _BURST):
            with _role("publish", port, _BURST, sent // _PUBLISHERS) as load:
                begin = time.perf_counter()
                _go(load)
                wanted = sent + _BURST
                _wait(url, "levada_fog_received_total", lambda n, m=wanted: n >= m, begin)
                _wait(url, "levada_fog_buffer_rows", lambda rows: not rows, begin)
            used_mb = _metric(url, rss) / 1e6
            if wanted % _MESSAGES == 0:
                print(f"after {wanted:9,} messages {used_mb:20.1f} MB", flush=True)
        lost = wanted - _metric(url, "levada_fog_received_total")
    print(f"limit {_MEMORY_MB:39.1f} MB")
    return used_mb > _MEMORY_MB or lost > 0


def _calls() -> bool:
    """What a reading costs in the tier, and by wasmtime-py alone; whether the limit was missed."""
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, DEFAULT_GUEST.read_bytes())
    linker = wasmtime.Linker(engine)
    linker.define_unknown_imports_as_traps(module)
    store = wasmtime.Store(engine)
    exports = linker.instantiate(store, module).exports(store)
    anomaly, filter_ = exports["anomaly"], exports["filter"]
    assert isinstance(anomaly, wasmtime.Func)
    assert isinstance(filter_, wasmtime.Func)
    readings = [1_500 + number * 7 % 50 for number in range(20_000)]
    begin = time.perf_counter()
    for number, raw in enumerate(readings):
        anomaly(store, raw, number)
        filter_(store, raw)
    plain_us = (time.perf_counter() - begin) / len(readings) * 1e6
    samples = [
        Sample(f"n{number % 100}", 7, number, 1_000 * number, {"raw": float(raw)})
        for number, raw in enumerate(readings)
    ]
    with Guests(DEFAULT_GUEST.read_bytes(), "wasm", {}) as guests:
        places = [guests.place() for _ in range(100)]
        guests.take(places, readings[:100], places, ())
        begin = time.perf_counter()
        guests.take(places * 200, readings, list(range(len(readings))), ())
        bank_us = (time.perf_counter() - begin) / len(readings) * 1e6
    with Tier(DEFAULT_GUEST.read_bytes(), "wasm", {}, 0, 0) as tier:
        tier.take(samples[:200])
        begin = time.perf_counter()
        tier.take(samples)
        tier_us = (time.perf_counter() - begin) / len(readings) * 1e6
    times = plain_us / bank_us
    print(f"anomaly and filter by wasmtime-py    {plain_us:10.2f} us a reading")
    print(f"anomaly and filter by the bank       {bank_us:10.2f} us {times:9.1f} times as fast")
    print(f"the tier with its rows               {tier_us:10.2f} us")
    return times < _CALLS


def main() -> int:
    """Measure; 1 if a limit was missed."""
    missed = _calls()
    with _mosquitto() as port, tempfile.TemporaryDirectory() as name:
        if port is None:
            print("mosquitto is not installed")
            return int(missed)
        rates = {}
        runs = (
            ("paho that counts", lambda: _measure("count", port)),
            ("paho and wasmtime-py", lambda: _measure("call", port)),
            ("levada fog", lambda: _measure_fog(port, Path(name))),
        )
        print(f"\n{_MESSAGES} messages of {_PUBLISHERS} publishers")
        for title, run in runs:
            found = run()
            rates[title] = found["taken"] / found["s"]
            more = (
                f", all at the cloud after {found['drained_s']:.1f} s"
                if "drained_s" in found
                else ""
            )
            print(
                f"{title:<24}{rates[title]:10.0f} messages/s, "
                f"{100 * found['cpu_s'] / found['s']:4.0f} % of a core, "
                f"{_MESSAGES - found['taken']:.0f} lost{more}"
            )
            missed |= title == "levada fog" and found["taken"] < _MESSAGES
    least = min(_GOAL, rates["paho that counts"])
    print(f"{'limit':<24}{least:10.0f} messages/s")
    missed |= rates["levada fog"] < least
    with _mosquitto() as port, tempfile.TemporaryDirectory() as name:
        assert port is not None
        missed |= _memory(port, Path(name))
    return int(missed)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        role, port = sys.argv[1], int(sys.argv[2])
        if role == "publish":
            _publish(*map(int, sys.argv[2:]))
        elif role == "cloud":
            _cloud(port)
        else:
            _subscribe(port, calls=role == "call")
    else:
        sys.exit(main())
