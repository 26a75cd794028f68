"""The tables of a scenario file, as checked and frozen models.

One class a table.  A key's unit is its ending (`flow_l_min`); the text under a key is its
description in the JSON Schema, in docs/scenario.md and in error messages.  Rules that tie several
keys of one table together stand in that table's validator, rules between tables in
`sim.scenario_checks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from guest.limits import PROFILES, Budget
from sim.expect import Expect
from sim.faults import Fault
from sim.node_url import NodeUrl, parse_node
from sim.problems import Trouble, did_you_mean, refusal
from sim.quantities import format_duration, parse_duration
from sim.table import Table

__all__ = [
    "DEFAULT_SOIL_MODEL",
    "SCENARIO_VERSION",
    "TEXTURES",
    "Calibration",
    "Crop",
    "Energy",
    "Generator",
    "Guest",
    "GuestBudget",
    "Initial",
    "Period",
    "Probe",
    "Scenario",
    "Site",
    "Soil",
    "SoilLayer",
    "Valve",
    "Weather",
    "Zone",
    "spreadable",
]

SCENARIO_VERSION: Final = 1
DEFAULT_SOIL_MODEL: Final[Literal["bucket", "richards"]] = "bucket"

TEXTURES: Final = (
    "sand",
    "loamy sand",
    "sandy loam",
    "loam",
    "silt",
    "silt loam",
    "sandy clay loam",
    "clay loam",
    "silty clay loam",
    "sandy clay",
    "silty clay",
    "clay",
)
"""The twelve texture classes of the US Department of Agriculture, as Carsel and Parrish (1988)."""

_BUDGET: Final = Budget()
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1)

Texture = Literal[
    "sand",
    "loamy sand",
    "sandy loam",
    "loam",
    "silt",
    "silt loam",
    "sandy clay loam",
    "clay loam",
    "silty clay loam",
    "sandy clay",
    "silty clay",
    "clay",
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _many(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _one_or_many(values: tuple[float, ...] | None) -> float | list[float] | None:
    return values[0] if values is not None and len(values) == 1 else values and list(values)


def _by_depth(low: float, high: float) -> Any:
    """A number for the whole soil, or one for each depth."""
    number = {"type": "number", "minimum": low, "maximum": high}
    return (
        BeforeValidator(_many),
        Field(min_length=1, max_length=100),
        PlainSerializer(_one_or_many),
        WithJsonSchema({"anyOf": [number, {"type": "array", "items": number, "minItems": 1}]}),
    )


class Site(Table):
    """Where the field lies."""

    name: str = Field(default="", max_length=100)
    """For people."""
    latitude_deg: float = Field(ge=-66, le=66)
    """North is positive. Beyond the polar circles daylight formulas fail."""
    longitude_deg: float = Field(ge=-180, le=180)
    """East is positive."""
    elevation_m: float = Field(ge=-430, le=6000)
    """Above sea level."""
    utc_offset_h: float = Field(ge=-12, le=14)
    """Local standard time minus UTC; the files and every time here are in local standard time."""
    wind_height_m: float = Field(default=2.0, ge=0.5, le=100)
    """Height at which the wind of the weather file was measured."""


class Period(Table):
    """When the run starts and ends, and how finely time is cut."""

    start: date
    """First day, from midnight."""
    end: date
    """Last day, to midnight: both days are included."""
    step_s: int = Field(default=600, ge=1, le=3600)
    """Length of a step of the field; divides 3600."""
    record_s: int = Field(default=0, ge=0, le=86_400)
    """Time between two rows of the trace; a multiple of `step_s` that divides a day; 0: `step_s`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        troubles = []
        if self.end < self.start:
            troubles.append(Trouble(("end",), f"`end` = {self.end}: before `start` = {self.start}"))
        elif (self.end - self.start).days >= 36_600:
            troubles.append(Trouble(("end",), f"`end` = {self.end}: more than 100 years"))
        if 3600 % self.step_s:
            near = max(s for s in range(1, self.step_s) if 3600 % s == 0)
            troubles.append(
                Trouble(
                    ("step_s",),
                    f"`step_s` = {self.step_s} s: must divide 3600 s",
                    f"{near} does",
                )
            )
        elif self.record_s and (self.record_s % self.step_s or _DAY_MS // 1000 % self.record_s):
            troubles.append(
                Trouble(
                    ("record_s",),
                    f"`record_s` = {self.record_s} s: must be a multiple of `step_s` = "
                    f"{self.step_s} s that divides a day of 86400 s",
                )
            )
        if troubles:
            raise refusal(*troubles)
        return self

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
        return self.start_ms + self.days * _DAY_MS

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
    rain_factor: float = Field(default=1.0, ge=0, le=10)
    """Amount of each rain relative to the fit."""
    warming_c: float = Field(default=0.0, ge=-10, le=10)
    """Added to every temperature."""


class Weather(Table):
    """Measured weather from `file`, or random weather from `generator`."""

    file: str | None = Field(default=None, min_length=1)
    """Daily or hourly file, relative to the scenario."""
    fill: Literal["none", "linear", "previous"] = "none"
    """How holes of the file are filled; `none` refuses a file with holes in the period."""
    generator: Generator | None = None
    """Instead of `file`."""
    sha256: Sha256 | None = None
    """Refuse the file, or the file the generator is fitted to, if it is not this one."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.generator is None):
            found = "neither is given" if self.file is None else "both are given"
            raise refusal(f"exactly one of `file` and `generator` is needed: {found}")
        return self

    @property
    def source(self) -> str:
        """The file that is read."""
        return self.file if self.file is not None else self.generator.like  # type: ignore[union-attr]


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
        return None if value == "never" else parse_duration(str(value))
    except ValueError:
        raise refusal('must be "never" or a time such as "30 s"') from None


def _restart_text(value: timedelta | None) -> str:
    return "never" if value is None else format_duration(value)


class Guest(Table):
    """The WebAssembly module that decides, the same in every zone."""

    file: str | None = Field(default=None, min_length=1)
    """Module, relative to the scenario; without it, the irrigation guest that comes with levada."""
    profile: Literal["edge", "fog"] = "edge"
    """Which imports the guest may call."""
    restart: Annotated[
        timedelta | None,
        BeforeValidator(_restart),
        PlainSerializer(_restart_text),
        WithJsonSchema({"type": "string", "examples": ["never", "0 s", "10 min"]}),
    ] = None
    """`"never"`, or how long after a trap the guest boots again, such as `"30 s"`."""
    budget: GuestBudget = GuestBudget()
    """Limits of one step."""
    sha256: Sha256 | None = None
    """Refuse the module if it is not this one."""

    def limits(self) -> Budget:
        """The budget as the host takes it."""
        return Budget(**dict(self.budget))


assert set(PROFILES) == {"edge", "fog"}


class SoilLayer(Table):
    """One horizon, from the top down; van Genuchten (1980) with Mualem's conductivity."""

    thickness_m: float = Field(gt=0, le=10)
    """Height of the layer."""
    theta_r: float = Field(ge=0, lt=0.5)
    """Residual water content."""
    theta_s: float = Field(gt=0.05, lt=1)
    """Water content at saturation."""
    alpha_1_m: float = Field(gt=0, le=100)
    """About the reciprocal of the air-entry suction."""
    n: float = Field(gt=1, le=15)
    """Shape of the retention curve."""
    ks_m_d: float = Field(gt=0, le=100)
    """Conductivity at saturation."""
    l: float = Field(default=0.5, ge=-10, le=10)  # noqa: E741 - the name in the literature
    """Tortuosity exponent."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.theta_s <= self.theta_r:
            raise refusal(
                Trouble(
                    ("theta_s",),
                    f"`theta_s` = {self.theta_s}: must be above `theta_r` = {self.theta_r}",
                )
            )
        return self


class Initial(Table):
    """Water in the soil at the start: exactly one of three quantities, constant or by depth."""

    available_pct: Annotated[tuple[float, ...] | None, *_by_depth(0, 200)] = None
    """Percent of the water between wilting point and field capacity; above 100 is wetter."""
    theta: Annotated[tuple[float, ...] | None, *_by_depth(0, 1)] = None
    """Volumetric water content."""
    head_m: Annotated[tuple[float, ...] | None, *_by_depth(-1e4, 10)] = None
    """Pressure head; suction is negative."""
    depth_m: Annotated[tuple[float, ...] | None, *_by_depth(0, 10)] = None
    """Depths of the values, increasing; linear in between, constant outside."""

    @model_validator(mode="before")
    @classmethod
    def _default(cls, data: Any) -> Any:
        return {"available_pct": 100.0} if data == {} else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ranges = {"available_pct": (0, 200), "theta": (0, 1), "head_m": (-1e4, 10)}
        given = [key for key in ranges if getattr(self, key) is not None]
        if len(given) != 1:
            found = ", ".join(f"`{key}`" for key in given) or "none"
            raise refusal(f"exactly one of `available_pct`, `theta`, `head_m` is needed: {found}")
        key, troubles = given[0], []
        low, high = ranges[key]
        values = getattr(self, key)
        for value in values:
            if not low <= value <= high:
                troubles.append(Trouble((key,), f"`{key}` = {value}: permitted {low} to {high}"))
        depths = self.depth_m or (0.0,)
        if len(depths) != len(values):
            troubles.append(
                Trouble(
                    (key,),
                    f"`{key}` has {len(values)} values for {len(depths)} depths",
                    "give `depth_m` as many values" if self.depth_m is None else "",
                )
            )
        if depths[0] < 0 or any(b <= a for a, b in zip(depths, depths[1:], strict=False)):
            troubles.append(Trouble(("depth_m",), "`depth_m` must increase from 0 or more"))
        if troubles:
            raise refusal(*troubles)
        return self

    @property
    def quantity(self) -> Literal["available_pct", "theta", "head_m"]:
        """Which of the three is given."""
        if self.theta is not None:
            return "theta"
        return "head_m" if self.head_m is not None else "available_pct"

    @property
    def values(self) -> tuple[float, ...]:
        """The values given."""
        values: tuple[float, ...] = getattr(self, self.quantity)
        return values

    @property
    def depths_m(self) -> tuple[float, ...]:
        """Depth of each value."""
        return self.depth_m or (0.0,)


class Soil(Table):
    """The soil of a zone: described by exactly one of a texture class, fractions, measured water
    contents, or layers."""

    model: Literal["bucket", "richards"] = DEFAULT_SOIL_MODEL
    """`bucket`: root zone balance of FAO-56; `richards`: flow in depth."""
    texture: Texture | None = None
    """Class of the US Department of Agriculture; parameters of Carsel and Parrish (1988)."""
    sand_pct: float | None = Field(default=None, ge=0, le=100)
    """Fraction of sand by mass, with `silt_pct` and `clay_pct`."""
    silt_pct: float | None = Field(default=None, ge=0, le=100)
    """Fraction of silt by mass."""
    clay_pct: float | None = Field(default=None, ge=0, le=100)
    """Fraction of clay by mass."""
    theta_fc: float | None = Field(default=None, gt=0, lt=0.8)
    """Measured water content at field capacity, with `theta_wp`."""
    theta_wp: float | None = Field(default=None, ge=0, lt=0.6)
    """Measured water content at the wilting point."""
    layer: Annotated[tuple[SoilLayer, ...], BeforeValidator(_many)] = ()
    """Horizons from the top down, `[[zone.soil.layer]]`; the last one reaches the bottom."""
    depth_m: float = Field(default=2.0, ge=0.2, le=10)
    """Depth of the soil that is modelled."""
    bottom: Literal["free-drainage", "zero-flux", "head", "seepage"] = "free-drainage"
    """What happens at `depth_m`; `bucket` knows free drainage only."""
    bottom_head_m: float | None = Field(default=None, ge=-100, le=10)
    """Pressure head at the bottom, with `bottom = "head"`; a water table at the bottom is 0."""
    intake_mm_h: float | None = Field(default=None, gt=0, le=10_000)
    """Rate above which water runs off or ponds; without it, it follows from the soil."""
    ponding_mm: float = Field(default=0.0, ge=0, le=500)
    """Water that may stand on the surface before it runs off."""
    initial: Initial = Initial()
    """Water at the start; without it, field capacity."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        troubles = [*self._description(), *self._water(), *self._bottom()]
        if troubles:
            raise refusal(*troubles)
        return self

    def _description(self) -> Iterator[Trouble]:
        fractions = {k: getattr(self, k) for k in ("sand_pct", "silt_pct", "clay_pct")}
        contents = {k: getattr(self, k) for k in ("theta_fc", "theta_wp")}
        given = [
            text
            for text, there in (
                ("`texture`", self.texture is not None),
                (
                    "`sand_pct`, `silt_pct`, `clay_pct`",
                    any(v is not None for v in fractions.values()),
                ),
                ("`theta_fc`, `theta_wp`", any(v is not None for v in contents.values())),
                ("`[[zone.soil.layer]]`", bool(self.layer)),
            )
            if there
        ]
        if len(given) != 1:
            yield Trouble(
                (),
                "a soil is described by exactly one of `texture`; `sand_pct`, `silt_pct`, "
                "`clay_pct`; `theta_fc`, `theta_wp`; `[[zone.soil.layer]]`: found "
                + (" and ".join(given) or "none"),
            )
        for group in (fractions, contents):
            missing = [key for key, value in group.items() if value is None]
            if missing and len(missing) < len(group):
                there = ", ".join(f"`{k}`" for k in group if k not in missing)
                lacks = ", ".join(f"`{k}`" for k in missing)
                yield Trouble((), f"{there} needs {lacks} too")
        if None not in fractions.values():
            total = math.fsum(fractions.values())
            if abs(total - 100) > 1:
                yield Trouble(
                    ("sand_pct",),
                    f"`sand_pct` + `silt_pct` + `clay_pct` = {total:g} %: must be 99 to 101 %",
                )

    def _water(self) -> Iterator[Trouble]:
        fc, wp = self.theta_fc, self.theta_wp
        if fc is not None and wp is not None and fc - wp < 0.01:
            yield Trouble(
                ("theta_fc",),
                f"`theta_fc` = {fc}: must be at least 0.01 above `theta_wp` = {wp}",
            )
        for depth in self.initial.depths_m:
            if depth > self.depth_m:
                yield Trouble(
                    ("initial", "depth_m"),
                    f"`depth_m` = {depth} m: below the soil, whose depth is {self.depth_m} m",
                )

    def _bottom(self) -> Iterator[Trouble]:
        if (self.bottom == "head") != (self.bottom_head_m is not None):
            yield Trouble(
                ("bottom_head_m",) if self.bottom_head_m is not None else ("bottom",),
                '`bottom_head_m` goes with `bottom = "head"`, and only with it',
            )
        if self.model == "bucket":
            if self.bottom != "free-drainage":
                yield Trouble(
                    ("bottom",),
                    f'`bottom` = "{self.bottom}": the bucket knows "free-drainage" only',
                    'set model = "richards"',
                )
            if self.initial.quantity == "head_m" and not self.layer:
                yield Trouble(
                    ("initial", "head_m"),
                    "`head_m` needs a retention curve, which the bucket has from layers only",
                    'set model = "richards", or use `theta` or `available_pct`',
                )


class Crop(Table):
    """The crop of a zone: by name from FAO-56, by numbers, or by name with some numbers changed."""

    name: str | None = Field(default=None, min_length=1)
    """Crop of FAO-56 tables 11, 12, 17 and 22; without it, every number below is needed."""
    planting: date
    """Day of planting; for a perennial crop, the day its growth starts."""
    stage_d: tuple[int, int, int, int] | None = Field(default=None, strict=False)
    """Lengths of the stages: initial, development, mid-season, late season."""
    kcb_ini: float | None = Field(default=None, ge=0, le=1.5)
    """Basal crop coefficient of the initial stage."""
    kcb_mid: float | None = Field(default=None, ge=0, le=1.5)
    """Basal crop coefficient of the mid-season, for a standard climate."""
    kcb_end: float | None = Field(default=None, ge=0, le=1.5)
    """Basal crop coefficient at the end of the late season."""
    zr_ini_m: float | None = Field(default=None, gt=0, le=5)
    """Depth of the roots at planting."""
    zr_max_m: float | None = Field(default=None, gt=0, le=5)
    """Greatest depth of the roots, reached at mid-season."""
    p: float | None = Field(default=None, gt=0, lt=1)
    """Share of the available water that is used without stress, at 5 mm a day."""
    h_max_m: float | None = Field(default=None, gt=0, le=40)
    """Greatest height."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        troubles = []
        numbers = [k for k in type(self).model_fields if k not in ("name", "planting", "zr_ini_m")]
        if self.name is None:
            missing = [f"`{k}`" for k in numbers if getattr(self, k) is None]
            if missing:
                troubles.append(
                    Trouble((), f"a crop without `name` needs its numbers: {', '.join(missing)}")
                )
        if self.stage_d is not None and any(not 1 <= d <= 400 for d in self.stage_d):
            troubles.append(
                Trouble(
                    ("stage_d",), f"`stage_d` = {list(self.stage_d)} d: permitted 1 to 400 each"
                )
            )
        if (
            self.zr_ini_m is not None
            and self.zr_max_m is not None
            and self.zr_max_m < self.zr_ini_m
        ):
            troubles.append(
                Trouble(
                    ("zr_max_m",),
                    f"`zr_max_m` = {self.zr_max_m} m: less than `zr_ini_m` = {self.zr_ini_m} m",
                )
            )
        if troubles:
            raise refusal(*troubles)
        return self


class Probe(Table):
    """The soil probe of a zone and how it turns water into counts of a 12-bit converter."""

    kind: Literal["capacitive", "tensiometer"] = "capacitive"
    """`capacitive` measures water content, `tensiometer` suction (needs `richards`)."""
    depth_m: float = Field(default=0.15, gt=0, le=5)
    """Centre of the support volume."""
    half_height_m: float = Field(default=0.05, ge=0, le=1)
    """Half the height of the support volume."""
    dry_counts: float = Field(default=3000.0, ge=0, le=4095)
    """Counts at `theta_dry`; a tensiometer: at `range_kpa`."""
    wet_counts: float = Field(default=1300.0, ge=0, le=4095)
    """Counts at `theta_wet`; a tensiometer: at no suction."""
    theta_dry: float = Field(default=0.0, ge=0, le=1)
    """Water content of the dry end of the calibration."""
    theta_wet: float = Field(default=0.45, ge=0, le=1)
    """Water content of the wet end of the calibration."""
    curve: Literal["linear", "topp"] = "linear"
    """Counts between the ends: straight in water content, or in permittivity after Topp (1980)."""
    range_kpa: float = Field(default=80.0, ge=1, le=200)
    """Suction at which air enters a tensiometer."""
    temperature_counts_per_c: float = Field(default=0.0, ge=-100, le=100)
    """Change of the reading with soil temperature."""
    reference_c: float = Field(default=20.0, ge=-40, le=85)
    """Temperature of the calibration."""
    noise_counts: float = Field(default=4.0, ge=0, le=1000)
    """Standard deviation of one reading."""
    drift_counts_per_day: float = Field(default=0.0, ge=-100, le=100)
    """Steady drift from the start."""
    ageing_per_year: float = Field(default=0.0, ge=0, le=1)
    """Share of the span lost in a year, seen from the dry end."""
    warmup_counts: float = Field(default=0.0, ge=-4095, le=4095)
    """Offset at power-up, fading exponentially."""
    warmup_s: float = Field(default=1.0, ge=0.001, le=86_400)
    """Time constant of the fading."""
    adc_bits: int = Field(default=12, ge=4, le=12)
    """Effective resolution."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        troubles = []
        if abs(self.dry_counts - self.wet_counts) < 1:
            troubles.append(
                Trouble(
                    ("wet_counts",),
                    f"`wet_counts` = {self.wet_counts:g}: must differ from `dry_counts`",
                )
            )
        if self.theta_wet - self.theta_dry < 0.01:
            troubles.append(
                Trouble(
                    ("theta_wet",),
                    f"`theta_wet` = {self.theta_wet}: must be at least 0.01 above `theta_dry` = "
                    f"{self.theta_dry}",
                )
            )
        if troubles:
            raise refusal(*troubles)
        return self


class Calibration(Table):
    """What the node was told about its probe; what is not given is as the probe really is."""

    dry_counts: int | None = Field(default=None, ge=0, le=4095)
    """Counts the guest takes as 0 %; default: the probe at the wilting point."""
    wet_counts: int | None = Field(default=None, ge=0, le=4095)
    """Counts the guest takes as 100 %; default: the probe at field capacity."""
    limit_counts: int | None = Field(default=None, ge=0, le=4095)
    """Counts above which the soil is too dry; default: where the crop's stress begins."""


class Valve(Table):
    """The valve of a zone with its emitters and flow meter."""

    flow_l_min: float = Field(default=10.0, gt=0, le=1e5)
    """Flow of the whole zone at the nominal pressure."""
    method: Literal["drip", "sprinkler", "basin"] = "drip"
    """How water reaches the soil; sets the default of `wetted_fraction`."""
    wetted_fraction: float = Field(default=0.35, gt=0, le=1)
    """Share of the surface that is wetted, FAO-56 table 20: drip 0.35, others 1 by default."""
    opening_delay_s: float = Field(default=2.0, ge=0, le=3600)
    """From the command to the flow."""
    closing_delay_s: float = Field(default=2.0, ge=0, le=3600)
    """From the command to the end of the flow."""
    pressure_kpa: float = Field(default=100.0, ge=0, le=5000)
    """Pressure of the supply."""
    nominal_pressure_kpa: float = Field(default=100.0, ge=1, le=5000)
    """Pressure at which `flow_l_min` holds."""
    emitter_exponent: float = Field(default=0.5, ge=0, le=1)
    """Flow grows with this power of pressure: 0 compensating, 0.5 orifice, 1 laminar."""
    leak: float = Field(default=0.0, ge=0, le=1)
    """Share of the open flow that passes a closed valve."""
    clog: float = Field(default=0.0, ge=0, lt=1)
    """Share of the flow lost to clogging."""
    pulses_per_l: float = Field(default=450.0, ge=1e-3, le=1e5)
    """Of the flow meter."""
    max_open_s: float | None = Field(default=None, ge=1, le=604_800)
    """Hardware timer that closes the valve whatever the guest does; without it, there is none."""

    @model_validator(mode="before")
    @classmethod
    def _fraction(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("method", "drip") != "drip":
            return {"wetted_fraction": 1.0, **data}
        return data


class Energy(Table):
    """The supply of a node."""

    profile: str = Field(default="esp32-wifi", min_length=1)
    """Currents and times of the board."""
    battery_mah: float = Field(default=2600.0, gt=0, le=1e6)
    """Capacity of the battery."""
    charge_pct: float = Field(default=100.0, ge=0, le=100)
    """Charge at the start."""
    solar_w: float = Field(default=0.0, ge=0, le=100)
    """Rated power of the panel, at 1000 W/m2; 0: none."""


def _spread(value: object) -> object:
    """`{"valve": {"flow_l_min": 0.1}}` -> `{"valve.flow_l_min": 0.1}`."""
    if not isinstance(value, Mapping):
        return value
    flat: dict[str, object] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= {f"{key}.{k}": v for k, v in _spread(inner).items()}  # type: ignore[attr-defined]
        else:
            flat[str(key)] = inner
    return flat


def _parameters(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


class Zone(Table):
    """One irrigated patch; `count` makes many of it."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")
    """Unique; letters, digits, `-` and `_`. With `count`, the zones are `name-001`, `name-002`, ..."""
    count: int = Field(default=1, ge=1, le=9999)
    """How many zones this table stands for."""
    area_m2: float = Field(default=100.0, ge=0.01, le=1e7)
    """Area: 1 L on 1 m2 is 1 mm."""
    node: str = "sim"
    """Where the guest runs: `sim`, `virtual`, `virtual:wasm3`, `serial:PORT?baud=N` with any pyserial
    URL, `mqtt://HOST/PREFIX/NODE`."""
    soil: Soil
    """What the water moves in."""
    crop: Crop
    """What uses the water."""
    probe: Probe = Probe()
    """What the node sees."""
    calibration: Calibration = Calibration()
    """What the node believes about its probe."""
    valve: Valve = Valve()
    """What the node controls."""
    energy: Energy = Energy()
    """What the node runs on."""
    parameters: Annotated[dict[str, int], BeforeValidator(_parameters)] = {}
    """Parameters of the guest by name; `levada guest inspect` lists them with their ranges."""
    spread: Annotated[dict[str, float], BeforeValidator(_spread)] = {}
    """Relative standard deviation of a number among the zones, e.g. `valve.flow_l_min = 0.1`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        troubles = []
        try:
            parse_node(self.node)
        except ValueError as error:
            troubles.append(Trouble(("node",), f"`node` = {self.node!r}: {error}"))
        for depth, of in ((self.probe.depth_m + self.probe.half_height_m, "reaches"),):
            if depth > self.soil.depth_m:
                troubles.append(
                    Trouble(
                        ("probe", "depth_m"),
                        f"`depth_m` = {self.probe.depth_m} m: the probe {of} {depth:g} m, "
                        f"the soil ends at {self.soil.depth_m:g} m",
                    )
                )
        if self.probe.depth_m < self.probe.half_height_m:
            troubles.append(
                Trouble(
                    ("probe", "depth_m"),
                    f"`depth_m` = {self.probe.depth_m} m: the probe would stand out of the soil, "
                    f"`half_height_m` is {self.probe.half_height_m:g} m",
                )
            )
        if self.probe.kind == "tensiometer" and self.soil.model == "bucket":
            troubles.append(
                Trouble(
                    ("probe", "kind"),
                    '`kind` = "tensiometer": the bucket has no suction',
                    'set model = "richards" in [zone.soil]',
                )
            )
        if self.crop.zr_max_m is not None and self.crop.zr_max_m > self.soil.depth_m:
            troubles.append(
                Trouble(
                    ("crop", "zr_max_m"),
                    f"`zr_max_m` = {self.crop.zr_max_m} m: the soil ends at {self.soil.depth_m:g} m",
                )
            )
        numbers = spreadable(self)
        for key, deviation in self.spread.items():
            if key not in numbers:
                troubles.append(
                    Trouble(
                        ("spread", key),
                        f"`{key}` is not a number of this zone that can spread",
                        did_you_mean(key, list(numbers)),
                    )
                )
            if not 0 <= deviation <= 1:
                troubles.append(
                    Trouble(("spread", key), f"`{key}` = {deviation}: relative, permitted 0 to 1")
                )
        if troubles:
            raise refusal(*troubles)
        return self

    @property
    def node_url(self) -> NodeUrl:
        """`node`, parsed."""
        return parse_node(self.node)

    def names(self) -> list[str]:
        """Names of the zones this table stands for."""
        if self.count == 1:
            return [self.name]
        width = max(3, len(str(self.count)))
        return [f"{self.name}-{i:0{width}d}" for i in range(1, self.count + 1)]


def spreadable(zone: Zone) -> dict[str, float]:
    """Dotted key -> value of every number of a zone that may differ from zone to zone."""
    numbers = {"area_m2": zone.area_m2}
    for part in ("soil", "crop", "probe", "valve", "energy"):
        for key, value in getattr(zone, part):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                numbers[f"{part}.{key}"] = float(value)
    return numbers


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
    site: Site
    """Where."""
    period: Period
    """When."""
    weather: Weather
    """Rain and what drives evaporation."""
    guest: Guest = Guest()
    """Who decides."""
    zone: Annotated[tuple[Zone, ...], BeforeValidator(_many), Field(min_length=1, max_length=1000)]
    """`[[zone]]`: what is irrigated."""
    fault: Annotated[tuple[Fault, ...], BeforeValidator(_many)] = ()
    """`[[fault]]`: what goes wrong."""
    expect: Annotated[tuple[Expect, ...], BeforeValidator(_many)] = ()
    """`[[expect]]`: what must hold."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        from sim.scenario_checks import between_tables

        troubles = list(between_tables(self.period, self.zone, self.fault, self.expect))
        if troubles:
            raise refusal(*troubles)
        return self
