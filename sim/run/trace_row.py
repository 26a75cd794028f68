"""One row of the trace, written by the compiled loop."""

from __future__ import annotations

from math import floor
from typing import Final

import numpy as np

from levada.guest.fast.jit import njit_inline
from levada.sim.devices.energy import EnergyState
from levada.sim.devices.valve import ValveState
from levada.sim.run.trace import INDEX
from levada.sim.run.zone_columns import Devices, IntArray, NodeCol, TotalsCol, Water
from levada.sim.soil.model import FloatArray, Flux, Observed

__all__ = ["write_row"]

(
    C_TIME,
    C_ZONE,
    C_RAIN,
    C_ET0,
    C_STORAGE,
    C_PONDING,
    C_THETA_ROOT,
    C_THETA_FC,
    C_THETA_STRESS,
    C_DR,
    C_TAW,
    C_RAW,
    C_KS,
    C_ZR,
    C_THETA_PROBE,
    C_HEAD,
    C_COUNTS,
    C_TEMP,
    C_BATTERY,
    C_PULSES,
    C_FLOW,
    C_COMMANDED,
    C_OPEN,
    C_OPEN_S,
    C_RUN_S,
    C_ENERGY,
    C_STEPS,
    C_PCT,
    C_WHY,
    C_TRAP,
    C_ONLINE,
    C_FAULT,
) = (
    INDEX[name]
    for name in (
        "time_ms",
        "zone",
        "rain_mm",
        "et0_mm",
        "storage_mm",
        "ponding_mm",
        "theta_root",
        "theta_fc_root",
        "theta_stress_root",
        "dr_mm",
        "taw_mm",
        "raw_mm",
        "ks",
        "zr_m",
        "theta_probe",
        "head_probe_m",
        "counts",
        "temp_c",
        "battery_mv",
        "flow_pulses",
        "flow_l",
        "valve_commanded",
        "valve_open",
        "valve_open_s",
        "valve_run_s",
        "energy_j",
        "steps",
        "pct",
        "why",
        "trap",
        "online",
        "fault",
    )
)
FLUXES: Final = len(Flux)
I32_MAX: Final = 2**31 - 1


@njit_inline
def write_row(i: int, z: IntArray, water: Water, devices: Devices, rows: FloatArray) -> None:
    """Row of zone `i` at its present time; the sums start again."""
    fluxes = water.fluxes
    t = water.totals[i]
    o = water.observed[i]
    v = devices.valve_state[i]
    readings, power_state = devices.readings, devices.power_state
    row = rows[i, z[NodeCol.ROW]]
    row[C_TIME] = z[NodeCol.NOW_MS]
    row[C_ZONE] = i
    for k in range(FLUXES):
        row[C_RAIN + k] = fluxes[i, k]
        t[k] += fluxes[i, k]
        fluxes[i, k] = 0.0
    row[C_ET0] = t[TotalsCol.ROW_ET0_MM]
    t[TotalsCol.ET0_MM] += t[TotalsCol.ROW_ET0_MM]
    t[TotalsCol.ROW_ET0_MM] = 0.0
    zr_m = t[TotalsCol.ZR_M]
    fc = np.nan
    stress = np.nan
    if zr_m > 0.0:
        fc = o[Observed.FC_MM] / (1000.0 * zr_m)
        stress = fc - o[Observed.RAW_MM] / (1000.0 * zr_m)
    row[C_STORAGE] = o[Observed.STORAGE_MM]
    row[C_PONDING] = o[Observed.PONDING_MM]
    row[C_THETA_ROOT] = o[Observed.THETA_ROOT]
    row[C_THETA_FC] = fc
    row[C_THETA_STRESS] = stress
    row[C_DR] = o[Observed.DR_MM]
    row[C_TAW] = o[Observed.TAW_MM]
    row[C_RAW] = o[Observed.RAW_MM]
    row[C_KS] = o[Observed.KS]
    row[C_ZR] = zr_m
    row[C_THETA_PROBE] = o[Observed.THETA_PROBE]
    row[C_HEAD] = o[Observed.HEAD_PROBE_M]
    row[C_COUNTS] = readings[i, 0]
    row[C_TEMP] = devices.probe_state[i, 2]
    row[C_BATTERY] = floor(power_state[i, EnergyState.BATTERY_MV] + 0.5)
    row[C_PULSES] = min(v[ValveState.PULSES] - z[NodeCol.ROW_PULSES], float(I32_MAX))
    z[NodeCol.ROW_PULSES] = int(v[ValveState.PULSES])
    row[C_FLOW] = v[ValveState.VOLUME_L] - t[TotalsCol.ROW_VOLUME_L]
    t[TotalsCol.ROW_VOLUME_L] = v[ValveState.VOLUME_L]
    row[C_COMMANDED] = z[NodeCol.COMMANDED]
    row[C_OPEN] = v[ValveState.OPEN]
    row[C_OPEN_S] = v[ValveState.OPEN_S] - t[TotalsCol.ROW_OPEN_S]
    t[TotalsCol.ROW_OPEN_S] = v[ValveState.OPEN_S]
    row[C_RUN_S] = v[ValveState.LONGEST_S]
    t[TotalsCol.LONGEST_S] = max(t[TotalsCol.LONGEST_S], v[ValveState.LONGEST_S])
    v[ValveState.LONGEST_S] = 0.0
    row[C_ENERGY] = power_state[i, EnergyState.ENERGY_J] - t[TotalsCol.ROW_ENERGY_J]
    t[TotalsCol.ROW_ENERGY_J] = power_state[i, EnergyState.ENERGY_J]
    row[C_STEPS] = z[NodeCol.STEPS] - z[NodeCol.ROW_STEPS]
    z[NodeCol.ROW_STEPS] = z[NodeCol.STEPS]
    row[C_PCT] = z[NodeCol.PCT]
    row[C_WHY] = z[NodeCol.WHY]
    row[C_TRAP] = z[NodeCol.TRAP] if z[NodeCol.TRAP] != 0 else z[NodeCol.ROW_TRAP]
    z[NodeCol.ROW_TRAP] = 0
    row[C_ONLINE] = z[NodeCol.ONLINE]
    row[C_FAULT] = z[NodeCol.FAULTS]
    z[NodeCol.ROW] += 1
