"""What of a zone's settings acts on water before it reaches the ground, as columns of forcing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from levada.sim.soil.model import FloatArray, ForcingCol
from levada.sim.water.curve_number import hourly_runoff
from levada.sim.water.sprinkler import lost_share, relative_humidity_pct

if TYPE_CHECKING:
    from levada.sim.scenario.expand import ZoneConfig
    from levada.sim.weather import Weather

__all__ = ["add_surface", "settings"]


def settings(zone: ZoneConfig) -> tuple[object, ...]:
    """All that `add_surface` depends on, beside the weather and the crop."""
    soil, valve = zone.soil, zone.valve
    return (
        soil.curve_number,
        soil.curve_number_moisture,
        soil.initial_abstraction,
        valve.spray_drift,
        valve.interception_mm,
    )


def add_surface(forcing: FloatArray, zone: ZoneConfig, weather: Weather) -> None:
    """Take the runoff of the curve number from the rain; fill in the losses of sprinklers."""
    soil, valve = zone.soil, zone.valve
    if soil.curve_number is not None:
        rain = forcing[:, ForcingCol.RAIN_MM_H]
        runoff = hourly_runoff(
            rain,
            soil.curve_number,
            forcing[::24, ForcingCol.STAGE] > 0.0,
            moisture=soil.curve_number_moisture,
            abstraction=soil.initial_abstraction,
        )
        forcing[:, ForcingCol.RUNOFF_MM_H] = runoff
        forcing[:, ForcingCol.RAIN_MM_H] = rain - runoff
    if valve.spray_drift != "none":
        forcing[:, ForcingCol.SPRAY_LOSS] = lost_share(
            valve.spray_drift,
            wind_m_s=weather.wind_m_s,
            rh_pct=relative_humidity_pct(weather.temp_c, weather.ea_kpa),
            temp_c=weather.temp_c,
            day=np.asarray(weather.solar_mj_m2 > 0.0),
        )
    forcing[:, ForcingCol.CANOPY_MM] = valve.interception_mm * forcing[:, ForcingCol.COVER]
