"""Devices in real soil, which another thread simulates, and what listens to them over MQTT.

As a program, a twin that follows them, to be killed:
python real_soil.py SCENARIO FOLDER SPEED < address
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services import Mosquitto
from small_field import run

from levada.guest.module.inspect import inspect
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.sim.run import runner
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.twin.observer import StepObservation
from levada.twin.sources.mqtt import MqttDevices
from levada.twin.sources.remote import FOREVER_MS
from levada.twin.sources.shadow import Shadow
from levada.twin.sources.virtual_field import FieldDevice
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store
from levada.twin.twin import Twin

NODE = 'node = "virtual:mqtt"'
SPEED = 60_000.0
"""A step takes 10 ms, three days 4 s, as far as the computer keeps up: time waits for reports."""
Broker = EmbeddedBroker | Mosquitto
LISTENING = "listening\n"
"""What a twin that runs as a program prints once it listens."""


class Boards(FieldDevice):
    """Boards whose time stands still while they are told to `rest`."""

    _rest_ms = FOREVER_MS
    _lived_ms = 0

    def __init__(self, scenario: Scenario, broker: Broker, speed: float) -> None:
        self._going = threading.Event()
        super().__init__(scenario, broker.address, speed=speed)

    def rest(self, after_ms: int) -> None:
        """Live on for this time, then wait for `go_on`."""
        self.rest_at(self._lived_ms + after_ms)

    def rest_at(self, time_ms: int) -> None:
        """Live on up to this time of the scenario, then wait for `go_on`."""
        self._rest_ms = time_ms
        self._going.set()  # if they rest already
        self._going.clear()

    def go_on(self) -> None:
        """Live on."""
        self._rest_ms = FOREVER_MS
        self._going.set()

    def stop(self) -> None:
        super().stop()
        self.go_on()

    def _ran(self, i: int, seen: StepObservation) -> None:
        self._lived_ms = seen.time_ms
        if seen.time_ms >= self._rest_ms:
            self._going.wait()
            self._clock.pace(self._speed)
        super()._ran(i, seen)


@contextmanager
def field(
    scenario: Scenario, broker: Broker, speed: float = SPEED, *, resting: bool = False
) -> Iterator[Boards]:
    """Boards that live and report meanwhile; `resting` until they are told to go on."""
    with Boards(scenario, broker, speed) as boards:
        if resting:
            boards.rest(0)
        thread = threading.Thread(target=boards.run)
        thread.start()
        try:
            yield boards
        finally:
            boards.stop()
            thread.join()


@contextmanager
def ears(
    scenario: Scenario, address: BrokerAddress, folder: Path, speed: float = SPEED
) -> Iterator[tuple[MqttDevices, Store]]:
    """What listens to the devices, and the store that it fills."""
    info = inspect(runner.read_guest(scenario), budget=scenario.guest.limits())
    devices = MqttDevices(scenario, info, speed=speed)
    jitter_ms = max(60_000, round(1_000 * speed))
    with (
        Store(
            folder / "store.sqlite",
            clock_ms=devices.time.now_ms,
            settings=StoreSettings(ahead_ms=jitter_ms, late_ms=jitter_ms),
        ) as store,
        devices,
    ):
        devices.listen(store, address)
        yield devices, store


if __name__ == "__main__":
    address = BrokerAddress(**json.loads(sys.stdin.readline()))
    story = load(Path(sys.argv[1]))
    speed = float(sys.argv[3])
    with ears(story, address, Path(sys.argv[2]), speed) as (devices, store):
        print(LISTENING, end="", flush=True)
        devices.wait(60.0)
        run(Twin(story, store, Shadow(devices, speed=speed)))
