"""The `[[zone]]` table: one irrigated patch with soil, crop, probe, valve and node.

Its tables of probe, valve and energy are the settings that the models take
(`levada.sim.settings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from levada.guest.text.ranges import between, out_of_range
from levada.sim.crop.table import ALIASES, TABLE
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.idle import idle_keys
from levada.sim.scenario.node_url import NodeUrl, parse_node
from levada.sim.scenario.soil import Soil
from levada.sim.settings.base import as_tuple
from levada.sim.settings.crop import (
    BaseC,
    CriticalStressIndex,
    DepletionFraction,
    Growth,
    HeightMaxM,
    Kcb,
    RootDepthM,
    Stages,
    Surface,
    UpperC,
    crop_troubles,
)
from levada.sim.settings.energy import Energy
from levada.sim.settings.issue import Issue, did_you_mean
from levada.sim.settings.probe import ADC_MAX, Probe
from levada.sim.settings.station import EtSource, Forecast, ZoneGauge
from levada.sim.settings.valve import AreaM2, Valve
from levada.sim.settings.water import Ky, KyStages, YieldTHa
from levada.sim.water.yield_response import TABLE as YIELD_CROPS

__all__ = ["Calibration", "PlantedCrop", "Zone", "spreadable"]


class PlantedCrop(Table):
    """The crop of a zone: by name from FAO-56, by numbers, or by name with some numbers changed."""

    name: str | None = Field(default=None, min_length=1)
    """Crop of FAO-56 tables 11, 12, 17 and 22; without it, numbers are needed."""
    planting: date
    """Day of planting; for a perennial crop, the day its growth starts."""
    harvest: date | None = None
    """Day on which the ground is bare again; without it, the end of the late season."""
    reference: Surface = "short"
    """Surface for which the crop coefficients hold: `short` (clipped grass, ET0) as in FAO-56, or
    `tall` (alfalfa, ETr) for coefficients of your own."""
    growth: Growth = "days"
    """What the lengths of the stages are counted in."""
    stages: Stages | None = None
    """Lengths of initial, development, mid and late season, in what `growth` says."""
    kcb_ini: Kcb | None = None
    """Basal crop coefficient of the initial stage."""
    kcb_mid: Kcb | None = None
    """Basal crop coefficient of the mid-season in a standard climate."""
    kcb_end: Kcb | None = None
    """Basal crop coefficient at the end of the late season."""
    height_max_m: HeightMaxM | None = None
    """Greatest height."""
    zr_min_m: RootDepthM | None = None
    """Root depth at planting."""
    zr_max_m: RootDepthM | None = None
    """Greatest root depth."""
    depletion_fraction: DepletionFraction | None = None
    """Share of the available water used without stress at 5 mm a day, p in FAO-56."""
    base_c: BaseC | None = None
    """Degree-days: below this temperature nothing grows."""
    upper_c: UpperC | None = None
    """Degree-days: above this temperature growth is no faster."""
    ky: Ky | None = None
    """Yield response factor of the whole season; without it, that of FAO-33 table 24, where the
    crop stands there."""
    ky_stages: KyStages | None = None
    """Yield response factors of the vegetative stage (initial and development), of mid-season and
    of the late season; without them, those of FAO-33 table 24."""
    yield_t_ha: YieldTHa | None = None
    """Yield of the crop without any want of water, for productivity in kg/m3."""
    feddes_m: Annotated[
        tuple[float, float, float, float, float] | None, BeforeValidator(as_tuple)
    ] = None
    """Pressure heads of Feddes et al. (1978), falling: above the first no uptake (no air), between
    the second and the third full uptake at high demand, to the fourth at low demand, below the
    fifth none; `richards` only."""
    feddes_like: str | None = Field(default=None, min_length=1)
    """Crop whose heads are taken; without it, its own, or those of its group with a note."""
    critical_stress_index: CriticalStressIndex = 1.0
    """Compensation of uptake, omega_c of Jarvis (1989): as long as the roots could take this share
    of the potential, those in moist soil make up for the others; 1 is none; `richards` only."""

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
                did_you_mean(ALIASES.get(self.name.lower(), self.name), list(TABLE), "crops"),
            )
        yield from crop_troubles(self)
        grass = [f"`{k}`" for k in _KCB if getattr(self, k) is None]
        if self.reference == "tall" and self.name in TABLE and grass:
            yield Issue(
                ("reference",),
                f'`reference` = "tall": the table\'s coefficients are for grass; give '
                f"{', '.join(grass)} for alfalfa",
            )
        if self.ky_stages is not None and self.ky is None and self.name not in YIELD_CROPS:
            yield Issue(("ky_stages",), "`ky_stages` needs `ky`, that of the season, too")
        if self.yield_t_ha is not None and self.ky is None and self.name not in YIELD_CROPS:
            yield Issue(
                ("yield_t_ha",),
                "`yield_t_ha` needs `ky`: FAO-33 has no yield response factor of this crop",
            )
        if self.growth == "degree-days" and self.stages is None:
            yield Issue(("growth",), "`growth`: the table has days only, give `stages` too")
        yield from self._heads()
        if self.harvest is not None and self.harvest <= self.planting:
            yield Issue(("harvest",), f"`harvest` = {self.harvest}: not after `planting`")

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


_KCB: Final = ("kcb_ini", "kcb_mid", "kcb_end")
_CROP_NUMBERS: Final = (
    "stages",
    "kcb_ini",
    "kcb_mid",
    "kcb_end",
    "height_max_m",
    "zr_max_m",
    "depletion_fraction",
)


class Calibration(Table):
    """What the node was told about its probe; what is left out is as the probe really is."""

    dry_counts: int | None = Field(default=None, ge=0, le=ADC_MAX)
    """Counts that the guest takes as 0 %; default: the probe at the wilting point."""
    wet_counts: int | None = Field(default=None, ge=0, le=ADC_MAX)
    """Counts that the guest takes as 100 %; default: the probe at field capacity."""
    limit_counts: int | None = Field(default=None, ge=0, le=ADC_MAX)
    """Counts above which the soil is too dry; default: where the crop's stress begins."""

    def troubles(self) -> Iterator[Issue]:
        """Two ends that are apart."""
        if self.dry_counts is not None and self.dry_counts == self.wet_counts:
            yield Issue(
                ("wet_counts",), f"`wet_counts` = {self.wet_counts} counts: equals `dry_counts`"
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
    area_m2: AreaM2 = 100.0
    """Area: 1 L on 1 m2 is 1 mm."""
    node: str = "sim"
    """Where the guest runs: `sim`, `virtual`, `virtual:wasm3`, `mqtt://HOST/PREFIX/NODE`, or
    `serial:PORT?baud=N`, where PORT is a device or any pyserial URL."""
    nodes: dict[str, str] = Field(default={})
    """Where single zones of `count` have theirs instead, such as `maize-001 = "virtual"`."""
    soil: Soil
    """What the water moves in."""
    crop: PlantedCrop
    """What uses the water."""
    probe: Probe = Probe()
    """What the node sees."""
    calibration: Calibration = Calibration()
    """What the node believes about its probe."""
    valve: Valve = Valve()
    """What the node controls."""
    supply: str | None = Field(default=None, min_length=1)
    """`[[supply]]` that feeds it together with other zones; default: one of its own, with
    `valve.pressure_kpa`."""
    energy: Energy = Energy()
    """What the node runs on."""
    rain_gauge: ZoneGauge | None = None
    """What tells the guest of rain; default: nothing."""
    forecast: Forecast | None = None
    """What tells the guest of the rain to come; default: nothing."""
    et0: EtSource | None = None
    """What tells the guest of reference ET; default: nothing."""
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
                yield Issue(("spread", key), out_of_range(key, deviation, between(0, 1)))

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
    for part in ("soil", "crop", "probe", "valve", "energy", "rain_gauge", "et0"):
        for key, value in getattr(zone, part) or ():
            if isinstance(value, int | float) and key not in ("cells", "cpu_mhz", "adc_bits"):
                numbers[f"{part}.{key}"] = float(value)
    return numbers
