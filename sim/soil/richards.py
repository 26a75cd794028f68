"""Richards' equation in one dimension for any number of zones: the plant's soil.

Layers of van Genuchten-Mualem soil on graded cells, root uptake after Feddes, ponding and runoff;
the numerical scheme is described in `levada.sim.soil.richards_kernel`.  Implements
`levada.sim.soil.model.Soil`.

Left out: heat and vapour, hysteresis, macropores, solutes, lateral flow.  Drip irrigation, in truth
three-dimensional, is treated as FAO-56 does: the zone stays one column, but after an irrigation
only the wetted fraction of the surface takes up water (so it ponds earlier) and evaporates (at
most f_w Kc_max ET0, FAO-56 Eq. 75); rain wets all of it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from levada.sim.errors import SoilError
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
from levada.sim.soil.uptake import FEDDES, ROOT_NODES, Feddes, RootDensity, root_shares

__all__ = [
    "Bottom",
    "Initial",
    "Layer",
    "Profile",
    "Richards",
    "Surface",
    "compiled",
    "graded_cells",
    "warm_up",
]

THREADS_FROM_ZONES = 96
"""Below this many zones a second thread costs more than it saves."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One horizon."""

    thickness_m: float
    soil: VanGenuchten
    theta_fc: float | None = None
    """Water content at field capacity; None: from the hydraulic functions (flux criterion)."""
    theta_wp: float | None = None
    """Water content at the wilting point; None: that at -1500 kPa."""

    def __post_init__(self) -> None:
        if not 0.0 < self.thickness_m <= 100.0:
            raise ValueError(f"thickness_m is {self.thickness_m}; permitted: above 0, up to 100")
        if not self.soil.theta_r <= self.wp < self.fc <= self.soil.theta_s:
            raise ValueError(
                f"theta_wp is {self.wp:.4f}, theta_fc is {self.fc:.4f}; permitted: theta_r "
                f"{self.soil.theta_r} <= theta_wp < theta_fc <= theta_s {self.soil.theta_s}"
            )

    @property
    def fc(self) -> float:
        """Water content at field capacity."""
        return self.soil.theta_fc() if self.theta_fc is None else self.theta_fc

    @property
    def wp(self) -> float:
        """Water content at the wilting point."""
        return self.soil.theta_wp() if self.theta_wp is None else self.theta_wp


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The upper boundary: the atmosphere, or a prescribed head."""

    ponding_max_mm: float = 5.0
    """Depth of water the surface holds before it runs off."""
    minimum_head_m: float = -1000.0
    """Head of a surface in balance with the air: evaporation cannot dry it further."""
    wetted_fraction: float = 1.0
    """f_w, share of the surface wetted by irrigation (FAO-56 Table 20)."""
    head_m: float | None = None
    """Prescribed head; forcing at the surface then only counts as runoff."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.ponding_max_mm <= 1000.0:
            raise ValueError(f"ponding_max_mm is {self.ponding_max_mm}; permitted: 0 to 1000")
        if not HEAD_RANGE_M[0] <= self.minimum_head_m < 0.0:
            raise ValueError(
                f"minimum_head_m is {self.minimum_head_m}; "
                f"permitted: {HEAD_RANGE_M[0]:.0f} to below 0"
            )
        if not 0.01 <= self.wetted_fraction <= 1.0:
            raise ValueError(f"wetted_fraction is {self.wetted_fraction}; permitted: 0.01 to 1")
        if self.head_m is not None and not HEAD_RANGE_M[0] <= self.head_m <= HEAD_RANGE_M[1]:
            raise ValueError(f"head_m is {self.head_m}; permitted: {_range(HEAD_RANGE_M)}")


@dataclass(frozen=True, kw_only=True)
class Bottom:
    """The lower boundary."""

    kind: Literal["free_drainage", "zero_flux", "head", "seepage_face"] = "free_drainage"
    head_m: float = 0.0
    """Prescribed head at the bottom face (kind "head"); 0 is a water table there."""

    def __post_init__(self) -> None:
        if self.kind not in _BOTTOMS:
            raise ValueError(f"kind is {self.kind!r}; permitted: {', '.join(_BOTTOMS)}")
        if not HEAD_RANGE_M[0] <= self.head_m <= HEAD_RANGE_M[1]:
            raise ValueError(f"head_m is {self.head_m}; permitted: {_range(HEAD_RANGE_M)}")


_BOTTOMS = {
    "free_drainage": kernel.FREE_DRAINAGE,
    "zero_flux": kernel.ZERO_FLUX,
    "head": kernel.FIXED_HEAD,
    "seepage_face": kernel.SEEPAGE_FACE,
}


@dataclass(frozen=True, kw_only=True)
class Initial:
    """The initial state: one quantity by depth, linear between depths, constant outside them."""

    quantity: Literal["theta", "head_m", "available", "water_table_m"] = "available"
    """Water content; pressure head; share of the available water, 0 (wilting point) to 1 (field
    capacity); or depth of a water table with hydrostatic equilibrium (one value)."""
    values: Sequence[float] = (1.0,)
    depths_m: Sequence[float] = (0.0,)

    def __post_init__(self) -> None:
        if self.quantity not in ("theta", "head_m", "available", "water_table_m"):
            raise ValueError(
                f"quantity is {self.quantity!r}; permitted: theta, head_m, available, water_table_m"
            )
        if len(self.values) != len(self.depths_m) or not self.values:
            raise ValueError(
                f"{len(self.values)} values at {len(self.depths_m)} depths; "
                "permitted: as many values as depths, at least one"
            )
        if any(b <= a for a, b in pairwise(self.depths_m)):
            raise ValueError(f"depths_m are {tuple(self.depths_m)}; permitted: increasing")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The soil of one zone."""

    layers: Sequence[Layer]
    initial: Initial = field(default_factory=Initial)
    surface: Surface = field(default_factory=Surface)
    bottom: Bottom = field(default_factory=Bottom)
    feddes: Feddes = FEDDES["maize"]
    roots: RootDensity = root_shares
    """Cumulative root profile over relative depth."""
    probe_depth_m: float = 0.10
    probe_half_height_m: float = 0.05
    """The probe averages over depth +- half height."""
    gravity: float = 1.0
    """Cosine of the column's slope: 1 vertical, 0 horizontal."""
    theta_error: float = 2e-3
    """Accepted error of a time step [m3 m-3]; smaller is slower and more exact."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("no layers; permitted: at least one")
        if not 0.0 <= self.probe_depth_m <= self.depth_m:
            raise ValueError(
                f"probe_depth_m is {self.probe_depth_m}; permitted: 0 to {self.depth_m:g}"
            )
        if not 0.0 < self.probe_half_height_m <= 1.0:
            raise ValueError(
                f"probe_half_height_m is {self.probe_half_height_m}; permitted: above 0, up to 1"
            )
        if not 0.0 <= self.gravity <= 1.0:
            raise ValueError(f"gravity is {self.gravity}; permitted: 0 to 1")
        if not 1e-7 <= self.theta_error <= 0.1:
            raise ValueError(f"theta_error is {self.theta_error}; permitted: 1e-7 to 0.1")

    @property
    def depth_m(self) -> float:
        """Depth of the bottom."""
        return float(sum(layer.thickness_m for layer in self.layers))


def graded_cells(layers: Sequence[Layer], cells: int = 50, top_cell_m: float = 0.01) -> FloatArray:
    """Faces [m], shape (cells + 1,), of cells that grow with depth from about `top_cell_m`.

    Thickness is linear in depth; every layer boundary is a face.
    """
    depth = float(sum(layer.thickness_m for layer in layers))
    if not 2 * len(layers) <= cells <= 10_000:
        raise ValueError(f"cells is {cells}; permitted: {2 * len(layers)} to 10000")
    if not 0.0 < top_cell_m <= depth:
        raise ValueError(f"top_cell_m is {top_cell_m}; permitted: above 0, up to {depth:g}")
    growth = 0.0
    if cells * top_cell_m < depth:
        # cell thickness s(z) = top + growth z; ln(1 + growth depth / top) / growth cells fit
        low, high = 1e-9, 10.0
        for _ in range(100):
            growth = 0.5 * (low + high)
            if np.log1p(growth * depth / top_cell_m) / growth > cells:
                low = growth
            else:
                high = growth

    def position(z: FloatArray) -> FloatArray:
        if growth == 0.0:
            return z / depth * cells
        return np.asarray(np.log1p(growth * z / top_cell_m) / growth)

    def depth_at(x: FloatArray) -> FloatArray:
        if growth == 0.0:
            return x / cells * depth
        return np.asarray(np.expm1(growth * x) * top_cell_m / growth)

    edges = np.concatenate([[0.0], np.cumsum([layer.thickness_m for layer in layers])])
    at = position(edges)
    share = np.diff(at) * cells / at[-1]
    count = np.maximum(np.floor(share).astype(int), 2)
    while count.sum() < cells:
        count[np.argmax(share - count)] += 1
    while count.sum() > cells:
        count[np.argmax(np.where(count > 2, count - share, -np.inf))] -= 1
    faces = [np.zeros(1)]
    for k, number in enumerate(count):
        inner = depth_at(np.linspace(at[k], at[k + 1], int(number) + 1))
        inner[-1] = edges[k + 1]
        faces.append(inner[1:])
    return np.concatenate(faces)


class Richards:
    """The soil of n zones; implements `levada.sim.soil.model.Soil`.

    `cells` is a number of graded cells, or the faces [m] to use in every zone.  Time starts at 0 s;
    weather should change at whole hours of it, where steps end anyway.
    """

    def __init__(
        self,
        zones: Sequence[Profile],
        *,
        cells: int | Sequence[float] | FloatArray = 50,
        top_cell_m: float = 0.01,
        threads: int | None = None,
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
        self._cells = np.zeros((self.n, kernel.CELL_ROWS, m))
        self._scalars = np.zeros((self.n, kernel.SCALARS))
        self._settings = np.zeros((self.n, kernel.SETTINGS))
        for i, zone in enumerate(zones):
            _fill_cells(self._cells[i], zone, self.faces_m[i], soils)
        self._tables = np.zeros((len(soils), INTERVALS + 1, 16))
        for soil, k in soils.items():
            self._tables[k, :INTERVALS] = table(soil)
            self._tables[k, INTERVALS] = _saturated(soil, self._tables[k])
        for i, zone in enumerate(zones):
            _fill_settings(self._settings[i], zone, self._tables, self._cells[i])
            _fill_scalars(self._scalars[i], self._cells[i], self._settings[i])
        self._threads = min(threads or os.cpu_count() or 1, 1 + self.n // THREADS_FROM_ZONES)
        self._pool: ThreadPoolExecutor | None = None

    @property
    def time_s(self) -> float:
        """Time the model has reached."""
        return float(self._scalars[0, kernel.S_NOW])

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Cells, scalars and settings by zone, and hydraulic tables, as the kernel takes them."""
        return self._cells, self._scalars, self._settings, self._tables

    def advance(
        self, dt_s: float, forcing: FloatArray, fluxes: FloatArray, observed: FloatArray
    ) -> None:
        """Advance all zones by `dt_s`; see `levada.sim.soil.model.Soil.advance`."""
        if self._threads > 1:
            zone = self._advance_threaded(dt_s, forcing, fluxes, observed)
        else:
            zone = kernel.advance(
                0,
                self.n,
                dt_s,
                self._cells,
                self._scalars,
                self._settings,
                self._tables,
                forcing,
                fluxes,
                observed,
            )
        if zone >= 0:
            raise self.error(zone)

    def observe(self, observed: FloatArray) -> None:
        """Fill `observed` from the present state."""
        kernel.observe(self._scalars, observed)

    def profile(self) -> tuple[FloatArray, FloatArray]:
        """Depths of the cell centres of the first zone [m], and theta, shape (n, cells)."""
        depths = 0.5 * (self.faces_m[0, 1:] + self.faces_m[0, :-1])
        return depths, self._between(kernel.C_THETA, kernel.C_THETA_END)

    def heads(self) -> FloatArray:
        """Pressure heads [m], shape (n, cells)."""
        start = head_of(self._cells[:, kernel.C_U])
        end = head_of(self._cells[:, kernel.C_U_END])
        x = self._position()[:, None]
        return np.asarray(start + x * (end - start))

    def uptake_mm(self) -> FloatArray:
        """Water taken up by roots since the start [mm], shape (n, cells)."""
        step = self._position()[:, None] * self._cells[:, kernel.C_UPTAKE_STEP]
        return np.asarray(kernel.MM * (self._cells[:, kernel.C_UPTAKE] + step))

    def counters(self) -> dict[str, int]:
        """Work done since the start: steps, Newton iterations, refused steps."""
        s = self._scalars.sum(axis=0)
        return {
            "steps": int(s[kernel.S_STEPS]),
            "iterations": int(s[kernel.S_ITERATIONS]),
            "refused": int(s[kernel.S_REFUSED]),
        }

    def state(self) -> dict[str, Any]:
        """A copy of everything that changes, as arrays."""
        return {
            "cells": self._cells[:, : kernel.CELL_STATE_ROWS].copy(),
            "scalars": self._scalars.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state of this model or of one configured alike."""
        shape = (self.n, kernel.CELL_STATE_ROWS, self._cells.shape[2])
        if state["cells"].shape != shape or state["scalars"].shape != self._scalars.shape:
            raise ValueError(f"state of shape {state['cells'].shape}; permitted: {shape}")
        self._cells[:, : kernel.CELL_STATE_ROWS] = state["cells"]
        self._scalars[:] = state["scalars"]

    def _position(self) -> FloatArray:
        s = self._scalars
        length = s[:, kernel.S_END] - s[:, kernel.S_START]
        done = s[:, kernel.S_NOW] - s[:, kernel.S_START]
        return np.divide(done, length, out=np.zeros(self.n), where=length > 0.0)

    def _between(self, start: int, end: int) -> FloatArray:
        x = self._position()[:, None]
        return np.asarray((1.0 - x) * self._cells[:, start] + x * self._cells[:, end])

    def _advance_threaded(
        self, dt_s: float, forcing: FloatArray, fluxes: FloatArray, observed: FloatArray
    ) -> int:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads - 1, thread_name_prefix="richards")
        bounds = np.linspace(0, self.n, self._threads + 1).astype(int).tolist()
        arrays = (
            self._cells,
            self._scalars,
            self._settings,
            self._tables,
            forcing,
            fluxes,
            observed,
        )
        others: list[Future[int]] = [
            self._pool.submit(kernel.advance, a, b, dt_s, *arrays) for a, b in pairwise(bounds[1:])
        ]
        results = [kernel.advance(0, bounds[1], dt_s, *arrays)]
        results += [other.result() for other in others]
        return max(results)

    def error(self, zone: int) -> SoilError:
        """Why a zone could not be solved."""
        s = self._scalars[zone]
        return SoilError(
            f"no convergence with the shortest step of {kernel.SHORTEST_STEP_S} s: theta is off "
            f"by {s[kernel.S_ERROR_SIZE]:.3g}, permitted {kernel.TOLERANCE:g}",
            time_s=float(s[kernel.S_START]),
            zone=zone,
            cell=int(s[kernel.S_ERROR_CELL]),
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
    model = Richards([Profile(layers=[Layer(thickness_m=1.0, soil=soil)])])
    model.advance(1.0, new_forcing(1), new_fluxes(1), new_observed(1))
    model.observe(new_observed(1))


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.0f} to {bounds[1]:.0f}"


def _faces(
    zone: Profile, cells: int | Sequence[float] | FloatArray, top_cell_m: float
) -> FloatArray:
    if isinstance(cells, int):
        return graded_cells(zone.layers, cells, min(top_cell_m, zone.depth_m))
    faces = np.asarray(cells, dtype=np.float64)
    edges = np.cumsum([layer.thickness_m for layer in zone.layers])
    nearest = np.abs(faces[:, None] - edges[None, :]).min(axis=0)
    if faces[0] != 0.0 or np.any(np.diff(faces) <= 0.0) or np.any(nearest > 1e-9):
        raise ValueError(
            f"cell faces {faces[0]:g} to {faces[-1]:g} m; permitted: increasing from 0, "
            f"with all layer boundaries {edges.tolist()} among them"
        )
    return faces


def _fill_cells(
    c: FloatArray, zone: Profile, faces: FloatArray, soils: dict[VanGenuchten, int]
) -> None:
    """Geometry, soil and initial state of one zone."""
    dz = np.diff(faces)
    centre = 0.5 * (faces[1:] + faces[:-1])
    edges = np.cumsum([layer.thickness_m for layer in zone.layers])
    layer_of = np.minimum(np.searchsorted(edges, centre), len(edges) - 1)
    c[kernel.C_DZ] = dz
    c[kernel.C_DZINV] = 1.0 / dz
    c[kernel.C_DINV, :-1] = 1.0 / np.diff(centre)
    c[kernel.C_DINV, -1] = 2.0 / dz[-1]
    c[kernel.C_BOTTOM] = faces[1:]
    top, bottom = (
        zone.probe_depth_m - zone.probe_half_height_m,
        zone.probe_depth_m + zone.probe_half_height_m,
    )
    inside = np.clip(np.minimum(faces[1:], bottom) - np.maximum(faces[:-1], top), 0.0, None)
    c[kernel.C_PROBE] = inside / inside.sum()
    theta = np.zeros(len(dz))
    head = np.zeros(len(dz))
    initial = zone.initial
    given = np.interp(centre, initial.depths_m, initial.values)
    for k, layer in enumerate(zone.layers):
        at = layer_of == k
        c[kernel.C_SOIL, at] = soils.setdefault(layer.soil, len(soils))
        c[kernel.C_FC, at] = layer.fc
        c[kernel.C_WP, at] = layer.wp
        if initial.quantity == "head_m":
            head[at] = given[at]
        elif initial.quantity == "water_table_m":
            head[at] = centre[at] - initial.values[0]
        else:
            theta[at] = given[at]
            if initial.quantity == "available":
                theta[at] = layer.wp + given[at] * (layer.fc - layer.wp)
            head[at] = layer.soil.head(theta[at])
        theta[at] = layer.soil.theta(head[at])
    if np.any(head < HEAD_RANGE_M[0]) or np.any(head > HEAD_RANGE_M[1]):
        raise ValueError(
            f"initial heads {head.min():g} to {head.max():g} m; permitted: {_range(HEAD_RANGE_M)}"
        )
    c[kernel.C_U] = c[kernel.C_U_END] = transform(head)
    c[kernel.C_THETA] = c[kernel.C_THETA_END] = theta


def _saturated(soil: VanGenuchten, rows: FloatArray) -> FloatArray:
    """Last row of a table: theta, phi and K at h = 0."""
    last = rows[INTERVALS - 1]
    row = np.zeros(16)
    row[kernel.T_THETA] = soil.theta(0.0)
    row[kernel.T_PHI] = last[kernel.T_PHI : kernel.T_PHI + 4].sum()
    row[kernel.T_K] = soil.ks_m_d / 86400.0
    return row


def _flow(tables: FloatArray, soil: int, head_m: float) -> tuple[float, float]:
    """Matric flux potential [m2/s] and conductivity [m/s] at a head, as the kernel has them."""
    u = float(transform(head_m))
    if u >= 0.0:
        row = tables[soil, INTERVALS]
        return float(row[kernel.T_PHI] + row[kernel.T_K] * head_m), float(row[kernel.T_K])
    x = (u - U_MIN) * kernel.PER_U
    j = min(int(x), INTERVALS - 1)
    powers = (x - j) ** np.arange(4)
    row = tables[soil, j]
    return (
        float(row[kernel.T_PHI : kernel.T_PHI + 4] @ powers),
        float(row[kernel.T_K : kernel.T_K + 4] @ powers),
    )


def _fill_settings(p: FloatArray, zone: Profile, tables: FloatArray, c: FloatArray) -> None:
    """Boundaries, uptake and tolerances of one zone."""
    top, bottom = int(c[kernel.C_SOIL, 0]), int(c[kernel.C_SOIL, -1])
    surface, feddes = zone.surface, zone.feddes
    p[kernel.P_BOTTOM] = _BOTTOMS[zone.bottom.kind]
    bottom_head = zone.bottom.head_m if zone.bottom.kind == "head" else 0.0
    p[kernel.P_BOTTOM_HEAD] = bottom_head
    p[kernel.P_BOTTOM_PHI], p[kernel.P_BOTTOM_K] = _flow(tables, bottom, bottom_head)
    p[kernel.P_SURFACE] = 0.0 if surface.head_m is None else 1.0
    p[kernel.P_SURFACE_HEAD] = surface.head_m or 0.0
    p[kernel.P_SURFACE_PHI], p[kernel.P_SURFACE_K] = _flow(tables, top, surface.head_m or 0.0)
    p[kernel.P_DRY_HEAD] = surface.minimum_head_m
    p[kernel.P_DRY_PHI], _ = _flow(tables, top, surface.minimum_head_m)
    p[kernel.P_SATURATED_PHI], p[kernel.P_SATURATED_K] = _flow(tables, top, 0.0)
    p[kernel.P_POND_MAX] = surface.ponding_max_mm / kernel.MM
    p[kernel.P_WETTED] = surface.wetted_fraction
    p[kernel.P_H1] = feddes.anaerobic_m
    p[kernel.P_H2] = feddes.optimal_wet_m
    p[kernel.P_H3_HIGH] = feddes.optimal_dry_high_m
    p[kernel.P_H3_LOW] = feddes.optimal_dry_low_m
    p[kernel.P_H4] = feddes.wilting_m
    p[kernel.P_DEMAND_HIGH] = feddes.demand_high_mm_d / kernel.MM / 86400.0
    p[kernel.P_DEMAND_LOW] = feddes.demand_low_mm_d / kernel.MM / 86400.0
    p[kernel.P_TOLERANCE] = zone.theta_error
    p[kernel.P_GRAVITY] = zone.gravity
    p[kernel.P_PROBE_CELL] = min(
        int(np.searchsorted(c[kernel.C_BOTTOM], zone.probe_depth_m)), c.shape[1] - 1
    )
    shares = zone.roots(np.linspace(0.0, 1.0, ROOT_NODES))
    if abs(shares[0]) > 1e-9 or abs(shares[-1] - 1.0) > 1e-9 or np.any(np.diff(shares) < 0.0):
        raise ValueError(
            f"cumulative root profile from {shares[0]:g} to {shares[-1]:g}; "
            "permitted: rising from 0 to 1"
        )
    p[kernel.P_ROOTS : kernel.P_ROOTS + ROOT_NODES] = shares


def _fill_scalars(s: FloatArray, c: FloatArray, p: FloatArray) -> None:
    """State of one zone before its first step."""
    s[kernel.S_DT] = kernel.FIRST_STEP_S
    s[kernel.S_WET] = 1.0
    s[kernel.S_KS] = 1.0
    theta = c[kernel.C_THETA]
    s[kernel.S_OBS] = theta @ c[kernel.C_DZ]
    s[kernel.S_OBS + 2] = theta @ c[kernel.C_PROBE]
    s[kernel.S_OBS + 3] = head_of(c[kernel.C_U, int(p[kernel.P_PROBE_CELL])])
