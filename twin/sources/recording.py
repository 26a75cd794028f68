"""A stored day again: what a device once reported, beside the twin that runs today.

Another guest, or other parameters, may thus be tried on the past: the first decision that differs
is shown.  The soil begins as the scenario has it, so a store is best replayed from its first day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from levada.guest.module.inspect import inspect
from levada.guest.node import Birth
from levada.hil.errors import PayloadError
from levada.sim.run.build import NodeSettings, believed_counts
from levada.sim.run.stops import GuestStop
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.clock import PacedClock
from levada.twin.errors import TwinError
from levada.twin.field import TwinField
from levada.twin.mqtt.assembly import Assembly
from levada.twin.mqtt.mapping import PayloadMap, signals_of
from levada.twin.mqtt.messages import ForwardedRow, Telemetry, decode
from levada.twin.sources.remote import (
    FOREVER_MS,
    SECOND_MS,
    DeviceReport,
    Follower,
    RemoteDevice,
    ReportQueue,
    is_reading,
    is_valve,
    stops_of,
)
from levada.twin.sources.source import Mode
from levada.twin.store.reads import StoreReader, to_read
from levada.twin.store.rows import Flag
from levada.twin.store.stream_reads import relayed

__all__ = ["Recording", "stored_reports"]

PAGE: Final = 5_000


def stored_reports(store: str | Path, zone: str, scenario: Scenario) -> list[DeviceReport]:
    """The readings of a zone's device in the scenario's period, in the order in which it lived.

    Raises StoreError if `store` cannot be read.
    """
    maps = [PayloadMap(table) for table in scenario.mapping]
    dry, wet, _ = next(believed_counts(z) for z in expand(scenario) if z.name == zone)
    assembly = Assembly(dry_counts=dry, wet_counts=wet)
    start_ms, end_ms = scenario.period.start_ms, scenario.period.end_ms
    with to_read(store) as url, closing(StoreReader(url)) as reader:
        found = _relayed_reports(reader, zone, scenario)
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


def _relayed_reports(reader: StoreReader, zone: str, scenario: Scenario) -> list[DeviceReport]:
    """Readings of a zone's device that fogs have relayed; those without numbers are of no use."""
    device = next(z.node.device or z.name for z in expand(scenario) if z.name == zone)
    found: list[DeviceReport] = []
    period, after_id = scenario.period, 0
    while part := relayed(
        reader, device, start_ms=period.start_ms, end_ms=period.end_ms, after_id=after_id
    ):
        after_id = part[-1].id
        for message in part:
            row = ForwardedRow.model_validate(message.row)
            values = row.signals()
            if row.boot is None or row.seq is None or not is_reading(values.get("raw")):
                continue
            found.append(
                DeviceReport(
                    time_ms=message.time_ms,
                    boot=row.boot,
                    seq=row.seq,
                    values=values,
                    device_ms=message.device_ms,
                )
            )
    return found


def _signals(message: Mapping[str, Any], maps: Sequence[PayloadMap]) -> dict[str, float]:
    """Signals of a message, of our own kind or of one that is mapped; none if it is neither."""
    was_mapped = signals_of(message)
    if was_mapped is not None:
        return was_mapped
    payload = json.dumps(dict(message)).encode()  # stores of old keep others' payloads bare
    readers: list[Callable[[bytes], dict[str, float]]] = [
        lambda data: decode(Telemetry, data).signals(),
        *(partial(_mapped_signals, mapping) for mapping in maps),
    ]
    for read in readers:
        try:
            values = read(payload)
        except PayloadError:
            continue
        if "raw" in values:
            return values
    return {}


def _mapped_signals(mapping: PayloadMap, payload: bytes) -> dict[str, float]:
    return mapping.apply(payload).signals


def _keeps_utc(store: str | Path) -> bool:
    """Whether the store's last run was a shadow, whose devices keep UTC."""
    with to_read(store) as url, closing(StoreReader(url)) as reader:
        return any(run["mode"] == "shadow" for run in reader.runs(limit=1))


class Recording:
    """Devices that report again what is in `store`, a file or a URL.

    Time up to `skip_to_ms` is passed at full speed, then `speed` holds (None: full speed all the
    way).  It is a `levada.twin.sources.source.Source`; `device` raises StoreError if `store` cannot
    be read, TwinError if it holds no reading of the zone in the scenario's period.
    """

    mode: Mode = "replay"
    independent = False

    def __init__(
        self,
        store: str | Path,
        *,
        speed: float | None = None,
        skip_to_ms: int | None = None,
    ) -> None:
        self._store = store
        self._speed = speed
        self._skip_to_ms = skip_to_ms
        self._queues: list[ReportQueue] = []
        self._followers: list[Follower] = []

    def clock(self, scenario: Scenario) -> PacedClock:
        """A clock that skips what is to be skipped."""
        return PacedClock.skipping(self._speed, scenario.period.start_ms, self._skip_to_ms)

    def counts(self, zone: str) -> None:
        """The store does not tell what a device believed."""

    def device(self, settings: NodeSettings) -> RemoteDevice:
        """A device of the past, which is taken to have run the twin's guest."""
        zone = settings.zone.name
        found = stored_reports(self._store, zone, settings.scenario)
        if not found:
            raise TwinError(f"{self._store}: has no readings of {zone} in the scenario's period")
        queue = ReportQueue()
        for report in found:
            queue.add(report)
        self._queues.append(queue)
        info = inspect(settings.module, budget=settings.scenario.guest.limits())
        return RemoteDevice(
            Birth(
                guest_sha256=info.sha256,
                guest_name=info.metadata.name if info.metadata else "",
                guest_version=info.metadata.version if info.metadata else "",
                abi_version=1,
                engine="record",
                firmware=f"store {Path(str(self._store)).name}",
                boot_id=found[0].boot,
            )
        )

    def connect(self, field: TwinField) -> list[Follower]:
        """Let the twin's valves follow the recorded ones."""
        utc = _keeps_utc(self._store)
        self._followers = [
            Follower(
                field,
                i,
                queue,
                wait_ms=lambda time_ms, queue=queue: _wait_ms(queue, time_ms),  # type: ignore[misc]
                joins_running=False,
                clock_offset_ms=-field.scenario.site.utc_offset_ms if utc else 0,
            )
            for i, queue in enumerate(self._queues)
        ]
        return self._followers

    def attend(self) -> None:
        """The past does not change."""

    def rows(self) -> None:
        """The past is not simulated."""

    def stops(self) -> list[tuple[int, GuestStop | None]]:
        """Stops of the mirrors, since the guests of then must have been stopped likewise."""
        return stops_of(self._followers)

    def close(self) -> None:
        """There is nothing to release."""


def _wait_ms(queue: ReportQueue, time_ms: int) -> int:
    """Until the next report [ms]."""
    next_ms = queue.next_ms()
    return FOREVER_MS if next_ms is None else max(SECOND_MS, next_ms - time_ms)
