"""The inner loop: one zone after the other through an interval, everything compiled.

Zones do not touch each other, so each runs through the interval on its own: at an instant its node
boots if it must, then its guest steps if it is due, then the trace takes a row if one is due, then
soil, valve, probe and battery go on to the next instant at which something changes.  Where that is
does not depend on how time was sliced: intervals end at steps of the field at the latest.  A zone
whose guest runs elsewhere (a device, or a guest without the fast path) returns whenever its guest
is due.
"""

from __future__ import annotations

from math import floor
from typing import Final

from levada.guest.abi import Call
from levada.guest.fast import hostcalls, native
from levada.guest.fast.jit import njit, njit_inline
from levada.guest.fast.json_integers import json_integers, key_number
from levada.guest.fast.tape_records import message_span, record_bytes
from levada.sim.devices import kernels as device_kernels
from levada.sim.devices.energy import EnergyState, EnergyWork
from levada.sim.devices.station import advance_station, station_readings
from levada.sim.devices.valve import ValveState
from levada.sim.run.trace_row import write_row
from levada.sim.run.zone_columns import (
    HOUR_ET0,
    Bytes,
    Devices,
    Forcings,
    IntArray,
    NodeCol,
    Readings,
    Soils,
    Stop,
    TotalsCol,
    Water,
)
from levada.sim.soil import bucket_kernel, richards_columns, richards_kernel
from levada.sim.soil.model import FloatArray, Flux, ForcingCol, Observed
from levada.sim.units import DAY_MS, HOUR_MS

__all__ = [
    "NEVER_MS",
    "note_telemetry",
    "note_trap",
    "run_zones",
    "sample_station",
    "sample_zone",
]

NEVER_MS: Final = hostcalls.NEVER_MS
STRESS: Final = 0.95
BARE_ET, BARE_LOST = int(TotalsCol.BARE_ET_MM), int(TotalsCol.BARE_LOST_MM)
I32_MAX: Final = 2**31 - 1
I16_MAX: Final = 2**15 - 1
I8_MAX: Final = 2**7 - 1
PUBLISH: Final = int(Call.MQTT_PUBLISH)
KEYS: Final = (key_number("pct"), key_number("why"))


@njit_inline
def sample_zone(i: int, time_ms: int, devices: Devices, observed: FloatArray) -> None:
    """What the node of zone `i` reads of soil and valve at `time_ms`, into its readings."""
    probe_state, valve_state = devices.probe_state, devices.valve_state
    readings = devices.readings
    readings[i, 0] = device_kernels.probe_counts(
        i,
        float(time_ms),
        observed[i, Observed.THETA_PROBE],
        observed[i, Observed.HEAD_PROBE_M],
        devices.probe_parameters,
        probe_state,
        devices.probe_keys,
    )
    readings[i, 1] = floor(probe_state[i, 2] * 100.0 + 0.5)
    readings[i, 2] = floor(devices.power_state[i, EnergyState.BATTERY_MV] + 0.5)
    pulses = valve_state[i, ValveState.PULSES] - valve_state[i, ValveState.READ_PULSES]
    readings[i, 3] = int(min(pulses, float(I32_MAX)))
    valve_state[i, ValveState.READ_PULSES] = valve_state[i, ValveState.PULSES]


@njit_inline
def sample_station(i: int, z: IntArray, start_ms: int, hours: FloatArray, devices: Devices) -> None:
    """What the node of zone `i` is told of the weather now, into its readings."""
    station_readings(
        i,
        hours[(z[NodeCol.NOW_MS] - start_ms) // HOUR_MS],
        z[NodeCol.ONLINE] != 0,
        devices.station_parameters,
        devices.station_state,
        devices.readings,
    )


@njit
def note_trap(z: IntArray) -> None:
    """The guest of a zone is stopped: count it, and plan the restart."""
    if z[NodeCol.TRAPS] == 0:
        z[NodeCol.STOPPED_MS] = z[NodeCol.NOW_MS]
    z[NodeCol.TRAPS] += 1
    z[NodeCol.ROW_TRAP] = z[NodeCol.TRAP]
    z[NodeCol.WAKE_MS] = NEVER_MS
    z[NodeCol.BOOT_MS] = (
        z[NodeCol.NOW_MS] + z[NodeCol.RESTART_MS] if z[NodeCol.RESTART_MS] >= 0 else NEVER_MS
    )


@njit
def note_telemetry(z: IntArray, tape: Bytes, at: int, stop: int) -> None:
    """Take percent and reason from what was published in tape[at:stop], whole records.

    The last message that has one counts; numbers out of all range are cut.
    """
    while at < stop:
        if tape[at] == PUBLISH:
            start, end = message_span(tape, at)
            known = (z[NodeCol.PCT], z[NodeCol.WHY])
            pct, why = json_integers(tape, start, end, KEYS, known)
            z[NodeCol.PCT] = min(max(pct, -I16_MAX), I16_MAX)
            z[NodeCol.WHY] = min(max(why, -I8_MAX), I8_MAX)
        at += record_bytes(tape, at)


@njit_inline
def step_native(
    i: int,
    z: IntArray,
    hosts: IntArray,
    header: int,
    readings: Readings,
    work: FloatArray,
) -> None:
    """Run the guest of zone `i`, and take over what it did."""
    host = z[NodeCol.HOST]
    h = hosts[host]
    start = h[hostcalls.POSITION]
    h[hostcalls.ONLINE] = z[NodeCol.ONLINE]
    h[hostcalls.SKEW] = z[NodeCol.SKEW_MS]
    h[hostcalls.WAKE] = z[NodeCol.NOW_MS]
    work[i, EnergyWork.WAKES] += 1.0
    native.step_zone(
        header + 8 * native.HEADER * host, h, z[NodeCol.NOW_MS] + z[NodeCol.SKEW_MS], readings[i]
    )
    work[i, EnergyWork.INSTRUCTIONS] += float(h[hostcalls.USED])
    z[NodeCol.STEPS] += 1
    z[NodeCol.TRAP] = h[hostcalls.TRAP]
    z[NodeCol.COMMANDED] = h[hostcalls.OUTPUTS]
    if z[NodeCol.TRAP] != 0:
        note_trap(z)
    else:
        z[NodeCol.WAKE_MS] = h[hostcalls.WAKE] - z[NodeCol.SKEW_MS]
    if h[hostcalls.PUBLISHED] > 0:
        work[i, EnergyWork.BURSTS] += 1.0
        work[i, EnergyWork.BYTES] += float(h[hostcalls.PUBLISHED])
        note_telemetry(z, native.tape_of(h), start, h[hostcalls.POSITION])


@njit_inline
def interval_end(
    z: IntArray, until_ms: int, step_ms: int, start_ms: int, alive: bool, v: FloatArray
) -> int:
    """The next instant at which something of a zone changes, `until_ms` at the latest."""
    now = z[NodeCol.NOW_MS]
    end = min(until_ms, now - (now - start_ms) % step_ms + step_ms)
    if alive:
        end = min(end, z[NodeCol.WAKE_MS], z[NodeCol.BOOT_MS])
    if v[ValveState.CLOSED_L_MIN] > 0.0:  # two rates: the interval ends at the edge
        for edge in (v[ValveState.EDGE_MS], v[ValveState.TIMER_MS]):
            if edge > now and edge < end:
                end = int(edge)
    return int(end)


@njit_inline
def advance_soil(
    i: int, z: IntArray, dt_s: float, soils: Soils, forcing: FloatArray, water: Water
) -> bool:
    """Let the soil of zone `i` go on by `dt_s`; false if it cannot be solved."""
    fluxes, observed = water.fluxes, water.observed
    j = z[NodeCol.SOIL_ROW]
    if z[NodeCol.SOIL] == 0:
        bucket_kernel.advance_zones(
            dt_s,
            soils.bucket_parameters[j : j + 1],
            soils.bucket_state[j : j + 1],
            forcing[i : i + 1],
            fluxes[i : i + 1],
            observed[i : i + 1],
        )
        return True
    unsolved = richards_kernel.advance(
        0,
        1,
        dt_s,
        soils.cells[j : j + 1],
        soils.scalars[j : j + 1],
        soils.settings[j : j + 1],
        soils.hydraulics,
        forcing[i : i + 1],
        fluxes[i : i + 1],
        observed[i : i + 1],
    )
    return unsolved < 0


@njit_inline
def close_day(t: FloatArray) -> None:
    """Judge the day that ends: was it one of stress, and was that want of air?"""
    lost_mm = t[TotalsCol.DAY_POTENTIAL_MM] - t[TotalsCol.DAY_ACTUAL_MM]
    if lost_mm > (1.0 - STRESS) * t[TotalsCol.DAY_POTENTIAL_MM]:
        t[TotalsCol.STRESS_DAYS] += 1.0
        if t[TotalsCol.DAY_AIRLESS_MM] >= 0.5 * lost_mm:
            t[TotalsCol.WET_STRESS_DAYS] += 1.0
    t[TotalsCol.DAY_POTENTIAL_MM] = 0.0
    t[TotalsCol.DAY_ACTUAL_MM] = 0.0
    t[TotalsCol.DAY_AIRLESS_MM] = 0.0


@njit_inline
def spray(f: FloatArray, t: FloatArray, dt_s: float) -> float:
    """Wind and leaves take their share of what sprinklers throw; what dries on the leaves [mm].

    Leaves hold up to CANOPY_MM, which evaporates as from a wet crop, Kc_max ET0 on the ground
    covered, and spares the crop that much transpiration.
    """
    hours = dt_s / 3600.0
    thrown_mm = f[ForcingCol.IRRIGATION_MM_H] * (
        (f[ForcingCol.IRRIGATION_TO_S] - f[ForcingCol.IRRIGATION_FROM_S]) / 3600.0
    )
    wet_mm_h = f[ForcingCol.KC_MAX] * max(f[ForcingCol.ET0_MM_H], 0.0) * f[ForcingCol.COVER]
    dried_mm = min(t[TotalsCol.CANOPY_MM], wet_mm_h * hours)
    t[TotalsCol.CANOPY_MM] -= dried_mm
    f[ForcingCol.TRANSPIRATION_MM_H] = max(f[ForcingCol.TRANSPIRATION_MM_H] - dried_mm / hours, 0.0)
    if thrown_mm > 0.0:
        lost_mm = thrown_mm * f[ForcingCol.SPRAY_LOSS]
        landing_mm = thrown_mm - lost_mm
        room_mm = max(f[ForcingCol.CANOPY_MM] - t[TotalsCol.CANOPY_MM], 0.0)
        caught_mm = min(room_mm, landing_mm * f[ForcingCol.COVER])
        t[TotalsCol.CANOPY_MM] += caught_mm
        t[TotalsCol.INTERCEPTED_MM] += caught_mm
        t[TotalsCol.SPRAY_LOSS_MM] += lost_mm
        f[ForcingCol.IRRIGATION_MM_H] *= (landing_mm - caught_mm) / thrown_mm
    return float(dried_mm)


@njit_inline
def advance_supply(i: int, z: IntArray, dt_s: float, radiation: float, devices: Devices) -> None:
    """Let the battery of zone `i`, at its new time, go on by `dt_s`; it may go dark, or boot."""
    power_state = devices.power_state
    if device_kernels.advance_power(
        i,
        dt_s,
        radiation,
        z[NodeCol.COMMANDED],
        devices.power_parameters,
        power_state,
        devices.work,
    ):
        z[NodeCol.DARK] = int(power_state[i, EnergyState.EMPTY])
        if z[NodeCol.DARK] != 0:
            z[NodeCol.COMMANDED] = 0
            z[NodeCol.WAKE_MS] = z[NodeCol.BOOT_MS] = NEVER_MS
            device_kernels.cut_valve(
                i, float(z[NodeCol.NOW_MS]), devices.valve_parameters, devices.valve_state
            )
        else:
            z[NodeCol.BOOT_MS] = z[NodeCol.NOW_MS]


@njit_inline
def advance_zone(
    i: int,
    z: IntArray,
    end: int,
    start_ms: int,
    forcings: Forcings,
    soils: Soils,
    devices: Devices,
    water: Water,
) -> bool:
    """Let valve, soil, probe and battery of zone `i` go on to `end`; false if the soil cannot."""
    now = z[NodeCol.NOW_MS]
    hour = (now - start_ms) // HOUR_MS
    dt_s = (end - now) / 1000.0
    f = forcings.now[i]
    for k in range(f.size):
        f[k] = forcings.tables[z[NodeCol.TABLE], hour, k]
    device_kernels.valve_segment(
        i, float(now), float(end), devices.valve_parameters, devices.valve_state, forcings.now
    )
    t, fluxes = water.totals[i], water.fluxes[i]
    dried_mm = 0.0
    if f[ForcingCol.SPRAY_LOSS] > 0.0 or f[ForcingCol.CANOPY_MM] > 0.0:
        dried_mm = spray(f, t, dt_s)
    transpired_mm = fluxes[Flux.TRANSPIRATION_MM]
    evaporated_mm = fluxes[Flux.EVAPORATION_MM]
    if not advance_soil(i, z, dt_s, soils, forcings.now, water):
        return False
    transpired_mm = fluxes[Flux.TRANSPIRATION_MM] - transpired_mm
    evaporated_mm = fluxes[Flux.EVAPORATION_MM] - evaporated_mm
    if f[ForcingCol.RUNOFF_MM_H] > 0.0:
        run_off_mm = f[ForcingCol.RUNOFF_MM_H] * dt_s / 3600.0
        fluxes[Flux.RAIN_MM] += run_off_mm
        fluxes[Flux.RUNOFF_MM] += run_off_mm
        t[TotalsCol.CURVE_RUNOFF_MM] += run_off_mm
    t[TotalsCol.ROW_ET0_MM] += f[ForcingCol.ET0_MM_H] * dt_s / 3600.0
    t[TotalsCol.ZR_M] = f[ForcingCol.ZR_M]
    potential_mm = f[ForcingCol.TRANSPIRATION_MM_H] * dt_s / 3600.0
    t[TotalsCol.DAY_POTENTIAL_MM] += potential_mm
    t[TotalsCol.DAY_ACTUAL_MM] += transpired_mm
    stage = int(f[ForcingCol.STAGE])
    t[BARE_ET + stage] += evaporated_mm + transpired_mm + dried_mm
    t[BARE_LOST + stage] += potential_mm - transpired_mm
    if z[NodeCol.SOIL] != 0:
        airless = soils.scalars[z[NodeCol.SOIL_ROW], richards_columns.S_AIRLESS]
        t[TotalsCol.DAY_AIRLESS_MM] += airless * f[ForcingCol.TRANSPIRATION_MM_H] * dt_s / 3600.0
    if (end - start_ms) % DAY_MS == 0:
        close_day(t)
    device_kernels.soil_temperature(
        i, dt_s, forcings.hours[hour, 0], devices.probe_parameters, devices.probe_state
    )
    advance_station(
        i,
        dt_s,
        f[ForcingCol.RAIN_MM_H],
        forcings.hours[hour, HOUR_ET0],
        z[NodeCol.POWERED] != 0 and z[NodeCol.DARK] == 0,
        devices.station_parameters,
        devices.station_state,
    )
    z[NodeCol.NOW_MS] = end
    if z[NodeCol.POWERED] != 0:  # a node cut off from its battery draws nothing from it
        advance_supply(i, z, dt_s, forcings.hours[hour, 1], devices)
    return True


@njit_inline
def run_zone(
    i: int,
    z: IntArray,
    until_ms: int,
    step_ms: int,
    record_ms: int,
    start_ms: int,
    rows: FloatArray,
    forcings: Forcings,
    soils: Soils,
    devices: Devices,
    water: Water,
    hosts: IntArray,
    header: int,
) -> Stop:
    """Run zone `i` to `until_ms`; why it returned."""
    while z[NodeCol.NOW_MS] < until_ms:
        now = z[NodeCol.NOW_MS]
        alive = z[NodeCol.POWERED] != 0 and z[NodeCol.DARK] == 0
        if alive and z[NodeCol.BOOT_MS] <= now:
            return Stop.BOOT
        if alive and z[NodeCol.WAKE_MS] <= now:
            if z[NodeCol.NATIVE] == 0:
                return Stop.STEP
            h = hosts[z[NodeCol.HOST]]
            if h[hostcalls.POSITION] + h[hostcalls.TAPE_ROOM] > h[hostcalls.TAPE_CAPACITY]:
                return Stop.TAPE
            sample_zone(i, now, devices, water.observed)
            sample_station(i, z, start_ms, forcings.hours, devices)
            step_native(i, z, hosts, header, devices.readings, devices.work)
            if z[NodeCol.COMMAND_LOST] == 0:
                device_kernels.command_valve(
                    i,
                    float(now),
                    z[NodeCol.COMMANDED],
                    devices.valve_parameters,
                    devices.valve_state,
                )
        if z[NodeCol.NEXT_ROW_MS] <= now:
            if z[NodeCol.ROW] >= rows.shape[1]:
                return Stop.ROWS
            write_row(i, z, water, devices, rows)
            z[NodeCol.NEXT_ROW_MS] += record_ms
        end = interval_end(z, until_ms, step_ms, start_ms, alive, devices.valve_state[i])
        if not advance_zone(i, z, end, start_ms, forcings, soils, devices, water):
            return Stop.SOIL
    return Stop.DONE


@njit
def run_zones(
    first: int,
    last: int,
    until_ms: int,
    step_ms: int,
    record_ms: int,
    start_ms: int,
    zones: IntArray,
    rows: FloatArray,
    forcings: Forcings,
    soils: Soils,
    devices: Devices,
    water: Water,
    hosts: IntArray,
    header: int,
) -> int:
    """Run zones first..last-1 to `until_ms`; how many of them returned before that."""
    stopped = 0
    for i in range(first, last):
        z = zones[i]
        z[NodeCol.STOP] = run_zone(
            i,
            z,
            until_ms,
            step_ms,
            record_ms,
            start_ms,
            rows,
            forcings,
            soils,
            devices,
            water,
            hosts,
            header,
        )
        if z[NodeCol.STOP] != Stop.DONE:
            stopped += 1
    return stopped
