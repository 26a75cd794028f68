"""What fog says of itself, and what it repeats so that clocks can be compared."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from services import Mosquitto

from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.scenario.continuum import Fog as FogSettings
from levada.twin.continuum import heartbeat
from levada.twin.continuum.fog import Fog
from levada.twin.continuum.heartbeat import Heartbeat
from levada.twin.continuum.hops import host_id
from levada.twin.mqtt.messages import Ack, Ask, Relayed, Status, Telemetry, decode

MODULE = DEFAULT_GUEST.read_bytes()


def test_it_is_born_lives_and_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.001)
    said: queue.Queue[Status] = queue.Queue()
    beating = Heartbeat(
        lambda: Status(state="alive", buffer_rows=7),
        lambda payload: said.put(decode(Status, payload)),
    )
    with beating:
        beating.start()
        states = [said.get(timeout=60).state for _ in range(3)]
    assert states == ["birth", "alive", "alive"]
    left = [said.get() for _ in range(said.qsize())]
    assert left[-1] == Status(state="death", buffer_rows=7)


def test_a_beat_that_fails_does_not_silence_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.001)
    beats = threading.Semaphore(0)

    def publish(payload: bytes) -> None:
        beats.release()
        if decode(Status, payload).state == "alive":
            raise OSError("no route")

    with Heartbeat(lambda: Status(state="alive"), publish) as beating:
        beating.start()
        for _ in range(5):
            assert beats.acquire(timeout=60)


def test_fog_tells_what_it_runs_and_keeps_and_echoes_acknowledgements(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    said: queue.Queue[tuple[str, bytes]] = queue.Queue()
    cloud = MqttClient(
        mosquitto.address,
        subscription=["ic/fog/status", "ic/fog/relayed"],
        handler=lambda topic, payload: said.put((topic, payload)),
    )

    def relayed(timeout_s: float = 60) -> Relayed:
        while True:
            topic, payload = said.get(timeout=timeout_s)
            if topic == "ic/fog/relayed":
                return decode(Relayed, payload)

    def measure(seq: int) -> None:
        message = Telemetry(boot=1, seq=seq, oldest=0, raw=1_500)
        assert cloud.publish("ic/n/data", message.encode())

    def repeat(seq: int) -> Relayed:
        """As a node does until it is heard: fog may not listen yet when its cloud knows of it."""
        while True:
            measure(seq)
            with suppress(queue.Empty):
                return relayed(timeout_s=0.2)

    address = mosquitto.address
    with Fog(FogSettings(), MODULE, edge=address, cloud=address, file=tmp_path / "fog.sqlite"):
        assert cloud.publish("ic/fog/ask", Ask(what="birth").encode())
        topic, payload = said.get(timeout=60)
        birth = decode(Status, payload)
        assert (topic, birth.state, birth.engine) == ("ic/fog/status", "birth", "wasm")
        assert birth.guest_sha256 == inspect(MODULE).sha256
        assert birth.host == host_id()
        assert (birth.buffer_rows, birth.buffer_limit_rows) == (0, FogSettings().buffer_rows)
        first = repeat(0)
        assert (first.echo_us, first.heard_us) == (None, None)
        assert first.sent_us is not None
        found, seq = first, 1
        while found.echo_us is None:  # an acknowledgement may be heard after the next has left
            ack = Ack(boot=found.boot, seq=found.seq + 1, echo_us=first.sent_us, sent_us=77)
            assert cloud.publish("ic/fog/ack", ack.encode())
            measure(seq)
            found = relayed()
            seq += 1
        assert found.echo_us == 77
        assert found.heard_us is not None
        assert found.sent_us is not None
        assert first.sent_us <= found.heard_us <= found.sent_us
        assert json.loads(found.encode())["echo_us"] == 77
    cloud.close()
