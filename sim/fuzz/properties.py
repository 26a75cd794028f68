"""What must hold in every case, written as expectations of the scenario.

The judge is the one of `levada run`, on the trace: the plant's own record of the command to the
valve, of the valve itself, and of the flow meter.  Nothing that the guest says is asked.  The
limits follow from the scenario alone: parameters in force, valve, faults.  A row of the trace tells
what is so every `ROW_S` seconds, hence limits of time are longer by a row or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import ceil
from typing import Any, Final

from levada.guest.module.inspect import ModuleInfo
from levada.sim.devices.valve import flow_l_min
from levada.sim.fuzz.case import ROW_S
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.scenario.fault import Fault, FaultSpan, spans
from levada.sim.scenario.model import Scenario

__all__ = ["PROPERTIES", "Property", "expectations", "not_judged"]

Table = dict[str, Any]

DAY_S: Final = 86_400
RESTARTS: Final = ("reboot", "keep-loss", "brown-out", "reinstall")
LOSSES: Final = ("keep-loss", "reinstall")
"""What the guest kept is gone."""


@dataclass(frozen=True, kw_only=True)
class ZoneLimits:
    """A zone of one case, with everything that limits follow from."""

    scenario: Scenario
    zone: ZoneConfig
    info: ModuleInfo
    acting: list[tuple[Fault, FaultSpan]]
    """The faults that act on it."""

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Those in force."""
        return {p.name: p.default for p in self.info.parameters} | self.zone.parameters

    def parameter(self, name: str) -> int:
        """Value in force; 0 if the guest has no such parameter."""
        return self.parameters.get(name, 0)

    def of_kind(self, *kinds: str) -> list[FaultSpan]:
        """When faults of these kinds act, in the order of time."""
        found = [span for fault, span in self.acting if fault.kind in kinds]
        return sorted(found, key=lambda span: span.start_ms)

    @property
    def look_s(self) -> int:
        """Time between two looks of a guest whose valve is open."""
        between_s = self.parameter("open_period_s") or self.parameter("period_s")
        return min(between_s, self.parameter("max_open_s"))

    @property
    def hold_s(self) -> int:
        """For so long after a start no valve opens: a full pause, two rows at the least."""
        return max(self.parameter("min_pause_s"), 2 * ROW_S)

    @property
    def full_l_min(self) -> float:
        """Flow of the open valve, whatever clogs it."""
        v = self.zone.valve
        return flow_l_min(v.flow_l_min, v.pressure_kpa, v.nominal_pressure_kpa, v.emitter_exponent)

    @property
    def jammed_s(self) -> float:
        """Time in which a fault held the valve open."""
        return sum(s.end_ms - s.start_ms for s in self.of_kind("valve-stuck-open")) / 1000.0

    def never(self, what: str, that: str, **more: Any) -> Table:
        """An expectation of this zone."""
        return {
            "name": f"{self.zone.name}: {what}",
            "kind": "never",
            "that": that,
            "zones": [self.zone.name],
            **more,
        }

    def never_longer(self, what: str, that: str, limit_s: float) -> Iterator[Table]:
        """One that tolerates `limit_s` at a stretch; none if the whole case is no longer."""
        if limit_s < self.scenario.period.days * DAY_S:
            yield self.never(what, that, longer_than=f"{ceil(limit_s)} s")


def _limit(zone: ZoneLimits) -> Iterator[Table]:
    """Openings are as long as `max_open_s` at most, without flow hardly longer than
    `flow_confirm_s`: flow is seen at a step, and missed at another one.
    """
    most_s, closing_s = zone.parameter("max_open_s"), zone.zone.valve.closing_delay_s
    what = f"commanded open for no longer than {most_s} s"
    yield from zone.never_longer(what, "valve_commanded", most_s + ROW_S)
    # sooner opened again than closed, it would be one opening of the valve and two of the guest
    if not zone.of_kind("valve-stuck-open") and closing_s < zone.parameter("period_s"):
        yield zone.never(
            f"open for no longer than {most_s} s", f"valve_run_s > {most_s + closing_s:g}"
        )
    if confirm_s := zone.parameter("flow_confirm_s"):
        yield from zone.never_longer(
            f"commanded open without flow for no longer than {confirm_s} s and two steps",
            "valve_commanded and flow_pulses == 0",
            confirm_s + 2 * zone.look_s + 2 * ROW_S,
        )


def _timer(zone: ZoneLimits) -> Iterator[Table]:
    """The timer counts from the command on; a valve that a fault holds open is opened longer, and
    its timer may have begun anew meanwhile.  Without power the valve closes at once.
    """
    valve, jams = zone.zone.valve, zone.of_kind("valve-stuck-open")
    most_s = (1 + len(jams)) * valve.max_open_s + zone.jammed_s + valve.closing_delay_s
    yield zone.never(
        f"open for no longer than the timer of {valve.max_open_s:g} s permits",
        f"valve_run_s > {most_s:g}",
    )
    for number, off in enumerate(zone.of_kind("brown-out"), 1):
        closed_ms = off.start_ms + 1000 * ceil(valve.closing_delay_s)
        if any(jam.start_ms <= off.end_ms and off.start_ms <= jam.end_ms for jam in jams):
            continue
        yield from _window(
            zone, f"closed without power, brown-out {number}", "valve_open", closed_ms, off.end_ms
        )


def _cap(zone: ZoneLimits) -> Iterator[Table]:
    """N days have N allowances; a clock that jumps may give one more, a loss of what the guest
    keeps one for each loss.  An allowance is over by what flows until the guest looks.
    """
    extra_l = zone.full_l_min * (
        zone.jammed_s / 60.0
        + sum(
            (fault.value or 0.0) * (span.end_ms - span.start_ms) / 60_000.0
            for fault, span in zone.acting
            if fault.kind == "valve-leak"
        )
        + zone.zone.valve.leak * zone.scenario.period.days * 1440.0
    )
    between_l = zone.full_l_min * (zone.look_s + zone.zone.valve.closing_delay_s) / 60.0
    extra_l += between_l * _hidden(zone) + 1.0
    days, losses = zone.scenario.period.days, len(zone.of_kind(*LOSSES))
    cap_l = zone.parameter("daily_cap_l")
    allowances = days + losses
    if zone.of_kind("clock-skew"):
        allowances += 1 + 2 * losses
    elif not losses:
        yield _total(zone, "a day", cap_l + 2 * between_l + extra_l, per="day")
    yield _total(zone, f"in {days} days", allowances * (cap_l + between_l) + extra_l)


def _hidden(zone: ZoneLimits) -> int:
    """So many times what flows between two looks may stay unseen: a restart comes before the first
    look, or, after a change of the flow, before the next.  Openings without flow are limited.
    """
    restarts = len(zone.of_kind(*RESTARTS))
    if zone.zone.energy.battery != "none":
        restarts += zone.scenario.period.days  # by night it may run flat
    limit = zone.parameter("no_flow_limit")
    changes = 1 + 2 * len(zone.of_kind("valve-clog", "valve-stuck-closed"))
    return min(restarts, limit * changes) if limit else restarts


def _total(zone: ZoneLimits, when: str, limit_l: float, **more: Any) -> Table:
    cap_l = zone.parameter("daily_cap_l")
    return {
        "name": f"{zone.zone.name}: no more {when} than {cap_l} L a day permit",
        "kind": "total",
        "of": "flow_l",
        "below": ceil(limit_l),
        "zones": [zone.zone.name],
        **more,
    }


def _start(zone: ZoneLimits) -> Iterator[Table]:
    """For a pause after each start no valve is commanded open."""
    begins_ms = [zone.scenario.period.start_ms]
    begins_ms += [span.end_ms for span in zone.of_kind(*RESTARTS)]
    windows: list[list[int]] = []
    for begin_ms in sorted(begins_ms):
        end_ms = begin_ms + 1000 * zone.hold_s - 1000
        if windows and begin_ms <= windows[-1][1]:
            windows[-1][1] = end_ms
        else:
            windows.append([begin_ms, end_ms])
    for number, (begin_ms, end_ms) in enumerate(windows):
        what = f"not opened after {f'start {number}' if number else 'the first start'}"
        yield from _window(zone, what, "valve_commanded", begin_ms, end_ms)


def _stopped(zone: ZoneLimits) -> Iterator[Table]:
    """The guest runs, whatever it reads."""
    yield zone.never("the guest is not stopped", "trap != NONE")


def _window(zone: ZoneLimits, what: str, that: str, begin_ms: int, end_ms: int) -> Iterator[Table]:
    """`that` never holds between two times; nothing if no row of the trace is there."""
    end_ms = min(end_ms, zone.scenario.period.end_ms)
    if end_ms // (1000 * ROW_S) > begin_ms // (1000 * ROW_S):
        yield zone.never(what, that, start=_moment(begin_ms), end=_moment(end_ms))


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC).replace(tzinfo=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """What must hold, whatever happens."""

    key: str
    """For the name of a file."""
    sentence: str
    needs: tuple[str, ...] = ()
    """Parameters of the guest without which there is nothing to judge."""
    tables: Callable[[ZoneLimits], Iterator[Table]]
    """Its expectations of one zone."""


PROPERTIES: Final = (
    Property(
        key="open-limit",
        sentence="No zone is open longer than its limit, nor without confirmed flow",
        needs=("max_open_s", "period_s"),
        tables=_limit,
    ),
    Property(
        key="hardware-timer",
        sentence="No valve is open after a fault for longer than the hardware timer",
        tables=_timer,
    ),
    Property(
        key="daily-cap",
        sentence="The daily cap holds across restarts and clock jumps",
        needs=("daily_cap_l", "max_open_s", "period_s"),
        tables=_cap,
    ),
    Property(key="start", sentence="No update and no restart opens a valve", tables=_start),
    Property(key="stopped", sentence="The guest is never stopped", tables=_stopped),
)


def not_judged(info: ModuleInfo, property_: Property) -> str:
    """Why a property says nothing of a guest; empty if it does."""
    declared = {p.name for p in info.parameters}
    missing = [f"`{name}`" for name in property_.needs if name not in declared]
    return f"the guest has no parameter {' and '.join(missing)}" if missing else ""


def expectations(
    scenario: Scenario, zones: list[ZoneConfig], info: ModuleInfo
) -> dict[str, list[Table]]:
    """`[[expect]]` tables by the key of their property, for a scenario without any."""
    acting = list(zip(scenario.fault, spans(scenario.period, scenario.fault, zones), strict=True))
    found: dict[str, list[Table]] = {}
    for index, zone in enumerate(zones):
        mine = [(fault, span) for fault, span in acting if index in span.zones]
        limits = ZoneLimits(scenario=scenario, zone=zone, info=info, acting=mine)
        for property_ in PROPERTIES:
            if _is_judged(limits, property_):
                found.setdefault(property_.key, []).extend(property_.tables(limits))
    return found


def _is_judged(zone: ZoneLimits, property_: Property) -> bool:
    if not_judged(zone.info, property_):
        return False
    if property_.key == "stopped":
        return not zone.scenario.guest.may_stop
    if property_.key == "daily-cap":  # the guest knows no litres but those that its meter counts
        counted = zone.parameter("pulses_per_l") == zone.zone.valve.pulses_per_l
        return zone.parameter("daily_cap_l") > 0 and counted
    return True
