"""From a scenario to models and arrays.

Models know no scenario, and the scenario knows no arrays: every translation between them is here
and in `soils`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from levada.guest.module.inspect import ModuleInfo
from levada.guest.node import Node
from levada.sim.crop import crop as crops
from levada.sim.crop import et0
from levada.sim.devices.energy import (
    EnergyParam,
    EnergyProfile,
    NodePower,
    NodePowers,
    Range,
    esp32,
)
from levada.sim.devices.probe import Probes, ideal_counts
from levada.sim.devices.station import Stations
from levada.sim.devices.supply import SharedSupply
from levada.sim.devices.valve import Valves
from levada.sim.run import soils, surface
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.scenario.model import Scenario
from levada.sim.seeds import generator, zone_keys
from levada.sim.settings.energy import Supply
from levada.sim.settings.probe import ADC_MAX
from levada.sim.settings.station import Forecast
from levada.sim.soil.bucket import Bucket
from levada.sim.soil.model import FloatArray, ForcingCol
from levada.sim.soil.richards import Richards
from levada.sim.weather.forecast import expected_rain_mm, told_rain_mm

if TYPE_CHECKING:
    from levada.sim.weather import Weather

__all__ = [
    "FieldModels",
    "NodeMaker",
    "NodeSettings",
    "believed_counts",
    "build_models",
    "forcing_tables",
    "node_power",
    "node_settings",
    "restart_ms",
]


def node_power(zone: ZoneConfig, profile: EnergyProfile | None = None) -> NodePower:
    """What the node of a zone draws and is fed by; `profile` replaces that of its energy table."""
    energy = zone.energy
    board_ma = None if energy.board_ma is None else Range(*[energy.board_ma] * 3)
    board = profile or esp32(
        sleep=energy.sleep,
        cpu_mhz=energy.cpu_mhz,
        address=energy.address,
        tls=energy.tls,
        board=energy.board,
        board_ma=board_ma,
    )
    return NodePower(profile=board, **{key: getattr(energy, key) for key in Supply.model_fields})


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What a node outside the plant is given."""

    zone: ZoneConfig
    module: bytes
    scenario: Scenario
    config: tuple[int, int, int]
    """Dry, wet and limit counts."""
    parameters: dict[int, int]
    envelope: bytes = b""
    """Signed manifest of the module; empty: that beside the scenario's file, if there is one."""
    others: tuple[tuple[bytes, bytes], ...] = ()
    """Modules, each with its envelope, that are the node's if it has one of them already."""


NodeMaker = Callable[[NodeSettings], Node]


def node_settings(
    zone: ZoneConfig, module: bytes, info: ModuleInfo, scenario: Scenario
) -> NodeSettings:
    """What the node of a zone is given: calibration and parameters."""
    ids = {parameter.name: parameter.id for parameter in info.parameters}
    return NodeSettings(
        zone=zone,
        module=module,
        scenario=scenario,
        config=believed_counts(zone),
        parameters={ids[name]: value for name, value in zone.parameters.items()},
    )


def believed_counts(zone: ZoneConfig) -> tuple[int, int, int]:
    """What the node believes of its probe: dry at wilting point, wet at field capacity, and the
    limit between them.
    """
    given = zone.calibration
    layer = soils.at_depth(zone.soil, zone.probe.depth_m)
    fc, wp = layer.theta_fc, layer.theta_wp
    p = soils.crop(zone.crop).depletion_fraction

    def counts(theta: float) -> int:
        if zone.probe.kind == "tensiometer":
            return round(given.wet_counts or zone.probe.wet_counts)
        return int(np.clip(round(float(ideal_counts(zone.probe, theta))), 0, ADC_MAX))

    defaults = (counts(wp), counts(fc), counts(fc - p * (fc - wp)))
    if zone.probe.kind == "tensiometer":
        dry, wet = round(zone.probe.dry_counts), round(zone.probe.wet_counts)
        defaults = (dry, wet, round(wet + 0.5 * (dry - wet)))
    dry, wet, limit = (
        default if value is None else value
        for value, default in zip(
            (given.dry_counts, given.wet_counts, given.limit_counts), defaults, strict=True
        )
    )
    return dry, wet, limit


RESTART_LEAST_MS: Final = 1_000
"""No node starts faster, and a guest that stops in `init` must not stop time."""


@dataclass(frozen=True, kw_only=True)
class FieldModels:
    """What a plant is made of: the models of all zones, as arrays."""

    tables: FloatArray
    """Hourly forcing of every different crop, shape (crops, hours, columns)."""
    table: list[int]
    """By zone, which of them."""
    hours: FloatArray
    """Air temperature [°C], radiation [W m-2] and reference ET [mm h-1] of every hour, and what
    each different forecast says then of the rain of the next 24 hours [mm]."""
    zr_m: list[float]
    """By zone, the depth of the roots at the start."""
    soil_kind: list[int]
    """By zone, 0 for the bucket and 1 for Richards."""
    soil_row: list[int]
    """By zone, its row in that model."""
    bucket: Bucket | None
    richards: Richards | None
    richards_zones: list[int]
    probes: Probes
    valves: Valves
    powers: NodePowers
    stations: Stations
    supplies: list[SharedSupply]


def build_models(
    scenario: Scenario,
    zones: Sequence[ZoneConfig],
    weather: Weather,
    energy_profile: EnergyProfile | None = None,
    *,
    count_instructions: bool = True,
) -> FieldModels:
    """The models of the zones of a scenario under one weather."""
    names = [zone.name for zone in zones]
    tables, table = forcing_tables(zones, weather)
    zr_m = [float(tables[k, 0, ForcingCol.ZR_M]) for k in table]
    kind = [0 if zone.soil.model == "bucket" else 1 for zone in zones]
    of_bucket = [i for i, k in enumerate(kind) if k == 0]
    of_richards = [i for i, k in enumerate(kind) if k == 1]
    powers = NodePowers([node_power(zone, energy_profile) for zone in zones])
    if not count_instructions:
        powers.parameters[:, EnergyParam.INSTRUCTION_MC] = 0.0
    hours, forecasts = _hours(scenario, zones, weather)
    return FieldModels(
        tables=tables,
        table=table,
        hours=hours,
        zr_m=zr_m,
        soil_kind=kind,
        soil_row=_rows(kind),
        bucket=soils.bucket([zones[i] for i in of_bucket], [zr_m[i] for i in of_bucket])
        if of_bucket
        else None,
        richards=soils.richards([zones[i] for i in of_richards]) if of_richards else None,
        richards_zones=of_richards,
        probes=Probes(
            [zone.probe for zone in zones],
            keys=zone_keys(scenario.seed, "probe", names),
            start_ms=scenario.period.start_ms,
            temp_c=float(weather.temp_c[:24].mean()),
        ),
        valves=Valves(
            [zone.valve for zone in zones],
            [zone.area_m2 for zone in zones],
            zone_keys(scenario.seed, "meter", names),
        ),
        powers=powers,
        stations=Stations(
            [zone.rain_gauge for zone in zones], forecasts, [zone.et0 for zone in zones]
        ),
        supplies=_supplies(scenario, zones),
    )


def _supplies(scenario: Scenario, zones: Sequence[ZoneConfig]) -> list[SharedSupply]:
    return [
        SharedSupply(supply, [zone.index for zone in zones if zone.supply == supply.name])
        for supply in scenario.supply
    ]


def _hours(
    scenario: Scenario, zones: Sequence[ZoneConfig], weather: Weather
) -> tuple[FloatArray, list[int]]:
    """`FieldModels.hours`, and by zone the column of its forecast, 0 without one.

    Zones whose forecasts have equal settings are told the same.
    """
    columns = [
        weather.temp_c,
        weather.solar_mj_m2 * (1e6 / 3600.0),
        et0.of_weather(weather)
        if any(zone.et0 for zone in zones)
        else np.zeros(weather.temp_c.size),
    ]
    known: dict[Forecast, int] = {}
    for zone in zones:
        if zone.forecast is not None and zone.forecast not in known:
            known[zone.forecast] = len(columns)
            stream = generator(scenario.seed, "forecast", zone.forecast.model_dump_json())
            columns.append(expected_rain_mm(told_rain_mm(weather.rain_mm, zone.forecast, stream)))
    return (
        np.column_stack(columns).astype(np.float64),
        [known[zone.forecast] if zone.forecast is not None else 0 for zone in zones],
    )


def restart_ms(scenario: Scenario) -> int:
    """How long after a trap a guest is started again; negative: never."""
    restart = scenario.guest.restart
    if restart is None:
        return -1
    return max(RESTART_LEAST_MS, round(restart.total_seconds() * 1000))


def _rows(kind: Sequence[int]) -> list[int]:
    counts = [0, 0]
    rows = []
    for k in kind:
        rows.append(counts[k])
        counts[k] += 1
    return rows


def forcing_tables(zones: Sequence[ZoneConfig], weather: Weather) -> tuple[FloatArray, list[int]]:
    """Hourly forcing of every different crop, shape (crops, hours, columns), and each zone's.

    What the soil's curve number and the zone's sprinklers do to rain and irrigation is in it too.
    """
    known: dict[object, int] = {}
    tables: list[FloatArray] = []
    indices = []
    for zone in zones:
        key = (zone.crop.model_dump_json(), surface.settings(zone))
        if key not in known:
            known[key] = len(tables)
            grown = crops.season(
                soils.crop(zone.crop),
                weather,
                planting=zone.crop.planting,
                harvest=zone.crop.harvest,
            )
            table = crops.forcing_by_hour(grown)
            surface.add_surface(table, zone, weather)
            tables.append(table)
        indices.append(known[key])
    return np.array(tables), indices
