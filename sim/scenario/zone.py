"""The `[[zone]]` table: one irrigated patch with soil, crop, probe, valve and node.

Keys of probe, valve, crop and power are the fields of `levada.sim.devices.probe.Probe`,
`levada.sim.devices.valve.Valve`, `levada.sim.crop.crop.Crop` and
`levada.sim.devices.energy.NodePower`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from levada.sim.crop.table import TABLE
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.diagnostics import Issue, did_you_mean
from levada.sim.scenario.idle import idle_keys
from levada.sim.scenario.node_url import NodeUrl, parse_node
from levada.sim.scenario.soil import Soil, as_tuple

__all__ = ["Calibration", "Crop", "Energy", "Probe", "Valve", "Zone", "spreadable"]


class Crop(Table):
    """The crop of a zone: by name from FAO-56, by numbers, or by name with some numbers changed."""

    name: str | None = Field(default=None, min_length=1)
    """Crop of FAO-56 tables 11, 12, 17 and 22; without it, numbers are needed."""
    planting: date
    """Day of planting; for a perennial crop, the day its growth starts."""
    harvest: date | None = None
    """Day on which the ground is bare again; without it, the end of the late season."""
    growth: Literal["days", "degree-days"] = "days"
    """What the lengths of the stages are counted in."""
    stages: Annotated[tuple[float, float, float, float] | None, BeforeValidator(as_tuple)] = None
    """Lengths of initial, development, mid and late season, in what `growth` says."""
    kcb_ini: float | None = Field(default=None, ge=0, le=1.5)
    """Basal crop coefficient of the initial stage."""
    kcb_mid: float | None = Field(default=None, ge=0, le=1.5)
    """Basal crop coefficient of the mid-season in a standard climate."""
    kcb_end: float | None = Field(default=None, ge=0, le=1.5)
    """Basal crop coefficient at the end of the late season."""
    height_max_m: float | None = Field(default=None, ge=0.001, le=30)
    """Greatest height."""
    zr_min_m: float | None = Field(default=None, ge=0.05, le=5)
    """Root depth at planting."""
    zr_max_m: float | None = Field(default=None, ge=0.05, le=5)
    """Greatest root depth."""
    depletion_fraction: float | None = Field(default=None, ge=0.1, le=0.8)
    """Share of the available water used without stress at 5 mm a day, p in FAO-56."""
    base_c: float | None = Field(default=None, ge=-5, le=25)
    """Degree-days: below this temperature nothing grows."""
    upper_c: float | None = Field(default=None, ge=10, le=50)
    """Degree-days: above this temperature growth is no faster."""
    feddes_m: Annotated[
        tuple[float, float, float, float, float] | None, BeforeValidator(as_tuple)
    ] = None
    """Pressure heads of Feddes et al. (1978), falling: above the first no uptake (no air), between
    the second and the third full uptake at high demand, to the fourth at low demand, below the
    fifth none; `richards` only."""
    feddes_like: str | None = Field(default=None, min_length=1)
    """Crop whose heads are taken; without it, its own, or those of maize with a note."""

    def troubles(self) -> Iterator[Issue]:
        """A known name or all numbers; what must be in order is."""
        if self.name is None:
            missing = [f"`{k}`" for k in _CROP_NUMBERS if getattr(self, k) is None]
            if missing:
                yield Issue((), f"a crop without `name` needs {', '.join(missing)}")
        elif self.name not in TABLE:
            yield Issue(
                ("name",),
                f'`name` = "{self.name}": not a crop of the table',
                did_you_mean(self.name, list(TABLE), "crops"),
            )
        if self.stages is not None and any(not 0 < length <= 5000 for length in self.stages):
            yield Issue(
                ("stages",), f"`stages` = {list(self.stages)}: each permitted above 0, at most 5000"
            )
        if self.growth == "degree-days" and self.stages is None:
            yield Issue(("growth",), "`growth`: the table has days only, give `stages` too")
        yield from self._heads()
        if self.harvest is not None and self.harvest <= self.planting:
            yield Issue(("harvest",), f"`harvest` = {self.harvest}: not after `planting`")
        for small, large in (("zr_min_m", "zr_max_m"), ("base_c", "upper_c")):
            low, high = getattr(self, small), getattr(self, large)
            if low is not None and high is not None and high < low:
                yield Issue((large,), f"`{large}` = {high}: below `{small}` = {low}")

    def _heads(self) -> Iterator[Issue]:
        if self.feddes_m is not None:
            h = self.feddes_m
            if not (0.0 >= h[0] > h[1] > h[2] >= h[3] > h[4] >= -1e4):
                yield Issue(
                    ("feddes_m",),
                    f"`feddes_m` = {list(h)}: permitted 0 >= h1 > h2 > h3 high >= h3 low > h4 "
                    ">= -10000 m",
                )
        if self.feddes_like is not None:
            from levada.sim.soil.uptake import FEDDES  # loads numpy

            if self.feddes_m is not None:
                yield Issue(("feddes_like",), "`feddes_like` and `feddes_m`: give one")
            if self.feddes_like not in FEDDES:
                yield Issue(
                    ("feddes_like",),
                    f'`feddes_like` = "{self.feddes_like}": no heads are known of it',
                    did_you_mean(self.feddes_like, list(FEDDES), "crops"),
                )

    def changes(self) -> dict[str, Any]:
        """The numbers given, as `levada.sim.crop.crop.crop` or `levada.sim.crop.crop.Crop` takes
        them."""
        given = {key: value for key, value in self if key not in _CROP_WORDS and value is not None}
        return given | ({"growth": self.growth} if self.growth != "days" else {})


_CROP_WORDS: Final = ("name", "planting", "harvest", "growth", "feddes_m", "feddes_like")
_CROP_NUMBERS: Final = (
    "stages",
    "kcb_ini",
    "kcb_mid",
    "kcb_end",
    "height_max_m",
    "zr_max_m",
    "depletion_fraction",
)


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
    """Water content at the dry end of the calibration."""
    theta_wet: float = Field(default=0.45, ge=0, le=1)
    """Water content at the wet end of the calibration."""
    curve: Literal["linear", "topp"] = "linear"
    """Between the ends: straight in water content, or in permittivity after Topp (1980)."""
    range_kpa: float = Field(default=80.0, ge=1, le=200)
    """Suction at which air enters a tensiometer."""
    temperature_counts_per_c: float = Field(default=0.0, ge=-100, le=100)
    """Change of the reading with soil temperature."""
    reference_c: float = Field(default=20.0, ge=-40, le=85)
    """Temperature of the calibration."""
    noise_counts: float = Field(default=4.0, ge=0, le=4095)
    """Standard deviation of one reading."""
    drift_counts_per_day: float = Field(default=0.0, ge=-4095, le=4095)
    """Steady drift from the start."""
    ageing_per_year: float = Field(default=0.0, ge=0, le=1)
    """Share of the span lost in a year, seen from the dry end."""
    warmup_counts: float = Field(default=0.0, ge=-4095, le=4095)
    """Offset at power-up, fading exponentially."""
    warmup_s: float = Field(default=1.0, ge=0.001, le=86_400)
    """Time constant of the fading."""
    adc_bits: int = Field(default=12, ge=4, le=12)
    """Effective resolution."""

    def troubles(self) -> Iterator[Issue]:
        """A calibration that can be turned around."""
        if abs(self.dry_counts - self.wet_counts) < 1:
            yield Issue(
                ("wet_counts",),
                f"`wet_counts` = {self.wet_counts:g} counts: equals `dry_counts`",
            )
        if self.theta_wet - self.theta_dry < 0.01:
            yield Issue(
                ("theta_wet",),
                f"`theta_wet` = {self.theta_wet}: must be at least 0.01 above `theta_dry` = "
                f"{self.theta_dry}",
            )


class Calibration(Table):
    """What the node was told about its probe; what is left out is as the probe really is."""

    dry_counts: int | None = Field(default=None, ge=0, le=4095)
    """Counts that the guest takes as 0 %; default: the probe at the wilting point."""
    wet_counts: int | None = Field(default=None, ge=0, le=4095)
    """Counts that the guest takes as 100 %; default: the probe at field capacity."""
    limit_counts: int | None = Field(default=None, ge=0, le=4095)
    """Counts above which the soil is too dry; default: where the crop's stress begins."""

    def troubles(self) -> Iterator[Issue]:
        """Two ends that are apart."""
        if self.dry_counts is not None and self.dry_counts == self.wet_counts:
            yield Issue(
                ("wet_counts",), f"`wet_counts` = {self.wet_counts} counts: equals `dry_counts`"
            )


class Valve(Table):
    """The valve of a zone with its emitters and flow meter."""

    flow_l_min: float = Field(default=10.0, gt=0, le=1e5)
    """Flow of the whole zone at the nominal pressure."""
    method: Literal["drip", "sprinkler", "basin"] = "drip"
    """How water reaches the soil; decides the default of `wetted_fraction`."""
    wetted_fraction: float = Field(default=0.35, ge=0.01, le=1)
    """Share of the surface that is wetted; FAO-56 table 20: drip 0.35, others 1."""
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
    """Share of the open flow that passes the closed valve."""
    clog: float = Field(default=0.0, ge=0, le=1)
    """Share of the flow lost to clogging."""
    pulses_per_l: float = Field(default=450.0, ge=1e-3, le=1e5)
    """Of the flow meter."""
    max_open_s: float = Field(default=21_600.0, ge=1, le=31_622_400)
    """Timer of the hardware that closes the valve whatever the guest does: 6 h, so that no guest
    floods a field; a year stands for a valve without a timer."""

    @model_validator(mode="before")
    @classmethod
    def _fraction(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("method", "drip") != "drip":
            return {"wetted_fraction": 1.0, **data}
        return data


class Energy(Table):
    """What the node of a zone draws, and what feeds it: an ESP32 by the constants of its maker."""

    sleep: Literal["deep", "light", "connected-light", "connected-modem"] = "deep"
    """Between two steps; `connected-` keeps the radio's link."""
    cpu_mhz: Literal[240, 160, 80] = 240
    """Clock of the processor."""
    address: Literal["static", "dhcp"] = "static"
    """How the node gets its network address after deep or light sleep."""
    board_ma: float | None = Field(default=None, ge=0, le=500)
    """What the rest of the board draws at all times; default: a low-drop regulator."""
    battery: Literal["li-ion", "none"] = "li-ion"
    """`none`: mains."""
    capacity_mah: float = Field(default=2500.0, ge=1, le=1e6)
    """Capacity of the battery."""
    initial_charge: float = Field(default=1.0, ge=0, le=1)
    """Charge at the start, share of the capacity."""
    self_discharge_per_month: float = Field(default=0.03, ge=0, le=1)
    """Share of the charge lost in a month."""
    solar_w: float = Field(default=0.0, ge=0, le=1000)
    """Rated power of the panel at 1000 W/m2; 0: none."""
    valve_ma: float = Field(default=0.0, ge=0, le=2000)
    """What holding the valve open draws from the node's supply; 0: a latching valve."""
    cutoff_mv: float = Field(default=3200.0, ge=2500, le=4200)
    """Battery voltage below which the node turns off."""
    restart_mv: float = Field(default=3400.0, ge=2500, le=4200)
    """Battery voltage at which it comes back."""

    def troubles(self) -> Iterator[Issue]:
        """A node that does not flicker."""
        if self.restart_mv <= self.cutoff_mv:
            yield Issue(
                ("restart_mv",),
                f"`restart_mv` = {self.restart_mv:g} mV: must be above `cutoff_mv` = "
                f"{self.cutoff_mv:g} mV",
            )


_SHARE: Final[dict[str, object]] = {"type": "number", "minimum": 0, "maximum": 1}
_SPREAD_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {"anyOf": [_SHARE, {"type": "object", "additionalProperties": _SHARE}]},
}


def _spread(value: object) -> object:
    """`{"valve": {"flow_l_min": 0.1}}` -> `{"valve.flow_l_min": 0.1}`."""
    if not isinstance(value, Mapping):
        return value
    flat: dict[str, object] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= {f"{key}.{name}": number for name, number in inner.items()}
        else:
            flat[str(key)] = inner
    return flat


class Zone(Table):
    """One irrigated patch; `count` makes many of it."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")
    """Unique: a letter, then letters, digits, `-`, `_`. With `count`: `name-001` and so on."""
    count: int = Field(default=1, ge=1, le=9999)
    """How many zones this table stands for."""
    area_m2: float = Field(default=100.0, ge=0.01, le=1e7)
    """Area: 1 L on 1 m2 is 1 mm."""
    node: str = "sim"
    """Where the guest runs: `sim`, `virtual`, `virtual:wasm3`, `mqtt://HOST/PREFIX/NODE`, or
    `serial:PORT?baud=N`, where PORT is a device or any pyserial URL."""
    nodes: dict[str, str] = Field(default={})
    """Where single zones of `count` have theirs instead, such as `maize-001 = "virtual"`."""
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
    parameters: dict[str, int] = Field(default={})
    """Parameters of the guest by name; `levada guest inspect` lists them with their ranges."""
    spread: Annotated[
        dict[str, float], BeforeValidator(_spread), WithJsonSchema(_SPREAD_SCHEMA)
    ] = Field(default={})
    """How much numbers differ among the zones: relative standard deviation by key, such as
    `valve.flow_l_min = 0.1`."""

    def troubles(self) -> Iterator[Issue]:
        """Node, depths and spreads that fit together."""
        yield from self._nodes()
        probe = self.probe
        for beyond, edge in (
            (probe.depth_m < probe.half_height_m, "stand out of the soil"),
            (probe.depth_m + probe.half_height_m > self.soil.depth_m, "reach below the soil"),
        ):
            if beyond:
                yield Issue(
                    ("probe", "depth_m"),
                    f"`depth_m` = {probe.depth_m:g} m: the probe, {probe.half_height_m:g} m to "
                    f"either side, would {edge}, 0 to {self.soil.depth_m:g} m",
                )
        if self.crop.name == "rice" and self.soil.model == "richards" and not self.crop.feddes_m:
            yield Issue(
                ("crop", "name"),
                '`name` = "rice": grown under water, which `richards` does not describe: its roots '
                "would have no air",
                'set model = "bucket" in [zone.soil], or `feddes_m` for rice grown dry',
            )
        if probe.kind == "tensiometer" and self.soil.model == "bucket":
            yield Issue(
                ("probe", "kind"),
                '`kind` = "tensiometer": the bucket has no suction',
                'set model = "richards" in [zone.soil]',
            )
        yield from idle_keys(self)
        numbers = spreadable(self)
        for key, deviation in self.spread.items():
            if key not in numbers:
                yield Issue(
                    ("spread", key),
                    f"`{key}` is not a number that is set in this zone",
                    did_you_mean(key, list(numbers)),
                )
            if not 0 <= deviation <= 1:
                yield Issue(("spread", key), f"`{key}` = {deviation:g}: permitted 0 to 1")

    def _nodes(self) -> Iterator[Issue]:
        names = self.names()
        given: dict[tuple[str | int, ...], str] = {("node",): self.node}
        given |= {("nodes", name): node for name, node in self.nodes.items()}
        for path, node in given.items():
            try:
                parse_node(node)
            except ValueError as error:
                yield Issue(path, f'`{path[-1]}` = "{node}": {error}')
        for name in self.nodes:
            if name not in names:
                there = " to ".join(dict.fromkeys((names[0], names[-1])))
                yield Issue(("nodes", name), f"no zone `{name}` in this table: it has {there}")

    def node_of(self, name: str) -> NodeUrl:
        """The node of the zone that is called so."""
        return parse_node(self.nodes.get(name, self.node))

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
            if isinstance(value, int | float) and key not in ("cpu_mhz", "adc_bits"):
                numbers[f"{part}.{key}"] = float(value)
    return numbers
