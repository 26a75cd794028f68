"""`levada cloud` as a process: its settings, kills in the middle of the streams, its end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from command import levada
from fog_telemetry import MODULE
from services import Mosquitto
from small_field import until
from sqlalchemy import select

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.scenario.continuum import Fog as FogSettings
from levada.twin.continuum.config import CloudFile, read_config
from levada.twin.continuum.fog import Fog
from levada.twin.continuum.tier import Sample, Tier
from levada.twin.mqtt.messages import Ack, decode
from levada.twin.mqtt.outbox import Outbox
from levada.twin.store import schema
from levada.twin.store.reads import StoreReader
from levada.twin.store.stream_reads import aggregates

Broker = EmbeddedBroker | Mosquitto
DOCS = Path(__file__).parents[3] / "docs"
WINDOW_S, LATE_S = 60, 86_400


@contextmanager
def nodes(broker: BrokerAddress, count: int) -> Iterator[None]:
    """Two nodes with an outbox, which deliver so many messages in all, ten seconds apart."""
    names = ["n0", "n1"]
    begin_ms = (time.time_ns() // 60_000_000_000 - 30 * 1_440) * 60_000

    def take(topic: str, payload: bytes) -> None:
        ack = decode(Ack, payload)
        if ack.boot is not None and ack.seq is not None:
            box.acknowledge(topic.split("/")[1], ack.boot, ack.seq)

    with Outbox(names, lambda node, payload: client.publish(f"ic/{node}/data", payload)) as box:
        client = MqttClient(
            broker,
            subscription=[f"ic/{name}/ack" for name in names],
            handler=take,
            on_connect=box.again,
        )
        for n in range(count // 2):
            for name in names:
                raw = 1_500 + (n * 37) % 101 if n % 50 else 4_095
                box.put(name, begin_ms + n * 10_000, f'{{"raw":{raw}}}', wait_s=60)
        yield
        assert box.flush(300)
        client.close()


class CloudProcess:
    """`levada cloud` at a broker; its store and address are in `folder`."""

    def __init__(self, folder: Path, broker: BrokerAddress) -> None:
        self.folder = folder
        self._command = [str(Path(sys.executable).with_name("levada")), "cloud", "--port", "0"]
        self._command += ["--cloud-broker", broker.url, "--out", str(folder)]
        self._environment = os.environ | {
            "LEVADA_MQTT_USER": broker.user or "",
            "LEVADA_MQTT_PASSWORD": broker.password or "",
        }
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, env=self._environment
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline()  # where the page is

    def kill(self) -> None:
        self._process.kill()
        self._end()

    def get(self, path: str) -> Any:
        url = json.loads((self.folder / "page.json").read_text())["url"]
        with urllib.request.urlopen(url + path, timeout=60) as answer:
            return json.loads(answer.read())

    def close(self) -> int:
        self._process.terminate()
        return self._end()

    def _end(self) -> int:
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self._process.wait()


def stored(folder: Path) -> int:
    with closing(StoreReader(str(folder / "store.sqlite"))) as reader:
        return reader.count("fog")


def rows(folder: Path, stream: str) -> list[dict[str, Any]]:
    """All rows of a stream in fog's order."""
    table = schema.telemetry
    begin = f'{{"{stream}":'
    statement = (
        select(table.c.payload).where(table.c.payload.startswith(begin)).order_by(table.c.seq)
    )
    with closing(StoreReader(str(folder / "store.sqlite"))) as reader:
        return [json.loads(payload)[stream] for (payload,) in reader.rows(statement)]


def relayed_rows(folder: Path) -> int:
    return len(rows(folder, "relayed"))


def all_is_stored(cloud: CloudProcess) -> bool:
    """Whether fog keeps nothing any more, and nothing is missing before what is stored."""
    fogs = cloud.get("/api/continuum")["fogs"]  # none before the first is heard of again
    return len(fogs) == 1 and all(
        fog["buffer_rows"] == 0 and fog["contiguous"] + 1 == stored(cloud.folder) for fog in fogs
    )


def run_through_kills(broker: Broker, folder: Path, count: int, kills: int, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    settings = FogSettings(window=f"{WINDOW_S} s")  # type: ignore[arg-type]  # as in TOML
    cloud = CloudProcess(folder / "cloud", broker.address)
    fog = Fog(
        settings, MODULE, edge=broker.address, cloud=broker.address, file=folder / "fog.sqlite"
    )
    with closing(cloud), fog:
        with nodes(broker.address, count):
            for number in range(kills):
                upto = round((number + chance.random()) * 2 * count / (kills + 1))
                until(lambda upto=upto: stored(cloud.folder) >= upto)  # type: ignore[misc]
                cloud.kill()
                cloud.start()
        until(lambda: relayed_rows(cloud.folder) == count)
        until(lambda: all_is_stored(cloud))
        view = cloud.get("/api/continuum")
        assert all(node["agreement"]["different"] == 0 for node in view["nodes"])
        assert cloud.get("/health/own")["parts"]["streams"]["ok"]
    check(cloud.folder, count)


def check(folder: Path, count: int) -> None:
    """Every message once; windows are those that the raw rows make."""
    relayed = rows(folder, "relayed")
    identities = [(row["node"], row["boot"], row["seq"]) for row in relayed]
    assert len(identities) == len(set(identities)) == count
    samples = [
        Sample(row["node"], row["boot"], row["seq"], row["t"], {"raw": row["raw"]})
        for row in relayed
    ]
    with Tier(MODULE, "wasm", {}, WINDOW_S, LATE_S) as tier:
        expected = tier.take(samples)
    assert rows(folder, "processed") == expected
    newest = {(row["node"], row["t"]): row["raw_mean"] for row in expected if "window_s" in row}
    assert newest
    with closing(StoreReader(str(folder / "store.sqlite"))) as reader:
        found = {
            (node, part.start_ms): part.mean
            for node in {node for node, _ in newest}
            for part in aggregates(reader, node, limit=100_000)
            if part.signal == "raw"
        }
    assert found == newest


@pytest.mark.slow  # the chain's is not
@pytest.mark.timeout(600)
def test_kill_9_of_the_cloud_loses_and_doubles_nothing(broker: Broker, tmp_path: Path) -> None:
    run_through_kills(broker, tmp_path, count=600, kills=1, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_kill_9_of_the_cloud_for_long_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path
) -> None:
    run_through_kills(broker, tmp_path, count=20_000, kills=10, seed=2)


def test_it_ends_as_a_program_that_was_interrupted(mosquitto: Mosquitto, tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path, mosquitto.address)
    assert cloud.get("/api/continuum")["fogs"] == []
    assert cloud.close() == 130
    assert not (tmp_path / "page.json").exists()


def test_the_file_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (DOCS / "continuum.md").read_text("utf-8")
    file = tmp_path / "cloud.toml"
    file.write_text(page.partition("a `cloud.toml`")[2].split("```toml\n")[1].split("```")[0])
    found = read_config(CloudFile, file, {("port",): ("--port 0", 0)})
    assert (found.cloud.engine, found.port) == ("native", 0)
    assert found.store == "/var/lib/levada/store.sqlite"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "jit"], '--engine jit: `engine` = "jit": permitted "wasm", "native", "off"'),
        (["--cloud-broker", "http://x"], "write mqtt://HOST[:PORT]"),
        (["--config", "nothing.toml"], "nothing.toml: cannot be read"),
        (["--speed", "max"], "cannot be followed at full speed"),
        (["nowhere.toml"], "nowhere.toml"),
    ],
)
def test_wrong_settings_are_refused_in_words(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = levada("cloud", "--port", "0", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_broker_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = levada(*("cloud", "--port", "0", "--cloud-broker", "mqtt://127.0.0.1:1"), cwd=tmp_path)
    assert done.returncode == 4
    assert "broker mqtt://127.0.0.1:1" in done.stderr
