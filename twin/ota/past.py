"""The site's own recorded weeks, given to the present module and to the candidate.

Both read what the devices of the site have reported, so the first decision in which they part is
one that the site would have seen.  What water and crop would have been, readings cannot tell: that
is simulated, from the start of the scenario to the end of the record, once with each module.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from levada.guest.abi import DEFAULT_PINS, ErrorCode, TrapKind
from levada.guest.limits import PROFILES
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.node import Readings, StepResult
from levada.guest.tape import time_text
from levada.guest.text.json_text import parse
from levada.guest.wasm.node import WasmtimeNode
from levada.sim.results.decisions import Decision, sentence
from levada.sim.run.build import believed_counts
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.model import Scenario
from levada.sim.units import DAY_MS, HOUR_MS
from levada.twin.ota.suite import FirstDifference
from levada.twin.sources.recording import stored_reports
from levada.twin.sources.remote import FURTHER, DeviceReport, is_reading
from levada.twin.store.reads import StoreReader, to_read

__all__ = ["RecordedWeeks", "record_end", "replay_record"]

_UNKNOWN: Final = int(ErrorCode.UNAVAILABLE)
_LONGEST_STEP_MS: Final = HOUR_MS
"""A valve that was open at a report counts as open no longer than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedWeeks:
    """What both modules decide on what the site has measured."""

    start_ms: int
    end_ms: int
    readings: int
    before_open_h: float
    after_open_h: float
    before_openings: int
    after_openings: int
    first: FirstDifference | None
    stopped: str
    """Why the candidate was stopped; empty: it was not, or the present module was as well."""


def replay_record(
    store: str | Path, scenario: Scenario, present: bytes, candidate: bytes, *, days: int
) -> RecordedWeeks | None:
    """The last `days` of the record, of all zones that have one; None: there is no record.

    Raises StoreError if the store cannot be read, GuestError for a module that cannot run.
    """
    parts = []
    for zone in expand(scenario):
        reports = _last(stored_reports(store, zone.name, scenario), days)
        if reports:
            values = _calibrated(store, zone.name)
            before, after = (
                _Replayed(module, zone, scenario, values).run(reports)
                for module in (present, candidate)
            )
            parts.append((zone.name, reports, before, after))
    if not parts:
        return None
    parted = [found for part in parts if (found := _first(*part)) is not None]
    return RecordedWeeks(
        start_ms=min(reports[0].time_ms for _, reports, _, _ in parts),
        end_ms=max(reports[-1].time_ms for _, reports, _, _ in parts),
        readings=sum(len(reports) for _, reports, _, _ in parts),
        before_open_h=sum(before.open_ms for _, _, before, _ in parts) / HOUR_MS,
        after_open_h=sum(after.open_ms for _, _, _, after in parts) / HOUR_MS,
        before_openings=sum(before.openings for _, _, before, _ in parts),
        after_openings=sum(after.openings for _, _, _, after in parts),
        first=min(parted, key=lambda item: item[0])[1] if parted else None,
        stopped=next((a.stopped for _, _, b, a in parts if a.stopped and not b.stopped), ""),
    )


def record_end(weeks: RecordedWeeks) -> date:
    """The last day of a record, in the scenario's time."""
    return datetime.fromtimestamp(weeks.end_ms / 1000, UTC).date()


def _last(reports: Sequence[DeviceReport], days: int) -> list[DeviceReport]:
    """Readings of the last days, in the order in which the device lived."""
    readings = [report for report in reports if is_reading(report.values.get("raw"))]
    if not readings:
        return []
    begin_ms = max(report.time_ms for report in readings) - days * DAY_MS
    return [report for report in readings if report.time_ms >= begin_ms]


def _calibrated(store: str | Path, zone: str) -> dict[str, int]:
    """Parameters that were set on the device, by name."""
    with to_read(store) as url, closing(StoreReader(url)) as reader:
        return {
            found["parameter"]: int(found["read_back"])
            for found in reader.calibrations(zone)
            if found["read_back"] is not None
        }


class _Replayed:
    """One module that reads what a device has reported."""

    def __init__(
        self, module: bytes, zone: ZoneConfig, scenario: Scenario, calibrated: dict[str, int]
    ) -> None:
        info = inspect(module, budget=scenario.guest.limits()).require()
        self._node = WasmtimeNode(
            module,
            name=zone.name,
            budget=scenario.guest.limits(),
            profile=PROFILES[scenario.guest.profile],
            config=believed_counts(zone),
            parameters=_known(info, {**zone.parameters, **calibrated}),
        )
        self.open_ms = 0
        self.openings = 0
        self.stopped = ""
        self.decisions: list[Decision] = []

    def run(self, reports: Sequence[DeviceReport]) -> _Replayed:
        """Live through the reports."""
        boot: int | None = None
        valve, before_ms = 0, reports[0].time_ms
        for report in reports:
            time_ms = report.device_ms if report.device_ms is not None else report.time_ms
            if report.boot != boot:
                boot = report.boot
                self._note_stop(self._node.boot(time_ms))
            result = self._node.step(time_ms, _readings(report))
            self._note_stop(result)
            self.open_ms += valve * min(max(report.time_ms - before_ms, 0), _LONGEST_STEP_MS)
            now = result.outputs.get(DEFAULT_PINS[0], 0)
            self.openings += now > valve
            self.decisions.append(_decision(report, result, now, valve))
            valve, before_ms = now, report.time_ms
        self._node.close()
        return self

    def _note_stop(self, result: StepResult) -> None:
        if result.trap != TrapKind.NONE and not self.stopped:
            self.stopped = result.trap_detail


def _known(info: ModuleInfo, values: dict[str, int]) -> dict[int, int]:
    """Values of parameters that a module has and permits, by id."""
    return {
        p.id: values[p.name]
        for p in info.parameters
        if p.name in values and p.minimum <= values[p.name] <= p.maximum
    }


def _readings(report: DeviceReport) -> Readings:
    values = report.values
    temperature = values["temp_c"] * 100 if "temp_c" in values else None
    return (
        int(values["raw"]),
        _whole(temperature),
        _whole(values.get("battery_mv")),
        _whole(values.get("flow")),
        *(_whole(values.get(name)) for name in FURTHER),
    )


def _whole(value: float | None) -> int:
    return round(value) if value is not None and is_reading(value) else _UNKNOWN


def _decision(report: DeviceReport, result: StepResult, valve: int, before: int) -> Decision:
    said = _said(result)
    return Decision(
        time_ms=report.time_ms,
        clock_ms=report.time_ms,
        zone=0,
        raw=int(report.values["raw"]),
        irrigar=valve,
        trap=int(result.trap),
        changed=valve != before,
        message="",
        **{key: said.get(key) for key in ("pct", "filt", "on", "off", "flow", "why")},
    )


def _said(result: StepResult) -> dict[str, Any]:
    """The numbers that a guest has published."""
    for _, message in result.publications:
        try:
            found = parse(message)
        except ValueError:
            continue
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, int)}
    return {}


def _first(
    zone: str, _reports: Sequence[DeviceReport], before: _Replayed, after: _Replayed
) -> tuple[int, FirstDifference] | None:
    for a, b in zip(before.decisions, after.decisions, strict=True):
        if (a.irrigar, a.why, a.trap) != (b.irrigar, b.why, b.trap):
            return a.time_ms, FirstDifference(
                time=time_text(a.time_ms), zone=zone, before=sentence(a), after=sentence(b)
            )
    return None
