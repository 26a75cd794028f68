"""Keys that change nothing beside the others of their zone: said, not accepted in silence.

A key at its default says nothing and is let pass: a run writes all defaults into its scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from levada.sim.settings.issue import Issue

if TYPE_CHECKING:
    from levada.sim.scenario.zone import Zone

__all__ = ["IDLE", "Idle", "idle_keys"]


class Idle(NamedTuple):
    """When some keys of a zone change nothing, and why."""

    part: str
    """Table of the zone."""
    keys: tuple[str, ...]
    when: Callable[[Zone], bool]
    reason: str


def _bucket(zone: Zone) -> bool:
    return zone.soil.model == "bucket"


def _pores_unasked(zone: Zone) -> bool:
    """Contents above 0.5 are believed only of a soil whose pores are given, the bucket's too."""
    return _bucket(zone) and (zone.soil.theta_fc is None or zone.soil.theta_fc <= 0.5)


def _richards(zone: Zone) -> bool:
    return zone.soil.model == "richards"


def _capacitive(zone: Zone) -> bool:
    return zone.probe.kind == "capacitive"


def _tensiometer(zone: Zone) -> bool:
    return zone.probe.kind == "tensiometer"


def _mains(zone: Zone) -> bool:
    return zone.energy.battery == "none"


def _at_nominal_pressure(zone: Zone) -> bool:
    valve = zone.valve
    spread = {"valve.pressure_kpa", "valve.nominal_pressure_kpa"} & zone.spread.keys()
    own = zone.supply is None and not spread
    return own and valve.pressure_kpa == valve.nominal_pressure_kpa


def _compensating(zone: Zone) -> bool:
    return zone.valve.emitter_exponent == 0.0 and "valve.emitter_exponent" not in zone.spread


def _regulating(zone: Zone) -> bool:
    valve = zone.valve
    spread = {f"valve.{key}" for key in ("emitter_exponent", "pressure_kpa", "emitter_least_kpa")}
    enough = zone.supply is None and valve.pressure_kpa >= valve.emitter_least_kpa
    alike = valve.emitter_exponent >= 0.5 or enough
    return alike and not spread & zone.spread.keys()


_DRAINING: Final = ("pore_connectivity", "fc_suction_m", "drainage_time_d")
_AT_ONCE: Final = "the bucket drains to field capacity at once"

IDLE: Final = (
    Idle("soil", ("ponding_max_mm",), _bucket, "no water stands on the bucket; see `intake_mm_h`"),
    Idle("soil", ("cells",), _bucket, "the bucket has no grid"),
    Idle("soil", ("theta_s",), _pores_unasked, "the bucket ends at field capacity"),
    Idle("soil", _DRAINING, _bucket, _AT_ONCE),
    Idle(
        "soil",
        ("intake_mm_h",),
        _richards,
        "`richards` takes up what the soil conducts; see `ponding_max_mm`",
    ),
    Idle("soil", ("rew_mm",), _richards, "`richards` evaporates what the soil conducts"),
    Idle(
        "crop",
        ("feddes_m", "feddes_like", "critical_stress_index"),
        _bucket,
        "the bucket has no suction",
    ),
    Idle(
        "crop",
        ("base_c", "upper_c"),
        lambda zone: zone.crop.growth == "days",
        'they go with `growth = "degree-days"`',
    ),
    Idle("probe", ("half_height_m",), _bucket, "the bucket knows one water content of a layer"),
    Idle("probe", ("range_kpa",), _capacitive, "a capacitive probe measures no suction"),
    Idle(
        "probe",
        ("theta_dry", "theta_wet", "curve", "theta_error"),
        _tensiometer,
        "a tensiometer measures no water content",
    ),
    Idle(
        "probe",
        ("reference_c",),
        lambda zone: (
            zone.probe.temperature_counts_per_c == zone.probe.electronics_counts_per_c == 0.0
            and not {f"probe.{key}_counts_per_c" for key in ("temperature", "electronics")}
            & zone.spread.keys()
        ),
        "`temperature_counts_per_c` and `electronics_counts_per_c` are 0",
    ),
    Idle(
        "probe",
        ("warmup_s",),
        lambda zone: zone.probe.warmup_counts == 0.0 and "probe.warmup_counts" not in zone.spread,
        "`warmup_counts` is 0",
    ),
    Idle(
        "valve",
        ("emitter_exponent",),
        _at_nominal_pressure,
        "`pressure_kpa` is `nominal_pressure_kpa`",
    ),
    Idle(
        "valve",
        ("pressure_kpa",),
        lambda zone: zone.supply is not None,
        "the pressure is that of its `supply`",
    ),
    Idle(
        "valve",
        ("pressure_kpa", "nominal_pressure_kpa"),
        lambda zone: (
            _compensating(zone)
            and zone.valve.pressure_kpa > 0.0
            and zone.valve.pressure_kpa >= zone.valve.emitter_least_kpa
        ),
        "with `emitter_exponent` = 0 the flow is the same at every pressure",
    ),
    Idle(
        "valve",
        ("spray_drift", "interception_mm"),
        lambda zone: zone.valve.method != "sprinkler",
        'they go with `method = "sprinkler"`',
    ),
    Idle(
        "soil",
        ("curve_number_moisture", "initial_abstraction"),
        lambda zone: zone.soil.curve_number is None,
        "`curve_number` is not given",
    ),
    Idle(
        "valve",
        ("emitter_least_kpa",),
        _regulating,
        "at this `pressure_kpa` and `emitter_exponent` the flow is the same without it",
    ),
    Idle(
        "valve",
        ("meter_slip",),
        lambda zone: zone.valve.meter_least_l_min == 0.0,
        "`meter_least_l_min` is 0",
    ),
    Idle(
        "energy",
        (
            "capacity_mah",
            "initial_charge",
            "self_discharge_per_month",
            "solar_w",
            "cutoff_mv",
            "restart_mv",
        ),
        _mains,
        "the node has no battery",
    ),
    Idle(
        "energy",
        ("address",),
        lambda zone: zone.energy.sleep.startswith("connected"),
        "a node that stays connected keeps its address",
    ),
    Idle(
        "energy",
        ("tls",),
        lambda zone: zone.energy.sleep.startswith("connected"),
        "a node that stays connected secures its link once",
    ),
    Idle(
        "energy",
        ("board",),
        lambda zone: zone.energy.board_ma is not None,
        "`board_ma` says what the board draws",
    ),
)
"""In the order of the tables of a zone."""


def idle_keys(zone: Zone) -> Iterator[Issue]:
    """Keys of the zone, its layers and its spread that change nothing."""
    for rule in IDLE:
        if not rule.when(zone):
            continue
        table = getattr(zone, rule.part)
        for key in rule.keys:
            if getattr(table, key) != type(table).model_fields[key].default:
                yield Issue((rule.part, key), f"`{key}` has no effect: {rule.reason}")
            name = f"{rule.part}.{key}"
            if zone.spread.get(name):
                yield Issue(("spread", name), f"`{name}` has no effect: {rule.reason}")
    yield from _layers(zone)
    initial = zone.soil.initial
    if initial.depth_m is not None and len(initial.values) == 1 and initial.depth_m != (0.0,):
        yield Issue(
            ("soil", "initial", "depth_m"),
            "`depth_m` has no effect: one value holds at every depth",
        )


def _layers(zone: Zone) -> Iterator[Issue]:
    for number, layer in enumerate(zone.soil.layer):
        # a curve says what the layer drains to, in the bucket too
        for key in _DRAINING if _bucket(zone) and not layer.has_curve else ():
            if getattr(layer, key) is not None:
                yield Issue(("soil", "layer", number, key), f"`{key}` has no effect: {_AT_ONCE}")
