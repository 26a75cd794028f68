"""A stored day again: what a device once said, beside the twin that runs today.

The device of a replay is a record.  Its steps come at the times of the stored messages, with the
readings and the valve that they tell.  Both plants follow that valve, so the twin predicts what the
probe should have read under the very decisions that were taken, and the mirror, today's guest fed
with the readings of then, should decide as the device did.  Another guest may thus be tried on the
past: it is blamed for the first decision that differs.

Readings that telemetry does not tell (temperature, battery) are those of the plant.  The soil
begins as the scenario has it, so a store is best replayed from its first day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from guest.abi import DEFAULT_PINS, Call
from guest.node import Birth, Node, Readings, StepResult
from guest.tape import encode, iter_records
from sim.runner import NodeSettings
from sim.scenario_model import Scenario
from twin import signals
from twin.errors import TwinError
from twin.store import Store
from twin.store_reads import Latest, StoreReader
from twin.twin import Twin
from twin.watch import Seen

__all__ = ["Heard", "Replay", "heard"]

FOREVER_MS: Final = 1 << 50
PAGE: Final = 5_000


def heard(source: str | Path, zone: str, start_ms: int, end_ms: int) -> list[Latest]:
    """The messages of a zone's device over a time, in the order in which it lived."""
    reader = StoreReader(str(source))
    try:
        found: list[Latest] = []
        at_ms = start_ms
        while True:
            part = reader.messages(zone, start_ms=at_ms, end_ms=end_ms, limit=PAGE)
            found += part
            if len(part) < PAGE:
                break
            at_ms = part[-1].time_ms + 1
    finally:
        reader.close()
    # a message may be late, and a device may say several things in one step: the last counts
    by_time = {message.time_ms: message for message in found if "raw" in message.payload}
    return [by_time[time_ms] for time_ms in sorted(by_time)]


class Heard:
    """A device that does again what it said; implements `guest.node.Node`."""

    def __init__(self, messages: Sequence[Latest], birth: Birth) -> None:
        self._messages = {message.time_ms: message for message in messages}
        self._times = [message.time_ms for message in messages]
        self._birth = birth
        self._next = 0

    def again(self) -> Heard:
        """The same record from its beginning."""
        return Heard([self._messages[time_ms] for time_ms in self._times], self._birth)

    def birth(self) -> Birth:
        """Who it was."""
        return self._birth

    def boot(self, time_ms: int) -> StepResult:
        """Wait for the first message."""
        self._next = 0
        return StepResult(outputs={}, wake_ms=self._wait(time_ms))

    def step(self, time_ms: int, readings: Readings, *, online: bool = True) -> StepResult:
        """What it said at this time; `readings` are not looked at."""
        del readings, online
        payload = self._messages[time_ms].payload
        message = json.dumps(dict(payload), separators=(",", ":"))
        return StepResult(
            outputs={DEFAULT_PINS[0]: int(payload.get("irrigar", 0))},
            publications=[("data", message)],
            wake_ms=self._wait(time_ms),
        )

    def _wait(self, time_ms: int) -> int:
        while self._next < len(self._times) and self._times[self._next] <= time_ms:
            self._next += 1
        if self._next == len(self._times):
            return FOREVER_MS
        return self._times[self._next] - time_ms

    def read(self, time_ms: int, otherwise: Readings) -> Readings:
        """What it read at this time, as far as it told."""
        payload: Mapping[str, Any] = self._messages[time_ms].payload
        return (
            int(payload["raw"]),
            otherwise[1],
            otherwise[2],
            int(payload.get("flow", otherwise[3])),
        )

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """The past cannot be changed; what is set holds for the mirror."""
        return dict(values)

    def install(self, module: bytes) -> Birth:
        """There is nothing to replace."""
        del module
        raise TwinError("a record takes no guest")

    def quality(self) -> None:
        """There is no link."""

    def close(self) -> None:
        """There is nothing to release."""


class Replay(Twin):
    """A twin whose devices are records of the store `source`.

    Raises TwinError if the store tells nothing of a zone over the scenario's period.
    """

    mode = "replay"

    def __init__(
        self, scenario: Scenario, store: Store, source: str | Path, **options: Any
    ) -> None:
        self._source = source
        self._records: list[Heard] = []
        super().__init__(scenario, store, make_node=self._record_of, **options)

    def _device(self, settings: NodeSettings, make_node: Any) -> Node:
        return self._record_of(settings)

    def _record_of(self, settings: NodeSettings) -> Heard:
        zone, period = settings.zone.name, self.scenario.period
        messages = heard(self._source, zone, period.start_ms, period.end_ms)
        if not messages:
            raise TwinError(f"{self._source}: has no readings of {zone} in the scenario's period")
        info = self.info
        birth = Birth(
            guest_sha256=info.sha256,
            guest_name=info.metadata.name if info.metadata else "",
            guest_version=info.metadata.version if info.metadata else "",
            abi_version=1,
            engine="record",
            firmware=f"store {Path(str(self._source)).name}",
            boot_id=messages[0].boot,
        )
        record = Heard(messages, birth)
        self._records.append(record)
        return record

    def _twin_node(self, i: int, settings: NodeSettings) -> Node:
        """The twin follows the valve of the record."""
        del settings
        return self._records[i].again()

    def _device_ran(self, i: int, seen: Seen) -> None:
        zone = self._zones[i]
        if seen.readings is None:  # the record tells nothing of its start
            zone.mirror.boot(seen.time_ms)
            zone.device.append((self._now_of(i), seen, StepResult(outputs={})))
            return
        readings = self._records[i].read(seen.time_ms, seen.readings)
        mirrored = zone.mirror.step(seen.time_ms, readings)
        said = signals.numbers(seen.result.publications[0][1])
        again = [signals.numbers(message) for _, message in mirrored.publications]
        same = any(_agree(said, other) for other in again)
        # of the device's calls only the message is known, so only messages are compared
        of_mirror = b"".join(
            encode(Call.MQTT_PUBLISH, *record.values)
            for record in iter_records(mirrored.tape)
            if record.call == Call.MQTT_PUBLISH
        )
        topic, message = seen.result.publications[0]
        of_device = encode(Call.MQTT_PUBLISH, topic.encode(), message.encode(), 0)
        device = Seen(
            time_ms=seen.time_ms,
            readings=readings,
            online=True,
            result=StepResult(
                outputs=seen.result.outputs,
                publications=seen.result.publications,
                tape=of_mirror if same else of_device,
            ),
            took_s=0.0,
        )
        shown = StepResult(outputs=mirrored.outputs, tape=of_mirror)
        zone.device.append((self._now_of(i), device, shown))


def _agree(said: Mapping[str, float], again: Mapping[str, float]) -> bool:
    """Whether what both tell, they tell alike; a device adds its numbering."""
    common = said.keys() & again.keys() - {"t", "boot", "seq", "oldest"}
    return bool(common) and all(said[key] == again[key] for key in common)
