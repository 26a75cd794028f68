"""Every bound of every table of a scenario, fed to the models behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pydantic import BaseModel

from levada.sim.devices.probe import RainGauge
from levada.sim.errors import SettingError
from levada.sim.run.build import build_models
from levada.sim.run.models import refused
from levada.sim.run.runner import read_weather
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.expand import expand
from levada.sim.scenario.load import read
from levada.sim.scenario.model import Scenario
from levada.sim.settings.crop import Crop
from levada.sim.settings.energy import Energy
from levada.sim.settings.explain import bounds, table_of
from levada.sim.settings.probe import Probe
from levada.sim.settings.site import Site
from levada.sim.settings.soil import Hydraulics
from levada.sim.settings.station import EtSource, Forecast, ZoneGauge
from levada.sim.settings.supply import WaterSupply
from levada.sim.settings.valve import Valve
from levada.sim.weather import Weather

ROOT = Path(__file__).resolve().parents[2]
WEATHER = str(ROOT / "levada/scenarios/weather/greeley_co_2023_daily.csv")
FREE = (
    *("seed", "guest", "fault", "expect", "alert", "mapping"),
    *("edge", "fog", "cloud", "link", "supply"),
)
"""Tables without a model in arrays; the curve of a supply is tried in `test_field_faults`."""

LAYER = {
    "thickness_m": 0.4,
    "theta_r": 0.05,
    "theta_s": 0.43,
    "alpha_per_m": 3.6,
    "n": 1.56,
    "ks_m_d": 0.25,
    "theta_fc": 0.3,
    "theta_wp": 0.1,
}
NUMBERS = {
    "stages": [20, 30, 40, 20],
    "kcb_ini": 0.15,
    "kcb_mid": 1.1,
    "kcb_end": 0.5,
    "height_max_m": 2.0,
    "zr_max_m": 1.0,
    "depletion_fraction": 0.5,
}
CONTEXTS: dict[str, list[tuple[str, Any]]] = {
    "zone.soil.sand_pct": [("soil", {})],
    "zone.soil.theta_fc": [("soil", {"theta_fc": 0.3, "theta_wp": 0.1})],
    "zone.soil.layer": [("soil", {"layer": [LAYER]})],
    "zone.soil.initial": [("soil", {"texture": "loam", "initial": {}})],
    "zone.soil.bottom_head_m": [("soil", {"texture": "loam", "bottom": "head"})],
    "zone.crop": [("crop", {"planting": "P", **NUMBERS})],
}
SAME = {
    "zone.soil.silt_pct": "zone.soil.sand_pct",
    "zone.soil.clay_pct": "zone.soil.sand_pct",
    "zone.soil.theta_wp": "zone.soil.theta_fc",
    "zone.soil.theta_s": "zone.soil.theta_fc",
}


FRACTIONS = ("sand_pct", "silt_pct", "clay_pct")
BESIDE: dict[str, dict[str, dict[str, Any]]] = {
    "zone.probe.depth_m": {"soil": {"depth_m": 6.0}},
    "zone.probe.range_kpa": {"probe": {"kind": "tensiometer"}},
    "zone.energy.probe_on_ms": {"energy": {"probe_ma": 5.3}},
    "zone.valve.emitter_least_kpa": {"valve": {"emitter_exponent": 0.0, "pressure_kpa": 150.0}},
    "zone.valve.meter_slip": {"valve": {"meter_least_l_min": 1.0}},
    "zone.probe.reference_c": {"probe": {"temperature_counts_per_c": 1.0}},
    "zone.probe.warmup_s": {"probe": {"warmup_counts": 10.0}},
    "zone.valve.emitter_exponent": {"valve": {"pressure_kpa": 200.0}},
    "zone.valve.interception_mm": {"valve": {"method": "sprinkler"}},
    "zone.soil.initial_abstraction": {"soil": {"curve_number": 80.0}},
    "zone.crop.yield_t_ha": {"crop": {"ky": 1.0}},
    "zone.soil.theta_fc": {"soil": {"theta_wp": 0.5, "theta_s": 1.0}},
    "zone.soil.theta_wp": {"soil": {"theta_fc": 0.69, "theta_s": 1.0}},
    "zone.soil.layer.fc_suction_m": {
        "soil": {"layer": [{"thickness_m": 1.0, "theta_fc": 0.3, "theta_wp": 0.1}]}
    },
    "zone.soil.layer.theta_s": {"soil": {"layer": [LAYER | {"theta_fc": 0.6}]}},
    "zone.soil.layer.theta_fc": {"soil": {"layer": [LAYER | {"theta_s": 1.0}]}},
    "zone.soil.layer.theta_wp": {"soil": {"layer": [LAYER | {"theta_r": 0.0}]}},
    "zone.soil.theta_s": {"soil": {"theta_fc": 0.6, "theta_wp": 0.4}},
}
"""What else a key needs to have an effect, by table of the zone."""


def fields(table: type[BaseModel], path: str = "") -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Key, bounds and type of every number that has bounds."""
    for key, field in table.model_fields.items():
        inner, name = table_of(field), f"{path}.{key}".lstrip(".")
        if name.split(".")[0] in FREE:
            continue
        if inner is not None:
            yield from fields(inner, name)
        elif found := bounds(field):
            yield name, found, field.annotation


FIELDS = {name: (found, kind) for name, found, kind in fields(Scenario)}


def edges(found: dict[str, Any], kind: Any) -> Iterator[tuple[float, bool]]:
    """Values at and beside the bounds, and whether they are within them."""
    whole = kind in (int, int | None)
    for side, open_, away in (("low", "above", -math.inf), ("high", "below", math.inf)):
        bound = found[side]
        if bound is None:
            continue
        beyond = bound + (-1 if side == "low" else 1) if whole else math.nextafter(bound, away)
        if found.get(open_):
            yield math.nextafter(bound, -away), True
            yield float(bound), False
        else:
            yield (bound if whole else float(bound)), True
            yield beyond, False


def document(key: str, value: float, model: str) -> dict[str, Any]:
    """A scenario with one key set to a value."""
    data: dict[str, Any] = {
        "version": 1,
        "name": "edge",
        "site": {
            "latitude_deg": 40.4,
            "longitude_deg": -104.6,
            "elevation_m": 1427.0,
            "utc_offset_h": -7.0,
        },
        "period": {"start": date(2023, 6, 1), "end": date(2023, 6, 1)},
        "weather": {"file": WEATHER},
        "zone": [{"name": "a", "soil": {"texture": "loam"}, "crop": {"name": "maize"}}],
    }
    zone = data["zone"][0]
    context = next((c for c in CONTEXTS if SAME.get(key, key).startswith(c)), "")
    for part, table in CONTEXTS.get(context, []):
        zone[part] = deepcopy(table)
    zone["soil"]["model"] = model
    zone["crop"]["planting"] = date(2023, 5, 20)
    others = BESIDE.get(key, {})
    for part, table in others.items():
        zone.setdefault(part, {}).update(table)
    if key.rpartition(".")[2] in FRACTIONS:
        zone["soil"].update(dict.fromkeys(FRACTIONS, (100.0 - value) / 2.0))
    if key == "site.longitude_deg":
        data["site"]["utc_offset_h"] = float(round(value / 15.0))
    if key.startswith("weather.generator"):
        data["weather"] = {"generator": {"like": WEATHER}}
    if key in ("zone.crop.base_c", "zone.crop.upper_c"):
        zone["crop"]["growth"] = "degree-days"
        zone["crop"]["planting"] = date(2023, 6, 1)
    here: Any = data
    *steps, last = key.split(".")
    for step in steps:
        here = here.setdefault(step, {})
        here = here[0] if isinstance(here, list) else here
    here[last] = value
    return data


@cache
def greeley() -> Weather:
    found = document("name", 0, "bucket") | {"name": "edge"}
    return read_weather(Scenario.model_validate(found | {"zone": tuple(found["zone"])}))


def make(scenario: Scenario, key: str) -> Weather:
    """Weather, gauge and generator as a run makes them."""
    own = key.split(".")[0] in ("site", "weather", "period")
    if scenario.site.rain_gauge_mm_per_tip is not None:
        RainGauge(scenario.site.rain_gauge_mm_per_tip)
    return read_weather(scenario) if own else greeley()


@pytest.mark.parametrize("key", FIELDS)
def test_what_lint_takes_the_models_take_and_what_they_refuse_lint_refuses_with_its_place(
    key: str, tmp_path: Path
) -> None:
    path = tmp_path / "edge.toml"
    taken = False
    for model, (value, within) in product(("bucket", "richards"), edges(*FIELDS[key])):
        path.write_text(tomli_w.dumps(document(key, value, model)), "utf-8")
        try:
            found = read(path)
            zones = expand(found.scenario)
            weather = make(found.scenario, key)
            problems = found.problems(list(refused(found.scenario, zones, weather)))
        except ScenarioError as error:
            problems = list(error.problems)
        if not problems:
            taken = True
            assert within, f"{key} = {value} was let pass"
            build_models(found.scenario, zones, weather)
            continue
        assert all(problem.line > 0 and problem.column > 0 for problem in problems), problems
        if not within:
            name = key.rpartition(".")[2]
            assert any(f"`{name}` = " in p.message and "permitted" in p.message for p in problems)
    assert taken, "no bound of it came to a model: give it company in BESIDE"


@pytest.mark.parametrize(
    "settings",
    [
        Crop(**{**NUMBERS, "stages": (20.0, 30.0, 40.0, 20.0)}),
        Energy(),
        Hydraulics(**{k: LAYER[k] for k in Hydraulics.model_fields if k in LAYER}),
        Probe(),
        Site(latitude_deg=40.0, longitude_deg=-105.0, elevation_m=0.0, utc_offset_h=-7.0),
        Valve(),
        WaterSupply(name="pump", shutoff_kpa=200.0, flow_l_min=40.0, pressure_kpa=100.0),
        ZoneGauge(),
        Forecast(),
        EtSource(),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_a_number_out_of_its_range_is_refused_in_one_wording(settings: Any) -> None:
    seen = 0
    for key, field in type(settings).model_fields.items():
        found = bounds(field)
        if not found:
            continue
        for value, within in edges(found, field.annotation):
            if within:
                continue
            seen += 1
            with pytest.raises(SettingError, match=rf"^`{key}` = \S+( [^:]+)?: permitted \S+"):
                settings.but(**{key: value})
    assert seen >= 2
