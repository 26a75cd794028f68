"""The simple soil: layers above and below the deepest root, after FAO-56 with the dual crop
coefficient.

Layers are described by field capacity and wilting point.  Roots reach into them; the water of each
layer is kept apart for the part with roots and the part without.  Water that soaks in fills the
rooted layers from the top up to field capacity; what exceeds the root zone passes, when the day
ends, to the layers below, fills them from the top, and drains out of the last.  Evaporation follows
the two-stage drying of the top `ze_m` (Kr, FAO-56 Eq. 74), counted as depth De of the wetted and
exposed part, transpiration the depletion of the root zone (Ks, Eq. 84), with p by the ETc of the
day (p. 162 and Table 22).

FAO-56 balances days: Kr and Ks of a day follow from the state at its begin, so that evaporation
follows a wetting from the next day on.  That holds here at any step: intervals are parts of a day,
and every division of a day ends in the same state.  Days begin with the first interval; an
interval across midnight counts for the day in which it began.  Daily totals are those of pyfao56
(version 1.4.3), of which layers and their roots follow the layered mode.

Water that arrives faster than `intake_mm_h` runs off within the same interval: rain falls
everywhere, irrigation on the part `wetted` only, and so `wetted` times as fast a rate counts there.
pyfao56 instead has a daily curve number; it is not used, because it has no hours.

Evaporation may dry the top `ze_m` to half the wilting point, so depletion may pass TAW by that
much; pyfao56 cuts it at TAW, which creates water.  Here nothing is cut: rain + irrigation -
evaporation - transpiration - drainage - runoff is the change of storage to rounding.

Left out: capillary rise, water above field capacity in the root zone for longer than its day,
ponding, transpiration from the evaporating layer (Eq. 77's T_ew), roots that differ with depth,
water contents that differ within the part of a layer (a probe sees the mean of its part).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.text.ranges import check_range
from levada.sim.soil import bucket_kernel as kernel
from levada.sim.soil.model import FloatArray

__all__ = ["Bucket"]

_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "theta_fc": (0.02, 0.7),
    "theta_wp": (0.0, 0.5),
    "ze_m": (0.02, 0.3),
    "rew_mm": (0.0, 40.0),
    "intake_mm_h": (0.01, 1e9),
    "wetted": (0.01, 1.0),
    "bottom_m": (0.0, 10.0),
    "profile_m": (0.05, 10.0),
    "probe_depth_m": (0.0, 10.0),
    "zr_m": (0.05, 10.0),
    "depletion_fraction": (0.1, 0.8),
    "theta": (0.0, 0.7),
    "theta_below": (0.0, 0.7),
}
_BY_LAYER: Final = ("theta_fc", "theta_wp", "theta", "theta_below")


class Bucket:
    """The soil of n zones (`levada.sim.soil.model.SoilModel`).  Each argument is one number or n of
    them; those by layer may have the shape (n, layers), from the top.

    theta_fc, theta_wp    by layer: water content at field capacity and wilting point [m3 m-3]
    profile_m             depth to which water is followed; roots go no deeper
    bottom_m              by layer: its lower edge [m], increasing; the last one is `profile_m`.
                          Default: one layer.  A layer of no height stands for none
    zr_m                  root depth at the beginning
    theta, theta_below    by layer: water content of its part with roots and of that without at the
                          beginning; default field capacity, what is above it drains as the first
                          day ends
    depletion_fraction    p of FAO-56 Table 22, which holds at ETc of 5 mm/d; without it p is that
                          of the forcing
    ze_m, rew_mm          depth of the evaporating layer, FAO-56 p. 144, and readily evaporable
                          water, Table 19; `rew_mm` is at most TEW
    de_mm                 depth already evaporated from that layer; default from `theta`
    intake_mm_h           what the surface can take
    wetted                part of the surface that irrigation wets, FAO-56 Table 20; an attribute
                          too, shape (n,), that may change between calls
    probe_depth_m         the probe sees the part of a layer that it is in

    `parameters` and `variables` are the arrays that `bucket_kernel.advance_zones` works on, one row
    a zone.

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
        bottom_m: npt.ArrayLike | None = None,
        theta: npt.ArrayLike | None = None,
        theta_below: npt.ArrayLike | None = None,
        depletion_fraction: npt.ArrayLike | None = None,
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
            "ze_m": ze_m,
            "rew_mm": rew_mm,
            "intake_mm_h": intake_mm_h,
            "wetted": wetted,
            "profile_m": profile_m,
            "probe_depth_m": probe_depth_m,
            "zr_m": zr_m,
        }
        if depletion_fraction is not None:
            given["depletion_fraction"] = depletion_fraction
        v = {name: _checked(name, value, (n,)) for name, value in given.items()}
        edges = _edges(v["profile_m"], bottom_m)
        by_layer = (theta_fc, theta_wp, theta, theta_below)
        for name, value in zip(_BY_LAYER, by_layer, strict=True):
            v[name] = _checked(name, theta_fc if value is None else value, edges.shape)
        _check_order(v)
        tops = np.column_stack((np.zeros(n), edges[:, :-1]))
        top_m = np.clip(v["ze_m"][:, None] - tops, 0.0, edges - tops)
        tew = 1000.0 * ((v["theta_fc"] - 0.5 * v["theta_wp"]) * top_m).sum(axis=1)  # Eq. 73
        dry = 1000.0 * ((v["theta_fc"] - v["theta"]) * top_m).sum(axis=1)

        self.parameters: FloatArray = np.zeros(
            (n, kernel.PARAMETERS + kernel.LAYER_PARAMETERS * edges.shape[1])
        )
        p = self.parameters
        p[:, kernel.P_ZE], p[:, kernel.P_TEW] = v["ze_m"], tew
        p[:, kernel.P_REW] = np.minimum(v["rew_mm"], 0.999 * tew)
        p[:, kernel.P_INTAKE], p[:, kernel.P_WETTED] = v["intake_mm_h"], v["wetted"]
        p[:, kernel.P_PROBE] = v["probe_depth_m"]
        p[:, kernel.P_DEPLETION] = v.get("depletion_fraction", 0.0)
        for k, values in enumerate((edges, v["theta_fc"], v["theta_wp"])):
            p[:, kernel.PARAMETERS + k :: kernel.LAYER_PARAMETERS] = values
        self.wetted = p[:, kernel.P_WETTED]

        self.variables: FloatArray = np.zeros(
            (n, kernel.STATE + kernel.LAYER_STATE * edges.shape[1])
        )
        s = self.variables
        rooted = np.clip(v["zr_m"][:, None] - tops, 0.0, edges - tops)
        s[:, kernel.STATE + 1 :: kernel.LAYER_STATE] = 1000.0 * v["theta"] * rooted
        s[:, kernel.STATE + 2 :: kernel.LAYER_STATE] = (
            1000.0 * v["theta_below"] * (edges - tops - rooted)
        )
        s[:, kernel.S_ZR] = v["zr_m"]
        s[:, kernel.S_DE] = np.clip(dry if de_mm is None else de_mm, 0.0, tew)
        s[:, kernel.S_FW] = s[:, kernel.S_KS] = 1.0
        s[:, kernel.S_P] = 0.5

    def advance(
        self, dt_s: float, forcing: FloatArray, fluxes: FloatArray, observed: FloatArray
    ) -> None:
        """Advance all zones by `dt_s`; add to `fluxes`, overwrite `observed`."""
        kernel.advance_zones(dt_s, self.parameters, self.variables, forcing, fluxes, observed)

    def observe(self, observed: FloatArray) -> None:
        """Fill `observed` from the present state."""
        for zone in range(self.n):
            kernel.observe_zone(self.parameters[zone], self.variables[zone], observed[zone])

    def profile(self) -> tuple[FloatArray, FloatArray]:
        """Depths [m], shape (layers,), of the middles of the layers of the first zone, and mean
        theta of each layer, shape (n, layers)."""
        edges = self.parameters[:, kernel.PARAMETERS :: kernel.LAYER_PARAMETERS]
        height = np.diff(edges, axis=1, prepend=0.0)
        parts = self.variables[:, kernel.STATE :].reshape(self.n, -1, kernel.LAYER_STATE)
        theta = np.full(height.shape, np.nan)
        np.divide(parts[:, :, 1:].sum(axis=2), 1000.0 * height, out=theta, where=height > 0.0)
        return edges[0] - height[0] / 2.0, theta

    def layers(self, row: int) -> tuple[FloatArray, FloatArray]:
        """Depths [m] of the middles of the layers of one zone, and mean theta of each."""
        edges = self.parameters[row, kernel.PARAMETERS :: kernel.LAYER_PARAMETERS]
        height = np.diff(edges, prepend=0.0)
        theta = self.profile()[1][row]
        return (edges - height / 2.0)[height > 0.0], theta[height > 0.0]

    def state(self) -> dict[str, Any]:
        """A copy of everything that changes, as arrays."""
        return {"bucket": self.variables.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        saved = np.asarray(state["bucket"], np.float64)
        if saved.shape != self.variables.shape:
            raise ValueError(f"state of shape {saved.shape}: needed is {self.variables.shape}")
        self.variables[:] = saved


def _checked(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """The values in their range, one for each zone or each layer of each zone."""
    array = np.asarray(value, np.float64)
    n = shape[0]
    if array.shape not in ((), (n,), shape):
        by_layer = f" or {shape}" if len(shape) == 2 else ""
        raise ValueError(f"{name}: shape {array.shape}, allowed is one number or {n}{by_layer}")
    low, high = _LIMITS[name]
    for found in np.unique(array):
        check_range(name, found, low, high)
    if array.ndim < len(shape):
        array = array[..., None]
    return np.broadcast_to(array, shape).copy()


def _edges(profile_m: FloatArray, bottom_m: npt.ArrayLike | None) -> FloatArray:
    """Lower edges of the layers [m], shape (n, layers)."""
    if bottom_m is None:
        return profile_m[:, None].copy()
    shape = (profile_m.size, np.asarray(bottom_m).shape[-1])
    edges = _checked("bottom_m", bottom_m, shape)
    for zone, row in enumerate(edges):
        if row[0] <= 0.0 or np.any(np.diff(row) < 0.0) or row[-1] != profile_m[zone]:
            raise ValueError(
                f"bottom_m = {row.tolist()} of zone {zone}: must rise from above 0 to profile_m = "
                f"{profile_m[zone]:g}"
            )
    return edges


def _check_order(v: dict[str, FloatArray]) -> None:
    """Raise ValueError unless depths and water contents are in order."""
    for low, high in (
        ("theta_wp", "theta_fc"),
        ("zr_m", "profile_m"),
        ("ze_m", "zr_m"),
        ("probe_depth_m", "profile_m"),
    ):
        wrong = np.argwhere(v[low] > v[high])
        if wrong.size:
            at = tuple(wrong[0])
            raise ValueError(
                f"{low} = {v[low][at]:g} of zone {at[0]}: at most {high} = {v[high][at]:g}"
            )
    if np.any(v["theta_wp"] >= v["theta_fc"]):
        raise ValueError("theta_wp: must be below theta_fc, or there is no available water")
