"""The daily balance of the bucket, compiled: all zones in one call, a row of each array a zone.

FAO-56 balances a day at a time: Kr and Ks of a day follow from the state at its begin, p from its
ETc.  An interval here is a part of such a day.  The state holds the water at the begin of the day
and the sums since; water, evaporation and transpiration follow from these alone, so that any steps
lead to the same end of the day as one step of a day would.  `levada.sim.soil.bucket` says what is
modelled, and what is left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from levada.guest.fast.jit import njit, njit_inline
from levada.sim.soil.model import FloatArray, Flux, ForcingCol, Observed

__all__ = [
    "LAYER_PARAMETERS",
    "LAYER_STATE",
    "PARAMETERS",
    "STATE",
    "advance_zones",
    "move_roots",
    "observe_zone",
]

# Columns of the parameters, plain ints because compiled code reads them; behind them three for each
# layer: its lower edge [m], theta_fc, theta_wp.
P_ZE, P_TEW, P_REW, P_INTAKE, P_WETTED, P_PROBE, P_DEPLETION = range(7)
PARAMETERS: Final = 7
LAYER_PARAMETERS: Final = 3

# Columns of the state [mm, but for the root depth and what has no unit].  Of the day so far: rain,
# irrigation, what went into the soil, potential evaporation (Kcmax - Kcb) ET0 and Kcmax ET0,
# potential transpiration, evaporation, transpiration.
S_ZR, S_CLOCK_S, S_BEGUN = 0, 1, 2
S_DE, S_FW, S_DE_START, S_FW_START = 3, 4, 5, 6
S_TAW, S_DR_START, S_KR, S_KS, S_P = 7, 8, 9, 10, 11
S_RAIN, S_IRRIGATION, S_SOAKED = 12, 13, 14
S_ENERGY, S_CEILING, S_DEMAND, S_EVAPORATION, S_TRANSPIRATION = 15, 16, 17, 18, 19
S_PASSING = 20  # above field capacity of the root zone, until the day ends
STATE: Final = 21
# and three for each layer: water of its rooted part at the begin of the day and now, of the rest
LAYER_STATE: Final = 3

# Constants of levada.sim.soil.model as plain ints, for the same reason.
_RAIN, _IRRIGATION = int(ForcingCol.RAIN_MM_H), int(ForcingCol.IRRIGATION_MM_H)
_FROM, _TO = int(ForcingCol.IRRIGATION_FROM_S), int(ForcingCol.IRRIGATION_TO_S)
_EVAPORATION, _TRANSPIRATION = (
    int(ForcingCol.EVAPORATION_MM_H),
    int(ForcingCol.TRANSPIRATION_MM_H),
)
_ZR, _DEPLETION = int(ForcingCol.ZR_M), int(ForcingCol.DEPLETION_FRACTION)
_ET0, _KC_MAX, _COVER = int(ForcingCol.ET0_MM_H), int(ForcingCol.KC_MAX), int(ForcingCol.COVER)
_KCB, _ET0_DAY = int(ForcingCol.KCB), int(ForcingCol.ET0_DAY_MM)
_F_RAIN, _F_IRRIGATION = int(Flux.RAIN_MM), int(Flux.IRRIGATION_MM)
_F_EVAPORATION, _F_TRANSPIRATION = int(Flux.EVAPORATION_MM), int(Flux.TRANSPIRATION_MM)
_F_DRAINAGE, _F_RUNOFF = int(Flux.DRAINAGE_MM), int(Flux.RUNOFF_MM)
_O_STORAGE, _O_THETA_ROOT, _O_DR = (
    int(Observed.STORAGE_MM),
    int(Observed.THETA_ROOT),
    int(Observed.DR_MM),
)
_O_TAW, _O_RAW, _O_KS = int(Observed.TAW_MM), int(Observed.RAW_MM), int(Observed.KS)
_O_FC = int(Observed.FC_MM)
_O_THETA_PROBE, _O_PONDING = int(Observed.THETA_PROBE), int(Observed.PONDING_MM)
_O_HEAD_PROBE = int(Observed.HEAD_PROBE_M)

_DAY_S: Final = 86_400.0
_ROUNDING_S: Final = 1e-3  # steps are whole milliseconds
_WETTING_RAIN_MM: Final = 3.0  # of a day: wets the whole surface, FAO-56 p. 149
_SMALLEST_FEW: Final = 0.01  # keeps De defined under full cover, as in pyfao56


@njit_inline
def _layer(p: FloatArray, k: int) -> tuple[float, float, float, float]:
    """Upper and lower edge [m], theta_fc and theta_wp of layer `k`."""
    at = PARAMETERS + LAYER_PARAMETERS * k
    top = p[at - LAYER_PARAMETERS] if k > 0 else 0.0
    return top, p[at], p[at + 1], p[at + 2]


@njit_inline
def _rooted_m(top: float, bottom: float, zr: float) -> float:
    """How much of a layer lies above the depth `zr` [m]."""
    return min(max(zr - top, 0.0), bottom - top)


@njit
def move_roots(p: FloatArray, s: FloatArray, zr: float) -> None:  # pragma: no cover - compiled
    """Let the roots of a zone reach down to `zr` [m], and take over the water that is there.

    A shallower crop leaves it to the soil below.
    """
    for k in range((p.size - PARAMETERS) // LAYER_PARAMETERS):
        top, bottom, _, _ = _layer(p, k)
        old, new = _rooted_m(top, bottom, s[S_ZR]), _rooted_m(top, bottom, zr)
        at = STATE + LAYER_STATE * k
        if new > old:
            moved = s[at + 2] * (new - old) / (bottom - top - old)
        elif new < old:
            moved = s[at + 1] * (new - old) / old
        else:
            moved = 0.0
        s[at + 1] += moved
        s[at + 2] -= moved
    s[S_ZR] = zr


@njit
def _begin_day(p: FloatArray, s: FloatArray, f: FloatArray) -> None:  # pragma: no cover - compiled
    """Grow the roots, and take down what the day is reckoned from: FAO-56 Eq. 74, 82, 87."""
    layers = (p.size - PARAMETERS) // LAYER_PARAMETERS
    s[S_TAW] = s[S_DR_START] = 0.0
    for k in range(layers):
        top, bottom, fc, _ = _layer(p, k)
        rooted = 1000.0 * _rooted_m(top, bottom, s[S_ZR])
        s[S_DR_START] += fc * rooted - s[STATE + LAYER_STATE * k + 1]
    move_roots(p, s, min(max(f[_ZR], p[P_ZE]), p[p.size - LAYER_PARAMETERS]))
    for k in range(layers):
        top, bottom, fc, wp = _layer(p, k)
        s[STATE + LAYER_STATE * k] = s[STATE + LAYER_STATE * k + 1]
        s[S_TAW] += 1000.0 * (fc - wp) * _rooted_m(top, bottom, s[S_ZR])
    s[S_DE_START], s[S_FW_START] = s[S_DE], s[S_FW]
    s[S_KR] = min(max((p[P_TEW] - s[S_DE]) / (p[P_TEW] - p[P_REW]), 0.0), 1.0)
    for column in range(S_RAIN, STATE):
        s[column] = 0.0
    s[S_BEGUN] = 1.0


@njit_inline
def _wetted(p: FloatArray, s: FloatArray) -> float:
    """Part of the surface that was wetted last, by the sums of the day (FAO-56 p. 149)."""
    if s[S_IRRIGATION] > 0.0:
        return float(p[P_WETTED])
    if s[S_RAIN] >= _WETTING_RAIN_MM:
        return 1.0
    return float(s[S_FW_START])


@njit
def _fill(p: FloatArray, s: FloatArray) -> tuple[float, float]:  # pragma: no cover - compiled
    """Put what has soaked in since the day began into the rooted layers, from the top.

    Water that plants can take [mm], and water that sun and plants can: down to the wilting point,
    the sun to half of it in the evaporating layer (FAO-56 Eq. 73), but depletion does not pass TAW
    (Eq. 86).
    """
    passing = s[S_SOAKED]
    available = evaporable = above_wp = 0.0
    for k in range((p.size - PARAMETERS) // LAYER_PARAMETERS):
        top, bottom, fc, wp = _layer(p, k)
        rooted = _rooted_m(top, bottom, s[S_ZR])
        if rooted <= 0.0:
            break
        at = STATE + LAYER_STATE * k
        dry, full = 1000.0 * wp * rooted, 1000.0 * fc * rooted
        above_wp += s[at] - dry
        water = s[at] + passing
        passing = max(water - full, 0.0)
        water = min(water, full)
        s[at + 1] = water
        available += max(water - dry, 0.0)
        evaporable += max(water - dry + 500.0 * wp * _rooted_m(top, bottom, p[P_ZE]), 0.0)
    s[S_PASSING] = passing
    evaporable = min(evaporable + passing, max(above_wp, 0.0) + s[S_SOAKED])
    return available + passing, evaporable


@njit
def _draw(p: FloatArray, s: FloatArray, available: float) -> None:  # pragma: no cover - compiled
    """Take the day's transpiration and evaporation so far out of the filled layers.

    What passes goes first.  Plants take from every rooted layer by the water they find there, the
    sun from the top down.
    """
    from_passing = min(s[S_TRANSPIRATION], s[S_PASSING])
    in_layers = available - s[S_PASSING]
    share = 0.0
    if in_layers > 0.0:
        share = min((s[S_TRANSPIRATION] - from_passing) / in_layers, 1.0)
    s[S_PASSING] -= from_passing
    sun = s[S_EVAPORATION]
    from_passing = min(sun, s[S_PASSING])
    s[S_PASSING] -= from_passing
    sun -= from_passing
    for k in range((p.size - PARAMETERS) // LAYER_PARAMETERS):
        top, bottom, _, wp = _layer(p, k)
        rooted = _rooted_m(top, bottom, s[S_ZR])
        if rooted <= 0.0:
            break
        at = STATE + LAYER_STATE * k
        dry = 1000.0 * wp * rooted
        s[at + 1] -= share * max(s[at + 1] - dry, 0.0)
        least = dry - 500.0 * wp * _rooted_m(top, bottom, p[P_ZE])
        taken = min(sun, max(s[at + 1] - least, 0.0))
        s[at + 1] -= taken
        sun -= taken


@njit_inline
def _below_mm(p: FloatArray, s: FloatArray, k: int) -> float:
    """What the part of a layer below the roots holds at field capacity [mm]."""
    top, bottom, fc, _ = _layer(p, k)
    return 1000.0 * fc * (bottom - top - _rooted_m(top, bottom, s[S_ZR]))


@njit
def _end_day(p: FloatArray, s: FloatArray) -> float:  # pragma: no cover - compiled
    """Let what passed the root zone into the layers below; what drains out of the last [mm].

    Each takes its part by the room it has, as in pyfao56, whose soil below the roots is one store.
    """
    passing, room = s[S_PASSING], 0.0
    s[S_PASSING] = s[S_BEGUN] = 0.0
    for k in range((p.size - PARAMETERS) // LAYER_PARAMETERS):
        at = STATE + LAYER_STATE * k + 2
        short = _below_mm(p, s, k) - s[at]
        s[at] += min(short, 0.0)
        passing -= min(short, 0.0)
        room += max(short, 0.0)
    kept = min(passing, room)
    if kept > 0.0:
        for k in range((p.size - PARAMETERS) // LAYER_PARAMETERS):
            at = STATE + LAYER_STATE * k + 2
            s[at] += kept * (_below_mm(p, s, k) - s[at]) / room
    s[S_CLOCK_S] = max(s[S_CLOCK_S] - _DAY_S, 0.0)
    return float(passing - kept)


@njit
def observe_zone(
    p: FloatArray, s: FloatArray, observed: FloatArray
) -> None:  # pragma: no cover - compiled
    """Observables of a zone: FAO-56 TAW by Eq. 82, RAW by Eq. 83."""
    storage = s[S_PASSING]
    root = full = taw = 0.0
    seen = np.nan
    for k in range((p.size - PARAMETERS) // LAYER_PARAMETERS):
        top, bottom, fc, wp = _layer(p, k)
        rooted = _rooted_m(top, bottom, s[S_ZR])
        at = STATE + LAYER_STATE * k
        root += s[at + 1]
        storage += s[at + 1] + s[at + 2]
        full += 1000.0 * fc * rooted
        taw += 1000.0 * (fc - wp) * rooted
        if bottom > top and (k == 0 or p[P_PROBE] > top):
            if rooted > 0.0 and (p[P_PROBE] <= s[S_ZR] or rooted >= bottom - top):
                seen = s[at + 1] / (1000.0 * rooted)
            else:
                seen = s[at + 2] / (1000.0 * (bottom - top - rooted))
    observed[_O_STORAGE] = storage
    observed[_O_THETA_ROOT] = root / (1000.0 * s[S_ZR])
    observed[_O_DR] = max(full - root, 0.0)
    observed[_O_FC] = full
    observed[_O_TAW] = taw
    observed[_O_RAW] = s[S_P] * taw
    observed[_O_KS] = s[S_KS]
    observed[_O_THETA_PROBE] = seen
    observed[_O_PONDING] = 0.0
    observed[_O_HEAD_PROBE] = np.nan


@njit
def _stress(p: FloatArray, s: FloatArray, f: FloatArray, few: float) -> None:  # pragma: no cover
    """p of the day by its ETc (FAO-56 p. 162 and Table 22), and Ks by the day's begin (Eq. 84)."""
    fraction = f[_DEPLETION]
    if p[P_DEPLETION] > 0.0:
        ke = min(s[S_KR] * (f[_KC_MAX] - f[_KCB]), few * f[_KC_MAX])  # Eq. 71
        etc = (ke + f[_KCB]) * f[_ET0_DAY]
        fraction = min(max(p[P_DEPLETION] + 0.04 * (5.0 - etc), 0.1), 0.8)
    s[S_P] = fraction
    left = (s[S_TAW] - s[S_DR_START]) / ((1.0 - fraction) * s[S_TAW])
    s[S_KS] = min(max(left, 0.0), 1.0)


@njit
def advance_zones(
    dt_s: float,
    parameters: FloatArray,
    state: FloatArray,
    forcing: FloatArray,
    fluxes: FloatArray,
    observed: FloatArray,
) -> None:  # pragma: no cover - compiled
    """Advance zones by `dt_s`, a row of each array a zone; callable from compiled code.

    FAO-56 with the dual crop coefficient: evaporation Eq. 71 with Kr of Eq. 74 and few of Eq. 75,
    evaporating layer Eq. 73 and 77, transpiration with Ks of Eq. 84, root zone Eq. 82 and 85.
    `parameters` and `state` are those of a `Bucket`, the rest as in `levada.sim.soil.model`.
    """
    hours = dt_s / 3600.0
    for zone in range(parameters.shape[0]):
        p, s, f, out = parameters[zone], state[zone], forcing[zone], fluxes[zone]
        if s[S_BEGUN] == 0.0:
            _begin_day(p, s, f)

        # Infiltration, apart for the time with and without irrigation, the ground with and without.
        rain_rate, rate = f[_RAIN], f[_IRRIGATION]
        watered = max(f[_TO] - f[_FROM], 0.0) / 3600.0
        rain, irrigation = rain_rate * hours, rate * watered
        runoff = max(rain_rate - p[P_INTAKE], 0.0) * (hours - watered)
        if watered > 0.0:
            over_wet = max(rain_rate + rate / p[P_WETTED] - p[P_INTAKE], 0.0)
            over_dry = max(rain_rate - p[P_INTAKE], 0.0)
            runoff += (p[P_WETTED] * over_wet + (1.0 - p[P_WETTED]) * over_dry) * watered
        s[S_RAIN] += rain
        s[S_IRRIGATION] += irrigation
        s[S_SOAKED] += rain + irrigation - runoff
        s[S_ENERGY] += f[_EVAPORATION] * hours
        s[S_CEILING] += f[_KC_MAX] * f[_ET0] * hours
        s[S_DEMAND] += f[_TRANSPIRATION] * hours

        # Evaporation and transpiration since the day began; what has gone does not come back.
        s[S_FW] = _wetted(p, s)
        few = max(min(1.0 - f[_COVER], s[S_FW]), _SMALLEST_FEW)  # Eq. 75
        _stress(p, s, f, few)
        available, evaporable = _fill(p, s)
        transpiration = min(s[S_KS] * s[S_DEMAND], available, evaporable - s[S_EVAPORATION])
        transpiration = max(transpiration, s[S_TRANSPIRATION])
        # what the plants will take until midnight is theirs, or it would matter who comes first
        kept = min(s[S_KS] * f[_KCB] * f[_ET0_DAY], available)
        evaporation = min(
            s[S_KR] * s[S_ENERGY], few * s[S_CEILING], evaporable - max(transpiration, kept)
        )
        evaporation = max(evaporation, s[S_EVAPORATION])
        out[_F_TRANSPIRATION] += transpiration - s[S_TRANSPIRATION]
        out[_F_EVAPORATION] += evaporation - s[S_EVAPORATION]
        s[S_TRANSPIRATION], s[S_EVAPORATION] = transpiration, evaporation
        _draw(p, s, available)

        # The evaporating layer, Eq. 77 and 79; irrigation falls on a part of it.
        arrived = s[S_RAIN] + s[S_IRRIGATION]
        wetting = 0.0
        if arrived > 0.0:
            wetting = (s[S_RAIN] + s[S_IRRIGATION] / s[S_FW]) * s[S_SOAKED] / arrived
        s[S_DE] = min(max(s[S_DE_START] - wetting, 0.0) + evaporation / few, p[P_TEW])

        s[S_CLOCK_S] += dt_s
        if s[S_CLOCK_S] >= _DAY_S - _ROUNDING_S:
            out[_F_DRAINAGE] += _end_day(p, s)
        out[_F_RAIN] += rain
        out[_F_IRRIGATION] += irrigation
        out[_F_RUNOFF] += runoff
        observe_zone(p, s, observed[zone])
