"""The simple soil: a root zone and the layer below it, after FAO-56 with the dual crop coefficient.

The root zone holds water up to field capacity; what exceeds it passes at once to the layer below,
down to `profile_m`, and from there drains away.  Roots that grow take over their share of the layer
below.  Evaporation follows the two-stage drying of the top `ze_m` (Kr, FAO-56 Eq. 74), counted as
depth De of the wetted and exposed part, transpiration the depletion of the root zone (Ks, Eq. 84).
The order within one call is pyfao56's (version 1.4.3): Kr and Ks from the state at its begin, then
infiltration, evaporation and transpiration, then drainage; called once a day with the sums of the
day it gives that program's daily balance.

Water that arrives faster than `intake_mm_h` runs off within the same interval: rain falls
everywhere, irrigation on the part `wetted` only, and so `wetted` times as fast a rate counts there.
pyfao56 instead has a daily curve number; it is not used, because it has no hours.

Evaporation may dry the top `ze_m` to half the wilting point, so depletion may pass TAW by that
much; pyfao56 cuts it at TAW, which creates water.  Here nothing is cut: rain + irrigation -
evaporation - transpiration - drainage - runoff is the change of storage to rounding.

Left out: capillary rise, time to drain, ponding, transpiration from the evaporating layer
(Eq. 77's T_ew), differences with depth within a layer (a probe sees the mean of its layer).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.fast.jit import njit
from levada.guest.text.ranges import check_range
from levada.sim.soil.model import FloatArray, Flux, ForcingCol, Observed

__all__ = ["Bucket", "advance_zones"]

# Columns of the parameters and of the state, plain ints because compiled code reads them.
_FC, _WP, _ZE, _REW, _INTAKE, _WETTED, _PROFILE, _PROBE = range(8)
_ROOT_MM, _BELOW_MM, _ZR, _DE, _FW, _RAIN_DAY, _IRRIGATION_DAY, _CLOCK, _KS, _P = range(10)

# Constants of levada.sim.soil.model as plain ints, for the same reason.
_RAIN, _IRRIGATION = int(ForcingCol.RAIN_MM_H), int(ForcingCol.IRRIGATION_MM_H)
_FROM, _TO = int(ForcingCol.IRRIGATION_FROM_S), int(ForcingCol.IRRIGATION_TO_S)
_EVAPORATION, _CAP = int(ForcingCol.EVAPORATION_MM_H), int(ForcingCol.EVAPORATION_CAP_MM_H)
_TRANSPIRATION, _ZR_NEW, _DEPLETION = (
    int(ForcingCol.TRANSPIRATION_MM_H),
    int(ForcingCol.ZR_M),
    int(ForcingCol.DEPLETION_FRACTION),
)
_ET0, _KC_MAX, _COVER = int(ForcingCol.ET0_MM_H), int(ForcingCol.KC_MAX), int(ForcingCol.COVER)
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

_WETTING_RAIN_MM: Final = 3.0  # of a day: wets the whole surface, FAO-56 p. 149
_SMALLEST_FEW: Final = 0.01  # keeps De defined under full cover, as in pyfao56

_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "theta_fc": (0.02, 0.7),
    "theta_wp": (0.0, 0.5),
    "ze_m": (0.02, 0.3),
    "rew_mm": (0.0, 40.0),
    "intake_mm_h": (0.01, 1e9),
    "wetted": (0.01, 1.0),
    "profile_m": (0.05, 10.0),
    "probe_depth_m": (0.0, 10.0),
    "zr_m": (0.05, 10.0),
    "theta": (0.0, 0.7),
    "theta_below": (0.0, 0.7),
}


class Bucket:
    """The soil of n zones (`levada.sim.soil.model.SoilModel`).  Each argument is one number or n of
    them.

    theta_fc, theta_wp    water content at field capacity and wilting point [m3 m-3]
    profile_m             depth to which water is followed; roots go no deeper
    zr_m                  root depth at the beginning
    theta, theta_below    water content of root zone and layer below at the beginning; default
                          field capacity, what is above it drains in the first interval
    ze_m, rew_mm          depth of the evaporating layer, FAO-56 p. 144, and readily evaporable
                          water, Table 19; `rew_mm` is at most TEW
    de_mm                 depth already evaporated from that layer; default from `theta`
    intake_mm_h           what the surface can take
    wetted                part of the surface that irrigation wets, FAO-56 Table 20; an attribute
                          too, shape (n,), that may change between calls
    probe_depth_m         the probe sees the root zone while roots are deeper, else the layer below

    `parameters` and `layers` are the arrays that `advance_zones` works on, one row a zone.

    Raises ValueError with value and permitted range.
    """

    def __init__(
        self,
        n: int,
        *,
        theta_fc: npt.ArrayLike,
        theta_wp: npt.ArrayLike,
        profile_m: npt.ArrayLike,
        zr_m: npt.ArrayLike,
        theta: npt.ArrayLike | None = None,
        theta_below: npt.ArrayLike | None = None,
        ze_m: npt.ArrayLike = 0.10,
        rew_mm: npt.ArrayLike = 8.0,
        de_mm: npt.ArrayLike | None = None,
        intake_mm_h: npt.ArrayLike = 1e9,
        wetted: npt.ArrayLike = 1.0,
        probe_depth_m: npt.ArrayLike = 0.2,
    ) -> None:
        if n < 1:
            raise ValueError(f"n = {n}: at least one zone")
        self.n = n
        given: dict[str, npt.ArrayLike] = {
            "theta_fc": theta_fc,
            "theta_wp": theta_wp,
            "ze_m": ze_m,
            "rew_mm": rew_mm,
            "intake_mm_h": intake_mm_h,
            "wetted": wetted,
            "profile_m": profile_m,
            "probe_depth_m": probe_depth_m,
            "zr_m": zr_m,
            "theta": theta_fc if theta is None else theta,
            "theta_below": theta_fc if theta_below is None else theta_below,
        }
        v = {name: _checked(name, value, n) for name, value in given.items()}
        for low, high in (
            ("theta_wp", "theta_fc"),
            ("zr_m", "profile_m"),
            ("ze_m", "zr_m"),
            ("probe_depth_m", "profile_m"),
        ):
            wrong = np.flatnonzero(v[low] > v[high])
            if wrong.size:
                zone = wrong[0]
                raise ValueError(
                    f"{low} = {v[low][zone]:g} of zone {zone}: at most {high} = {v[high][zone]:g}"
                )
        if np.any(v["theta_wp"] >= v["theta_fc"]):
            raise ValueError("theta_wp: must be below theta_fc, or there is no available water")
        tew = 1000.0 * (v["theta_fc"] - 0.5 * v["theta_wp"]) * v["ze_m"]
        dry = 1000.0 * (v["theta_fc"] - v["theta"]) * v["ze_m"]
        self.parameters = np.zeros((n, 8))
        self.parameters[:, _FC] = v["theta_fc"]
        self.parameters[:, _WP] = v["theta_wp"]
        self.parameters[:, _ZE] = v["ze_m"]
        self.parameters[:, _REW] = np.minimum(v["rew_mm"], 0.999 * tew)
        self.parameters[:, _INTAKE] = v["intake_mm_h"]
        self.parameters[:, _WETTED] = v["wetted"]
        self.parameters[:, _PROFILE] = v["profile_m"]
        self.parameters[:, _PROBE] = v["probe_depth_m"]
        self.wetted = self.parameters[:, _WETTED]
        self.layers = np.zeros((n, 10))
        self.layers[:, _ROOT_MM] = 1000.0 * v["theta"] * v["zr_m"]
        self.layers[:, _BELOW_MM] = 1000.0 * v["theta_below"] * (v["profile_m"] - v["zr_m"])
        self.layers[:, _ZR] = v["zr_m"]
        self.layers[:, _DE] = np.clip(dry if de_mm is None else de_mm, 0.0, tew)
        self.layers[:, _FW] = 1.0
        self.layers[:, _KS] = 1.0
        self.layers[:, _P] = 0.5

    def advance(
        self, dt_s: float, forcing: FloatArray, fluxes: FloatArray, observed: FloatArray
    ) -> None:
        """Advance all zones by `dt_s`; add to `fluxes`, overwrite `observed`."""
        advance_zones(dt_s, self.parameters, self.layers, forcing, fluxes, observed)

    def observe(self, observed: FloatArray) -> None:
        """Fill `observed` from the present state."""
        for zone in range(self.n):
            _observe_zone(self.parameters[zone], self.layers[zone], observed[zone])

    def profile(self) -> tuple[FloatArray, FloatArray]:
        """Depths [m], shape (2,), of the middles of the two layers of the first zone, and theta
        of both layers, shape (n, 2)."""
        zr, below = self.layers[:, _ZR], self.parameters[:, _PROFILE] - self.layers[:, _ZR]
        theta = np.empty((self.n, 2))
        theta[:, 0] = self.layers[:, _ROOT_MM] / (1000.0 * zr)
        theta[:, 1] = self.parameters[:, _FC]
        np.divide(self.layers[:, _BELOW_MM], 1000.0 * below, out=theta[:, 1], where=below > 0.0)
        return np.array([zr[0] / 2.0, zr[0] + below[0] / 2.0]), theta

    def state(self) -> dict[str, Any]:
        """A copy of everything that changes, as arrays."""
        return {"bucket": self.layers.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        saved = np.asarray(state["bucket"], np.float64)
        if saved.shape != self.layers.shape:
            raise ValueError(f"state of shape {saved.shape}: needed is {self.layers.shape}")
        self.layers[:] = saved


def _checked(name: str, value: npt.ArrayLike, n: int) -> FloatArray:
    array = np.asarray(value, np.float64)
    if array.shape not in ((), (n,)):
        raise ValueError(f"{name}: shape {array.shape}, allowed is one number or {n}")
    low, high = _LIMITS[name]
    for found in np.unique(array):
        check_range(name, found, low, high)
    return np.broadcast_to(array, (n,)).copy()


@njit
def _observe_zone(
    p: FloatArray, s: FloatArray, observed: FloatArray
) -> None:  # pragma: no cover - compiled
    """Observables of a zone: FAO-56 TAW by Eq. 82, RAW by Eq. 83."""
    taw = 1000.0 * (p[_FC] - p[_WP]) * s[_ZR]
    theta = s[_ROOT_MM] / (1000.0 * s[_ZR])
    below_m = p[_PROFILE] - s[_ZR]
    observed[_O_STORAGE] = s[_ROOT_MM] + s[_BELOW_MM]
    observed[_O_THETA_ROOT] = theta
    observed[_O_DR] = max(1000.0 * p[_FC] * s[_ZR] - s[_ROOT_MM], 0.0)
    observed[_O_FC] = 1000.0 * p[_FC] * s[_ZR]
    observed[_O_TAW] = taw
    observed[_O_RAW] = s[_P] * taw
    observed[_O_KS] = s[_KS]
    seen = theta
    if p[_PROBE] > s[_ZR] and below_m > 0.0:
        seen = s[_BELOW_MM] / (1000.0 * below_m)
    observed[_O_THETA_PROBE] = seen
    observed[_O_PONDING] = 0.0
    observed[_O_HEAD_PROBE] = np.nan


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

        # Roots take their share of the layer below, or leave it when a shallower crop follows.
        zr = min(max(f[_ZR_NEW], p[_ZE]), p[_PROFILE])
        if zr > s[_ZR]:
            moved = s[_BELOW_MM] * (zr - s[_ZR]) / (p[_PROFILE] - s[_ZR])
            s[_ROOT_MM] += moved
            s[_BELOW_MM] -= moved
        elif zr < s[_ZR]:
            moved = s[_ROOT_MM] * (s[_ZR] - zr) / s[_ZR]
            s[_ROOT_MM] -= moved
            s[_BELOW_MM] += moved
        s[_ZR] = zr

        # Infiltration, apart for the time with and without irrigation, the ground with and without.
        rain_rate, rate = f[_RAIN], f[_IRRIGATION]
        watered = max(f[_TO] - f[_FROM], 0.0) / 3600.0
        rain, irrigation = rain_rate * hours, rate * watered
        runoff = max(rain_rate - p[_INTAKE], 0.0) * (hours - watered)
        if watered > 0.0:
            over_wet = max(rain_rate + rate / p[_WETTED] - p[_INTAKE], 0.0)
            over_dry = max(rain_rate - p[_INTAKE], 0.0)
            runoff += (p[_WETTED] * over_wet + (1.0 - p[_WETTED]) * over_dry) * watered
        arrived = rain + irrigation - runoff

        # Which part of the surface is wet: by the sums of the day, FAO-56 p. 149.
        if s[_CLOCK] >= 86400.0:
            s[_CLOCK] = 0.0
            s[_RAIN_DAY] = 0.0
            s[_IRRIGATION_DAY] = 0.0
        s[_CLOCK] += dt_s
        s[_RAIN_DAY] += rain
        s[_IRRIGATION_DAY] += irrigation
        if irrigation > 0.0:
            s[_FW] = p[_WETTED]
        elif s[_IRRIGATION_DAY] == 0.0 and s[_RAIN_DAY] >= _WETTING_RAIN_MM:
            s[_FW] = 1.0
        few = max(min(1.0 - f[_COVER], s[_FW]), _SMALLEST_FEW)  # Eq. 75

        # Evaporation and transpiration by the state at the begin of the interval.
        tew = 1000.0 * (p[_FC] - 0.5 * p[_WP]) * p[_ZE]  # Eq. 73
        taw = 1000.0 * (p[_FC] - p[_WP]) * zr  # Eq. 82
        depleted = 1000.0 * p[_FC] * zr - s[_ROOT_MM]
        kr = min(max((tew - s[_DE]) / (tew - p[_REW]), 0.0), 1.0)  # Eq. 74
        fraction = f[_DEPLETION]
        ks = min(max((taw - depleted) / ((1.0 - fraction) * taw), 0.0), 1.0)  # Eq. 84
        ceiling = min(
            max(f[_CAP], _SMALLEST_FEW * f[_KC_MAX] * f[_ET0]), few * f[_KC_MAX] * f[_ET0]
        )
        evaporation = min(kr * f[_EVAPORATION], ceiling) * hours  # Eq. 71
        transpiration = ks * f[_TRANSPIRATION] * hours

        # No more than the root zone holds: plants to the wilting point, the sun to half of it in
        # the top layer.
        left = max(taw - depleted, 0.0) + arrived
        transpiration = min(transpiration, left)
        left = max(taw + 500.0 * p[_WP] * p[_ZE] - depleted + arrived - transpiration, 0.0)
        evaporation = min(evaporation, left)
        s[_ROOT_MM] += arrived - evaporation - transpiration

        # The evaporating layer, Eq. 77 and 79; irrigation falls on a part of it.
        soaked = arrived
        if irrigation > 0.0:
            share = arrived / (rain + irrigation)
            soaked = (rain + irrigation / s[_FW]) * share
        s[_DE] = max(s[_DE] - soaked, 0.0) + evaporation / few
        s[_DE] = min(s[_DE], tew)

        # Above field capacity water moves on: to the layer below, then out.
        over = max(s[_ROOT_MM] - 1000.0 * p[_FC] * zr, 0.0)
        s[_ROOT_MM] -= over
        s[_BELOW_MM] += over
        drainage = max(s[_BELOW_MM] - 1000.0 * p[_FC] * (p[_PROFILE] - zr), 0.0)
        s[_BELOW_MM] -= drainage

        s[_KS], s[_P] = ks, fraction
        out[_F_RAIN] += rain
        out[_F_IRRIGATION] += irrigation
        out[_F_EVAPORATION] += evaporation
        out[_F_TRANSPIRATION] += transpiration
        out[_F_DRAINAGE] += drainage
        out[_F_RUNOFF] += runoff
        _observe_zone(p, s, observed[zone])
