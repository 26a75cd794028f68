"""A twin with a long past that is ended, killed, or loses its database: devices are acknowledged
again at once, nothing is lost or doubled, and /health is true all the while.

The small form is for CI; the large one, 20 boards and 30 days, prints what it has measured.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from math import inf
from pathlib import Path
from time import monotonic

import numpy as np
import psutil
import pytest
from long_past import BOOT, make_past, next_number
from services import Mosquitto, PostgreSql
from small_field import until

from levada.guest.lifecycle import Closing
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.sim.units import DAY_MS, HOUR_MS
from levada.testing import WEATHER
from levada.twin.mqtt.messages import Ack, Telemetry, decode
from levada.twin.store.reads import StoreReader

UTC_OFFSET_MS = -7 * HOUR_MS
PATIENCE_S = 600.0
"""With a month behind it, on a computer that does ten other things."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of a site, and of what it has behind it."""

    boards: int
    days: int
    record_s: int
    every_s: float
    """Between two messages of a board."""


SMALL = Size(boards=4, days=1, record_s=600, every_s=0.25)
LARGE = Size(boards=20, days=30, record_s=60, every_s=1.0)


def site(folder: Path, size: Size, broker: BrokerAddress) -> Scenario:
    """A field of which every zone has a board on the broker."""
    zones = "".join(
        f"""
[[zone]]
name = "z{number}"
node = "mqtt://{broker.user}@{broker.host}:{broker.port}/ic/z{number}"
soil.model = "bucket"
soil.texture = "sandy loam"
soil.initial.available_pct = 60
crop.name = "maize"
crop.planting = 2023-05-02
probe.depth_m = 0.2
valve.flow_l_min = 5.5
"""
        for number in range(size.boards)
    )
    path = folder / "field.toml"
    path.write_text(f"""
version = 1
name = "site"
period.start = 2023-06-01
period.end = 2023-08-31
period.step_s = {size.record_s}
weather.file = "{WEATHER}"

[site]
latitude_deg = 40.45
longitude_deg = -104.64
elevation_m = 1427
utc_offset_h = -7
{zones}
""")
    return load(path)


class Boards(Closing):
    """Boards that keep what they have measured until it is acknowledged, and what they heard.

    They live `start_ms` after the past, as fast as time passes here.
    """

    def __init__(self, address: BrokerAddress, size: Size, start_ms: int) -> None:
        self.names = [f"z{number}" for number in range(size.boards)]
        self.first = next_number(size.days)
        self.acks: list[tuple[float, str, int]] = []
        """When which board heard that its messages up to this number are stored."""
        self._every_s = size.every_s
        self._start_ms = start_ms
        self._start_s = monotonic()
        self._kept: dict[str, dict[int, bytes]] = {name: {} for name in self.names}
        self._next = self.first
        self._echo = threading.Event()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._measuring = True
        self._client = MqttClient(
            address, subscription=["ic/+/ack", "echo"], handler=self._hear, reconnect_s=(0.1, 0.5)
        )
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _live(self) -> None:
        turn = 0
        while not self._ending.wait(self._every_s):
            again = turn % max(1, round(1.0 / self._every_s)) == 0  # each second
            turn += 1
            for name, message in self._due(again):
                self._client.publish(f"ic/{name}/data", message)

    def _due(self, again: bool) -> list[tuple[str, bytes]]:
        """Measure, and what is to be sent now: that, or `again` all that is kept."""
        with self._lock:
            now_ms = self._start_ms - UTC_OFFSET_MS + round((monotonic() - self._start_s) * 1000)
            new = self._next
            if self._measuring:
                self._next += 1
                for name in self.names:
                    kept = self._kept[name]
                    kept[new] = Telemetry(
                        boot=BOOT,
                        seq=new,
                        oldest=min(kept, default=new),
                        t=now_ms,
                        raw=new % 4000,
                        pct=40,
                        irrigar=0,
                    ).encode()
            return [
                (name, message)
                for name in self.names
                for number, message in self._kept[name].items()
                if again or number == new
            ]

    def _hear(self, topic: str, payload: bytes) -> None:
        if topic == "echo":
            self._echo.set()
            return
        ack = decode(Ack, payload)
        name = topic.split("/")[1]
        assert ack.boot == BOOT and ack.seq is not None
        with self._lock:
            self.acks.append((monotonic(), name, ack.seq))
            kept = self._kept[name]
            for number in [n for n in kept if n <= ack.seq]:
                del kept[number]

    def hear_out(self) -> None:
        """Wait for all that the broker has for the boards."""
        self._echo.clear()
        assert self._client.publish("echo", b"")
        assert self._echo.wait(60)

    def finish(self) -> range:
        """Measure no more, and wait until all is acknowledged; the numbers of each board."""
        with self._lock:
            self._measuring = False
        until(lambda: not any(self._kept.values()), PATIENCE_S)
        return range(self._next)

    def acknowledged_since(self, time_s: float) -> float | None:
        """When a board first heard an acknowledgement after this time."""
        return next((at for at, _, _ in self.acks if at > time_s), None)

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._client.close()


@dataclass(frozen=True)
class Answer:
    """What /health answered, or that nobody did."""

    asked_s: float
    answered_s: float
    status: int | None
    text: str


def unwell(answer: Answer) -> str:
    """What was not well, by an answer."""
    if answer.status is None:
        return answer.text
    parts = json.loads(answer.text)["parts"].items()
    return f"{answer.status}: {', '.join(f'{n} ({p})' for n, p in parts if not p['ok'])}"


class HealthLog(Closing):
    """Asks /health again and again."""

    def __init__(self, port: int) -> None:
        self.answers: list[Answer] = []
        self._port = port
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)
        self._thread.start()

    def _ask_on(self) -> None:
        while not self._ending.wait(0.25):
            self.answers.append(self._ask())

    def _ask(self) -> Answer:
        asked_s, status, text = monotonic(), None, ""
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                status, text = answer.status, answer.read().decode()
            except (OSError, HTTPException) as error:
                text = str(error)
        return Answer(asked_s, monotonic(), status, text)

    def since(self, time_s: float) -> list[Answer]:
        """Answers to what was asked since then."""
        return [answer for answer in self.answers if answer.asked_s > time_s]

    def close(self) -> None:
        self._ending.set()
        self._thread.join()


@dataclass(kw_only=True)
class Twin(Closing):
    """`levada twin --shadow` as a program."""

    folder: Path
    broker: BrokerAddress
    store: str | None
    """URL; None: a file of its own."""
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        command = [
            *(sys.executable, "-c", "from levada.twin.cli.main import main; main()"),
            *("twin", str(self.folder / "field.toml"), "--shadow", "--port", str(self.port)),
            *("--out", str(self.folder / "run")),
            *(("--store", self.store) if self.store else ()),
        ]
        assert self.broker.password is not None
        environment = os.environ | {"LEVADA_MQTT_PASSWORD": self.broker.password}
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)

    def end(self, how: signal.Signals) -> str:
        """Send it a signal and wait; what that took."""
        assert self._process is not None
        begun_s, used_s = monotonic(), self.used_s()
        self._process.send_signal(how)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        used_s = usage.ru_utime + usage.ru_stime - used_s
        return f"ended within {monotonic() - begun_s:.1f} s ({used_s:.1f} s of processor time)"

    def used_s(self) -> float:
        """Processor time that it has used; on a busy computer more is told by it than by time."""
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass(kw_only=True)
class Site:
    """All that runs."""

    twin: Twin
    boards: Boards
    health: HealthLog
    database: PostgreSql | None
    figures: list[str] = field(default_factory=list)
    _well_s: float = field(default=inf, init=False)
    """Since when /health has to be true."""

    def start(self) -> None:
        begun_s = monotonic()
        self.twin.start()
        self._come_back("started", begun_s)

    def restart(self, how: signal.Signals) -> None:
        """End the twin, and start it again."""
        self.check_health()
        ended = self.twin.end(how)
        self.boards.hear_out()
        quiet_s = monotonic()
        self.twin.start()
        self._come_back(how.name, quiet_s, f"{ended}, ")

    def lose_database(self, end: Callable[[PostgreSql], None]) -> None:
        """End the database, wait until /health says so, and start it again."""
        assert self.database is not None
        self.check_health()
        end(self.database)
        self.boards.hear_out()
        lost_s = monotonic()
        until(lambda: any(a.status == 503 for a in self.health.since(lost_s)))
        told_s = next(a.answered_s for a in self.health.since(lost_s) if a.status == 503)
        assert self.boards.acknowledged_since(lost_s) is None
        up_s = monotonic()
        assert {a.status for a in self.health.since(told_s)} <= {503}
        self.database.start()
        self._come_back(f"database: {end.__name__}", up_s, f"told after {told_s - lost_s:.1f} s, ")

    def _come_back(self, what: str, begun_s: float, more: str = "") -> None:
        """Wait for acknowledgements, and for /health to say so; look at what it said before."""
        until(lambda: self.boards.acknowledged_since(begun_s) is not None, PATIENCE_S)
        first_s = self.boards.acknowledged_since(begun_s)
        assert first_s is not None
        used_s = self.twin.used_s()
        early = [a.asked_s for a in self.health.since(begun_s) if a.status == 200]
        self._well_s = min([first_s, *early])
        self.figures.append(
            f"{what}: {more}acknowledging again after {first_s - begun_s:.1f} s, /health 200 "
            f"{first_s - self._well_s:.1f} s before; {used_s:.1f} s of processor time in this life"
        )

    def check_health(self) -> None:
        """From the first acknowledgement, or the first 200, to now /health was 200 each time."""
        until(lambda: bool(self.health.since(self._well_s)))
        wrong = [unwell(a) for a in self.health.since(self._well_s) if a.status != 200]
        assert not wrong, (self.figures[-1], wrong[0])

    def wait_for_twin(self) -> None:
        """Wait until the start is over, and the twin goes through its past."""

        def is_there() -> bool:
            answer = self.health.answers[-1]
            return answer.status == 200 and "twin" in json.loads(answer.text)

        until(is_there, PATIENCE_S)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    "size", [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["CI", "slow"]
)
def test_a_twin_with_a_past_acknowledges_again_at_once_and_health_is_true(
    tmp_path: Path, memory_folder: Path, port: int, kind: str, size: Size
) -> None:
    with ExitStack() as stack:
        broker = Mosquitto(tmp_path)
        stack.callback(broker.close)
        story = site(memory_folder, size, broker.address)
        names = [f"z{number}" for number in range(size.boards)]
        database = stack.enter_context(PostgreSql()) if kind == "postgresql" else None
        url = database.url if database else None
        (memory_folder / "run").mkdir()
        where = url or str(memory_folder / "run/store.sqlite")
        begun_s = monotonic()
        values = make_past(where, story, names, size.days)
        print(f"\n{kind}: {values:,} values, made in {monotonic() - begun_s:.0f} s")
        end_ms = story.period.start_ms + size.days * DAY_MS
        twin = stack.enter_context(
            Twin(folder=memory_folder, broker=broker.address, store=url, port=port)
        )
        boards = stack.enter_context(Boards(broker.address, size, end_ms))
        health = stack.enter_context(HealthLog(port))
        running = Site(twin=twin, boards=boards, health=health, database=database)
        try:
            running.start()
            if database is not None:
                running.lose_database(PostgreSql.kill)  # while the twin reads its past
            if database is None or size is LARGE:
                running.restart(signal.SIGKILL)
            if size is LARGE:
                running.wait_for_twin()
                if database is not None:
                    running.lose_database(PostgreSql.stop)
                running.restart(signal.SIGTERM)
                running.wait_for_twin()
            numbers = boards.finish()
            running.check_health()
            running.figures.append(twin.end(signal.SIGTERM))
        finally:
            print("\n".join(running.figures))
            print((memory_folder / "said").read_text())
        with closing(StoreReader(where)) as reader:
            for name in names:
                found = Counter(m.seq for m in reader.messages(name, limit=1_000_000))
                assert found == Counter(numbers), name
                curve = reader.window(name, "cause", kind="twin", max_points=100_000)
                assert set(np.diff(curve.time_ms)) == {story.period.trace_s * 1_000}, name
