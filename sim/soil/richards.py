"""Richards' equation in one dimension for any number of zones: the plant's soil.

Layers of van Genuchten-Mualem soil on graded cells, root uptake after Feddes, ponding, runoff;
the numerical scheme is described in `levada.sim.soil.richards_kernel`.  Implements
`levada.sim.soil.model.SoilModel`.

Left out: heat and vapour, hysteresis, macropores, solutes, lateral flow.  Drip irrigation, in truth
three-dimensional, is treated as FAO-56 does: the zone stays one column, but after an irrigation
only the wetted fraction of the surface takes up water (so it ponds earlier) and evaporates (at
most f_w Kc_max ET0, FAO-56 Eq. 75); rain wets all of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from levada.guest.text.ranges import between, out_of_range
from levada.sim.errors import SoilError
from levada.sim.soil import richards_columns as columns
from levada.sim.soil import richards_kernel as kernel
from levada.sim.soil.hydraulics import (
    HEAD_RANGE_M,
    INTERVALS,
    U_MIN,
    VanGenuchten,
    head_of,
    table,
    transform,
)
from levada.sim.soil.model import FloatArray, new_fluxes, new_forcing, new_observed
from levada.sim.soil.richards_profile import BOTTOMS, Layer, SoilProfile, graded_cells
from levada.sim.soil.uptake import ROOT_NODES

__all__ = ["Richards", "compiled", "warm_up"]


_known_table = lru_cache(maxsize=64)(table)
"""Of soils that have been asked for before; never written to."""


class Richards:
    """The soil of n zones; implements `levada.sim.soil.model.SoilModel`.

    `cells` is a number of graded cells, or the faces [m] to use in every zone.  Time starts at 0 s;
    weather should change at whole hours of it, where steps end anyway.  `hydraulic_table` makes the
    table of a soil (`levada.sim.soil.hydraulics.table`).
    """

    def __init__(
        self,
        zones: Sequence[SoilProfile],
        *,
        cells: int | Sequence[float] | FloatArray = 50,
        top_cell_m: float = 0.01,
        hydraulic_table: Callable[[VanGenuchten], FloatArray] = _known_table,
    ) -> None:
        if not zones:
            raise ValueError("no zones; permitted: at least one")
        self.n = len(zones)
        self.zones = tuple(zones)
        soils: dict[VanGenuchten, int] = {}
        faces = [_faces(zone, cells, top_cell_m) for zone in zones]
        self.faces_m: FloatArray = np.array(faces)
        """Depths of the cell faces [m], shape (n, cells + 1)."""
        m = self.faces_m.shape[1] - 1
        self._cells = np.zeros((self.n, columns.CELL_ROWS, m))
        self._scalars = np.zeros((self.n, columns.SCALARS))
        self._settings = np.zeros((self.n, columns.SETTINGS))
        for i, zone in enumerate(zones):
            _fill_cells(self._cells[i], zone, self.faces_m[i], soils)
        self._tables = np.zeros((len(soils), INTERVALS + 1, 16))
        for soil, k in soils.items():
            self._tables[k, :INTERVALS] = hydraulic_table(soil)
            self._tables[k, INTERVALS] = _saturated(soil, self._tables[k])
        for i, zone in enumerate(zones):
            _fill_settings(self._settings[i], zone, self._tables, self._cells[i])
            _fill_scalars(self._scalars[i], self._cells[i], self._settings[i])

    @property
    def time_s(self) -> float:
        """Time the model has reached."""
        return float(self._scalars[0, columns.S_NOW])

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Cells, scalars and settings by zone, and hydraulic tables, as the kernel takes them."""
        return self._cells, self._scalars, self._settings, self._tables

    def advance(
        self, dt_s: float, forcing: FloatArray, fluxes: FloatArray, observed: FloatArray
    ) -> None:
        """Advance all zones by `dt_s`; see `levada.sim.soil.model.SoilModel.advance`."""
        zone = kernel.advance(0, self.n, dt_s, *self.arrays, forcing, fluxes, observed)
        if zone >= 0:
            raise self.error(zone)

    def observe(self, observed: FloatArray) -> None:
        """Fill `observed` from the present state."""
        for zone in range(self.n):
            kernel.report(self._scalars[zone], observed[zone])

    def profile(self) -> tuple[FloatArray, FloatArray]:
        """Depths of the cell centres of the first zone [m], and theta, shape (n, cells)."""
        depths = 0.5 * (self.faces_m[0, 1:] + self.faces_m[0, :-1])
        return depths, self._between(columns.C_THETA, columns.C_THETA_END)

    def heads(self) -> FloatArray:
        """Pressure heads [m], shape (n, cells)."""
        start = head_of(self._cells[:, columns.C_U])
        end = head_of(self._cells[:, columns.C_U_END])
        x = self._position()[:, None]
        return np.asarray(start + x * (end - start))

    def uptake_mm(self) -> FloatArray:
        """Water taken up by roots since the start [mm], shape (n, cells)."""
        step = self._position()[:, None] * self._cells[:, columns.C_UPTAKE_STEP]
        return np.asarray(columns.MM * (self._cells[:, columns.C_UPTAKE] + step))

    def counters(self) -> dict[str, int]:
        """Work done since the start: steps, Newton iterations, refused steps."""
        s = self._scalars.sum(axis=0)
        return {
            "steps": int(s[columns.S_STEPS]),
            "iterations": int(s[columns.S_ITERATIONS]),
            "refused": int(s[columns.S_REFUSED]),
        }

    def state(self) -> dict[str, Any]:
        """A copy of everything that changes, as arrays."""
        return {
            "cells": self._cells[:, : columns.CELL_STATE_ROWS].copy(),
            "scalars": self._scalars.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state of this model or of one configured alike."""
        shape = (self.n, columns.CELL_STATE_ROWS, self._cells.shape[2])
        if state["cells"].shape != shape or state["scalars"].shape != self._scalars.shape:
            raise ValueError(f"state of shape {state['cells'].shape}; permitted: {shape}")
        self._cells[:, : columns.CELL_STATE_ROWS] = state["cells"]
        self._scalars[:] = state["scalars"]

    def _position(self) -> FloatArray:
        s = self._scalars
        length = s[:, columns.S_END] - s[:, columns.S_START]
        done = s[:, columns.S_NOW] - s[:, columns.S_START]
        return np.divide(done, length, out=np.zeros(self.n), where=length > 0.0)

    def _between(self, start: int, end: int) -> FloatArray:
        x = self._position()[:, None]
        return np.asarray((1.0 - x) * self._cells[:, start] + x * self._cells[:, end])

    def error(self, zone: int) -> SoilError:
        """Why a zone could not be solved."""
        s = self._scalars[zone]
        times = s[columns.S_ERROR_SIZE] / columns.TOLERANCE
        found = (
            "is not a number (NaN)" if np.isnan(times) else f"is {times:.3g} times that permitted"
        )
        return SoilError(
            f"no convergence with the shortest step of {columns.SHORTEST_STEP_S} s: the residual "
            f"{found}",
            time_s=float(s[columns.S_START]),
            zone=zone,
            cell=int(s[columns.S_ERROR_CELL]),
        )


def compiled() -> bool:
    """Whether the kernels need not be compiled: they are in numba's cache or in memory."""
    if getattr(kernel.advance, "signatures", None):
        return True
    cache = getattr(kernel.advance, "_cache", None)
    index = getattr(getattr(cache, "_cache_file", None), "_load_index", None)
    return bool(index()) if index is not None else False


def warm_up(progress: Callable[[str], None] | None = None) -> None:
    """Compile the kernels, or load them; `progress` is told if that takes a while."""
    if progress is not None and not compiled():
        progress("compiling the soil model (once, about ten seconds)")
    soil = VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496)
    model = Richards([SoilProfile(layers=[Layer(thickness_m=1.0, soil=soil)])])
    model.advance(1.0, new_forcing(1), new_fluxes(1), new_observed(1))
    model.observe(new_observed(1))


def _faces(
    zone: SoilProfile, cells: int | Sequence[float] | FloatArray, top_cell_m: float
) -> FloatArray:
    if isinstance(cells, int):
        return _graded(tuple(zone.layers), cells, min(top_cell_m, zone.depth_m))
    faces = np.asarray(cells, dtype=np.float64)
    edges = np.cumsum([layer.thickness_m for layer in zone.layers])
    nearest = np.abs(faces[:, None] - edges[None, :]).min(axis=0)
    if faces[0] != 0.0 or np.any(np.diff(faces) <= 0.0) or np.any(nearest > 1e-9):
        raise ValueError(
            f"cell faces {faces[0]:g} to {faces[-1]:g} m; permitted: increasing from 0, "
            f"with all layer boundaries {edges.tolist()} among them"
        )
    return faces


@lru_cache(maxsize=256)
def _graded(layers: tuple[Layer, ...], cells: int, top_cell_m: float) -> FloatArray:
    """Faces of a column, once for all zones that are alike."""
    return graded_cells(layers, cells, top_cell_m)


@lru_cache(maxsize=256)
def _head(soil: VanGenuchten, theta: bytes) -> FloatArray:
    """Heads of a layer's cells, once for all zones that are alike."""
    return soil.head(np.frombuffer(theta))


def _fill_cells(
    c: FloatArray, zone: SoilProfile, faces: FloatArray, soils: dict[VanGenuchten, int]
) -> None:
    """Geometry, soil and initial state of one zone."""
    dz = np.diff(faces)
    centre = 0.5 * (faces[1:] + faces[:-1])
    edges = np.cumsum([layer.thickness_m for layer in zone.layers])
    layer_of = np.minimum(np.searchsorted(edges, centre), len(edges) - 1)
    c[columns.C_DZ] = dz
    c[columns.C_DZINV] = 1.0 / dz
    c[columns.C_DINV, :-1] = 1.0 / np.diff(centre)
    c[columns.C_DINV, -1] = 2.0 / dz[-1]
    c[columns.C_BOTTOM] = faces[1:]
    top, bottom = (
        zone.probe_depth_m - zone.probe_half_height_m,
        zone.probe_depth_m + zone.probe_half_height_m,
    )
    inside = np.clip(np.minimum(faces[1:], bottom) - np.maximum(faces[:-1], top), 0.0, None)
    c[columns.C_PROBE] = inside / inside.sum()
    theta = np.zeros(len(dz))
    head = np.zeros(len(dz))
    initial = zone.initial
    given = np.interp(centre, initial.depths_m, initial.values)
    for k, layer in enumerate(zone.layers):
        at = layer_of == k
        c[columns.C_SOIL, at] = soils.setdefault(layer.soil, len(soils))
        c[columns.C_FC, at] = layer.fc
        c[columns.C_WP, at] = layer.wp
        if initial.quantity == "head_m":
            head[at] = given[at]
        elif initial.quantity == "water_table_m":
            head[at] = centre[at] - initial.values[0]
        else:
            theta[at] = given[at]
            if initial.quantity == "available":
                theta[at] = layer.wp + given[at] * (layer.fc - layer.wp)
            head[at] = _head(layer.soil, theta[at].tobytes())
        theta[at] = layer.soil.theta(head[at])
    if np.any(head < HEAD_RANGE_M[0]) or np.any(head > HEAD_RANGE_M[1]):
        found = f"{head.min():g} to {head.max():g}"
        raise ValueError(out_of_range("head_m", found, between(*HEAD_RANGE_M), "m"))
    c[columns.C_U] = c[columns.C_U_END] = transform(head)
    c[columns.C_THETA] = c[columns.C_THETA_END] = theta


def _saturated(soil: VanGenuchten, rows: FloatArray) -> FloatArray:
    """Last row of a table: theta, phi and K at h = 0, theta_r, and the power n - 1 of dry soil."""
    last = rows[INTERVALS - 1]
    row = np.zeros(16)
    row[columns.T_THETA] = soil.theta(0.0)
    row[columns.T_PHI] = last[columns.T_PHI : columns.T_PHI + 4].sum()
    row[columns.T_K] = soil.ks_m_d / 86400.0
    row[columns.T_RESIDUAL] = soil.theta_r
    row[columns.T_STEEPEST] = soil.n - 1.0
    return row


def _flow(tables: FloatArray, soil: int, head_m: float) -> tuple[float, float]:
    """Matric flux potential [m2/s] and conductivity [m/s] at a head, as the kernel has them."""
    u = float(transform(head_m))
    if u >= 0.0:
        row = tables[soil, INTERVALS]
        return float(row[columns.T_PHI] + row[columns.T_K] * head_m), float(row[columns.T_K])
    x = (u - U_MIN) * columns.PER_U
    j = min(int(x), INTERVALS - 1)
    powers = (x - j) ** np.arange(4)
    row = tables[soil, j]
    return (
        float(row[columns.T_PHI : columns.T_PHI + 4] @ powers),
        float(row[columns.T_K : columns.T_K + 4] @ powers),
    )


def _fill_settings(p: FloatArray, zone: SoilProfile, tables: FloatArray, c: FloatArray) -> None:
    """Boundaries, uptake and tolerances of one zone."""
    top, bottom = int(c[columns.C_SOIL, 0]), int(c[columns.C_SOIL, -1])
    surface, feddes = zone.surface, zone.feddes
    p[columns.P_BOTTOM] = BOTTOMS[zone.bottom.kind]
    bottom_head = zone.bottom.head_m if zone.bottom.kind == "head" else 0.0
    p[columns.P_BOTTOM_HEAD] = bottom_head
    p[columns.P_BOTTOM_PHI], p[columns.P_BOTTOM_K] = _flow(tables, bottom, bottom_head)
    p[columns.P_SURFACE] = 0.0 if surface.head_m is None else 1.0
    p[columns.P_SURFACE_HEAD] = surface.head_m or 0.0
    p[columns.P_SURFACE_PHI], p[columns.P_SURFACE_K] = _flow(tables, top, surface.head_m or 0.0)
    p[columns.P_DRY_HEAD] = surface.minimum_head_m
    p[columns.P_DRY_PHI], _ = _flow(tables, top, surface.minimum_head_m)
    p[columns.P_SATURATED_PHI], p[columns.P_SATURATED_K] = _flow(tables, top, 0.0)
    p[columns.P_POND_MAX] = surface.ponding_max_mm / columns.MM
    p[columns.P_WETTED] = surface.wetted_fraction
    p[columns.P_H1] = feddes.anaerobic_m
    p[columns.P_H2] = feddes.optimal_wet_m
    p[columns.P_H3_HIGH] = feddes.optimal_dry_high_m
    p[columns.P_H3_LOW] = feddes.optimal_dry_low_m
    p[columns.P_H4] = feddes.wilting_m
    p[columns.P_DEMAND_HIGH] = feddes.demand_high_mm_d / columns.MM / 86400.0
    p[columns.P_DEMAND_LOW] = feddes.demand_low_mm_d / columns.MM / 86400.0
    p[columns.P_CRITICAL] = zone.critical_stress_index
    p[columns.P_STEEP] = float(any(layer.soil.n > columns.STEEP_N for layer in zone.layers))
    p[columns.P_TOLERANCE] = zone.theta_error
    p[columns.P_GRAVITY] = zone.gravity
    p[columns.P_PROBE_CELL] = min(
        int(np.searchsorted(c[columns.C_BOTTOM], zone.probe_depth_m)), c.shape[1] - 1
    )
    shares = zone.roots(np.linspace(0.0, 1.0, ROOT_NODES))
    if abs(shares[0]) > 1e-9 or abs(shares[-1] - 1.0) > 1e-9 or np.any(np.diff(shares) < 0.0):
        raise ValueError(
            f"cumulative root profile from {shares[0]:g} to {shares[-1]:g}; "
            "permitted: rising from 0 to 1"
        )
    p[columns.P_ROOTS : columns.P_ROOTS + ROOT_NODES] = shares


def _fill_scalars(s: FloatArray, c: FloatArray, p: FloatArray) -> None:
    """State of one zone before its first step."""
    s[columns.S_DT] = columns.FIRST_STEP_S
    s[columns.S_WET] = 1.0
    s[columns.S_KS] = 1.0
    theta = c[columns.C_THETA]
    s[columns.S_OBS] = theta @ c[columns.C_DZ]
    s[columns.S_OBS + 2] = theta @ c[columns.C_PROBE]
    s[columns.S_OBS + 3] = head_of(c[columns.C_U, int(p[columns.P_PROBE_CELL])])
