"""Settings of a valve with its emitters and flow meter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from levada.sim.settings.base import Settings
from levada.sim.settings.water import SprayDrift

__all__ = ["METERS", "AreaM2", "PressureKpa", "Valve", "WettedFraction"]

AreaM2 = Annotated[float, Field(ge=0.01, le=1e7)]
"""Area of a zone."""
PressureKpa = Annotated[float, Field(ge=0, le=5000)]
"""Pressure of the supply."""
WettedFraction = Annotated[float, Field(ge=0.01, le=1)]
"""Share of the surface that irrigation wets."""

METERS: Final[dict[str, dict[str, float]]] = {
    "ideal": {},
    "yf-s201": {"meter_least_l_min": 1.0, "meter_slip": 0.05, "meter_scatter": 0.012},
}
"""Kinds of flow meters and what of their keys differs from the defaults; docs/models/valve.md."""


class Valve(Settings):
    """The valve of a zone with its emitters and flow meter."""

    flow_l_min: float = Field(default=10.0, gt=0, le=1e5)
    """Flow of the whole zone at the nominal pressure."""
    method: Literal["drip", "sprinkler", "basin"] = "drip"
    """How water reaches the soil; decides the default of `wetted_fraction`."""
    wetted_fraction: WettedFraction = 0.35
    """Share of the surface that is wetted; FAO-56 table 20: drip 0.35, others 1."""
    opening_delay_s: float = Field(default=2.0, ge=0, le=3600)
    """From the command to the flow."""
    closing_delay_s: float = Field(default=2.0, ge=0, le=3600)
    """From the command to the end of the flow."""
    pressure_kpa: PressureKpa = 100.0
    """Pressure of the supply."""
    nominal_pressure_kpa: float = Field(default=100.0, ge=1, le=5000)
    """Pressure at which `flow_l_min` holds."""
    emitter_exponent: float = Field(default=0.5, ge=0, le=1.1)
    """Flow grows with this power of pressure: 0 compensating, 0.5 orifice, 1 laminar."""
    emitter_least_kpa: float = Field(default=0.0, ge=0, le=1000)
    """Pressure below which an emitter with an exponent under 0.5 no longer regulates and passes as
    an orifice does; 0: it always regulates."""
    leak: float = Field(default=0.0, ge=0, le=1)
    """Share of the open flow that passes the closed valve."""
    clog: float = Field(default=0.0, ge=0, le=1)
    """Share of the flow lost to clogging."""
    pulses_per_l: float = Field(default=450.0, ge=1e-3, le=1e5)
    """Of the flow meter."""
    latching: bool = False
    """Whether it stays as it is when the node loses its power, as a valve that needs a pulse to
    move; its timer stands still then, and it closes when the node starts again."""
    meter: Literal["ideal", "yf-s201"] = "ideal"
    """Kind of flow meter: decides the defaults of the `meter_` keys; `ideal` counts all."""
    meter_least_l_min: float = Field(default=0.0, ge=0, le=1e4)
    """Flow below which the meter stands still."""
    meter_slip: float = Field(default=0.0, ge=0, le=1)
    """Share of the pulses that is lost at the least flow; the flow lost is the same at higher
    ones."""
    meter_scatter: float = Field(default=0.0, ge=0, le=0.5)
    """Relative standard deviation of the pulses a litre from one opening to the next."""
    max_open_s: float = Field(default=21_600.0, ge=1, le=31_622_400)
    """Timer of the hardware that closes the valve whatever the guest does, from the command on;
    it opens again only when commanded anew. 6 h, so that no guest floods a field; a year stands
    for a valve without a timer."""

    distribution_uniformity: float | None = Field(default=None, ge=0.2, le=1)
    """DU of the low quarter: what the quarter that gets least has, over the mean; for the account,
    the soil gets the mean everywhere. `count` with `spread` simulates it."""
    spray_drift: SprayDrift = "none"
    """Wind drift and evaporation of sprinklers by Playan et al. (2005): `solid-set` or
    `moving-lateral`; `none`: all that is thrown reaches the crop."""
    interception_mm: float = Field(default=0.0, ge=0, le=5)
    """Water of sprinklers that leaves hold where they cover all the ground; 1 to 2 mm of field
    crops; 0: none."""

    @model_validator(mode="before")
    @classmethod
    def _fraction(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        meter = data.get("meter")
        defaults = dict(METERS.get(meter, {})) if isinstance(meter, str) else {}
        if data.get("method", "drip") != "drip":
            defaults["wetted_fraction"] = 1.0
        return {**defaults, **data} if defaults else data
