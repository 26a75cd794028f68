"""`levada twin` from start to Ctrl-C: nothing is left behind."""

from __future__ import annotations

import json
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pyarrow.parquet as pq
import pytest
from small_field import fault, scenario

from levada.hil.line.broker import EmbeddedBroker, parse_broker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.session import Options, _names, _without_effect, publisher
from levada.twin.sources.bench import Bench
from levada.twin.store.reads import StoreReader
from levada.twin.store.rows import Points
from levada.twin.store.store import Store
from levada.twin.twin import Twin


def levada(*arguments: str | Path) -> list[str]:
    code = "from levada.twin.cli.main import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--node", "virtual", "--home-assistant"], signal.SIGINT),
        (["--node", "virtual"], signal.SIGTERM),
        pytest.param(["--node", "virtual:mqtt"], signal.SIGINT, marks=pytest.mark.slow),
        (["--node", "virtual:mqtt", "--shadow", "--home-assistant"], signal.SIGINT),
    ],
)
def test_the_end_leaves_no_process_no_port_and_a_sound_store(
    tmp_path: Path, options: list[str], number: signal.Signals
) -> None:
    scenario(tmp_path, days=20)
    where = tmp_path / "run"
    command = levada(
        "twin", tmp_path / "field.toml", *options, "--speed", "600x",
        "--port", "0", "--out", where,
    )  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        with urlopen(f"{url}/health", timeout=60) as answer:
            assert json.load(answer)["ok"]
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2  # broker and virtual board
        address = json.loads((where / "page.json").read_text())
        assert address["url"] == url
        assert (where / "page.json").stat().st_mode & 0o077 == 0
        announced = "--home-assistant" not in options or is_announced(
            address["broker"], "homeassistant/number/levada_maize/on_pct/config"
        )
        process.send_signal(number)
        assert process.wait(60) == 130
    assert announced
    assert not any(child.is_running() and child.status() != "zombie" for child in children)
    with socket.socket() as probe:
        for place in (url, address["broker"]["url"]):
            assert probe.connect_ex(("127.0.0.1", int(place.rsplit(":", 1)[1]))) != 0
    assert not (where / "page.json").exists()
    with closing(sqlite3.connect(where / "store.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ((ended,),) = store.execute("SELECT ended_ms FROM runs").fetchall()
    assert ended is not None


def is_announced(broker: dict[str, str], topic: str) -> bool:
    """Whether this entity is; whoever comes later gets what is retained."""
    heard = threading.Event()
    address = replace(parse_broker(broker["url"]), user=broker["user"], password=broker["password"])
    client = MqttClient(address, subscription=topic, handler=lambda *_: heard.set())
    try:
        return heard.wait(60)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("node", "shadow", "name"),
    [
        ("virtual:mqtt", True, "maize"),
        ("mqtt://somewhere/ic/esp32", True, "esp32"),
        ("mqtt://somewhere/ic/esp32", False, "maize"),  # its frames are not what it says
    ],
)
def test_a_node_is_announced_by_the_name_under_which_it_speaks(
    tmp_path: Path, node: str, shadow: bool, name: str
) -> None:
    story = scenario(tmp_path, zones=f'node = "{node}"')
    assert _names(story, Options(speed=1.0, shadow=shadow)) == [name]


MAPPING = """
[[mapping]]
topic = "tele/+/SENSOR"
field = [{ signal = "raw", pointer = "/ANALOG/A0" }]
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ["[[mapping]] has no effect"]),
        ({"replay": "store.sqlite"}, []),
        ({"shadow": True}, []),
        ({"shadow": True, "home_assistant": True}, ["What [[mapping]] reads is not announced"]),
    ],
)
def test_what_has_no_effect_is_said(
    tmp_path: Path, options: dict[str, Any], said: list[str]
) -> None:
    story = scenario(tmp_path, extra=MAPPING)
    found = list(_without_effect(story, Options(speed=1.0, **options)))
    assert len(found) == len(said)
    assert all(note.startswith(words) for note, words in zip(found, said, strict=True))
    assert not list(_without_effect(scenario(tmp_path), Options(speed=1.0, **options)))


def test_a_twin_that_has_come_to_its_end_may_leave_too(tmp_path: Path) -> None:
    scenario(tmp_path, days=1, extra=MAPPING)
    where = tmp_path / "run"
    command = levada(
        "twin", tmp_path / "field.toml", "--speed", "max", "--port", "0", "--out", where,
        "--no-stay",
    )  # fmt: skip
    done = subprocess.run(command, check=False, timeout=120, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert "[[mapping]] has no effect" in done.stderr


def test_a_twin_may_keep_its_store_in_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    scenario(tmp_path, days=1)
    command = levada(
        "twin", tmp_path / "field.toml", "--speed", "max", "--port", "0",
        "--out", tmp_path / "run", "--store", postgresql_url, "--no-stay",
    )  # fmt: skip
    subprocess.run(command, check=True, timeout=120)
    assert not (tmp_path / "run" / "store.sqlite").exists()
    reader = StoreReader(postgresql_url)
    assert reader.count("maize") > 140
    reader.close()


def test_a_calibration_without_a_twin_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        levada("calibrate", "maize", "limit=1650", "--yes"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "levada twin" in done.stderr


def test_alerts_are_published_with_their_evidence(tmp_path: Path) -> None:
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    field = scenario(tmp_path, days=2, extra=fault("valve-stuck-closed", "0 h"))
    with EmbeddedBroker() as broker, Store(tmp_path / "s.sqlite") as store:
        listener = MqttClient(
            broker.address,
            subscription="ic/#",
            handler=lambda topic, payload: heard.put((topic, payload)),
        )
        assert listener._connected.wait(10)
        client = MqttClient(broker.address)
        twin = Twin(field, store, Bench(speed=None), publish=publisher(client))
        twin.run()
        twin.close()
        topic, payload = heard.get(timeout=60)
        client.close()
        listener.close()
    message = json.loads(payload)
    assert topic == "ic/maize/alert"
    assert (message["alert"], message["raised"]) == ("no-flow", True)
    assert message["evidence"]["cause"] == "valve"


def test_the_store_is_exported_in_both_forms(tmp_path: Path) -> None:
    place = tmp_path / "store.sqlite"
    with Store(place) as store:
        for k in range(300):
            store.submit(Points(node="maize", time_ms=k, signals={"theta": k / 1000}))
    for form in ("parquet", "csv"):
        target = tmp_path / f"all.{form}"
        command = levada("store", "export", place, "--out", target, "--format", form)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert "300 values" in done.stdout
    assert pq.read_table(tmp_path / "all.parquet")["value"].to_pylist()[299] == 0.299
