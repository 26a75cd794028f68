"""The tables of a scenario file, as checked and frozen models.

One class a table.  A key's unit is its ending (`flow_l_min`); the text under a key is its
description in the JSON Schema, in docs/scenario.md and in error messages.  Rules that tie several
keys of one table together stand in that table's validator, rules between tables in
`levada.sim.scenario.checks`.  Zones are in `levada.sim.scenario.zone`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from levada.guest.limits import PROFILES, Budget
from levada.sim.quantities import format_duration, parse_whole_seconds
from levada.sim.scenario.alert import Alert
from levada.sim.scenario.baselines import Baselines
from levada.sim.scenario.checks import between_tables, shared_supplies, tiers
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.continuum import Cloud, Edge, Fog, Link
from levada.sim.scenario.expect import Expect
from levada.sim.scenario.fault import Fault
from levada.sim.scenario.mapping import PayloadMapping
from levada.sim.scenario.zone import Zone
from levada.sim.settings.base import as_tuple
from levada.sim.settings.issue import Issue, did_you_mean, refusal
from levada.sim.settings.probe import MmPerTip
from levada.sim.settings.site import Site
from levada.sim.settings.supply import WaterSupply
from levada.sim.settings.weather import RainFactor, WarmingC
from levada.sim.units import DAY_MS, HOUR_MS

__all__ = [
    "SCENARIO_VERSION",
    "FieldSite",
    "Generator",
    "Guest",
    "GuestBudget",
    "Period",
    "Scenario",
    "Weather",
]

SCENARIO_VERSION: Final = 1

_BUDGET: Final = Budget()
_FARTHEST_CLOCK_H: Final = 3.5
"""Of standard time from the sun: the west of China has 3.1 h, no place more."""
_FAR_CLOCK_H: Final = 2.0
"""Few places have more; most of them are in China."""
_MAX_DAYS: Final = 36_600
_EPOCH: Final = datetime(1970, 1, 1)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FieldSite(Site):
    """Where the field lies."""

    rain_gauge_mm_per_tip: MmPerTip | None = None
    """A tipping bucket beside the field; the summary then has its `rain_gauge_tips` and
    `rain_gauge_mm`."""

    def troubles(self) -> Iterator[Issue]:
        """A clock that goes with the sun."""
        if not (self.utc_offset_h * 4.0).is_integer():
            yield Issue(
                ("utc_offset_h",),
                f"`utc_offset_h` = {self.utc_offset_h:g} h: standard times are whole quarters of "
                "an hour from UTC",
                "write minutes as a decimal: 5 h 30 min is 5.5",
            )
        ahead_h = self.clock_ahead_h
        if abs(ahead_h) > _FARTHEST_CLOCK_H:
            near = round(self.longitude_deg / 15.0)
            yield Issue(
                ("utc_offset_h",),
                f"`utc_offset_h` = {self.utc_offset_h:g} h: {abs(ahead_h):.1f} h "
                f"{'ahead of' if ahead_h > 0.0 else 'behind'} the sun at `longitude_deg` = "
                f"{self.longitude_deg:g} deg, permitted at most {_FARTHEST_CLOCK_H:g} h",
                f"about {near} here: east of Greenwich is positive, for both",
            )

    @property
    def clock_ahead_h(self) -> float:
        """How far standard time is ahead of the mean sun [h], -12 to 12.

        The date line does not matter: Kiribati, at UTC+14 and 157 degrees west, is half an hour
        ahead.
        """
        return (self.utc_offset_h - self.longitude_deg / 15.0 + 12.0) % 24.0 - 12.0

    @property
    def utc_offset_ms(self) -> int:
        """`utc_offset_h` [ms]."""
        return round(self.utc_offset_h * HOUR_MS)


class Period(Table):
    """When the run starts and ends, and how finely time is cut."""

    start: date
    """First day, from midnight."""
    end: date
    """Last day, to midnight: both days are included."""
    step_s: int = Field(default=600, ge=1, le=3600)
    """Length of a step of the field; divides 3600."""
    record_s: int | None = Field(default=None, ge=1, le=86_400)
    """Time between two rows of the trace: a multiple of `step_s` that divides a day; default:
    `step_s`."""

    def troubles(self) -> Iterator[Issue]:
        """Days in order, intervals that fit into each other."""
        if self.end < self.start:
            yield Issue(("end",), f"`end` = {self.end}: before `start` = {self.start}")
        elif self.days > _MAX_DAYS:
            yield Issue(("end",), f"{self.days} days: permitted at most {_MAX_DAYS}")
        if 3600 % self.step_s:
            near = max(s for s in range(1, self.step_s) if 3600 % s == 0)
            yield Issue(
                ("step_s",), f"`step_s` = {self.step_s} s: must divide 3600 s", f"{near} does"
            )
        elif self.trace_s % self.step_s or 86_400 % self.trace_s:
            yield Issue(
                ("record_s",),
                f"`record_s` = {self.record_s} s: must be a multiple of `step_s` = {self.step_s} s "
                "and divide a day of 86400 s",
            )

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days + 1

    @property
    def steps(self) -> int:
        """Number of steps of the field."""
        return self.days * 86_400 // self.step_s

    @property
    def trace_s(self) -> int:
        """Time between two rows of the trace [s]."""
        return self.record_s or self.step_s

    @property
    def start_ms(self) -> int:
        """First instant, ms since 1970, local standard time taken as if it were UTC."""
        return _ms(datetime.combine(self.start, time()))

    @property
    def end_ms(self) -> int:
        """First instant after the last day [ms]."""
        return self.start_ms + self.days * DAY_MS

    def moment_ms(self, moment: datetime | timedelta) -> int:
        """A local time or a time since the start -> ms since 1970."""
        if isinstance(moment, timedelta):
            return self.start_ms + round(moment.total_seconds()) * 1000
        return _ms(moment)


def _ms(moment: datetime) -> int:
    return round((moment - _EPOCH).total_seconds()) * 1000


class Generator(Table):
    """Random weather that resembles a file."""

    like: str = Field(min_length=1)
    """Weather file to which the generator is fitted, relative to the scenario."""
    rain_factor: RainFactor = 1.0
    """Amount of each rain relative to the fit."""
    warming_c: WarmingC = 0.0
    """Added to every temperature."""


class Weather(Table):
    """Measured weather from `file`, or random weather from `generator`."""

    file: str | None = Field(default=None, min_length=1)
    """Daily or hourly file, relative to the scenario."""
    fill: Literal["none", "linear", "previous-day"] = "none"
    """How values that the file lacks are filled, each in its column; `none` refuses a file that
    lacks any in the period."""
    from_temperature: Literal["none", "interior", "coast"] = "none"
    """Climate by which radiation, humidity and wind that a daily file does not have are estimated
    from temperature, after FAO-56; of temperatures alone ET0 is that of Hargreaves. `none` refuses
    such a file."""
    time_zone: str | None = Field(default=None, min_length=1)
    """IANA zone of an hourly CSV file of levada's own that is kept on clock time, such as
    `America/Denver`; default: the file is in local standard time."""
    generator: Generator | None = None
    """Instead of `file`."""
    sha256: Sha256 | None = None
    """Refuse the file, or the file the generator is fitted to, if it is not this one."""

    def troubles(self) -> Iterator[Issue]:
        """One source."""
        if (self.file is None) == (self.generator is None):
            found = "none" if self.file is None else "both"
            yield Issue((), f"exactly one of `file` and `generator` is needed: found {found}")
        if self.time_zone is not None:
            yield from _zone(self.time_zone)
        if self.generator is not None and self.fill != "none":
            yield Issue(("fill",), "`fill` goes with `file`: random weather has no holes")

    @property
    def source(self) -> str:
        """The file that is read."""
        return self.file if self.file is not None else self.generator.like  # type: ignore[union-attr]


def _zone(name: str) -> Iterator[Issue]:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(name, sorted(available_timezones()), "")
        yield Issue(("time_zone",), f'`time_zone` = "{name}": no such zone', hint)


class GuestBudget(Table):
    """What the guest may use in one step."""

    instructions: int = Field(default=_BUDGET.instructions, ge=1, le=10**12)
    """Wasm instructions."""
    deadline_ms: int = Field(default=_BUDGET.deadline_ms, ge=1, le=3_600_000)
    """Wall-clock guard."""
    memory_pages: int = Field(default=_BUDGET.memory_pages, ge=1, le=65_536)
    """Linear memory, pages of 64 KiB."""
    host_calls: int = Field(default=_BUDGET.host_calls, ge=1, le=10**9)
    """Host calls of any kind."""
    log_bytes: int = Field(default=_BUDGET.log_bytes, ge=1, le=10**9)
    """Bytes of log."""
    publish_bytes: int = Field(default=_BUDGET.publish_bytes, ge=1, le=10**9)
    """Bytes of topics and messages published."""
    module_bytes: int = Field(default=_BUDGET.module_bytes, ge=1, le=10**9)
    """Size of the module."""


def _restart(value: object) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    try:
        return None if value == "never" else parse_whole_seconds(str(value))
    except ValueError:
        raise refusal('must be "never" or a time such as "30 s"') from None


def _restart_text(value: timedelta | None) -> str:
    return "never" if value is None else format_duration(value)


class Guest(Table):
    """The WebAssembly module that decides, the same in every zone."""

    file: str | None = Field(default=None, min_length=1)
    """Module, relative to the scenario, or the name of one that comes with levada: `irrigation`,
    which waters by a probe and is the default, or `et`, which waters by weather."""
    profile: Literal["edge", "fog", "cloud"] = "edge"
    """Which imports the guest may call."""
    restart: Annotated[
        timedelta | None,
        BeforeValidator(_restart),
        PlainSerializer(_restart_text),
        WithJsonSchema({"type": "string", "examples": ["never", "0 s", "10 min"]}),
    ] = None
    """`"never"`, the default, or how long after a trap the guest boots again, such as `"30 s"`."""
    may_stop: bool = False
    """Whether a run can pass although a guest was stopped by a trap; say so where that is the
    story, and let an expectation on `trap` judge it."""
    budget: GuestBudget = GuestBudget()
    """Limits of one step."""
    sha256: Sha256 | None = None
    """Refuse the module if it is not this one."""

    def limits(self) -> Budget:
        """The budget as the host takes it."""
        return Budget(**dict(self.budget))


assert set(PROFILES) == {"edge", "fog", "cloud"}


class Scenario(Table):
    """A run: site, period, weather, guest, zones, faults, expectations."""

    version: Literal[1]
    """Version of the file format."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    """Short name, for directories and reports: small letters, digits and `-`."""
    title: str = Field(default="", max_length=200)
    """One line for people."""
    description: str = Field(default="", max_length=10_000)
    """The story: what happens and what is to be seen."""
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Root of every random stream."""
    site: FieldSite
    """Where."""
    period: Period
    """When."""
    weather: Weather
    """Rain and what drives evaporation."""
    guest: Guest = Guest()
    """Who decides."""
    zone: Annotated[tuple[Zone, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """`[[zone]]`: what is irrigated."""
    supply: Annotated[tuple[WaterSupply, ...], BeforeValidator(as_tuple)] = ()
    """`[[supply]]`: what feeds several zones."""
    fault: Annotated[tuple[Fault, ...], BeforeValidator(as_tuple)] = ()
    """`[[fault]]`: what goes wrong."""
    expect: Annotated[tuple[Expect, ...], BeforeValidator(as_tuple)] = ()
    """`[[expect]]`: what must hold."""
    alert: Annotated[tuple[Alert, ...], BeforeValidator(as_tuple)] = ()
    """`[[alert]]`: of what the live twin tells."""
    mapping: Annotated[tuple[PayloadMapping, ...], BeforeValidator(as_tuple)] = ()
    """`[[mapping]]`: payloads of devices that speak otherwise."""
    baselines: Baselines | None = None
    """Controllers that run beside the guest; default: none."""
    edge: Edge = Edge()
    """How the nodes run their guest."""
    fog: Fog | None = None
    """What fog computes; default: there is no fog."""
    cloud: Cloud | None = None
    """What the cloud computes; default: there is no cloud."""
    link: Annotated[tuple[Link, ...], BeforeValidator(as_tuple)] = ()
    """`[[link]]`: what a message meets between two tiers."""

    def troubles(self) -> Iterator[Issue]:
        """What contradicts itself between tables."""
        nodes = {name for zone in self.zone for name in zone.names()}
        yield from tiers(self.period, nodes, self.fog, self.cloud, self.link)
        yield from shared_supplies(self.zone, self.supply)
        yield from between_tables(self.period, self.zone, self.fault, self.expect, self.alert)
        for number, table in enumerate(self.mapping):
            for before in self.mapping[:number]:
                if before.covers(table):
                    yield Issue(
                        ("mapping", number, "topic"),
                        f'`topic` = "{table.topic}" has no effect: every payload of it is read by '
                        f'"{before.topic}" above',
                        "put the fields into one table, or the special topic first",
                    )
                    break

    def notes(self) -> list[str]:
        """What is permitted and may still not be meant."""
        notes = []
        ahead_h = self.site.clock_ahead_h
        if abs(ahead_h) > _FAR_CLOCK_H:
            side = "ahead of" if ahead_h > 0.0 else "behind"
            notes.append(
                f"`utc_offset_h` = {self.site.utc_offset_h:g} h: standard time is "
                f"{abs(ahead_h):.1f} h {side} the sun here"
            )
        if self.alert:
            notes.append("[[alert]] has no effect in a run: `levada twin` raises alerts")
        if self.mapping:
            notes.append("[[mapping]] has no effect in a run: `levada twin --shadow` reads it")
        return notes
