"""A twin that is started again on its store: no alarm is lost and none is reported twice (D9)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import real_soil
from real_soil import LISTENING, NODE, SPEED, Boards, Broker, ears, field
from services import MOSQUITTO_BY_DAY, Mosquitto
from small_field import START_MS, fault, run, scenario, until

from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.units import HOUR_MS
from levada.twin.sources.recording import Recording
from levada.twin.sources.resume import NEW, resume_point
from levada.twin.sources.shadow import Shadow
from levada.twin.store.reads import StoreReader
from levada.twin.store.rows import Event, Kind, Points
from levada.twin.store.store import Store
from levada.twin.twin import Twin

LEFT_MS = 12 * HOUR_MS
"""The boards live up to so long before the end until the twin is killed: it has something left."""
UNHEARD_MS = 6 * HOUR_MS
"""How long the boards live on when nobody listens to them any more."""


def alert(kind: str, hour: int, *, raised: bool) -> Event:
    return Event(
        kind="alert",
        text=f"{kind} at {hour}",
        time_ms=START_MS + hour * HOUR_MS,
        severity="error",
        node="maize",
        evidence={"alert": kind, "raised": raised, "hold_ms": 60_000, "cause": "valve"},
    )


def test_what_stands_is_what_was_raised_and_not_taken_back(tmp_path: Path, store: Store) -> None:
    story = scenario(tmp_path)
    assert resume_point(store.reader, "maize", story) is NEW
    for event in (
        alert("no-flow", 1, raised=True),
        alert("no-flow", 2, raised=False),
        alert("stuck-probe", 3, raised=True),
        alert("no-flow", 4, raised=True),
        alert("residual", -1, raised=True),  # before the period
    ):
        assert store.submit(event)
    assert store.flush()
    found = resume_point(store.reader, "maize", story)
    assert found.upto_ms == START_MS + 4 * HOUR_MS
    assert set(found.standing) == {"no-flow", "stuck-probe"}
    assert found.standing["no-flow"].since_ms == START_MS + 4 * HOUR_MS - 60_000
    assert found.standing["no-flow"].text == "no-flow at 4"
    later = START_MS + 5 * HOUR_MS
    assert store.submit(Points(node="maize", time_ms=later, kind="twin", signals={"cause": 0.0}))
    assert store.flush()
    assert resume_point(store.reader, "maize", story).upto_ms == later


@contextmanager
def follower(
    boards: Boards, broker: Broker, folder: Path, speed: float
) -> Iterator[subprocess.Popen[str]]:
    """A twin in a process of its own; the boards go on when it listens."""
    command = [
        *(sys.executable, real_soil.__file__),
        *(str(folder / "field.toml"), str(folder), str(speed)),
    ]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=paths) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(broker.address)) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == LISTENING
            boards.go_on()
            yield process
        finally:
            process.kill()


def reported(store: Path, kind: str) -> list[tuple[bool, int]]:
    """(raised, time) of all alerts of this kind."""
    return [
        (e["evidence"]["raised"], e["time_ms"])
        for e in events(store, "alert")
        if e["evidence"]["alert"] == kind
    ]


def events(store: Path, kind: str) -> list[dict[str, Any]]:
    with closing(StoreReader(str(store))) as reader:
        return reader.events(kind=kind, limit=100_000)


def decisions(reader: StoreReader) -> int:
    return len(reader.events(kind="decision", limit=100_000))


@MOSQUITTO_BY_DAY
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("days", "kills", "speed"),
    [(2, 1, SPEED), pytest.param(12, 8, SPEED / 4, marks=pytest.mark.slow)],
    ids=["CI", "slow"],
)
def test_killed_and_started_again_it_loses_no_alarm_and_reports_none_twice(
    tmp_path: Path, broker: Broker, days: int, kills: int, speed: float
) -> None:
    seed = 1
    print("seed", seed)
    moment = random.Random(seed)
    stuck = fault("valve-stuck-closed", "0 h", "4 h")  # at the third opening the guest locks itself
    if kills > 1:
        stuck += fault("valve-stuck-closed", "60 h", "24 h")
    story = scenario(tmp_path, zones=NODE, days=days, extra=stuck)
    store = tmp_path / "store.sqlite"
    Store(store).close()
    with field(story, broker, speed, resting=True) as boards:
        for kill in range(kills):
            with follower(boards, broker, tmp_path, speed) as process:
                boards.rest_at(START_MS + days * 24 * HOUR_MS - LEFT_MS)
                with closing(StoreReader(str(store))) as reader:
                    seen = decisions(reader)
                    while decisions(reader) < seen + (2 if kill else 5):
                        assert process.poll() is None
                        time.sleep(0.05)
                time.sleep(moment.uniform(0.0, 0.1))  # any moment, not one that is waited for
            boards.rest(UNHEARD_MS)
        with follower(boards, broker, tmp_path, speed) as process:
            assert process.wait() == 0
    found = reported(store, "no-flow")
    again = tmp_path / "again.sqlite"
    with Store(again) as opened:
        twin = Twin(story, opened, Recording(store))  # the whole of it by one that lives on
        twin.run()
        twin.close()
    expected = reported(again, "no-flow")
    assert [raised for raised, _ in found] == [raised for raised, _ in expected]
    assert len(found) >= 2  # raised and over
    for kind in {e["evidence"]["alert"] for e in events(store, "alert")}:
        flags = [raised for raised, _ in reported(store, kind)]
        assert flags == [i % 2 == 0 for i in range(len(flags))], kind
    said = [
        (e["evidence"]["step_ms"], e["evidence"]["who"], e["text"])
        for e in events(store, "decision")
    ]
    assert len(said) == len(set(said))


def test_devices_that_begin_anew_are_reported_anew(tmp_path: Path, mosquitto: Mosquitto) -> None:
    story = scenario(tmp_path, zones=NODE, days=1)
    decided = []
    for _ in range(2):
        with ears(story, mosquitto.address, tmp_path) as (devices, store):
            with field(story, mosquitto):
                devices.wait(60.0)
                run(Twin(story, store, Shadow(devices, speed=SPEED)))
            decided.append(len(events(tmp_path / "store.sqlite", "decision")))
    assert decided[1] > decided[0] > 0
    alerts = events(tmp_path / "store.sqlite", "alert")
    assert "different-calls" not in {e["evidence"]["alert"] for e in alerts}


def test_what_is_stored_of_the_twin_s_curve_stays_and_is_gone_on_with(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    row_ms = story.period.trace_s * 1_000
    stored_ms = START_MS + 6 * HOUR_MS
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path, 1.0) as (devices, store),
        closing(MqttClient(broker.address)) as board,
    ):
        for time_ms in range(START_MS + row_ms, stored_ms + 1, row_ms):
            before = {"cause": 0.0, "dr_mm": -7.0}  # as no twin of this scenario would store it
            assert store.submit(Points(node="maize", time_ms=time_ms, signals=before))
        assert store.flush()
        now_ms = START_MS + 9 * HOUR_MS
        message = {"boot": 1, "seq": 0, "oldest": 0, "t": now_ms + 7 * HOUR_MS}
        message |= {"raw": 2300, "pct": 20, "irrigar": 0}
        assert board.publish("ic/maize/data", json.dumps(message).encode())
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=1.0))
        thread = threading.Thread(target=twin.run)
        thread.start()
        until(lambda: twin.view.now_ms >= now_ms - row_ms)
        twin.stop()
        thread.join()
        twin.close()
        assert store.flush()
        window = store.reader.window("maize", "dr_mm", kind="twin")
    assert list(window.time_ms) == list(range(START_MS + row_ms, window.time_ms[-1] + 1, row_ms))
    assert window.time_ms[-1] > stored_ms + HOUR_MS
    assert set(window.value[window.time_ms <= stored_ms]) == {-7.0}
    assert window.value[window.time_ms > stored_ms].min() >= 0.0


def test_a_device_comes_online_in_the_time_in_which_it_lives(tmp_path: Path) -> None:
    """Not in that of this computer, which is all that is known before the first reading."""
    story = scenario(tmp_path, zones=NODE)
    now_ms = START_MS + 9 * HOUR_MS
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path, 1.0) as (devices, store),
        closing(MqttClient(broker.address)) as board,
    ):
        message = {"boot": 1, "seq": 0, "oldest": 0, "t": now_ms + 7 * HOUR_MS}
        message |= {"raw": 2300, "pct": 20, "irrigar": 0}
        assert board.publish("ic/maize/data", json.dumps(message).encode())
        until(lambda: bool(store.reader.events(kind="online")))
        assert store.reader.events(kind="online")[0]["time_ms"] - now_ms in range(HOUR_MS)
        devices.wait(0.0)


def test_a_twin_is_stopped_within_ten_minutes_of_the_past_that_it_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = scenario(tmp_path, zones=NODE)
    now_ms, asked_ms = START_MS + 48 * HOUR_MS, START_MS + HOUR_MS
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path, 1.0) as (devices, store),
        closing(MqttClient(broker.address)) as board,
    ):
        message = {"boot": 1, "seq": 0, "oldest": 0, "t": now_ms + 7 * HOUR_MS}
        message |= {"raw": 2300, "pct": 20, "irrigar": 0}
        assert board.publish("ic/maize/data", json.dumps(message).encode())
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=1.0))
        points = twin._journal.points

        def seen(i: int, time_ms: int, kind: Kind, values: Mapping[str, float]) -> None:
            points(i, time_ms, kind, values)
            if time_ms >= asked_ms:
                twin.stop()

        monkeypatch.setattr(twin._journal, "points", seen)
        run(twin)
        assert asked_ms <= twin.view.now_ms < asked_ms + HOUR_MS // 6 + 1_000
