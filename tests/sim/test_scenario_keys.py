"""Every key of a scenario changes something of a run, or is refused: one entry a key.

A key that is added to the models without an entry here fails the first test.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from levada.guest.errors import GuestError
from levada.guest.module.inspect import inspect
from levada.guest.tape import Publication
from levada.hil.nodes import node_overrides
from levada.sim.errors import WeatherError
from levada.sim.run import build, models, runner, stops
from levada.sim.run.baselines import FIGURES, run_baselines
from levada.sim.run.judge import evaluate
from levada.sim.run.plant import Plant
from levada.sim.run.trace import TYPES
from levada.sim.run.water_account import zone_account
from levada.sim.run.zone_columns import NodeCol
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.dump import dump, sha256_of
from levada.sim.scenario.expand import expand
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.idle import IDLE
from levada.sim.scenario.load import load, read
from levada.sim.scenario.model import Scenario
from levada.sim.settings.explain import table_of
from levada.twin.cli.main import app
from levada.twin.continuum.chain import simulate
from levada.twin.errors import MappingError
from levada.twin.mqtt.mapping import PayloadMap

ROOT = Path(__file__).resolve().parents[2]
GREELEY = ROOT / "levada/scenarios/weather/greeley_co_2023_daily.csv"
GUEST = ROOT / "levada/guest/irrigation/irrigation.wasm"

BASE = """\
version = 1
name = "keys"
[site]
latitude_deg = 40.4
longitude_deg = -104.6
elevation_m = 1400
utc_offset_h = -7
rain_gauge_mm_per_tip = 0.2
[period]
start = 2023-07-06
end = 2023-07-09
[weather]
file = "days.csv"
[guest]
file = "guest.wasm"
[[zone]]
name = "a"
count = 2
[zone.soil]
model = "richards"
texture = "loam"
initial.available_pct = 60
[zone.crop]
name = "maize"
planting = 2023-05-02
[zone.valve]
pressure_kpa = 150
[zone.parameters]
on_pct = 70
[[zone]]
name = "b"
[zone.soil]
model = "bucket"
texture = "sandy loam"
[zone.crop]
name = "wheat"
planting = 2023-05-02
[[fault]]
kind = "probe-drift"
start = "1 d"
duration = "1 d"
magnitude = "30 counts/d"
[[expect]]
name = "never"
kind = "never"
that = "dr_mm > 50"
longer_than = "1 h"
[[expect]]
name = "total"
kind = "total"
of = "rain_mm"
above = 0
below = 1000
per = "day"
[[expect]]
name = "happens"
kind = "happens"
that = "dr_mm > 5"
within = "2 h"
[[expect]]
name = "duration"
kind = "duration"
that = "dr_mm > 50"
at_most = "10 h"
[[alert]]
kind = "no-flow"
raise_at = 10
[[mapping]]
topic = "tele/x/SENSOR"
node = "x"
[[mapping.field]]
signal = "raw"
pointer = "/a"
unit = "counts"
"""
LAYER = (
    "{{thickness_m = {}, theta_r = 0.07, theta_s = 0.42, alpha_per_m = 5.0, n = 1.7, ks_m_d = 1}}"
)
Setting = tuple[str, str]

LAYERS: tuple[Setting, ...] = (
    (
        "zone.a.soil",
        f'{{model = "richards", layer = [{LAYER.format(0.4)}, {LAYER.format(0.5)}]}}',
    ),
)
MEASURED: tuple[Setting, ...] = (
    ("zone.a.soil", '{model = "richards", theta_fc = 0.25, theta_wp = 0.1}'),
)
BY_CONTENTS: tuple[Setting, ...] = (
    (
        "zone.a.soil",
        '{model = "richards", layer = [{thickness_m = 1, theta_fc = 0.25, theta_wp = 0.1}]}',
    ),
)
FRACTIONS: tuple[Setting, ...] = (
    ("zone.a.soil", '{model = "richards", sand_pct = 40, silt_pct = 40, clay_pct = 20}'),
)
TENSIOMETER: tuple[Setting, ...] = (("zone.a.probe.kind", "tensiometer"),)
HOURS: tuple[Setting, ...] = (("weather.file", "hours.csv"),)
RANDOM: tuple[Setting, ...] = (("weather", '{generator = {like = "days.csv"}}'),)
DEGREE_DAYS: tuple[Setting, ...] = (
    (
        "zone.a.crop",
        '{name = "maize", planting = 2023-07-06, growth = "degree-days", '
        "stages = [10, 10, 10, 10]}",
    ),
)

FORECAST: tuple[Setting, ...] = (
    ("period.end", "2023-07-30"),
    ("zone.a.forecast", "{hit_rate = 1.0}"),
)
SUPPLY: tuple[Setting, ...] = (
    ("supply", '[{name = "pump", shutoff_kpa = 200, flow_l_min = 40, pressure_kpa = 100}]'),
    ("zone.a.valve", "{}"),
    ("zone.a.supply", "pump"),
)

SPRINKLER: tuple[Setting, ...] = (("zone.a.valve.method", "sprinkler"),)
CURVE: tuple[Setting, ...] = (("period.end", "2023-07-30"), ("zone.a.soil.curve_number", "90"))
BASELINES: tuple[Setting, ...] = (
    ("zone.a.soil.model", "bucket"),
    ("baselines", '{run = ["calendar", "fao56"], interval_d = 2, allowed_depletion = 0.3}'),
)
CONTINUUM: tuple[Setting, ...] = (
    ("fog", "{buffer_rows = 1500}"),
    ("cloud", "{}"),
    (
        "link",
        '[{between = "fog-cloud", delay_ms = 50, jitter_ms = 10, loss_pct = 1, rate_kbit_s = 500, '
        'outage = [{start = "6 h", duration = "1 d"}]}, {between = "edge-fog"}]',
    ),
)

# key -> what is set before, and then, one after the other, to another value
CASES: dict[str, tuple[tuple[Setting, ...], Sequence[Setting]]] = {
    "seed": ((), [("seed", "2")]),
    "site.latitude_deg": ((), [("site.latitude_deg", "41")]),
    "site.longitude_deg": ((), [("site.longitude_deg", "-105")]),
    "site.elevation_m": ((), [("site.elevation_m", "500")]),
    "site.utc_offset_h": ((), [("site.utc_offset_h", "-6")]),
    "site.wind_height_m": ((), [("site.wind_height_m", "3")]),
    "site.rain_gauge_mm_per_tip": ((), [("site.rain_gauge_mm_per_tip", "0.5")]),
    "period.start": ((), [("period.start", "2023-07-05")]),
    "period.end": ((), [("period.end", "2023-07-10")]),
    "period.step_s": ((), [("period.step_s", "300")]),
    "period.record_s": ((), [("period.record_s", "3600")]),
    "weather.file": ((), [("weather.file", "other.csv")]),
    "weather.fill": (
        (("weather.file", "holes.csv"), ("weather.fill", "linear")),
        [("weather.fill", "previous-day")],
    ),
    "weather.from_temperature": (
        (("weather.file", "temperatures.csv"), ("weather.from_temperature", "interior")),
        [("weather.from_temperature", "coast")],
    ),
    "weather.time_zone": (HOURS, [("weather.time_zone", "America/Denver")]),
    "weather.generator.like": (RANDOM, [("weather.generator.like", "other.csv")]),
    "weather.generator.rain_factor": (
        (*RANDOM, ("period.end", "2023-07-30")),
        [("weather.generator.rain_factor", "3")],
    ),
    "weather.generator.warming_c": (RANDOM, [("weather.generator.warming_c", "2")]),
    "guest.file": ((), [("guest.file", "other.wasm")]),
    "guest.may_stop": ((), [("guest.may_stop", "true")]),
    "guest.profile": ((), [("guest.profile", "fog")]),
    "guest.restart": ((), [("guest.restart", "10 min")]),
    **{
        f"guest.budget.{key}": ((), [(f"guest.budget.{key}", value)])
        for key, value in {
            "instructions": "2000",
            "deadline_ms": "700",
            "memory_pages": "3",
            "host_calls": "100",
            "log_bytes": "100",
            "publish_bytes": "100",
            "module_bytes": "60000",
        }.items()
    },
    "zone.count": ((), [("zone.a.count", "3")]),
    "zone.area_m2": ((), [("zone.a.area_m2", "50")]),
    "zone.node": ((), [("zone.a.node", "virtual")]),
    "zone.nodes": ((), [("zone.a.nodes", '{a-001 = "virtual"}')]),
    **{
        f"baselines.{key}": (BASELINES, [(f"baselines.{key}", value)])
        for key, value in {
            "run": '["fao56", "rainfed", "calendar"]',
            "hour": "18",
            "allowed_depletion": "0.9",
            "application_efficiency": "0.5",
            "interval_d": "3",
            "depth_mm": "9",
        }.items()
    },
    "zone.soil.curve_number": (CURVE, [("zone.a.soil.curve_number", "95")]),
    "zone.soil.curve_number_moisture": (CURVE, [("zone.a.soil.curve_number_moisture", "wet")]),
    "zone.soil.initial_abstraction": (CURVE, [("zone.a.soil.initial_abstraction", "0.05")]),
    "zone.crop.ky": ((), [("zone.a.crop.ky", "1.1")]),
    "zone.crop.ky_stages": ((), [("zone.a.crop.ky_stages", "[0.3, 1.2, 0.4]")]),
    "zone.crop.yield_t_ha": ((), [("zone.a.crop.yield_t_ha", "12")]),
    "zone.valve.spray_drift": (SPRINKLER, [("zone.a.valve.spray_drift", "moving-lateral")]),
    "zone.valve.interception_mm": (SPRINKLER, [("zone.a.valve.interception_mm", "2")]),
    "zone.valve.distribution_uniformity": ((), [("zone.a.valve.distribution_uniformity", "0.8")]),
    "zone.soil.model": ((), [("zone.b.soil.model", "richards")]),
    "zone.soil.texture": ((), [("zone.a.soil.texture", "silt"), ("zone.b.soil.texture", "clay")]),
    "zone.soil.sand_pct": (FRACTIONS, [("zone.a.soil.sand_pct", "40.9")]),
    "zone.soil.silt_pct": (
        FRACTIONS,
        [("zone.a.soil", '{model = "richards", sand_pct = 40, silt_pct = 30, clay_pct = 30}')],
    ),
    "zone.soil.clay_pct": (FRACTIONS, [("zone.a.soil.clay_pct", "20.9")]),
    "zone.soil.theta_fc": (MEASURED, [("zone.a.soil.theta_fc", "0.26")]),
    "zone.soil.theta_wp": (MEASURED, [("zone.a.soil.theta_wp", "0.11")]),
    "zone.soil.theta_s": (MEASURED, [("zone.a.soil.theta_s", "0.5")]),
    "zone.soil.ks_m_d": (MEASURED, [("zone.a.soil.ks_m_d", "0.5")]),
    "zone.soil.pore_connectivity": ((), [("zone.a.soil.pore_connectivity", "-1")]),
    "zone.soil.fc_suction_m": (MEASURED, [("zone.a.soil.fc_suction_m", "2")]),
    "zone.soil.drainage_time_d": (MEASURED, [("zone.a.soil.drainage_time_d", "5")]),
    "zone.soil.layer.texture": (BY_CONTENTS, [("zone.a.soil.layer.0.texture", "clay")]),
    "zone.soil.layer.fc_suction_m": (BY_CONTENTS, [("zone.a.soil.layer.0.fc_suction_m", "2")]),
    **{
        f"zone.soil.layer.{key}": (LAYERS, [(f"zone.a.soil.layer.0.{key}", value)])
        for key, value in {
            "thickness_m": "0.3",
            "theta_r": "0.06",
            "theta_s": "0.4",
            "alpha_per_m": "4",
            "n": "1.6",
            "ks_m_d": "2",
            "pore_connectivity": "1",
            "theta_fc": "0.25",
            "theta_wp": "0.1",
            "drainage_time_d": "5",
        }.items()
    },
    "zone.soil.cells": ((), [("zone.a.soil.cells", "60")]),
    "zone.soil.depth_m": ((), [("zone.a.soil.depth_m", "3"), ("zone.b.soil.depth_m", "3")]),
    "zone.soil.bottom": ((), [("zone.a.soil.bottom", "zero-flux")]),
    "zone.soil.bottom_head_m": (
        (("zone.a.soil.bottom", "head"), ("zone.a.soil.bottom_head_m", "-1")),
        [("zone.a.soil.bottom_head_m", "-2")],
    ),
    "zone.soil.intake_mm_h": ((), [("zone.b.soil.intake_mm_h", "5")]),
    "zone.soil.ponding_max_mm": ((), [("zone.a.soil.ponding_max_mm", "9")]),
    "zone.soil.rew_mm": ((), [("zone.b.soil.rew_mm", "3")]),
    "zone.soil.initial.available_pct": (
        (),
        [
            ("zone.a.soil.initial", "{available_pct = 50}"),
            ("zone.b.soil.initial.available_pct", "5"),
        ],
    ),
    "zone.soil.initial.theta": (
        (),
        [("zone.a.soil.initial", "{theta = 0.2}"), ("zone.b.soil.initial", "{theta = 0.1}")],
    ),
    "zone.soil.initial.head_m": ((), [("zone.a.soil.initial", "{head_m = -2.0}")]),
    "zone.soil.initial.water_table_m": ((), [("zone.a.soil.initial", "{water_table_m = 3.0}")]),
    "zone.soil.initial.depth_m": (
        (("zone.a.soil.initial", "{theta = [0.2, 0.3], depth_m = [0.2, 1.0]}"),),
        [("zone.a.soil.initial.depth_m", "[0.3, 1.0]")],
    ),
    **{
        f"zone.crop.{key}": ((), [(f"zone.a.crop.{key}", value)])
        for key, value in {
            "name": "soybean",
            "planting": "2023-05-12",
            "harvest": "2023-07-08",
            "stages": "[20, 20, 20, 20]",
            "kcb_ini": "0.9",
            "kcb_mid": "1.0",
            "height_max_m": "1",
            "zr_min_m": "0.4",
            "zr_max_m": "0.8",
            "depletion_fraction": "0.4",
            "feddes_like": "potato",
            "critical_stress_index": "0.5",
            "feddes_m": "[-0.1, -0.25, -4, -8, -80]",
        }.items()
    },
    "zone.crop.kcb_end": (
        (("zone.a.crop.stages", "[20, 20, 20, 40]"),),
        [("zone.a.crop.kcb_end", "0.5")],
    ),
    "zone.crop.growth": ((), DEGREE_DAYS),
    "zone.crop.reference": (
        tuple((f"zone.a.crop.kcb_{stage}", "0.9") for stage in ("ini", "mid", "end")),
        [("zone.a.crop.reference", "tall")],
    ),
    "zone.crop.base_c": (DEGREE_DAYS, [("zone.a.crop.base_c", "8")]),
    "zone.crop.upper_c": (DEGREE_DAYS, [("zone.a.crop.upper_c", "20")]),
    **{
        f"zone.probe.{key}": ((), [(f"zone.a.probe.{key}", value)])
        for key, value in {
            "kind": "tensiometer",
            "depth_m": "0.3",
            "half_height_m": "0.1",
            "dry_counts": "3100",
            "wet_counts": "1200",
            "theta_dry": "0.05",
            "theta_wet": "0.5",
            "curve": "topp",
            "preset": "realistic",
            "ends_scatter_counts": "70",
            "theta_error": "0.05",
            "temperature_counts_per_c": "2",
            "electronics_counts_per_c": "-1",
            "noise_counts": "9",
            "drift_counts_per_day": "3",
            "ageing_per_year": "0.1",
            "warmup_counts": "30",
            "adc_bits": "10",
        }.items()
    },
    "zone.probe.range_kpa": (TENSIOMETER, [("zone.a.probe.range_kpa", "60")]),
    "zone.probe.reference_c": (
        (("zone.a.probe.temperature_counts_per_c", "2"),),
        [("zone.a.probe.reference_c", "15")],
    ),
    "zone.probe.warmup_s": (
        (("zone.a.probe.warmup_counts", "30"),),
        [("zone.a.probe.warmup_s", "5")],
    ),
    **{
        f"zone.calibration.{key}_counts": ((), [(f"zone.a.calibration.{key}_counts", "2222")])
        for key in ("dry", "wet", "limit")
    },
    **{
        f"zone.valve.{key}": ((), [(f"zone.a.valve.{key}", value)])
        for key, value in {
            "flow_l_min": "20",
            "method": "sprinkler",
            "wetted_fraction": "0.5",
            "opening_delay_s": "9",
            "closing_delay_s": "9",
            "pressure_kpa": "200",
            "nominal_pressure_kpa": "120",
            "emitter_exponent": "0.7",
            "leak": "0.1",
            "clog": "0.1",
            "pulses_per_l": "10",
            "meter": "yf-s201",
            "meter_least_l_min": "1",
            "meter_scatter": "0.01",
            "max_open_s": "900",
        }.items()
    },
    "zone.valve.latching": ((), [("zone.a.valve.latching", "true")]),
    "zone.rain_gauge.mm_per_tip": (
        (("zone.a.rain_gauge.catch", "1.0"),),
        [("zone.a.rain_gauge.mm_per_tip", "0.5")],
    ),
    "zone.rain_gauge.catch": ((), [("zone.a.rain_gauge.catch", "0.9")]),
    **{
        f"zone.forecast.{key}": (FORECAST, [(f"zone.a.forecast.{key}", value)])
        for key, value in {
            "hit_rate": "0.5",
            "false_alarm_ratio": "0.5",
            "amount_error": "0.5",
        }.items()
    },
    "zone.et0.factor": (
        (("zone.a.et0.factor", "1.0"),),
        [("zone.a.et0.factor", "1.1")],
    ),
    "zone.supply": (SUPPLY, [("zone.b.supply", "pump")]),
    **{
        f"supply.{key}": (SUPPLY, [(f"supply.0.{key}", value)])
        for key, value in {"shutoff_kpa": "300", "flow_l_min": "50", "pressure_kpa": "120"}.items()
    },
    "zone.valve.emitter_least_kpa": (
        (("zone.a.valve.emitter_exponent", "0"), ("zone.a.valve.emitter_least_kpa", "180")),
        [("zone.a.valve.emitter_least_kpa", "200")],
    ),
    "zone.valve.meter_slip": (
        (("zone.a.valve.meter_least_l_min", "1"),),
        [("zone.a.valve.meter_slip", "0.1")],
    ),
    "zone.energy.probe_on_ms": (
        (("zone.a.energy.probe_ma", "5.3"),),
        [("zone.a.energy.probe_on_ms", "150")],
    ),
    **{
        f"zone.energy.{key}": ((), [(f"zone.a.energy.{key}", value)])
        for key, value in {
            "sleep": "light",
            "cpu_mhz": "80",
            "address": "dhcp",
            "tls": "certificate",
            "board": "nodemcu-32s",
            "board_ma": "3",
            "valve_pulse_j": "0.6",
            "probe_ma": "5.3",
            "meter_ma": "15",
            "battery": "none",
            "capacity_mah": "1000",
            "initial_charge": "0.5",
            "self_discharge_per_month": "0.1",
            "solar_w": "1",
            "valve_ma": "10",
            "cutoff_mv": "3100",
            "restart_mv": "3500",
        }.items()
    },
    "zone.parameters": ((), [("zone.a.parameters.on_pct", "60")]),
    "zone.spread": ((), [("zone.a.spread", "{valve.flow_l_min = 0.1}")]),
    "fault.kind": ((), [("fault.0", '{kind = "probe-stuck", start = "1 d", duration = "1 d"}')]),
    "fault.zones": ((), [("fault.0.zones", "b")]),
    "fault.start": ((), [("fault.0.start", "2 d")]),
    "fault.duration": ((), [("fault.0.duration", "2 d")]),
    "fault.magnitude": ((), [("fault.0.magnitude", "40 counts/d")]),
    "expect.kind": ((), [("expect.0.kind", "always")]),
    "expect.that": ((), [("expect.0.that", "dr_mm > 60")]),
    "expect.of": ((), [("expect.1.of", "irrigation_mm")]),
    "expect.longer_than": ((), [("expect.0.longer_than", "2 h")]),
    "expect.within": ((), [("expect.2.within", "3 h")]),
    "expect.at_most": ((), [("expect.3.at_most", "12 h")]),
    "expect.after": ((), [("expect.2.after", "probe-drift")]),
    "expect.above": ((), [("expect.1.above", "-1")]),
    "expect.below": ((), [("expect.1.below", "999")]),
    "expect.per": ((), [("expect.1.per", "run")]),
    "expect.zones": ((), [("expect.1.zones", "b")]),
    "expect.start": ((), [("expect.0.start", "1 d")]),
    "expect.end": ((("expect.1.per", "run"),), [("expect.1.end", "1 d")]),
    "alert.kind": ((), [("alert.0.kind", "offline")]),
    "alert.zones": ((), [("alert.0.zones", "b")]),
    "alert.raise_at": ((), [("alert.0.raise_at", "20")]),
    "alert.clear_at": ((), [("alert.0.clear_at", "1")]),
    "alert.hold": ((), [("alert.0.hold", "1 h")]),
    "alert.severity": ((), [("alert.0.severity", "error")]),
    "mapping.topic": ((), [("mapping.0.topic", "tele/y/SENSOR")]),
    "mapping.node": ((), [("mapping.0.node", "y")]),
    **{
        f"mapping.field.{key}": (
            (("mapping.0.field.0", '{signal = "m", pointer = "/a", unit = "counts"}'),),
            [(f"mapping.0.field.0.{key}", value)],
        )
        for key, value in {
            "signal": "n",
            "pointer": "/b",
            "unit": "ratio",
            "values": "{ON = 1}",
            "scale": "2",
            "offset": "1",
            "required": "true",
        }.items()
    },
    "edge.engine": ((), [("edge.engine", "native")]),
    **{
        f"fog.{key}": (CONTINUUM, [(f"fog.{key}", value)])
        for key, value in {
            "engine": "off",
            "parameters": "{filter_kind = 1}",
            "window": "2 h",
            "buffer_rows": "2500",
            "buffer_full": "drop-oldest",
            "flush_rows_s": "20",
        }.items()
    },
    "cloud.engine": (CONTINUUM, [("cloud.engine", "off")]),
    "cloud.parameters": (CONTINUUM, [("cloud.parameters", "{filter_kind = 1}")]),
    "link.between": (
        (*CONTINUUM, ("link", '[{between = "fog-cloud", delay_ms = 50}]')),
        [("link.0.between", "edge-fog")],
    ),
    **{
        f"link.{key}": (CONTINUUM, [(f"link.0.{key}", value)])
        for key, value in {
            "delay_ms": "60",
            "jitter_ms": "20",
            "loss_pct": "2",
            "rate_kbit_s": "400",
        }.items()
    },
    "link.outage.start": (CONTINUUM, [("link.0.outage.0.start", "8 h")]),
    "link.outage.duration": (CONTINUUM, [("link.0.outage.0.duration", "2 d")]),
}

FOR_PEOPLE = {"name", "title", "description", "site.name", "zone.name", "fault.name", "expect.name"}
"""Keys that people read: they have to be in what a run keeps."""
PINS = {"version", "weather.sha256", "guest.sha256", "mapping.example", "supply.name"}
"""Keys that refuse what is not meant; tested by `test_scenario`, `test_mapping` and
`test_field_faults`."""
OF_PROCESSES = {"fog.name", "fog.late"}
"""Keys of fog as a process, whose tests are `test_fog` and `test_tier`; in a chain none is late."""


def keys(model: type[Table] = Scenario, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key that holds no table."""
    for key, field in model.model_fields.items():
        table = table_of(field)
        if table is None:
            yield ".".join((*path, key))
        else:
            yield from keys(table, (*path, key))


def bounds(name: str) -> Iterator[float]:
    """Least and greatest value of a key, by what `--set` calls it; next to them if open."""
    table: type[Table] | None = Scenario
    *path, key = [
        step for step in name.split(".") if step not in ("a", "b") and not step.isdecimal()
    ]
    for step in path:
        table = table_of(table.model_fields[step]) if table else None
    if table is None:
        return
    field = table.model_fields[key]
    whole = field.annotation in (int, int | None)
    for bound in field.metadata:
        for side, at in (("ge", 0.0), ("le", 0.0), ("gt", 1e-9), ("lt", -1e-9)):
            value = getattr(bound, side, None)
            if value is not None:
                yield int(value) if whole else float(value) + at


def test_every_key_has_an_entry() -> None:
    assert sorted(keys()) == sorted({*CASES, *FOR_PEOPLE, *PINS, *OF_PROCESSES})


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    days = GREELEY.read_text()
    (made / "days.csv").write_text(days)
    (made / "other.csv").write_text(days.replace("2023-07-07,2", "2023-07-07,1"))
    lines = days.splitlines(keepends=True)
    (made / "holes.csv").write_text("".join(r for r in lines if not r.startswith("2023-07-08")))
    temperatures = ["date,tmax_c,tmin_c"] + [f"2023-07-{d:02d},30,{d + 8}" for d in range(1, 12)]
    (made / "temperatures.csv").write_text("\n".join(temperatures) + "\n")
    hours = ["time,solar_w_m2,temp_c,dewpoint_c,wind_m_s,rain_mm"]
    hours += [
        f"2023-07-{5 + h // 24:02d}T{h % 24:02d}:00,{h % 24 * 20},{15 + h % 24 / 3:.1f},5,2,0"
        for h in range(24 * 7)
    ]
    (made / "hours.csv").write_text("\n".join(hours) + "\n")
    module = GUEST.read_bytes()
    (made / "guest.wasm").write_bytes(module)
    (made / "other.wasm").write_bytes(module + b"\x00\x03\x01ax")  # a custom section more
    (made / "s.toml").write_text(BASE)
    return made


def effect(path: Path, settings: Sequence[Setting]) -> str:
    """A digest of all that a run or a twin takes from a scenario."""
    scenario = load(path, settings)
    info = inspect(runner.read_guest(scenario), budget=scenario.guest.limits())
    zones = expand(scenario)
    weather = runner.read_weather(scenario)
    plant = Plant(scenario, zones, weather, None, [])
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, tuple):  # of arrays, whose text would be shortened
            for part in value:
                add(part)
            return
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())

    for value in plant._arguments(0)[1:]:
        add(value)
    add((plant.start_ms, plant.end_ms, plant.zones[:, NodeCol.RESTART_MS], info.sha256))
    add([(supply.curve, supply.zones) for supply in plant._supplies])
    for zone in zones:
        given = build.node_settings(zone, b"", info, scenario)
        add((zone.name, str(zone.node), given.config, given.parameters))
    add(stops.fails({"traps": 1, "may_stop": scenario.guest.may_stop}))
    add((scenario.guest.profile, scenario.guest.limits(), scenario.site.rain_gauge_mm_per_tip))
    add(timeline(scenario, zones))
    plant.totals[:] = 1.0  # some water, so that there is an account of it
    accounts = [zone_account(plant, zone, i) for i, zone in enumerate(zones)]
    add(accounts)
    if scenario.baselines is not None:
        sums = dict.fromkeys(FIGURES[1:-1], 1.0)
        add(run_baselines(scenario, zones, weather, {"zones": [sums | a for a in accounts]}))
    outcomes = evaluate(scenario, some_trace(scenario, len(zones)), zones)
    add([(o.name, o.passed, o.detail, o.time_ms, o.zone) for o in outcomes])
    for alert in scenario.alert:
        add((alert.kind, alert.zones, alert.thresholds, alert.hold_ms, alert.severity))
    for table in scenario.mapping:
        payloads = PayloadMap(table)
        add([payloads.node_of(topic) for topic in ("tele/x/SENSOR", "tele/y/SENSOR")])
        add(payloads.units())
        for payload in ({"a": 10.0, "b": 20.0}, {"a": "on"}, {"a": "ON"}, {}):
            try:
                add(payloads.apply(json.dumps(payload).encode()).signals)
            except MappingError as error:
                add(str(error))
    if scenario.fog is not None:
        rows, summary = simulate(scenario, runner.read_guest(scenario), some_telemetry(scenario))
        add([summary, [(row.cloud_ms, row.stream, row.signals) for row in rows]])
    return digest.hexdigest()


def some_telemetry(scenario: Scenario) -> dict[str, list[Publication]]:
    """Two days of a reading a minute."""
    start_ms = scenario.period.start_ms
    return {
        "a-001": [
            Publication(
                start_ms + n * 60_000, b"data", b'{"raw":%d,"flow":1}' % (2_000 + n * 37 % 91), 0
            )
            for n in range(2 * 1_440)
        ]
    }


def some_trace(scenario: Scenario, zones: int) -> dict[str, np.ndarray[Any, Any]]:
    """Rows of an hour whose signals differ from row to row and zone to zone."""
    period = scenario.period
    times = np.arange(period.start_ms, period.end_ms, period.trace_s * 1000) + period.trace_s * 1000
    trace = {name: np.zeros(zones * times.size) for name in TYPES}
    trace["zone"] = np.repeat(np.arange(zones), times.size)
    trace["time_ms"] = np.tile(times, zones)
    hour = trace["time_ms"] / 3.6e6
    # depletion is a saw from 0 to 100 mm in a day and a half
    trace["dr_mm"] = (hour * 100.0 / 36.0 + 17.0 * trace["zone"]) % 100.0
    trace["rain_mm"] = 0.01 * (trace["zone"] + 1) * (hour % 7)
    trace["irrigation_mm"] = 0.02 * (hour % 5)
    return trace


@pytest.fixture(scope="module")
def digests(directory: Path) -> dict[tuple[Setting, ...], str]:
    """Of what is set before, each once."""
    different = {before for before, _ in CASES.values()}
    return {before: effect(directory / "s.toml", before) for before in different}


TIERS = ("fog.", "cloud.", "link.")
"""A run through all tiers takes ten times as long as one without."""


@pytest.mark.parametrize(
    "key",
    [pytest.param(k, marks=pytest.mark.slow) if k.startswith(TIERS) else k for k in CASES],
)
def test_every_key_changes_something(
    key: str, directory: Path, digests: dict[tuple[Setting, ...], str]
) -> None:
    before, after = CASES[key]
    for setting in after:
        assert effect(directory / "s.toml", [*before, setting]) != digests[before], setting


def test_what_people_read_is_kept(directory: Path) -> None:
    names = {
        "name": ("name", "other"),
        "title": ("title", "A title"),
        "description": ("description", "A story"),
        "site.name": ("site.name", "A field"),
        "zone.name": ("zone.1.name", "c"),
        "fault.name": ("fault.0.name", "A fault"),
        "expect.name": ("expect.0.name", "A promise"),
    }
    assert names.keys() == FOR_PEOPLE
    text = dump(load(directory / "s.toml", list(names.values())))
    for _, value in names.values():
        assert f'"{value}"' in text


# Keys that change nothing beside others: rule of `levada.sim.scenario.idle`, what makes it so, and
# a value

BESIDE: dict[str, tuple[Sequence[Setting], str, str]] = {
    "soil.ponding_max_mm": ((), "zone.b.soil.ponding_max_mm", "9"),
    "soil.theta_s": (
        (("zone.b.soil", '{model = "bucket", theta_fc = 0.25, theta_wp = 0.1}'),),
        "zone.b.soil.theta_s",
        "0.5",
    ),
    "soil.cells": ((), "zone.b.soil.cells", "60"),
    "soil.pore_connectivity": ((), "zone.b.soil.pore_connectivity", "1"),
    "soil.fc_suction_m": ((), "zone.b.soil.fc_suction_m", "2"),
    "soil.drainage_time_d": ((), "zone.b.soil.drainage_time_d", "4"),
    "soil.intake_mm_h": ((), "zone.a.soil.intake_mm_h", "9"),
    "soil.rew_mm": ((), "zone.a.soil.rew_mm", "9"),
    "soil.curve_number_moisture": ((), "zone.a.soil.curve_number_moisture", "wet"),
    "soil.initial_abstraction": ((), "zone.a.soil.initial_abstraction", "0.05"),
    "valve.spray_drift": ((), "zone.a.valve.spray_drift", "solid-set"),
    "valve.interception_mm": ((), "zone.a.valve.interception_mm", "1"),
    "crop.feddes_m": ((), "zone.b.crop.feddes_m", "[-0.1, -0.25, -4, -8, -80]"),
    "crop.feddes_like": ((), "zone.b.crop.feddes_like", "maize"),
    "crop.critical_stress_index": ((), "zone.b.crop.critical_stress_index", "0.5"),
    "crop.base_c": ((), "zone.a.crop.base_c", "8"),
    "crop.upper_c": ((), "zone.a.crop.upper_c", "33"),
    "probe.half_height_m": ((), "zone.b.probe.half_height_m", "0.1"),
    "probe.range_kpa": ((), "zone.a.probe.range_kpa", "60"),
    "probe.theta_dry": (TENSIOMETER, "zone.a.probe.theta_dry", "0.05"),
    "probe.theta_wet": (TENSIOMETER, "zone.a.probe.theta_wet", "0.5"),
    "probe.curve": (TENSIOMETER, "zone.a.probe.curve", "topp"),
    "probe.theta_error": (TENSIOMETER, "zone.a.probe.theta_error", "0.05"),
    "probe.reference_c": ((), "zone.a.probe.reference_c", "15"),
    "probe.warmup_s": ((), "zone.a.probe.warmup_s", "5"),
    "valve.emitter_exponent": ((), "zone.b.valve.emitter_exponent", "0.7"),
    "valve.pressure_kpa": (
        (("zone.b.valve.emitter_exponent", "0"),),
        "zone.b.valve.pressure_kpa",
        "150",
    ),
    "valve.emitter_least_kpa": ((), "zone.a.valve.emitter_least_kpa", "180"),
    "valve.meter_slip": ((), "zone.b.valve.meter_slip", "0.1"),
    "valve.nominal_pressure_kpa": (
        (("zone.b.valve.emitter_exponent", "0"),),
        "zone.b.valve.nominal_pressure_kpa",
        "150",
    ),
    **{
        f"energy.{key}": ((("zone.a.energy.battery", "none"),), f"zone.a.energy.{key}", value)
        for key, value in {
            "capacity_mah": "1000",
            "initial_charge": "0.5",
            "self_discharge_per_month": "0.1",
            "solar_w": "1",
            "cutoff_mv": "3100",
            "restart_mv": "3500",
        }.items()
    },
    "energy.address": (
        (("zone.a.energy.sleep", "connected-modem"),),
        "zone.a.energy.address",
        "dhcp",
    ),
    "energy.tls": (
        (("zone.a.energy.sleep", "connected-modem"),),
        "zone.a.energy.tls",
        "psk",
    ),
    "energy.board": (
        (("zone.a.energy.board_ma", "3"),),
        "zone.a.energy.board",
        "lolin32",
    ),
}


def test_every_rule_of_idle_keys_has_a_case() -> None:
    assert {f"{rule.part}.{key}" for rule in IDLE for key in rule.keys} == set(BESIDE)


@pytest.mark.parametrize("name", BESIDE)
def test_a_key_without_effect_is_refused(name: str, directory: Path) -> None:
    before, key, value = BESIDE[name]
    with pytest.raises(ScenarioError, match=f"`{name.split('.')[1]}` has no effect: "):
        load(directory / "s.toml", [*before, (key, value)])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('time_zone = "America/Denver"', '`time_zone` = "America/Denver" has no effect: days.csv'),
        ('time_zone = "Europe/Nowhere"', '`time_zone` = "Europe/Nowhere": no such zone'),
    ],
)
def test_lint_and_run_say_where_it_stands(directory: Path, lines: str, message: str) -> None:
    path = directory / "zone.toml"
    path.write_text(BASE.replace('file = "days.csv"\n', f'file = "days.csv"\n{lines}\n'))
    printed = CliRunner().invoke(app, ["lint", str(path)])
    assert printed.exit_code != 0
    assert f"zone.toml:14:13: {message}" in printed.output
    ran = CliRunner().invoke(app, ["run", str(path)])
    assert isinstance(ran.exception, ScenarioError)
    assert str(ran.exception) in printed.output


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            ("site.wind_height_m", "3"),
            "`wind_height_m` = 3 m has no effect: power.csv is a file of",
        ),
        (
            ("weather.time_zone", "America/Denver"),
            "has no effect: power.csv is a file of NASA POWER",
        ),
    ],
)
def test_keys_beside_a_file_of_others(directory: Path, setting: Setting, message: str) -> None:
    (directory / "power.csv").write_text("-BEGIN HEADER-\n")
    with pytest.raises(ScenarioError, match=message):
        load(directory / "s.toml", [("weather.file", "power.csv"), setting])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (("fault.0.magnitude", "0 counts/d"), "changes nothing, leave the fault out"),
        (
            ("fault.0", '{kind = "probe-open", start = "1 d", magnitude = "-1.5 code"}'),
            "a code is a whole number",
        ),
        (("alert.0.zones", "c"), "no zone fits `c`"),
        (
            ("alert", '[{kind = "offline"}, {kind = "offline", zones = "b"}]'),
            "a second rule of o",
        ),
        (("mapping.0.field.0.scale", "0"), "`scale` = 0: the payload's value would have no effect"),
        (("zone.a.calibration", "{dry_counts = 9, wet_counts = 9}"), "equals `dry_counts`"),
        (("zone.a.spread", "{probe.range_kpa = 0.1}"), "`probe.range_kpa` has no effect"),
        (("zone.a.soil.initial.depth_m", "0.5"), "one value holds at every depth"),
        (("site.utc_offset_h", "7"), "10.0 h behind the sun at `longitude_deg` = -104.6 deg"),
        (("site.utc_offset_h", "-6.3"), "whole quarters of an hour from UTC"),
        (("zone.a.spread", "{valve.leak = 0.1}"), "`valve.leak` has no effect: it is 0"),
        (
            ("expect", '[{name = "e", kind = "never", that = "trap > 0", longer_than = "99 d"}]'),
            "`longer_than` = 99 d: all of the ",
        ),
        (
            ("expect", '[{name = "e", kind = "duration", that = "why == LEAK", at_most = "99 d"}]'),
            "`at_most` = 99 d: all of the ",
        ),
        (
            ("mapping.0.field.0", '{signal = "temp_c", pointer = "/t", unit = "mV"}'),
            '`unit` = "mV": `temp_c` is kept in degC',
        ),
        (
            (
                "mapping",
                '[{topic = "a/+/c", field = [{signal = "raw", pointer = "/r"}]}, '
                '{topic = "a/b/c", node = "b", field = [{signal = "pct", pointer = "/p"}]}]',
            ),
            '`topic` = "a/b/c" has no effect: every payload of it is read by "a/\\+/c" above',
        ),
    ],
)
def test_what_changes_nothing_or_contradicts_itself(
    directory: Path, setting: Setting, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        load(directory / "s.toml", [setting])


@pytest.mark.parametrize(
    ("place", "longitude_deg", "offset_h"),
    [
        ("Kiritimati", -157.4, 14),
        ("Apia", -171.8, 13),
        ("Nuku'alofa", -175.2, 13),
        ("Chatham", -176.5, 12.75),
        ("Attu", 172.9, -10),
        ("Kashgar", 75.9, 8),
        ("Vigo", -8.7, 1),
        ("Mendoza", -68.8, -3),
        ("Kathmandu", 85.3, 5.75),
        ("Reykjavik", -21.9, 0),
    ],
)
def test_the_clocks_of_the_world_are_permitted(
    directory: Path, place: str, longitude_deg: float, offset_h: float
) -> None:
    settings = [("site.longitude_deg", longitude_deg), ("site.utc_offset_h", offset_h)]
    notes = load(directory / "s.toml", settings).notes()
    far = any("the sun here" in note for note in notes)
    assert far == (place in ("Kashgar", "Attu"))


@pytest.mark.parametrize(
    ("longitude_deg", "offset_h"),
    [(28.2, -2), (145.0, -10), (-58.4, 3), (77.2, -5.5), (-122.6, 8), (174.8, -12 + 6)],
)
def test_a_sign_turned_round_is_refused(
    directory: Path, longitude_deg: float, offset_h: float
) -> None:
    settings = [("site.longitude_deg", longitude_deg), ("site.utc_offset_h", offset_h)]
    with pytest.raises(ScenarioError, match=f"`utc_offset_h` = {offset_h:g} h: .* the sun at"):
        load(directory / "s.toml", settings)


def test_tables_that_only_a_twin_reads_are_noted(directory: Path) -> None:
    result = CliRunner().invoke(app, ["lint", str(directory / "s.toml")])
    assert result.exit_code == 0, result.output
    assert "[[alert]] has no effect in a run" in result.output
    assert "[[mapping]] has no effect in a run" in result.output


def test_a_pin_refuses_another_file(directory: Path) -> None:
    for key, file in (("weather.sha256", "days.csv"), ("guest.sha256", "guest.wasm")):
        right = sha256_of(directory / file)
        load(directory / "s.toml", [(key, right)])
        with pytest.raises(ScenarioError, match="is not the file that is pinned"):
            load(directory / "s.toml", [(key, "0" * 64)])


# What a scenario permits, its models take, or lint says what they do not

BOUNDS = [
    (before, name, bound)
    for before, after in CASES.values()
    for name, _ in after[:1]
    for bound in bounds(name)
    if name != "zone.a.count"  # as many zones as that take long, and differ in their names only
]


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        (
            [("zone.a.soil", '{texture = "sand", initial = {theta = 0.5}}')],
            "zone.0.soil.initial.theta",
            r"`theta` = 0.5: permitted above 0.0225 and at most 0.375 in the pores",
        ),
        (
            [("zone.a.soil", '{texture = "sand", initial = {theta = 0.02}}')],
            "zone.0.soil.initial.theta",
            r"`theta` = 0.02: permitted above 0.0225 and at most 0.375 in the pores",
        ),
        (
            [("zone.a.soil", f"{{layer = [{LAYER.format(0.4)}], initial = {{theta = 0.43}}}}")],
            "zone.0.soil.initial.theta",
            r"`theta` = 0.43: permitted above 0.07 and at most 0.42 in the pores",
        ),
        (
            [("zone.a.soil", "{theta_fc = 0.4, theta_wp = 0.1, initial = {available_pct = 200}}")],
            "zone.0.soil.initial.available_pct",
            r"`available_pct` = 200, a water content of 0.700: permitted above",
        ),
        (
            [("zone.a.crop.zr_max_m", "0.1")],
            "zone.0.crop.zr_max_m",
            "`zr_max_m` = 0.1: below",
        ),
        (
            [("zone.b.crop.zr_min_m", "4.9"), ("zone.b.crop.zr_max_m", "5")],
            "zone.1.crop.zr_min_m",
            "zr_m = 5: the roots at the start reach below the soil of 2 m",
        ),
        (
            [
                (
                    "zone.b.soil",
                    '{model = "bucket", theta_fc = 0.65, theta_wp = 0.51, theta_s = 0.9}',
                )
            ],
            "zone.1.soil.theta_wp",
            "`theta_wp` = 0.51: permitted 0 to 0.5",
        ),
    ],
)
def test_lint_says_what_a_model_refuses(
    settings: list[Setting], key: str, message: str, directory: Path
) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        runner.check(read(directory / "s.toml", settings))
    (problem,) = caught.value.problems
    assert problem.key == key


def test_an_expectation_that_a_bucket_cannot_break(directory: Path) -> None:
    setting = ("expect", '[{name = "e", kind = "never", that = "ponding_mm > 1", zones = "ZONE"}]')
    load(directory / "s.toml", [(setting[0], setting[1].replace("ZONE", "a"))])
    with pytest.raises(ScenarioError, match="`ponding_mm`: the bucket of zone b has no water on"):
        load(directory / "s.toml", [(setting[0], setting[1].replace("ZONE", "b"))])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            [("zone.a.probe", "{dry_counts = 0, wet_counts = 1, theta_wet = 0.6}")],
            r"come to the same, 0 counts, at the wilting point and at field capacity",
        ),
        (
            [("zone.b.energy.initial_charge", "0")],
            # Chen and Rincon-Mora (2006), Eq. 2: 3.685 - 1.031 = 2.654 V, and 68 mA in 0.12 ohm
            r"`initial_charge` = 0: the battery begins at 264\d mV, below `cutoff_mv` = 3200 mV",
        ),
    ],
)
def test_what_would_run_and_never_do_anything_is_refused(
    directory: Path, settings: list[Setting], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        runner.check(read(directory / "s.toml", settings))


def test_an_empty_battery_is_refused_whatever_the_cutoff(directory: Path) -> None:
    # 2.654 V without load, above this cut-off: such a cell would have fed the node for ever
    empty = [("zone.b.energy", "{initial_charge = 0, cutoff_mv = 2500}")]
    with pytest.raises(ScenarioError, match="`initial_charge` = 0: the battery is empty") as caught:
        runner.check(read(directory / "s.toml", empty))
    assert caught.value.problems[0].key == "zone.1.energy.initial_charge"


def test_a_panel_may_wake_an_empty_battery(directory: Path) -> None:
    empty = [("zone.b.energy", "{initial_charge = 0, solar_w = 1}")]
    runner.check(read(directory / "s.toml", empty))


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        (
            [("zone.b.crop", '{name = "maize", planting = 2022-08-01, harvest = 2023-01-31}')],
            "zone b: no crop in the period, the ground is bare: maize, planted 2022-08-01, ended "
            "2023-01-31",
        ),
        (
            [("zone.b.soil.depth_m", "0.9"), ("zone.b.crop.zr_max_m", "1.2")],
            "zone b: roots of wheat could reach 1.2 m and end with the soil at 0.9 m (`depth_m` in "
            "[zone.soil])",
        ),
        (
            [("zone.b.probe.depth_m", "1.4"), ("zone.b.crop.zr_max_m", "1.2")],
            "zone b: the probe at 1.4 m lies below the deepest roots, 1.2 m",
        ),
        (
            [("zone.b.calibration", "{dry_counts = 3000, wet_counts = 1300, limit_counts = 100}")],
            "zone b: `limit_counts` = 100 counts: not between what the guest takes as 100 %, 1300 "
            "counts, and as 0 %, 3000 counts",
        ),
    ],
)
def test_what_may_not_be_meant_is_noted(
    directory: Path, settings: list[Setting], note: str
) -> None:
    scenario = load(directory / "s.toml", settings)
    assert note in models.notes(scenario, expand(scenario))
    plain = load(directory / "s.toml")
    assert models.notes(plain, expand(plain)) == []


def test_a_year_without_a_timer_is_a_valve(directory: Path) -> None:
    settings = [("zone.a.valve.max_open_s", "31622400")]
    runner.check(read(directory / "s.toml", settings))


@pytest.mark.parametrize("number", ["9" * 4301, "-" + "9" * 5000, "0x" + "f" * 4000, "9" * 20])
def test_a_number_that_toml_does_not_have_is_refused(directory: Path, number: str) -> None:
    path = directory / "large.toml"
    path.write_text(BASE.replace('name = "keys"', f'name = "keys"\nseed = {number}'))
    with pytest.raises(ScenarioError, match=r"whole number is permitted from -2\^63") as caught:
        load(path)
    assert caught.value.problems[0].line == 3
    with pytest.raises(ScenarioError, match=r"s.toml|--set seed"):
        load(directory / "s.toml", [("seed", number)])


def test_a_byte_order_mark_is_none_of_the_scenario(directory: Path) -> None:
    path = directory / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.replace("maize", "maiz").encode())
    with pytest.raises(ScenarioError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (24, 8)
    path.write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load(path) == load(directory / "s.toml")
    chosen = ["a-001=virtual"]
    assert node_overrides(path, chosen) == node_overrides(directory / "s.toml", chosen) != []


@pytest.mark.parametrize(("before", "name", "bound"), BOUNDS)
def test_a_bound_is_taken_or_refused_by_lint(
    before: tuple[Setting, ...], name: str, bound: float, directory: Path
) -> None:
    settings = [*before, (name, bound)]
    try:
        document = read(directory / "s.toml", settings)
        runner.check(document)
    except (ScenarioError, WeatherError, GuestError) as error:
        assert str(error)
        return
    scenario = document.scenario
    Plant(scenario, expand(scenario), runner.read_weather(scenario), None, []).close()
