"""`levada fog` as a process between brokers: kills, outages, two brokers, health, its end."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fog_process import Cloud, FogProcess
from fog_telemetry import MODULE
from mqtt_device import Device, Journal
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from relay import Relay, swapped, twice
from services import Mosquitto

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.continuum.tier import Sample, Tier

Broker = EmbeddedBroker | Mosquitto


def kill(broker: Broker) -> None:
    if isinstance(broker, Mosquitto):
        broker.kill()
    else:
        os.kill(broker.pid, signal.SIGKILL)  # it is started again by who watches it


@contextmanager
def devices(address: BrokerAddress, folder: Path, count: int, nodes: int = 2) -> Iterator[Any]:
    """Nodes that deliver `count` messages in all, each in a thread."""
    made = [Device(address, f"n{i}", Journal(folder / f"journal{i}")) for i in range(nodes)]
    threads = [threading.Thread(target=one.run, args=(count // nodes,)) for one in made]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.join()
        for one in made:
            one.close()


def check(cloud: Cloud, count: int, nodes: int = 2) -> None:
    """Every message once, and of them the rows that an uninterrupted tier computes."""
    relayed = cloud.stream("relayed")
    found = sorted((row["node"], row["boot"], row["seq"]) for row in relayed)
    assert found == [(f"n{i}", 1, seq) for i in range(nodes) for seq in range(count // nodes)]
    samples = [
        Sample(row["node"], row["boot"], row["seq"], row["t"], {"raw": row["raw"]})
        for row in relayed
    ]
    with Tier(MODULE, "wasm", {}, 3_600, 86_400) as tier:
        expected = tier.take(samples)
    assert cloud.wait_for(len(expected), "processed")
    assert cloud.stream("processed") == expected
    assert [number for _, number in sorted(cloud.rows)] == list(range(len(cloud.rows)))


def soak(broker: Broker, folder: Path, count: int, seed: int, kills_of_each: int) -> None:
    """Fog and broker are killed at random places of the work done."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    victims = ["fog", "broker"] * kills_of_each
    chance.shuffle(victims)
    share = count // (len(victims) + 1)
    fog = FogProcess(folder, broker.address)
    with closing(fog), closing(Cloud(broker.address)) as cloud:
        with devices(broker.address, folder, count):
            for number, victim in enumerate(victims):
                assert cloud.wait_for(round((number + chance.random()) * share), "relayed")
                fog.kill() if victim == "fog" else kill(broker)
            assert cloud.wait_for(count, "relayed")
        check(cloud, count)


@pytest.mark.slow  # the chain's is not
def test_kill_9_of_fog_and_broker_loses_and_doubles_nothing(broker: Broker, tmp_path: Path) -> None:
    soak(broker, tmp_path, count=2_000, seed=1, kills_of_each=2)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_kill_9_of_fog_and_broker_for_long_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path
) -> None:
    soak(broker, tmp_path, count=50_000, seed=2, kills_of_each=15)


def test_publications_that_come_twice_and_out_of_order_make_each_row_once(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """On all ways: of the nodes, of fog to the cloud, and of the acknowledgements."""
    swap = swapped()
    with closing(Relay(mosquitto.address)) as relay, closing(Cloud(mosquitto.address)) as cloud:
        relay.up = lambda packet: [again for one in swap(packet) for again in twice(one)]
        relay.down = twice
        with closing(FogProcess(tmp_path, relay.address)):
            with devices(relay.address, tmp_path, 400):
                assert cloud.wait_for(400, "relayed")
            check(cloud, 400)
            assert cloud.repeated > 0


def test_a_full_buffer_ends_fog_with_the_reason_if_that_is_wanted(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    options = ("--buffer-rows", "1000", "--buffer-full", "fail", "--engine", "off")
    fog = FogProcess(tmp_path, mosquitto.address, *options)
    with closing(fog), closing(MqttClient(mosquitto.address)) as client:
        fog.wait_until_ready()
        number = 0
        while fog.process.poll() is None:
            client.publish("ic/n/data", b'{"boot":1,"seq":%d,"oldest":0,"raw":1}' % number)
            number += 1
    assert fog.process.returncode == 4
    assert '1000, and `buffer_full` = "fail"' in fog.log.read_text()
    assert not fog.addresses.exists()


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_fog_with_a_broker_of_its_own_tells_its_owner_where_it_is(tmp_path: Path) -> None:
    """And its health, its metrics, an end without a trace, and another start with its buffer."""
    fog = FogProcess(tmp_path, None, "--log", "json")
    with closing(fog):
        found = fog.wait_until_ready()
        assert stat.S_IMODE(fog.addresses.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "fog.sqlite").stat().st_mode) == 0o600
        host, port = found["broker"]["url"].removeprefix("mqtt://").split(":")
        address = BrokerAddress(
            host=host,
            port=int(port),
            user=found["broker"]["user"],
            password=found["broker"]["password"],
        )
        with closing(Cloud(address)) as cloud:
            with devices(address, tmp_path, 100):
                assert cloud.wait_for(100, "relayed")
            client = MqttClient(address)
            client.publish("ic/n0/data", b'{"raw": "wet"}')
            client.close()
            url = found["health"]
            while not _refused(url) or _value(url, "levada_fog_buffer_rows"):
                pass
            status, body = fetch(url + "/health")
            states = _states(url)
        health = json.loads(body)
        assert (status, health["ok"], states) == (503, False, ["forwarding"])
        parts = health["parts"]
        assert [name for name, part in parts.items() if not part["ok"]] == ["refusals"]
        assert "malformed" in parts["refusals"]["detail"]
        assert "last commit" in parts["worker"]["detail"]
        assert _refused(url) == {"malformed": 1}
        assert _value(url, "levada_fog_received_total") >= 101
        assert _value(url, "levada_fog_memory_rss_bytes") > 1 << 20
        assert _value(url, "levada_fog_execution_seconds_count") > 0
        assert fetch(found["health"] + "/else")[0] == 404
        assert fog.close() == 130
    assert not fog.addresses.exists()
    lines = [json.loads(line) for line in fog.log.read_text().splitlines()]
    (refusal,) = [line for line in lines if "refused" in line["message"]]
    assert refusal["level"] == "warning"
    assert refusal["message"].startswith("message of n0 refused: raw = 'wet'")


def test_an_outage_of_the_cloud_fills_the_buffer_and_the_end_of_it_empties_it(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Edge and cloud at brokers of their own; nodes do not notice that the cloud is silent."""
    with closing(EmbeddedBroker()) as edge, closing(Cloud(mosquitto.address)) as cloud:
        cloud.holds = True
        url = f"mqtt://levada:secret@127.0.0.1:{mosquitto.address.port}"
        fog = FogProcess(tmp_path, edge.address, "--cloud-broker", url, "--name", "fog")
        with closing(fog):
            health = fog.wait_until_ready()["health"]
            with devices(edge.address, tmp_path, 1_000):
                pass  # until all is acknowledged to the nodes
            while "outage" not in _states(health):
                pass
            assert _value(health, "levada_fog_buffer_rows") >= 2_000
            cloud.holds = False
            assert cloud.wait_for(1_000, "relayed")
            while _value(health, "levada_fog_buffer_rows"):
                pass
            assert _states(health) == ["forwarding"]
            check(cloud, 1_000)


def test_while_the_broker_of_the_cloud_is_away_rows_are_kept_and_then_sent_at_the_rate(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Also those of a fog that was killed meanwhile; nodes do not notice."""
    rows_s = 1_000
    with EmbeddedBroker(password="secret") as broker:
        away = broker.address
    options = ("--cloud-broker", away.url, "--flush-rows-s", str(rows_s))
    with closing(FogProcess(tmp_path, mosquitto.address, *options)) as fog:
        with devices(mosquitto.address, tmp_path, 1_000):
            pass  # until all is acknowledged to the nodes
        fog.kill()
        health = fog.wait_until_ready()["health"]
        assert _value(health, "levada_fog_buffer_rows") >= 2_000
        with (
            EmbeddedBroker(port=away.port, password="secret") as broker,
            closing(Cloud(broker.address)) as cloud,
        ):
            assert cloud.wait_for(1_000, "relayed")
            check(cloud, 1_000)
    assert len(cloud.sent) > 8
    for (sent_us, rows), (next_us, _) in pairwise(cloud.sent):
        assert next_us - sent_us >= rows * 1e6 / rows_s - 1  # it is in whole microseconds


def _metrics(health: str) -> Any:
    body = fetch(health + "/metrics")[1].decode()
    return [s for f in text_string_to_metric_families(body) for s in f.samples]


def _value(health: str, name: str) -> float:
    (found,) = [s.value for s in _metrics(health) if s.name == name]
    return float(found)


def _refused(health: str) -> dict[str, float]:
    return {
        s.labels["reason"]: s.value
        for s in _metrics(health)
        if s.name == "levada_fog_refused_total"
    }


def _states(health: str) -> list[str]:
    return [s.labels["state"] for s in _metrics(health) if "state" in s.labels and s.value]


def test_between_two_brokers_calibrations_go_down_and_births_and_answers_up_but_nothing_retained(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    heard: dict[str, list[tuple[str, bytes]]] = {"edge": [], "cloud": []}
    news = threading.Condition()

    def hears(side: str) -> Any:
        def handle(topic: str, payload: bytes) -> None:
            with news:
                heard[side].append((topic, payload))
                news.notify_all()

        return handle

    with closing(EmbeddedBroker()) as broker:
        url = f"mqtt://levada:secret@127.0.0.1:{mosquitto.address.port}"
        for address, topic in (
            (broker.address, "ic/old/data"),
            (mosquitto.address, "ic/old/config"),
        ):
            with closing(MqttClient(address)) as client:
                client.retain(topic, b'{"raw":1500,"seco":1}')
        with closing(FogProcess(tmp_path, broker.address, "--cloud-broker", url)) as fog:
            health = fog.wait_until_ready()["health"]
            while not json.loads(fetch(health + "/health")[1])["ok"]:
                pass  # until both connections are there
            edge = MqttClient(broker.address, subscription="ic/#", handler=hears("edge"))
            cloud = MqttClient(mosquitto.address, subscription="ic/#", handler=hears("cloud"))
            up = [("ic/n/status", b'{"state":"birth"}'), ("ic/n/config/ack", b'{"id":"1"}')]
            down = [("ic/n/config", b'{"seco":3000}'), ("ic/n/ask", b'{"what":"birth"}')]
            for topic, payload in up:
                assert edge.publish(topic, payload)
            for topic, payload in down:
                assert cloud.publish(topic, payload)
            assert edge.publish("ic/n/data", b'{"raw":1500}')
            with news:
                assert news.wait_for(
                    lambda: (
                        {topic for topic, _ in heard["edge"]} >= {t for t, _ in (*up, *down)}
                        and {topic for topic, _ in heard["cloud"]}
                        >= {"ic/fog/processed", *(t for t, _ in (*up, *down))}
                    ),
                    60,
                )
            edge.close()
            cloud.close()
    assert "ic/old/data" in [topic for topic, _ in heard["edge"]]  # it is there
    assert "ic/old/config" in [topic for topic, _ in heard["cloud"]]
    assert "ic/old/config" not in [topic for topic, _ in heard["edge"]]
    assert not [payload for _, payload in heard["cloud"] if b'"old"' in payload]
    of_node = {s: sorted(m for m in heard[s] if m[0].startswith("ic/n/")) for s in heard}
    assert of_node["cloud"] == sorted([*up, *down])  # telemetry itself stays below
    assert of_node["edge"] == sorted([*up, *down, ("ic/n/data", b'{"raw":1500}')])
