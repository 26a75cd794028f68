"""Compiled inner loops of probe, valve and node energy.

Each function is for one zone, `i`, and is called by the compiled loop over the zones
(`levada.sim.run.zone_loop`).  What the formulas mean is said in `levada.sim.devices.probe`,
`levada.sim.devices.valve` and `levada.sim.devices.energy`, whose columns index the arrays.  Nothing
here allocates, and no function depends on another zone.
"""

from __future__ import annotations

from math import cos, exp, expm1, floor, isnan, log, pi, sqrt
from typing import Final

import numpy as np

from levada.guest.fast.jit import njit
from levada.sim.devices.energy import EnergyParam, EnergyState, EnergyWork
from levada.sim.devices.probe import KPA_PER_M, ProbeParam, ProbeState
from levada.sim.devices.valve import ValveParam, ValveState
from levada.sim.seeds import Key
from levada.sim.settings.probe import ADC_MAX
from levada.sim.soil.model import FloatArray, ForcingCol

__all__ = [
    "advance_power",
    "cell_voltage",
    "command_valve",
    "cut_valve",
    "gaussian",
    "metered_share",
    "philox",
    "probe_counts",
    "set_open",
    "settle_power",
    "settle_valve",
    "soil_temperature",
    "valve_segment",
]

UNAVAILABLE: Final = -2.0
"""`levada.guest.abi.ErrorCode.UNAVAILABLE`."""

# Philox4x32-10: multipliers and key increments
MULTIPLIER_0: Final = np.uint64(0xD2511F53)
MULTIPLIER_1: Final = np.uint64(0xCD9E8D57)
WEYL_0: Final = np.uint64(0x9E3779B9)
WEYL_1: Final = np.uint64(0xBB67AE85)
MASK: Final = np.uint64(0xFFFFFFFF)
BITS_32: Final = np.uint64(32)
BITS_11: Final = np.uint64(11)
ZERO: Final = np.uint64(0)


# --- noise ----------------------------------------------------------------------------------------


@njit
def philox(counter: np.uint64, key: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Four words of 32 random bits, a pure function of a 64-bit counter and a 64-bit key.

    Philox4x32-10 of Salmon et al. (2011), SC '11, doi:10.1145/2063384.2063405, with the upper half
    of its 128-bit counter 0.  Its products fit 64 bits, so it needs no overflow.
    """
    c0, c1, c2, c3 = counter & MASK, counter >> BITS_32, ZERO, ZERO
    k0, k1 = key & MASK, key >> BITS_32
    for _ in range(10):
        product_0 = MULTIPLIER_0 * c0
        product_1 = MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> BITS_32) ^ c1 ^ k0,
            product_1 & MASK,
            (product_0 >> BITS_32) ^ c3 ^ k1,
            product_0 & MASK,
        )
        k0 = (k0 + WEYL_0) & MASK
        k1 = (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


@njit
def gaussian(counter: int, key: np.uint64) -> float:
    """Standard normal deviate of a counter (not negative) and a key, after Box and Muller (1958).

    Ann. Math. Stat. 29(2), 610-611, doi:10.1214/aoms/1177706645.
    """
    w0, w1, w2, w3 = philox(np.uint64(counter), key)
    # 53 random bits each; u in (0, 1], for the logarithm of 0 does not exist
    u = (float(((w0 << BITS_32) | w1) >> BITS_11) + 1.0) * 2.0**-53
    v = float(((w2 << BITS_32) | w3) >> BITS_11) * 2.0**-53
    return sqrt(-2.0 * log(u)) * cos(2.0 * pi * v)


# --- probe ----------------------------------------------------------------------------------------


@njit
def soil_temperature(
    i: int, dt_s: float, air_c: float, parameters: FloatArray, state: FloatArray
) -> None:
    """Soil temperature of zone `i`: the exact solution of dT/dt = (T_air - T)/tau [degC].

    The electronics have that of the air.  tau is that of `levada.sim.devices.probe.filter_time_s`,
    Campbell and Norman (1998), ch. 2.
    """
    state[i, ProbeState.AIR_C] = air_c
    tau_s = parameters[i, ProbeParam.FILTER_S]
    if tau_s > 0.0:
        state[i, ProbeState.TEMP_C] -= (air_c - state[i, ProbeState.TEMP_C]) * expm1(-dt_s / tau_s)
    elif dt_s > 0.0:
        state[i, ProbeState.TEMP_C] = air_c


@njit
def probe_counts(
    i: int,
    time_ms: float,
    theta: float,
    head_m: float,
    parameters: FloatArray,
    state: FloatArray,
    keys: Key,
) -> int:
    """Reading of the probe of zone `i`, docs/models/probe.md: counts 0 .. 4095 or an error code.

    The cubic A0 .. A3 is that of `levada.sim.devices.probe.calibration` (Topp et al. 1980, Eq. 6;
    Hrisko 2020); what disturbs it adds up, each term a model of our own.
    """
    if state[i, ProbeState.OPEN] != 0.0:
        return int(state[i, ProbeState.OPEN_VALUE])
    if state[i, ProbeState.STUCK] != 0.0 and not isnan(state[i, ProbeState.LAST]):
        return int(state[i, ProbeState.LAST])
    if parameters[i, ProbeParam.TENSIOMETER] != 0.0:
        if isnan(head_m):
            return int(UNAVAILABLE)
        x = min(max(-head_m * KPA_PER_M, 0.0), parameters[i, ProbeParam.RANGE_KPA])
    else:
        x = theta + parameters[i, ProbeParam.THETA_ERROR]
        if parameters[i, ProbeParam.SHIFT] > 0.0:
            x = 1.0 / (x + parameters[i, ProbeParam.SHIFT])
    counts = parameters[i, ProbeParam.A0] + x * (
        parameters[i, ProbeParam.A1]
        + x * (parameters[i, ProbeParam.A2] + x * parameters[i, ProbeParam.A3])
    )
    age_ms = time_ms - parameters[i, ProbeParam.INSTALLED_MS]
    kept = max(0.0, 1.0 - parameters[i, ProbeParam.AGEING_PER_MS] * age_ms)
    counts = (
        parameters[i, ProbeParam.DRY_COUNTS]
        + (counts - parameters[i, ProbeParam.DRY_COUNTS]) * kept
    )
    counts += parameters[i, ProbeParam.TEMPERATURE_COUNTS] * (
        state[i, ProbeState.TEMP_C] - parameters[i, ProbeParam.REFERENCE_C]
    )
    counts += parameters[i, ProbeParam.ELECTRONICS_COUNTS] * (
        state[i, ProbeState.AIR_C] - parameters[i, ProbeParam.REFERENCE_C]
    )
    counts += parameters[i, ProbeParam.DRIFT_PER_MS] * age_ms
    if parameters[i, ProbeParam.WARMUP_COUNTS] != 0.0:
        powered_ms = time_ms - state[i, ProbeState.POWERED_MS]
        counts += parameters[i, ProbeParam.WARMUP_COUNTS] * exp(
            -powered_ms / parameters[i, ProbeParam.WARMUP_MS]
        )
    if parameters[i, ProbeParam.NOISE_COUNTS] > 0.0:
        counts += parameters[i, ProbeParam.NOISE_COUNTS] * gaussian(int(time_ms), keys[i])
    counts += state[i, ProbeState.DRIFT_PER_MS] * (time_ms - state[i, ProbeState.DRIFT_SINCE_MS])
    counts += state[i, ProbeState.SPIKE]
    if isnan(counts):
        return int(UNAVAILABLE)
    counts = min(max(counts, 0.0), float(ADC_MAX))
    quantum = parameters[i, ProbeParam.QUANTUM]
    counts = min(floor(counts / quantum + 0.5) * quantum, float(ADC_MAX))
    state[i, ProbeState.LAST] = counts
    return int(counts)


# --- valve ----------------------------------------------------------------------------------------


@njit
def set_open(i: int, time_ms: float, state: FloatArray) -> None:
    """Bring `OPEN` in line with position and fault at `time_ms`."""
    stuck = state[i, ValveState.STUCK]
    if stuck == 1.0:
        is_open = 1.0
    elif stuck == 2.0:
        is_open = 0.0
    else:
        is_open = state[i, ValveState.POSITION]
    if is_open == state[i, ValveState.OPEN]:
        return
    state[i, ValveState.OPEN] = is_open
    if is_open != 0.0:
        state[i, ValveState.SINCE_MS] = time_ms
        state[i, ValveState.OPENINGS] += 1.0
    else:
        run_s = (time_ms - state[i, ValveState.SINCE_MS]) / 1000.0
        state[i, ValveState.LONGEST_S] = max(state[i, ValveState.LONGEST_S], run_s)


@njit
def settle_valve(i: int, time_ms: float, parameters: FloatArray, state: FloatArray) -> None:
    """Let everything happen that is due up to and including `time_ms`, in order."""
    while True:
        edge_ms = state[i, ValveState.EDGE_MS]
        timer_ms = state[i, ValveState.TIMER_MS]
        if -np.inf < timer_ms <= time_ms and timer_ms <= edge_ms:
            if state[i, ValveState.POSITION] != 0.0:
                state[i, ValveState.TIMER_MS] = -np.inf
                state[i, ValveState.EDGE_MS] = min(
                    edge_ms, timer_ms + parameters[i, ValveParam.CLOSING_MS]
                )
            else:
                state[i, ValveState.TIMER_MS] = np.inf
                state[i, ValveState.EDGE_MS] = np.inf
        elif edge_ms <= time_ms:
            state[i, ValveState.EDGE_MS] = np.inf
            state[i, ValveState.POSITION] = 1.0 - state[i, ValveState.POSITION]
            if state[i, ValveState.POSITION] == 0.0:
                state[i, ValveState.TIMER_MS] = np.inf
            set_open(i, edge_ms, state)
        else:
            return


@njit
def command_valve(
    i: int, time_ms: float, commanded: int, parameters: FloatArray, state: FloatArray
) -> None:
    """Output of the node of zone `i` at `time_ms`: 0 closed, otherwise open."""
    wanted = 1.0 if commanded != 0 else 0.0
    if wanted == state[i, ValveState.COMMANDED]:
        return
    settle_valve(i, time_ms, parameters, state)
    state[i, ValveState.COMMANDED] = wanted
    if wanted != 0.0:
        if state[i, ValveState.POSITION] == 0.0:
            state[i, ValveState.EDGE_MS] = time_ms + parameters[i, ValveParam.OPENING_MS]
            state[i, ValveState.TIMER_MS] = time_ms + parameters[i, ValveParam.MAX_OPEN_MS]
        elif state[i, ValveState.TIMER_MS] != -np.inf:
            # still open: the timer goes on, or a toggling guest would hold the valve open for ever
            state[i, ValveState.EDGE_MS] = np.inf
    elif state[i, ValveState.POSITION] == 0.0:
        state[i, ValveState.EDGE_MS] = np.inf
        state[i, ValveState.TIMER_MS] = np.inf
    else:
        state[i, ValveState.EDGE_MS] = min(
            state[i, ValveState.EDGE_MS], time_ms + parameters[i, ValveParam.CLOSING_MS]
        )
    settle_valve(i, time_ms, parameters, state)


@njit
def cut_valve(i: int, time_ms: float, parameters: FloatArray, state: FloatArray) -> None:
    """The node of zone `i` loses its power at `time_ms`: its valve closes, unless it latches.

    A latching valve needs a pulse to move, and the timer has none to give; it waits for the next
    command.
    """
    if parameters[i, ValveParam.LATCHING] == 0.0:
        command_valve(i, time_ms, 0, parameters, state)
        return
    settle_valve(i, time_ms, parameters, state)
    state[i, ValveState.TIMER_MS] = np.inf


@njit
def metered_share(i: int, rate_l_min: float, parameters: FloatArray, state: FloatArray) -> float:
    """Share of a flow through zone `i` that its meter counts; docs/models/valve.md, Meter.

    A model of our own: nothing below the least flow, a constant slip above it, and a scatter that
    holds from one opening to the next.
    """
    if rate_l_min < parameters[i, ValveParam.METER_LEAST_L_MIN]:
        return 0.0
    share = 1.0
    if parameters[i, ValveParam.METER_SLIP_L_MIN] > 0.0:
        share -= parameters[i, ValveParam.METER_SLIP_L_MIN] / rate_l_min
    if parameters[i, ValveParam.METER_SCATTER] > 0.0:
        key = np.uint64(parameters[i, ValveParam.METER_KEY])
        z = gaussian(int(state[i, ValveState.SINCE_MS]), key)
        share *= 1.0 + parameters[i, ValveParam.METER_SCATTER] * z
    return max(0.0, share)


@njit
def valve_segment(
    i: int,
    t0_ms: float,
    t1_ms: float,
    parameters: FloatArray,
    state: FloatArray,
    forcing: FloatArray,
) -> None:
    """Irrigation of zone `i` in [t0, t1), as one delivery at one rate, into `forcing`.

    Between two commands a valve opens and closes at most once, so that is enough, except for a
    valve that leaks: it has two rates, and an interval must end where it moves.  Rates are those of
    `levada.sim.devices.valve.flow_l_min` (Keller and Karmeli 1974, Eq. 1).
    """
    rate_l_min = 0.0
    share = 0.0
    from_ms = t0_ms
    to_ms = t0_ms
    t_ms = t0_ms
    while t_ms < t1_ms:
        settle_valve(i, t_ms, parameters, state)
        next_ms = min(t1_ms, state[i, ValveState.EDGE_MS])
        if t_ms < state[i, ValveState.TIMER_MS] < next_ms:
            next_ms = state[i, ValveState.TIMER_MS]
        if state[i, ValveState.OPEN] != 0.0:
            flow = state[i, ValveState.OPEN_L_MIN]
            state[i, ValveState.OPEN_S] += (next_ms - t_ms) / 1000.0
        else:
            flow = state[i, ValveState.CLOSED_L_MIN]
        if flow > 0.0:
            if to_ms == from_ms:
                rate_l_min = flow
                from_ms = t_ms
                share = metered_share(i, flow, parameters, state)
            to_ms = next_ms
        t_ms = next_ms
    settle_valve(i, t1_ms, parameters, state)
    if state[i, ValveState.OPEN] != 0.0:
        run_s = (t1_ms - state[i, ValveState.SINCE_MS]) / 1000.0
        state[i, ValveState.LONGEST_S] = max(state[i, ValveState.LONGEST_S], run_s)
    forcing[i, ForcingCol.IRRIGATION_MM_H] = rate_l_min * 60.0 / parameters[i, ValveParam.AREA_M2]
    forcing[i, ForcingCol.IRRIGATION_FROM_S] = (from_ms - t0_ms) / 1000.0
    forcing[i, ForcingCol.IRRIGATION_TO_S] = (to_ms - t0_ms) / 1000.0
    state[i, ValveState.FALSE_PULSES] += state[i, ValveState.FALSE_PER_MS] * (t1_ms - t0_ms)
    if to_ms > from_ms:
        volume_l = rate_l_min * (to_ms - from_ms) / 60_000.0
        state[i, ValveState.VOLUME_L] += volume_l
        state[i, ValveState.METERED_L] += volume_l * share * state[i, ValveState.METER_SHARE]
    if to_ms > from_ms or state[i, ValveState.FALSE_PER_MS] != 0.0:
        # from the sum, so that no remainder is lost; the margin forgives rounding of the sum
        state[i, ValveState.PULSES] = floor(
            state[i, ValveState.METERED_L] * parameters[i, ValveParam.PULSES_PER_L] * (1.0 + 1e-12)
            + state[i, ValveState.FALSE_PULSES]
            + 1e-9
        )


# --- node energy ----------------------------------------------------------------------------------


@njit
def cell_voltage(charge: float) -> float:
    """Open-circuit voltage [V] at a state of charge 0 .. 1; Chen and Rincon-Mora (2006), Eq. 2."""
    return (
        -1.031 * exp(-35.0 * charge)
        + 3.685
        + charge * (0.2156 + charge * (-0.1178 + charge * 0.3201))
    )


@njit
def settle_power(i: int, parameters: FloatArray, state: FloatArray) -> bool:
    """Bring voltage and brown-out of zone `i` in line with its charge; true if that changed.

    The voltage is Chen and Rincon-Mora (2006), Eq. 2, less the drop over the inner resistance.  A
    cell without charge feeds nothing, whatever voltage is asked of it.
    """
    capacity_mc = parameters[i, EnergyParam.CAPACITY_MC]
    if capacity_mc <= 0.0:
        state[i, EnergyState.BATTERY_MV] = parameters[i, EnergyParam.SUPPLY_V] * 1000.0
        return False
    volts = cell_voltage(state[i, EnergyState.CHARGE_MC] / capacity_mc)
    if state[i, EnergyState.EMPTY] == 0.0:
        volts -= parameters[i, EnergyParam.LOAD_DROP_V]
    state[i, EnergyState.BATTERY_MV] = volts * 1000.0
    if state[i, EnergyState.EMPTY] == 0.0:
        if (
            state[i, EnergyState.BATTERY_MV] < parameters[i, EnergyParam.CUTOFF_MV]
            or state[i, EnergyState.CHARGE_MC] <= 0.0
        ):
            state[i, EnergyState.EMPTY] = 1.0
            state[i, EnergyState.BROWNOUTS] += 1.0
            return True
    elif (
        state[i, EnergyState.BATTERY_MV] >= parameters[i, EnergyParam.RESTART_MV]
        and state[i, EnergyState.CHARGE_MC] > 0.0
    ):
        state[i, EnergyState.EMPTY] = 0.0
        return True
    return False


@njit
def advance_power(
    i: int,
    dt_s: float,
    radiation_w_m2: float,
    commanded: int,
    parameters: FloatArray,
    state: FloatArray,
    work: FloatArray,
) -> bool:
    """Charge an interval and the work done in it to node `i`; true if it went off or on.

    Charges [mC] are counted; the panel's current is its power over the voltage of the cell, which
    is Chen and Rincon-Mora (2006), Eq. 2, less the drop over the inner resistance.  What cell and
    sun cannot give is not drawn: the work, done at the start of the interval, comes first, and the
    node goes off within the interval.
    """
    held_s = 0.0
    alive_s = 0.0
    switches = 0.0
    if state[i, EnergyState.EMPTY] == 0.0:
        alive_s = dt_s
        held_s = dt_s if commanded != 0 else 0.0
        if (commanded != 0) != (state[i, EnergyState.COMMANDED] != 0.0):
            switches = 1.0
    state[i, EnergyState.COMMANDED] = 1.0 if commanded != 0 else 0.0
    alive_mc = (
        parameters[i, EnergyParam.ALIVE_MA] * alive_s + parameters[i, EnergyParam.VALVE_MA] * held_s
    )
    work_mc = (
        parameters[i, EnergyParam.WAKE_MC] * work[i, EnergyWork.WAKES]
        + parameters[i, EnergyParam.INSTRUCTION_MC] * work[i, EnergyWork.INSTRUCTIONS]
        + parameters[i, EnergyParam.BURST_MC] * work[i, EnergyWork.BURSTS]
        + parameters[i, EnergyParam.BYTE_MC] * work[i, EnergyWork.BYTES]
        + parameters[i, EnergyParam.SWITCH_MC] * switches
    )
    used_mc = alive_mc + work_mc
    alive_share = 1.0
    work_share = 1.0
    capacity_mc = parameters[i, EnergyParam.CAPACITY_MC]
    if capacity_mc > 0.0:
        charge_mc = state[i, EnergyState.CHARGE_MC]
        charge_mc -= charge_mc * parameters[i, EnergyParam.SELF_DISCHARGE_PER_S] * dt_s + used_mc
        if radiation_w_m2 > 0.0 and parameters[i, EnergyParam.SOLAR_MW_M2_W] > 0.0:
            # P / U at the voltage of the cell
            solar_mc = (
                parameters[i, EnergyParam.SOLAR_MW_M2_W]
                * radiation_w_m2
                * dt_s
                * 1000.0
                / state[i, EnergyState.BATTERY_MV]
            )
            solar_mc = max(0.0, min(solar_mc, capacity_mc - charge_mc))
            state[i, EnergyState.SOLAR_MC] += solar_mc
            charge_mc += solar_mc
        if charge_mc < 0.0:
            used_mc = max(0.0, used_mc + charge_mc)
            if used_mc < work_mc:
                work_share = used_mc / work_mc
                alive_share = 0.0
            elif alive_mc > 0.0:
                alive_share = min(1.0, (used_mc - work_mc) / alive_mc)
            charge_mc = 0.0
        state[i, EnergyState.CHARGE_MC] = charge_mc
    state[i, EnergyState.ENERGY_J] += used_mc * parameters[i, EnergyParam.SUPPLY_V] / 1000.0
    state[i, EnergyState.ALIVE_S] += alive_s * alive_share
    state[i, EnergyState.VALVE_S] += held_s * alive_share
    state[i, EnergyState.EMPTY_S] += dt_s - alive_s * alive_share
    state[i, EnergyState.WAKES] += work[i, EnergyWork.WAKES] * work_share
    state[i, EnergyState.INSTRUCTIONS] += work[i, EnergyWork.INSTRUCTIONS] * work_share
    state[i, EnergyState.BURSTS] += work[i, EnergyWork.BURSTS] * work_share
    state[i, EnergyState.BYTES] += work[i, EnergyWork.BYTES] * work_share
    state[i, EnergyState.SWITCHES] += switches * work_share
    work[i, EnergyWork.WAKES] = 0.0
    work[i, EnergyWork.INSTRUCTIONS] = 0.0
    work[i, EnergyWork.BURSTS] = 0.0
    work[i, EnergyWork.BYTES] = 0.0
    return settle_power(i, parameters, state)
