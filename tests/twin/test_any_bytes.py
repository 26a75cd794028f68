"""Whatever bytes arrive on whatever topic: nothing dies, and the log has a few plain lines."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from conftest import Commits
from hand_broker import raw_publish, sending
from raw_mqtt import publish
from real_soil import NODE, SPEED
from small_field import START_MS, birth, run, scenario, until

from levada.guest.module.inspect import inspect
from levada.hil.line.broker import BrokerAddress
from levada.sim.run import runner
from levada.sim.scenario.mapping import PayloadMapping
from levada.twin.errors import CalibrationError
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.discovery import BIRTH_TOPIC, Announcer
from levada.twin.mqtt.gateway import Gateway
from levada.twin.mqtt.mapping import PayloadMap
from levada.twin.sources.mqtt import MqttDevices
from levada.twin.sources.shadow import Shadow
from levada.twin.store.store import Store
from levada.twin.twin import Twin

LASTS = [
    "data", "config", "config/ack", "status", "ack", "ask", "alert", "link/host", "ota/begin", "",
]  # fmt: skip
KEYS = [
    "boot", "seq", "oldest", "t", "raw", "umidade", "pct", "irrigar", "seco", "molhado", "limiar",
    "why", "flow", "temp_c", "battery_mv", "node", "id", "set", "ok", "values", "state", "every_ms",
    "counts", "parameters", "guest_sha256", "refused", "what", "theta", "k" * 70,
]  # fmt: skip
VALUES = [
    "0", "1", "-1", "2147483648", "9007199254740992", "-9007199254740993", "1e308", "-1e999", "NaN",
    "Infinity", "9" * 5_000, "1.5", "true", "null", '""', '"x"', '"\\u0000"', '"\\ud800"', "[]",
    "{}", '["a"]', '{"on_pct":13}', '{"on_pct":99999999999999999999}', "[" * 3_000,
    '"birth"', '"alive"',
    '"death"', '"n"', '"a/b"', "4294967295", '"' + "ab" * 32 + '"', "[1,2,3]",
]  # fmt: skip


def noise(seed: int, count: int) -> Iterator[bytes]:
    """Publications, well formed as MQTT asks, of anything else."""
    chance = random.Random(seed)
    for _ in range(count):
        node = chance.choice([b"n", b"m", b"\xff", b"n\x01", "ü".encode(), b"x" * 80, b""])
        prefix = chance.choice([b"ic/", b"ic/", b"ic/", b"homeassistant/", b"tele/", b""])
        topic = prefix + node + b"/" + chance.choice(LASTS).encode()
        if chance.random() < 0.05:
            topic = chance.choice([b"ic/fog/processed", BIRTH_TOPIC.encode(), chance.randbytes(9)])
        members = ",".join(
            f'"{chance.choice(KEYS)}":{chance.choice(VALUES)}' for _ in range(chance.randrange(8))
        )
        payload = f"{{{members}}}".encode()
        if chance.random() < 0.2:
            payload = chance.randbytes(chance.randrange(40))
        elif chance.random() < 0.1:
            payload = payload[: chance.randrange(len(payload))]
        yield raw_publish(topic or b"ic", payload[:60_000])


LAST = {"boot": 77, "seq": 0, "oldest": 0, "t": START_MS, "raw": 1500}
GOOD = publish("ic/n/data", json.dumps(LAST).encode())


@pytest.fixture
def address() -> Iterator[BrokerAddress]:
    with sending([], b"".join(noise(14, 4_000)) + GOOD) as found:
        yield found


def plain(caplog: pytest.LogCaptureFixture) -> bool:
    """Few lines, and no traceback."""
    return len(caplog.records) < 40 and not any(record.exc_info for record in caplog.records)


def test_the_store_takes_what_is_good(
    address: BrokerAddress, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    commits = Commits(store)
    field = [{"signal": "raw", "pointer": "/raw"}, {"signal": "flow", "pointer": "/flow"}]
    table = PayloadMapping.model_validate({"topic": "tele/+/data", "field": field})
    delivery = Delivery(store, address, maps=[PayloadMap(table)])
    try:
        assert commits.wait("n", 77, 0)
        assert delivery.client.connected
        assert delivery.client.connections == 1
        assert store.health().ok
        for node in store.reader.nodes():
            json.dumps([dict(m.payload) for m in store.reader.messages(node.name)])
            store.reader.latest(node.name)
    finally:
        delivery.close()
    assert plain(caplog), caplog.text[:5_000]


def test_a_gateway_still_hears_its_node(
    address: BrokerAddress, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[dict[str, int]] = []

    def calibrate(values: dict[str, int]) -> Future[dict[str, int]]:
        heard.append(values)
        if values.keys() - {"on_pct"}:
            raise CalibrationError("unknown")
        done: Future[dict[str, int]] = Future()
        done.set_result(values)
        return done

    noisy = b"".join(noise(15, 4_000)) + publish("ic/n/config", b'{"set":{"on_pct":4711}}')
    with (
        sending([], noisy) as broker,
        Gateway(broker, ["n"]) as gateway,
    ):
        gateway.serve("n", birth("ab" * 32), (1, 2, 3), dict, calibrate)
        until(lambda: {"on_pct": 4711} in heard)
    assert plain(caplog), caplog.text[:5_000]


def test_home_assistant_is_told_all_the_same(
    address: BrokerAddress, caplog: pytest.LogCaptureFixture
) -> None:
    with Announcer(address, ["n"], ()) as announcer:
        until(lambda: "n" in announcer.announced)
    assert plain(caplog), caplog.text[:5_000]


def test_a_twin_that_follows_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    story = scenario(tmp_path, zones=NODE.replace("virtual:mqtt", "mqtt://127.0.0.1/ic/n"), days=20)
    info = inspect(runner.read_guest(story))
    first = {**LAST, "boot": 76, "t": START_MS + 7 * 3_600_000, "irrigar": 0}
    beyond = [
        publish("ic/n/data", f'{{"raw":1500,"{key}":{value}}}'.encode())
        for key in ("temp_c", "battery_mv", "flow", "filt", "t")
        for value in VALUES
    ]
    noisy = publish("ic/n/data", json.dumps(first).encode())
    noisy += b"".join([*noise(16, 2_000), *beyond, GOOD])
    with sending([], noisy) as broker:
        devices = MqttDevices(story, info, speed=SPEED)
        with Store(tmp_path / "s.sqlite", clock_ms=devices.time.now_ms) as store, devices:
            commits = Commits(store)
            devices.listen(store, broker)
            devices.wait(60.0)
            assert commits.wait("maize", 77, 0)
            twin = Twin(story, store, Shadow(devices, speed=SPEED))
            thread = threading.Thread(target=run, args=(twin,))
            thread.start()
            try:
                until(lambda: twin.view.zones[0].steps > 20)
                now_ms = twin.view.now_ms
                until(lambda: twin.view.now_ms > now_ms)
            finally:
                twin.stop()
                thread.join()
            assert store.health().ok
    assert plain(caplog), caplog.text[:5_000]
