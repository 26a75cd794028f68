"""What must stand in the summary and the scenario of a run, so that their readers can rely on it.

A run writes more than that.  What was edited or damaged is refused once, when it is read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

__all__ = ["scenario_flaw", "summary_flaw"]

LAST_MS: Final = 253_402_214_400_000
"""The last day of the year 9999."""


def _iso(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is not None:
        raise ValueError("standard time of the site has no offset")
    return text


def _thresholds(heads_m: list[float]) -> list[float]:
    """Those of root uptake; the bucket has none."""
    if len(heads_m) not in (0, 5):
        raise ValueError("5 pressure heads, or none")
    return heads_m


Instant = Annotated[int, Field(ge=-LAST_MS // 4, le=LAST_MS)]
Moment = Annotated[str, AfterValidator(_iso)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Count = Annotated[int, Field(ge=0, le=10**15)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Range(_Part):
    low_j: Number
    nominal_j: Number
    high_j: Number


class _Energy(_Range):
    label: str
    parts: dict[str, _Range]


class _Expectation(_Part):
    name: str
    passed: bool | None
    detail: str
    time_ms: Instant | None
    zone: str | None


class _Layer(_Part):
    thickness_m: Number
    theta_fc: Number
    theta_wp: Number
    ks_m_d: Number
    # of Richards soils
    theta_r: Number | None = None
    theta_s: Number | None = None
    alpha_per_m: Number | None = None
    n: Number | None = None
    pore_connectivity: Number | None = None
    theta_m: Number | None = None
    matrix_ks_m_d: Number | None = None
    theta_1_d: Number | None = None
    theta_3_d: Number | None = None
    theta_10_d: Number | None = None


class _Balance(_Part):
    rain_mm: Number
    irrigation_mm: Number
    evaporation_mm: Number
    transpiration_mm: Number
    drainage_mm: Number
    runoff_mm: Number
    storage_change_mm: Number
    balance_error_mm: Number
    stress_days: Number
    valve_openings: Count


class _Zone(_Balance):
    name: str
    traps: Count = 0
    trap: str | None = None
    trap_ms: Instant | None = None
    trap_backtrace: list[str] | None = None
    soil: list[_Layer] = []
    feddes_m: Annotated[list[Number], AfterValidator(_thresholds)] | None = None


class _Fault(_Part):
    kind: str
    label: str
    effect: str | None
    magnitude: str | None
    start_ms: Instant
    end_ms: Instant
    zones: list[str]


class _Weather(_Part):
    source: str
    sha256: str
    filled: list[str]
    notes: list[str]


class _Guest(_Part):
    name: str
    version: str
    bytes: Count


class _Use(_Part):
    gross_mm: Number
    net_mm: Number
    spray_loss_mm: Number
    interception_mm: Number
    application_efficiency: Number | None


class _Productivity(_Part):
    pct_per_100_mm: Number
    kg_m3: Number | None


class _Compared(_Part):
    gross_mm: Number
    et_mm: Number
    drainage_mm: Number
    runoff_mm: Number
    dry_stress_days: Number
    wet_stress_days: Number
    relative_yield: Number | None
    within_limits: bool
    irrigation_productivity: _Productivity | None


class _Baseline(_Compared):
    name: Literal["rainfed", "calendar", "fao56", "optimum"]
    meaning: str
    interval_d: Count = 1
    depth_mm: Number = 0.0
    look_ahead_d: Count = 1


class _Baselines(_Part):
    guest: _Compared
    rows: list[_Baseline]


class _Summary(_Balance):
    scenario: str
    seed: int
    guest_sha256: str
    tape_digest: str
    trace_digest: str
    partial: bool
    start: Moment
    days: Number
    steps: Count
    longest_opening_s: Number
    water_l: Number
    wet_stress_days: Number = 0.0
    traps: Count = 0
    may_stop: bool = False
    energy: _Energy
    expectations: list[_Expectation]
    wall_s: Number
    field_days_per_s: Number
    notes: list[str] = []
    zones: Annotated[list[_Zone], Field(min_length=1)]
    faults: list[_Fault]
    weather: _Weather
    guest: _Guest
    levada_version: str
    versions: dict[str, str]
    link: dict[str, Any] | None
    irrigation_use: _Use | None = None
    relative_yield: Number | None = None
    baselines: _Baselines | None = None


class _Named(_Part):
    name: str = ""


class _Soil(_Part):
    texture: str | None = None
    model: str | None = None


class _Probe(_Part):
    depth_m: Number | None = None
    half_height_m: Number | None = None


class _ZoneTable(_Part):
    count: Annotated[int, Field(ge=1, le=10**6)] = 1
    area_m2: Annotated[float, Field(gt=0, le=1e15)] | None = None
    node: str = "sim"
    soil: _Soil = _Soil()
    crop: _Named = _Named()
    probe: _Probe = _Probe()


class _Scenario(_Part):
    title: str = ""
    description: str = ""
    site: _Named = _Named()
    zone: list[_ZoneTable]


def summary_flaw(content: object) -> str | None:
    """What is wrong with the content of a summary.json; None if all that is read is there."""
    return _flaw(_Summary, content)


def scenario_flaw(content: object) -> str | None:
    """What is wrong with the content of a scenario.toml, as far as it is read without its model."""
    return _flaw(_Scenario, content)


def _flaw(shape: type[BaseModel], content: object) -> str | None:
    try:
        shape.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else "not what a run has left"
    return None
