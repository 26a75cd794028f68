"""Devices in real soil, which is simulated here by another thread, followed over MQTT."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from real_soil import NODE, SPEED, Broker, ears, field
from small_field import START_MS, fault, run, scenario, until

from levada.guest.module.inspect import inspect
from levada.hil.errors import LinkError
from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.run import runner
from levada.sim.run.build import believed_counts
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.diagnosis import Cause
from levada.twin.errors import CalibrationError, TwinError, TwinMismatchError
from levada.twin.mqtt.messages import Config, Status, node_topic
from levada.twin.sources.mqtt import MqttDevices
from levada.twin.sources.shadow import Shadow
from levada.twin.store.reads import Latest, StoreReader
from levada.twin.store.store import Store
from levada.twin.twin import Twin

UTC_OFFSET_MS = -7 * 3_600_000


def in_background(twin: Twin, stack: ExitStack) -> threading.Thread:
    thread = threading.Thread(target=run, args=(twin,))
    thread.start()

    def end() -> None:
        twin.stop()
        thread.join()

    stack.callback(end)
    return thread


def alerts(store: Store) -> set[tuple[str, str]]:
    """(kind, cause) of all that were raised."""
    found = [e["evidence"] for e in store.reader.events(kind="alert")]
    return {(e["alert"], e["cause"]) for e in found if e["raised"]}


def test_a_healthy_device_is_predicted_to_the_last_count(broker: Broker, tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    with ears(story, broker.address, tmp_path) as (devices, store), field(story, broker):
        devices.wait(60.0)
        twin = run(Twin(story, store, Shadow(devices, speed=SPEED)))
        zone = twin.view.zones[0]
        assert zone.birth.guest_sha256 == twin.info.sha256
        assert zone.steps > 300
        assert zone.water_l > 0.0  # otherwise nothing has been compared
        # a computer that is overloaded may be late, which is not the subject here
        assert {kind for kind, _ in alerts(store)} <= {"stress-forecast", "offline"}
        residual = store.reader.window("maize", "residual", kind="twin")
        assert residual.total > 300
        assert not residual.value.any()
        # acknowledged, hence stored, once, under the zone's name, in the zone's time
        (upto,) = store.reader.acknowledged("maize").values()
        assert store.reader.count("maize") == upto + 1
        assert store.reader.runs()[0]["mode"] == "shadow"
        latest = store.reader.latest("maize")
        assert latest is not None
        assert latest.payload["t"] + UTC_OFFSET_MS == latest.time_ms


def test_what_is_concluded_does_not_hang_on_when_messages_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the wall clock every message is late here, as on a computer that is overloaded."""
    monkeypatch.setattr("levada.twin.sources.shadow.BEHIND_S", -1.0)  # five hours of the field
    story = scenario(tmp_path, zones=NODE)
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path) as (devices, store),
        field(story, broker),
    ):
        devices.wait(60.0)
        twin = run(Twin(story, store, Shadow(devices, speed=SPEED)))
        assert twin.view.zones[0].steps > 300
        residual = store.reader.window("maize", "residual", kind="twin")
        assert residual.total > 300
        assert not residual.value.any()
        assert {kind for kind, _ in alerts(store)} <= {"stress-forecast"}


def test_a_valve_that_does_not_open_in_the_field_is_found_out(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE, extra=fault("valve-stuck-closed", "0 h"))
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path) as (devices, store),
        field(story, broker),
    ):
        devices.wait(60.0)
        run(Twin(story, store, Shadow(devices, speed=SPEED)))
        assert ("no-flow", "valve") in alerts(store)


def test_a_calibration_travels_over_mqtt_and_is_read_back(broker: Broker, tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE, days=20)
    with (
        ears(story, broker.address, tmp_path) as (devices, store),
        field(story, broker),
        ExitStack() as stack,
    ):
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=SPEED))
        in_background(twin, stack)
        done = twin.calibrate("maize", {"on_pct": 55, "off_pct": 80}, who="Ada").result(60)
        assert done == {"on_pct": 55, "off_pct": 80}
        assert twin.view.zones[0].parameters["on_pct"] == 55
        seen = twin.view.zones[0].steps
        until(lambda: twin.view.zones[0].steps > seen + 100)
        assert ("different-calls", "firmware or engine") not in alerts(store)
        states = [c["state"] for c in store.reader.calibrations("maize")]
        assert states == ["in force", "in force"]


@pytest.mark.parametrize("request_id", ["other", None])
def test_what_somebody_else_sets_on_the_device_is_followed(
    tmp_path: Path, request_id: str | None
) -> None:
    """Also without a name, when the device answers nothing."""
    story = scenario(tmp_path, zones=NODE, days=20)
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path) as (devices, store),
        field(story, broker),
        ExitStack() as stack,
    ):
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=SPEED))
        in_background(twin, stack)
        other = MqttClient(broker.address)
        stack.callback(other.close)
        refused = Config(set={"on_pct": 10_000})
        assert other.publish(node_topic(Config, "maize"), refused.encode())
        config = Config(id=request_id, set={"on_pct": 50})
        assert other.publish(node_topic(Config, "maize"), config.encode())
        until(lambda: twin.view.zones[0].parameters["on_pct"] == 50)
        until(lambda: len(store.reader.events(kind="calibration")) == 1)
        (told,) = store.reader.events(kind="calibration")
        assert told["text"] == "Set on the device by another client: on_pct 70 -> 50"
        seen = twin.view.zones[0].steps
        until(lambda: twin.view.zones[0].steps > seen + 100)
        assert ("different-calls", "firmware or engine") not in alerts(store)


def test_a_device_with_another_guest_is_refused_and_both_are_named(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    with by_hand(story, tmp_path) as (teller, devices, store, _):
        teller.say("ic/maize/status", Status(state="birth", guest_sha256="ab" * 32).encode())
        teller.say("ic/maize/data", reading(START_MS))
        devices.wait(60.0)
        with pytest.raises(TwinMismatchError, match="ab" * 32):
            Twin(story, store, Shadow(devices, speed=SPEED))


def test_a_device_that_lives_at_another_time_is_refused(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    with by_hand(story, tmp_path) as (teller, devices, store, _):
        teller.say("ic/maize/data", reading(START_MS - 86_400_000))
        devices.wait(60.0)
        with pytest.raises(TwinError, match=r"2023-07-05.*outside the scenario's period"):
            Twin(story, store, Shadow(devices, speed=SPEED))


def test_a_device_that_says_nothing_is_an_error_of_the_link(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path) as (devices, _),
        pytest.raises(LinkError, match="maize was not heard of"),
    ):
        devices.wait(0.0)


def test_a_node_whose_soil_is_simulated_cannot_be_followed(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones='node = "virtual"')
    info = inspect(runner.read_guest(story))
    with pytest.raises(TwinError, match="`virtual` cannot be followed"):
        MqttDevices(story, info, speed=1.0)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_device_flashed_long_ago_is_followed_without_judging_its_decisions(
    tmp_path: Path, mapped: bool
) -> None:
    mapping = """
[[mapping]]
topic = "tele/+/SENSOR"
field = [{ signal = "raw", pointer = "/ANALOG/A0" }]
"""
    story = scenario(tmp_path, zones=NODE, days=20, extra=mapping if mapped else "")
    with by_hand(story, tmp_path) as (teller, devices, store, stack):
        # such a device knows no time: the present is that of the first message
        devices.time.hear(START_MS)
        old = {"umidade": 2300, "seco": 1, "pct": 18}
        topic, payload = ("ic/maize/data", old)
        if mapped:
            topic, payload = "tele/maize/SENSOR", {"ANALOG": {"A0": 2300}}
        teller.say(topic, json.dumps(payload).encode())
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=SPEED))
        in_background(twin, stack)
        while twin.view.zones[0].steps < 3:
            teller.say(topic, json.dumps(payload).encode())
            time.sleep(0.05)  # how often it speaks; nothing waits for it
        zone = twin.view.zones[0]
        assert zone.counts == 2300
        assert zone.valve == (0 if mapped else 1)
        assert zone.verdict.cause is not Cause.FIRMWARE
        assert zone.birth.guest_sha256 == ""


FOREIGN = """
[[mapping]]
topic = "probe/+"
field = [{ signal = "%s", pointer = "" }]

[[mapping]]
topic = "valve/+/state"
field = [{ signal = "irrigar", pointer = "", values = { ON = 1.0, OFF = 0.0 } }]
"""


@pytest.mark.parametrize(
    ("signal", "payload", "counts"),
    [("raw", b"2280.0", 2280), ("pct", b"25", None)],
)
def test_a_foreign_device_is_followed_by_bare_values_on_two_topics(
    tmp_path: Path, signal: str, payload: bytes, counts: int | None
) -> None:
    story = scenario(tmp_path, zones=NODE, days=20, extra=FOREIGN % signal)
    if counts is None:
        dry, wet, _ = believed_counts(expand(story)[0])
        counts = round(dry + (wet - dry) * 25 / 100)
    for _start in range(2):  # the second twin reads what the first has stored
        with by_hand(story, tmp_path) as (teller, devices, store, stack):
            devices.time.hear(START_MS)
            teller.say("probe/maize", payload)
            devices.wait(60.0)
            twin = Twin(story, store, Shadow(devices, speed=SPEED))
            in_background(twin, stack)
            for state, valve in ((b"ON", 1), (b"OFF", 0), (b"ON", 1)):
                teller.say("valve/maize/state", state)
                seen = twin.view.zones[0].steps
                while twin.view.zones[0].steps < seen + 2 or twin.view.zones[0].valve != valve:
                    teller.say("probe/maize", payload)
                    time.sleep(0.05)  # how often it speaks; nothing waits for it
            zone = twin.view.zones[0]
            assert abs(zone.counts - counts) <= 1
            assert zone.link["missing_or_late"] == 0
            assert zone.link["refused"] == 0
    assert {m.payload["payload"] for m in store_messages(tmp_path)} == {
        payload.decode(),
        "ON",
        "OFF",
    }


def test_a_payload_that_its_mapping_does_not_fit_is_told_of_its_node(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE, days=20, extra=FOREIGN % "raw")
    with by_hand(story, tmp_path) as (teller, devices, store, _):
        teller.say("probe/maize", b"2280.0")
        devices.wait(60.0)
        for _ in range(3):
            teller.say("probe/maize", b'{"moisture":2280}')
        until(lambda: devices.quality("maize")["refused"] == 3)
        assert (
            "the payload holds an object: not a number" in devices.quality("maize")["refused_why"]
        )
        assert store.flush()
        (told,) = store.reader.events(node="maize", kind="mapping")
        assert "message on probe/maize refused: payload holds none" in told["text"]
        teller.say("probe/maize", b"2281.0")
        until(lambda: devices.quality("maize")["refused_why"] == "")
        assert devices.present("maize")


def store_messages(folder: Path) -> list[Latest]:
    """What the store of `by_hand` holds of the device."""
    with closing(StoreReader(str(folder / "store.sqlite"))) as reader:
        return reader.messages("maize")


def test_a_device_that_falls_silent_is_lost_and_takes_no_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.twin.sources.mqtt._ANSWER_S", 0.05)
    story = scenario(tmp_path, zones=NODE, days=20)
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path) as (devices, store),
        ExitStack() as stack,
    ):
        with field(story, broker):
            devices.wait(60.0)
            twin = Twin(story, store, Shadow(devices, speed=SPEED))
            in_background(twin, stack)
            until(lambda: twin.view.zones[0].steps > 20)
        # it has said goodbye
        until(lambda: twin.view.zones[0].lost != "")
        assert twin.view.zones[0].verdict.cause is Cause.LINK
        with pytest.raises(CalibrationError, match="maize has not acknowledged"):
            twin.calibrate("maize", {"on_pct": 55}, who="Ada").result(60)
        assert [c["state"] for c in store.reader.calibrations()] == ["unanswered"]


def test_a_device_stays_lost_though_its_last_readings_are_followed_after_its_goodbye(
    tmp_path: Path,
) -> None:
    """The twin is a little behind: it hears the goodbye before it comes to the readings."""
    story = scenario(tmp_path, zones=NODE)
    with by_hand(story, tmp_path, 1.0) as (teller, devices, store, stack):
        begun_ms = START_MS + 60_000
        teller.say("ic/maize/data", reading(begun_ms))
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=1.0))
        for second in range(1, 4):
            teller.say("ic/maize/data", reading(begun_ms + 1_000 * second, seq=second))
        teller.say("ic/maize/status", Status(state="death").encode())
        until(lambda: not devices.present("maize"))
        in_background(twin, stack)
        until(lambda: twin.view.zones[0].time_ms >= begun_ms + 3_000)
        until(lambda: twin.view.zones[0].lost != "")
        assert twin.view.zones[0].verdict.cause is Cause.LINK


def test_what_a_device_says_is_judged_at_once(tmp_path: Path) -> None:
    """At the pace of the world, where rows of the plant are minutes apart."""
    story = scenario(tmp_path, zones=NODE)
    with by_hand(story, tmp_path, 1.0) as (teller, devices, store, stack):
        begun_ms = START_MS + 60_000
        teller.say("ic/maize/data", reading(begun_ms))
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=1.0))
        assert not twin.view.zones[0].verdict.compared
        in_background(twin, stack)
        until(lambda: twin.view.zones[0].counts == 2300)
        zone = twin.view.zones[0]
        assert twin.view.now_ms < START_MS + story.period.trace_s * 1000
        assert zone.verdict.compared and zone.theta_twin is not None
        until(lambda: twin.view.speed == 1.0)
        until(lambda: store.reader.window("maize", "theta", kind="twin").total == 1)
        # it has no flow meter: nobody knows what flowed, and its valve is not blamed
        assert zone.water_l is None and zone.verdict.cause is not Cause.VALVE
        for second in range(1, 3):
            teller.say("ic/maize/data", reading(begun_ms + 1_000 * second, seq=second))
        until(lambda: twin.view.zones[0].steps == 3)
        assert twin.view.zones[0].verdict.cause is not Cause.VALVE


def test_what_is_repeated_or_was_overtaken_is_not_judged_again(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    with by_hand(story, tmp_path, 1.0) as (teller, devices, store, stack):
        begun_ms = START_MS + 60_000

        def say(seq: int, boot: int = 1) -> None:
            message = reading(begun_ms + 1_000 * seq, seq=seq, boot=boot, flow=10)
            teller.say("ic/maize/data", message)

        say(0)
        devices.wait(60.0)
        twin = Twin(story, store, Shadow(devices, speed=1.0))
        in_background(twin, stack)
        for seq in (1, 3):
            say(seq)
        until(lambda: twin.view.zones[0].steps == 3)
        water_l = twin.view.zones[0].water_l
        assert water_l
        say(1)  # repeated
        say(2)  # overtaken
        say(4, boot=2)  # it has started again
        until(lambda: twin.view.zones[0].steps == 4)
        say(3)  # what it had kept in its flash
        say(5, boot=2)
        until(lambda: twin.view.zones[0].steps >= 5)
        zone = twin.view.zones[0]
        assert zone.steps == 5
        assert zone.water_l == pytest.approx(water_l * 5 / 3)
        # but what came late is on the curve
        assert store.flush()
        assert store.reader.window("maize", "counts").total == 6


def test_other_nodes_of_the_broker_are_somebody_elses(tmp_path: Path) -> None:
    """They set no clock, are stored under no name of ours and lose nothing by our acknowledging."""
    story = scenario(tmp_path, zones='node = "mqtt://127.0.0.1/ic/esp32"')
    heard: queue.Queue[str] = queue.Queue()
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path) as (devices, store),
        ExitStack() as stack,
    ):
        teller = Teller(broker, lambda topic, _payload: heard.put(topic))
        stack.callback(teller.close)
        teller.say("ic/maize/data", reading(START_MS - 86_400_000))  # the name of our zone
        teller.say("ic/esp32/data", reading(START_MS + 60_000))
        devices.wait(60.0)
        assert devices.time.now_ms() >= START_MS
        assert store.flush()
        assert [node.name for node in store.reader.nodes()] == ["maize"]
        assert store.reader.count() == 1
        while (topic := heard.get(timeout=30)) != "ic/esp32/ack":
            assert topic != "ic/maize/ack"


def test_a_device_flashed_long_ago_is_calibrated_by_the_names_it_knows(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    with (
        EmbeddedBroker() as broker,
        ears(story, broker.address, tmp_path) as (devices, _store),
        ExitStack() as stack,
    ):
        teller = Teller(broker, lambda topic, payload: heard.put((topic, payload)))
        stack.callback(teller.close)
        teller.say("ic/maize/data", b'{"umidade": 2300, "seco": 1, "pct": 18}')
        devices.wait(60.0)
        with pytest.raises(LinkError, match="flashed long ago and answers nothing"):
            devices.calibrate("maize", {"dry_counts": 3000, "limit_counts": 2100})
        while True:
            topic, payload = heard.get(timeout=30)
            if topic == "ic/maize/config":
                break
        assert json.loads(payload) == {"seco": 3000, "limiar": 2100}
        with pytest.raises(CalibrationError, match=r"knows dry_counts, .*, not on_pct"):
            devices.calibrate("maize", {"on_pct": 55, "dry_counts": 3000})


class Teller:
    """Somebody who publishes, and may listen."""

    def __init__(
        self, broker: EmbeddedBroker, heard: Callable[[str, bytes], None] | None = None
    ) -> None:
        self._client = (
            MqttClient(broker.address)
            if heard is None
            else MqttClient(broker.address, subscription="ic/#", handler=heard)
        )
        self.close: Callable[[], None] = self._client.close

    def say(self, topic: str, payload: bytes) -> None:
        assert self._client.publish(topic, payload)


@contextmanager
def by_hand(
    scenario: Scenario, folder: Path, speed: float = SPEED
) -> Iterator[tuple[Teller, MqttDevices, Store, ExitStack]]:
    """What a test itself says in place of devices, who listens to it, and what ends with them."""
    with (
        EmbeddedBroker() as broker,
        ears(scenario, broker.address, folder, speed) as (devices, store),
        pytest.MonkeyPatch.context() as patched,
        ExitStack() as stack,
    ):
        patched.setattr("levada.twin.sources.mqtt._BIRTH_S", 0.0)  # a birth comes first, or never
        teller = Teller(broker)
        stack.callback(teller.close)
        yield teller, devices, store, stack


def reading(time_ms: int, *, seq: int = 0, boot: int = 1, flow: int | None = None) -> bytes:
    """Telemetry at this time of the scenario, by a clock that keeps UTC."""
    message = {
        "boot": boot,
        "seq": seq,
        "oldest": 0,
        "t": time_ms - UTC_OFFSET_MS,
        "raw": 2300,
        "pct": 20,
        "irrigar": 1,
    }
    if flow is not None:
        message["flow"] = flow
    return json.dumps(message).encode()
