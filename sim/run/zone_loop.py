"""The inner loop: one zone after the other through an interval, everything compiled.

Zones do not touch each other, so each runs through the interval on its own: at an instant its node
boots if it must, then its guest steps if it is due, then the trace takes a row if one is due, then
soil, valve, probe and battery go on to the next instant at which something changes.  Where that is
does not depend on how time was sliced: intervals end at steps of the field at the latest.  A zone
whose guest runs elsewhere (a device, or a guest without the fast path) returns whenever its guest
is due.
"""

from __future__ import annotations

from enum import IntEnum
from math import floor
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import Call
from levada.guest.fast import hostcalls, native
from levada.guest.fast.jit import njit
from levada.sim.devices import kernels as device_kernels
from levada.sim.devices.energy import E, W
from levada.sim.devices.valve import V
from levada.sim.run.trace import INDEX
from levada.sim.soil import bucket, richards_kernel
from levada.sim.soil.model import F, FloatArray, Flux, Observed

__all__ = [
    "NEVER_MS",
    "Stop",
    "T",
    "Z",
    "note_telemetry",
    "note_trap",
    "run_zones",
    "sample_zone",
    "write_row",
]

IntArray = npt.NDArray[np.int64]
Readings = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

NEVER_MS: Final = hostcalls.NEVER_MS
DAY_MS: Final = 86_400_000
STRESS: Final = 0.95
HOUR_MS: Final = 3_600_000
I32_MAX: Final = 2**31 - 1
I16_MAX: Final = 2**15 - 1
I8_MAX: Final = 2**7 - 1


class Z(IntEnum):
    """Columns of the state of a zone's node, int64, one row a zone."""

    NOW_MS = 0
    WAKE_MS = 1
    """When the guest runs next."""
    NATIVE = 2
    """1: the guest is stepped here, row HOST of the host's arrays."""
    HOST = 3
    POWERED = 4
    """0: the node is off (brown-out); it boots when power comes back."""
    TRAP = 5
    COMMANDED = 6
    BOOT_MS = 7
    """When the field must boot the node again; NEVER_MS: not planned."""
    RESTART_MS = 8
    """How long after a trap that is, at least 1; negative: never."""
    SKEW_MS = 9
    """What the node's clock is ahead of the true one."""
    ONLINE = 10
    FAULTS = 11
    """Bit set of the faults that act, for the trace."""
    TABLE = 12
    """Which table of hourly forcing."""
    SOIL = 13
    """0 bucket, 1 Richards."""
    SOIL_ROW = 14
    NEXT_ROW_MS = 15
    ROW = 16
    """Rows written into the present buffer."""
    STEPS = 17
    """Guest steps since the start."""
    ROW_STEPS = 18
    ROW_PULSES = 19
    PCT = 20
    WHY = 21
    DARK = 22
    """1: the battery is empty."""
    STOP = 23
    """Why the zone returned; see Stop."""
    TRAPS = 24
    """How often the guest was stopped since the start."""
    ROW_TRAP = 25
    """Class of the last trap since the last row: a restart may be quicker than the trace."""
    FORGET = 26
    """1: at its next boot the node finds nothing of what its guest kept."""
    STOPPED_MS = 27
    """When the guest was stopped first, if it was."""


class Stop(IntEnum):
    """Why a zone returned, or DONE: it has reached the end of the interval."""

    DONE = 0
    BOOT = 1
    """The node has to be booted now."""
    TAPE = 2
    """The tape has no room for another step."""
    SOIL = 3
    """The soil model could not solve."""
    ROWS = 4
    """The buffer of rows is full."""
    STEP = 5
    """The guest runs elsewhere, and is due."""


class T(IntEnum):
    """Columns of the sums of a zone, float64, one row a zone."""

    RAIN_MM = 0
    IRRIGATION_MM = 1
    EVAPORATION_MM = 2
    TRANSPIRATION_MM = 3
    DRAINAGE_MM = 4
    RUNOFF_MM = 5
    ET0_MM = 6
    """Since the start, like all above."""
    ROW_ET0_MM = 7
    """Since the last row."""
    ROW_ENERGY_J = 8
    """State of the counters at the last row."""
    ROW_VOLUME_L = 9
    ROW_OPEN_S = 10
    ZR_M = 11
    LONGEST_S = 12
    """Longest uninterrupted opening since the start."""
    DAY_POTENTIAL_MM = 13
    """Transpiration of the day as it would be without stress."""
    DAY_ACTUAL_MM = 14
    DAY_AIRLESS_MM = 15
    """What roots in soil too wet did not take of the day's potential."""
    STRESS_DAYS = 16
    """Days on which the crop transpired less than STRESS of what it could."""
    WET_STRESS_DAYS = 17
    """Those on which at least half of the rest was lost to want of air, not to drought."""


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
COLUMNS: Final = len(INDEX)
PUBLISH: Final = int(Call.MQTT_PUBLISH)
PCT_KEY: Final = np.frombuffer(b'"pct":', dtype=np.uint8)
WHY_KEY: Final = np.frombuffer(b'"why":', dtype=np.uint8)


@njit
def telemetry_int(text: Bytes, start: int, stop: int, key: Bytes, missing: int) -> int:
    """The integer that follows `key` in text[start:stop], or `missing`."""
    size = key.size
    for at in range(start, stop - size):
        if text[at] != key[0]:
            continue
        same = True
        for k in range(1, size):
            if text[at + k] != key[k]:
                same = False
                break
        if not same:
            continue
        at += size
        sign = 1
        if text[at] == 45:  # minus
            sign = -1
            at += 1
        value = 0
        digits = 0
        while at < stop and 48 <= text[at] <= 57 and digits < 9:
            value = value * 10 + int(text[at]) - 48
            digits += 1
            at += 1
        return sign * value if digits else missing
    return missing


@njit
def sample_zone(
    i: int,
    time_ms: int,
    observed: FloatArray,
    probe_parameters: FloatArray,
    probe_state: FloatArray,
    probe_keys: npt.NDArray[np.uint64],
    valve_state: FloatArray,
    power_state: FloatArray,
    readings: Readings,
) -> None:
    """What the node of zone `i` reads at `time_ms`, into `readings[i]`."""
    readings[i, 0] = device_kernels.probe_counts(
        i,
        float(time_ms),
        observed[i, Observed.THETA_PROBE],
        observed[i, Observed.HEAD_PROBE_M],
        probe_parameters,
        probe_state,
        probe_keys,
    )
    readings[i, 1] = floor(probe_state[i, 2] * 100.0 + 0.5)
    readings[i, 2] = floor(power_state[i, E.BATTERY_MV] + 0.5)
    pulses = valve_state[i, V.PULSES] - valve_state[i, V.READ_PULSES]
    readings[i, 3] = int(min(pulses, float(I32_MAX)))
    valve_state[i, V.READ_PULSES] = valve_state[i, V.PULSES]


@njit
def write_row(
    i: int,
    z: IntArray,
    totals: FloatArray,
    fluxes: FloatArray,
    observed: FloatArray,
    readings: Readings,
    probe_state: FloatArray,
    valve_state: FloatArray,
    power_state: FloatArray,
    rows: FloatArray,
) -> None:
    """Row of zone `i` at its present time; the sums start again."""
    t = totals[i]
    o = observed[i]
    v = valve_state[i]
    row = rows[i, z[Z.ROW]]
    row[C_TIME] = z[Z.NOW_MS]
    row[C_ZONE] = i
    for k in range(FLUXES):
        row[C_RAIN + k] = fluxes[i, k]
        t[k] += fluxes[i, k]
        fluxes[i, k] = 0.0
    row[C_ET0] = t[T.ROW_ET0_MM]
    t[T.ET0_MM] += t[T.ROW_ET0_MM]
    t[T.ROW_ET0_MM] = 0.0
    zr_m = t[T.ZR_M]
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
    row[C_TEMP] = probe_state[i, 2]
    row[C_BATTERY] = floor(power_state[i, E.BATTERY_MV] + 0.5)
    row[C_PULSES] = min(v[V.PULSES] - z[Z.ROW_PULSES], float(I32_MAX))
    z[Z.ROW_PULSES] = int(v[V.PULSES])
    row[C_FLOW] = v[V.VOLUME_L] - t[T.ROW_VOLUME_L]
    t[T.ROW_VOLUME_L] = v[V.VOLUME_L]
    row[C_COMMANDED] = z[Z.COMMANDED]
    row[C_OPEN] = v[V.OPEN]
    row[C_OPEN_S] = v[V.OPEN_S] - t[T.ROW_OPEN_S]
    t[T.ROW_OPEN_S] = v[V.OPEN_S]
    row[C_RUN_S] = v[V.LONGEST_S]
    t[T.LONGEST_S] = max(t[T.LONGEST_S], v[V.LONGEST_S])
    v[V.LONGEST_S] = 0.0
    row[C_ENERGY] = power_state[i, E.ENERGY_J] - t[T.ROW_ENERGY_J]
    t[T.ROW_ENERGY_J] = power_state[i, E.ENERGY_J]
    row[C_STEPS] = z[Z.STEPS] - z[Z.ROW_STEPS]
    z[Z.ROW_STEPS] = z[Z.STEPS]
    row[C_PCT] = z[Z.PCT]
    row[C_WHY] = z[Z.WHY]
    row[C_TRAP] = z[Z.TRAP] if z[Z.TRAP] != 0 else z[Z.ROW_TRAP]
    z[Z.ROW_TRAP] = 0
    row[C_ONLINE] = z[Z.ONLINE]
    row[C_FAULT] = z[Z.FAULTS]
    z[Z.ROW] += 1


@njit
def note_trap(z: IntArray) -> None:
    """The guest of a zone is stopped: count it, and plan the restart."""
    if z[Z.TRAPS] == 0:
        z[Z.STOPPED_MS] = z[Z.NOW_MS]
    z[Z.TRAPS] += 1
    z[Z.ROW_TRAP] = z[Z.TRAP]
    z[Z.WAKE_MS] = NEVER_MS
    z[Z.BOOT_MS] = z[Z.NOW_MS] + z[Z.RESTART_MS] if z[Z.RESTART_MS] >= 0 else NEVER_MS


@njit
def note_telemetry(z: IntArray, text: Bytes, start: int, stop: int) -> None:
    """Take percent and reason from what a guest published; numbers out of all range are cut."""
    pct = telemetry_int(text, start, stop, PCT_KEY, z[Z.PCT])
    z[Z.PCT] = min(max(pct, -I16_MAX), I16_MAX)
    why = telemetry_int(text, start, stop, WHY_KEY, z[Z.WHY])
    z[Z.WHY] = min(max(why, -I8_MAX), I8_MAX)


@njit
def step_native(
    i: int,
    z: IntArray,
    hosts: IntArray,
    header: int,
    readings: Readings,
    work: FloatArray,
) -> None:
    """Run the guest of zone `i`, and take over what it did."""
    host = z[Z.HOST]
    h = hosts[host]
    start = h[hostcalls.POSITION]
    h[hostcalls.ONLINE] = z[Z.ONLINE]
    h[hostcalls.SKEW] = z[Z.SKEW_MS]
    h[hostcalls.WAKE] = z[Z.NOW_MS]
    work[i, W.WAKES] += 1.0
    native.step_zone(header + 8 * native.HEADER * host, h, z[Z.NOW_MS] + z[Z.SKEW_MS], readings[i])
    work[i, W.INSTRUCTIONS] += float(h[hostcalls.USED])
    z[Z.STEPS] += 1
    z[Z.TRAP] = h[hostcalls.TRAP]
    z[Z.COMMANDED] = h[hostcalls.OUTPUTS]
    if z[Z.TRAP] != 0:
        note_trap(z)
    else:
        z[Z.WAKE_MS] = h[hostcalls.WAKE] - z[Z.SKEW_MS]
    if h[hostcalls.PUBLISHED] > 0:
        work[i, W.BURSTS] += 1.0
        work[i, W.BYTES] += float(h[hostcalls.PUBLISHED])
        note_telemetry(z, native.tape_of(h), start, h[hostcalls.POSITION])


@njit
def run_zones(
    first: int,
    last: int,
    until_ms: int,
    step_ms: int,
    record_ms: int,
    start_ms: int,
    zones: IntArray,
    totals: FloatArray,
    rows: FloatArray,
    hours: FloatArray,
    tables: FloatArray,
    forcing: FloatArray,
    fluxes: FloatArray,
    observed: FloatArray,
    bucket_parameters: FloatArray,
    bucket_state: FloatArray,
    cells: FloatArray,
    scalars: FloatArray,
    settings: FloatArray,
    hydraulics: FloatArray,
    probe_parameters: FloatArray,
    probe_state: FloatArray,
    probe_keys: npt.NDArray[np.uint64],
    valve_parameters: FloatArray,
    valve_state: FloatArray,
    power_parameters: FloatArray,
    power_state: FloatArray,
    work: FloatArray,
    readings: Readings,
    hosts: IntArray,
    header: int,
) -> int:
    """Run zones first..last-1 to `until_ms`; how many of them returned before that."""
    stopped = 0
    for i in range(first, last):
        z = zones[i]
        z[Z.STOP] = Stop.DONE
        while z[Z.NOW_MS] < until_ms:
            now = z[Z.NOW_MS]
            alive = z[Z.POWERED] != 0 and z[Z.DARK] == 0
            if alive and z[Z.BOOT_MS] <= now:
                z[Z.STOP] = Stop.BOOT
                break
            if alive and z[Z.WAKE_MS] <= now:
                if z[Z.NATIVE] == 0:
                    z[Z.STOP] = Stop.STEP
                    break
                h = hosts[z[Z.HOST]]
                if h[hostcalls.POSITION] + h[hostcalls.TAPE_ROOM] > h[hostcalls.TAPE_CAPACITY]:
                    z[Z.STOP] = Stop.TAPE
                    break
                sample_zone(
                    i,
                    now,
                    observed,
                    probe_parameters,
                    probe_state,
                    probe_keys,
                    valve_state,
                    power_state,
                    readings,
                )
                step_native(i, z, hosts, header, readings, work)
                device_kernels.command_valve(
                    i, float(now), z[Z.COMMANDED], valve_parameters, valve_state
                )
            if z[Z.NEXT_ROW_MS] <= now:
                if z[Z.ROW] >= rows.shape[1]:
                    z[Z.STOP] = Stop.ROWS
                    break
                write_row(
                    i,
                    z,
                    totals,
                    fluxes,
                    observed,
                    readings,
                    probe_state,
                    valve_state,
                    power_state,
                    rows,
                )
                z[Z.NEXT_ROW_MS] += record_ms

            # To the next instant at which something changes.
            hour = (now - start_ms) // HOUR_MS
            end = min(until_ms, now - (now - start_ms) % step_ms + step_ms)
            if alive:
                end = min(end, z[Z.WAKE_MS], z[Z.BOOT_MS])
            if valve_state[i, V.CLOSED_L_MIN] > 0.0:  # two rates: the interval ends at the edge
                for edge in (valve_state[i, V.EDGE_MS], valve_state[i, V.TIMER_MS]):
                    if edge > now and edge < end:
                        end = int(edge)
            dt_s = (end - now) / 1000.0
            f = forcing[i]
            f[:] = tables[z[Z.TABLE], hour]
            device_kernels.valve_segment(
                i, float(now), float(end), valve_parameters, valve_state, forcing
            )
            transpired_mm = fluxes[i, Flux.TRANSPIRATION_MM]
            j = z[Z.SOIL_ROW]
            if z[Z.SOIL] == 0:
                bucket.advance_zones(
                    dt_s,
                    bucket_parameters[j : j + 1],
                    bucket_state[j : j + 1],
                    forcing[i : i + 1],
                    fluxes[i : i + 1],
                    observed[i : i + 1],
                )
            elif (
                richards_kernel.advance(
                    0,
                    1,
                    dt_s,
                    cells[j : j + 1],
                    scalars[j : j + 1],
                    settings[j : j + 1],
                    hydraulics,
                    forcing[i : i + 1],
                    fluxes[i : i + 1],
                    observed[i : i + 1],
                )
                >= 0
            ):
                z[Z.STOP] = Stop.SOIL
                break
            t = totals[i]
            t[T.ROW_ET0_MM] += f[F.ET0_MM_H] * dt_s / 3600.0
            t[T.ZR_M] = f[F.ZR_M]
            t[T.DAY_POTENTIAL_MM] += f[F.TRANSPIRATION_MM_H] * dt_s / 3600.0
            t[T.DAY_ACTUAL_MM] += fluxes[i, Flux.TRANSPIRATION_MM] - transpired_mm
            if z[Z.SOIL] != 0:
                airless = scalars[j, richards_kernel.S_AIRLESS]
                t[T.DAY_AIRLESS_MM] += airless * f[F.TRANSPIRATION_MM_H] * dt_s / 3600.0
            if (end - start_ms) % DAY_MS == 0:
                lost_mm = t[T.DAY_POTENTIAL_MM] - t[T.DAY_ACTUAL_MM]
                if lost_mm > (1.0 - STRESS) * t[T.DAY_POTENTIAL_MM]:
                    t[T.STRESS_DAYS] += 1.0
                    if t[T.DAY_AIRLESS_MM] >= 0.5 * lost_mm:
                        t[T.WET_STRESS_DAYS] += 1.0
                t[T.DAY_POTENTIAL_MM] = 0.0
                t[T.DAY_ACTUAL_MM] = 0.0
                t[T.DAY_AIRLESS_MM] = 0.0
            device_kernels.soil_temperature(i, dt_s, hours[hour, 0], probe_parameters, probe_state)
            z[Z.NOW_MS] = end
            # a node cut off from its battery draws nothing from it
            if z[Z.POWERED] != 0 and device_kernels.advance_power(
                i, dt_s, hours[hour, 1], z[Z.COMMANDED], power_parameters, power_state, work
            ):
                z[Z.DARK] = int(power_state[i, E.EMPTY])
                if z[Z.DARK] != 0:
                    z[Z.COMMANDED] = 0
                    z[Z.WAKE_MS] = z[Z.BOOT_MS] = NEVER_MS
                    device_kernels.command_valve(i, float(end), 0, valve_parameters, valve_state)
                else:
                    z[Z.BOOT_MS] = end
        if z[Z.STOP] != Stop.DONE:
            stopped += 1
    return stopped
