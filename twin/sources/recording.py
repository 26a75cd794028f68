"""A stored day again: what a device once said, beside the twin that runs today.

Another guest, or other parameters, may thus be tried on the past: the first decision that differs
is shown.  The soil begins as the scenario has it, so a store is best replayed from its first day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from levada.guest.node import Birth, Node
from levada.hil.errors import PayloadError
from levada.sim.run.build import NodeSettings, believed_counts
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.errors import TwinError
from levada.twin.mqtt.assembly import Assembly
from levada.twin.mqtt.mapping import PayloadMap, signals_of
from levada.twin.mqtt.messages import Telemetry, decode
from levada.twin.sources.remote import (
    FOREVER_MS,
    SECOND_MS,
    DeviceReport,
    Elsewhere,
    Followed,
    ReportQueue,
    is_reading,
    is_valve,
)
from levada.twin.store.reads import StoreReader, to_read
from levada.twin.store.rows import Flag
from levada.twin.store.store import Store

__all__ = ["Replay", "heard"]

PAGE: Final = 5_000


def heard(source: str | Path, zone: str, scenario: Scenario) -> list[DeviceReport]:
    """The readings of a zone's device in the scenario's period, in the order in which it lived.

    Raises StoreError if `source` cannot be read.
    """
    maps = [PayloadMap(table) for table in scenario.mapping]
    dry, wet, _ = next(believed_counts(z) for z in expand(scenario) if z.name == zone)
    assembly = Assembly(dry_counts=dry, wet_counts=wet)
    start_ms, end_ms = scenario.period.start_ms, scenario.period.end_ms
    found: list[DeviceReport] = []
    with to_read(source) as url, closing(StoreReader(url)) as reader:
        at_ms = start_ms
        while True:
            part = reader.messages(zone, start_ms=at_ms, end_ms=end_ms, limit=PAGE)
            for m in part:
                values = _signals(m.payload, maps)
                if m.flags & Flag.UNIDENTIFIED:
                    values = assembly.take(values)
                if is_reading(values.get("raw")) or is_valve(values):
                    found.append(
                        DeviceReport(
                            time_ms=m.time_ms,
                            boot=m.boot,
                            seq=m.seq,
                            values=values,
                            device_ms=m.device_ms,
                        )
                    )
            if len(part) < PAGE:
                break
            at_ms = part[-1].time_ms + 1
    return found


def _signals(message: Mapping[str, Any], maps: Sequence[PayloadMap]) -> dict[str, float]:
    """Signals of a message, of our own kind or of one that is mapped; none if it is neither."""
    was_mapped = signals_of(message)
    if was_mapped is not None:
        return was_mapped
    payload = json.dumps(dict(message)).encode()  # stores of old keep others' payloads bare
    readers = [lambda data: decode(Telemetry, data).signals(), *(m.apply for m in maps)]
    for read in readers:
        try:
            values = read(payload)
        except PayloadError:
            continue
        if "raw" in values:
            return values
    return {}


def _was_followed(source: str | Path) -> bool:
    """Whether the store is that of devices which keep UTC."""
    with to_read(source) as url, closing(StoreReader(url)) as reader:
        return any(run["mode"] == "shadow" for run in reader.runs(limit=1))


class Replay(Followed):
    """A twin whose devices are records of the store `source`.

    Raises StoreError if `source` is no store, TwinError if it tells nothing of a zone over the
    scenario's period.
    """

    mode = "replay"

    def __init__(
        self, scenario: Scenario, store: Store, source: str | Path, **options: Any
    ) -> None:
        self._source = source
        self._records: list[ReportQueue] = []
        super().__init__(scenario, store, **options)
        if _was_followed(source):
            self._device_clock_ms = -scenario.site.utc_offset_ms

    def _device_of(self, settings: NodeSettings) -> Node:
        zone = settings.zone.name
        found = heard(self._source, zone, self.scenario)
        if not found:
            raise TwinError(f"{self._source}: has no readings of {zone} in the scenario's period")
        record = ReportQueue()
        for said in found:
            record.add(said)
        self._records.append(record)
        metadata = self.info.metadata
        return Elsewhere(
            Birth(
                guest_sha256=self.info.sha256,
                guest_name=metadata.name if metadata else "",
                guest_version=metadata.version if metadata else "",
                abi_version=1,
                engine="record",
                firmware=f"store {Path(str(self._source)).name}",
                boot_id=found[0].boot,
            )
        )

    def _record_of(self, i: int) -> ReportQueue:
        return self._records[i]

    def _wait(self, i: int, time_ms: int) -> int:
        next_ms = self._records[i].next_ms()
        return FOREVER_MS if next_ms is None else max(SECOND_MS, next_ms - time_ms)
