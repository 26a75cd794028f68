"""A column of soil for Richards' equation as it is described: layers, surface, bottom and start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from levada.guest.text.ranges import check_range, out_of_range
from levada.sim.settings.crop import CriticalStressIndex
from levada.sim.settings.explain import bounds_of
from levada.sim.settings.soil import PondingMaxMm, ThicknessM
from levada.sim.settings.valve import WettedFraction
from levada.sim.soil import richards_columns as columns
from levada.sim.soil.hydraulics import HEAD_RANGE_M, VanGenuchten
from levada.sim.soil.model import FloatArray
from levada.sim.soil.uptake import FEDDES, Feddes, RootDensity, root_shares

__all__ = [
    "BOTTOMS",
    "Bottom",
    "InitialProfile",
    "Layer",
    "SoilProfile",
    "Surface",
    "graded_cells",
]


BOTTOMS = {
    "free_drainage": columns.FREE_DRAINAGE,
    "zero_flux": columns.ZERO_FLUX,
    "head": columns.FIXED_HEAD,
    "seepage_face": columns.SEEPAGE_FACE,
}


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
        check_range("thickness_m", self.thickness_m, **bounds_of(ThicknessM), unit="m")
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
        check_range("ponding_max_mm", self.ponding_max_mm, **bounds_of(PondingMaxMm), unit="mm")
        check_range("minimum_head_m", self.minimum_head_m, HEAD_RANGE_M[0], 0.0, "m", below=True)
        check_range("wetted_fraction", self.wetted_fraction, **bounds_of(WettedFraction))
        if self.head_m is not None:
            check_range("head_m", self.head_m, *HEAD_RANGE_M, "m")


@dataclass(frozen=True, kw_only=True)
class Bottom:
    """The lower boundary."""

    kind: Literal["free_drainage", "zero_flux", "head", "seepage_face"] = "free_drainage"
    head_m: float = 0.0
    """Prescribed head at the bottom face (kind "head"); 0 is a water table there."""

    def __post_init__(self) -> None:
        if self.kind not in BOTTOMS:
            raise ValueError(out_of_range("kind", self.kind, ", ".join(BOTTOMS)))
        check_range("head_m", self.head_m, *HEAD_RANGE_M, "m")


@dataclass(frozen=True, kw_only=True)
class InitialProfile:
    """The initial state: one quantity by depth, linear between depths, constant outside them."""

    quantity: Literal["theta", "head_m", "available", "water_table_m"] = "available"
    """Water content; pressure head; share of the available water, 0 (wilting point) to 1 (field
    capacity); or depth of a water table with hydrostatic equilibrium (one value)."""
    values: Sequence[float] = (1.0,)
    depths_m: Sequence[float] = (0.0,)

    def __post_init__(self) -> None:
        quantities = ("theta", "head_m", "available", "water_table_m")
        if self.quantity not in quantities:
            raise ValueError(out_of_range("quantity", self.quantity, ", ".join(quantities)))
        if len(self.values) != len(self.depths_m) or not self.values:
            raise ValueError(
                f"{len(self.values)} values at {len(self.depths_m)} depths; "
                "permitted: as many values as depths, at least one"
            )
        if any(b <= a for a, b in pairwise(self.depths_m)):
            raise ValueError(f"depths_m are {tuple(self.depths_m)}; permitted: increasing")


@dataclass(frozen=True, kw_only=True)
class SoilProfile:
    """The soil of one zone."""

    layers: Sequence[Layer]
    initial: InitialProfile = field(default_factory=InitialProfile)
    surface: Surface = field(default_factory=Surface)
    bottom: Bottom = field(default_factory=Bottom)
    feddes: Feddes = FEDDES["maize"]
    critical_stress_index: float = 1.0
    """omega_c of Jarvis (1989); 1 is no compensation of uptake."""
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
        check_range("probe_depth_m", self.probe_depth_m, 0.0, self.depth_m, "m")
        check_range("probe_half_height_m", self.probe_half_height_m, 0.0, 1.0, "m", above=True)
        check_range(
            "critical_stress_index", self.critical_stress_index, **bounds_of(CriticalStressIndex)
        )
        check_range("gravity", self.gravity, 0.0, 1.0)
        check_range("theta_error", self.theta_error, 1e-7, 0.1)

    @property
    def depth_m(self) -> float:
        """Depth of the bottom."""
        return float(sum(layer.thickness_m for layer in self.layers))


def graded_cells(layers: Sequence[Layer], cells: int = 50, top_cell_m: float = 0.01) -> FloatArray:
    """Faces [m], shape (cells + 1,), of cells that grow with depth from about `top_cell_m`.

    Thickness grows linearly with the distance from the surface and from where two soils meet,
    where gradients stay steep; there, and then at the surface too, it begins with half of
    `top_cell_m`.  Every layer boundary is a face.
    """
    depth = float(sum(layer.thickness_m for layer in layers))
    check_range("cells", cells, 2 * len(layers), 10_000)
    check_range("top_cell_m", top_cell_m, 0.0, depth, "m", above=True)
    edges = np.concatenate([[0.0], np.cumsum([layer.thickness_m for layer in layers])])
    meet = [e for e, a, b in zip(edges[1:], layers, layers[1:], strict=False) if a.soil != b.soil]
    finest_m = 0.5 * top_cell_m if meet else top_cell_m
    grading = _Grading(np.array([0.0, *meet]), depth, cells, finest_m)
    at = grading.position(edges)
    share = np.diff(at) * cells / at[-1]
    count = np.maximum(np.floor(share).astype(int), 2)
    while count.sum() < cells:
        count[np.argmax(share - count)] += 1
    while count.sum() > cells:
        count[np.argmax(np.where(count > 2, count - share, -np.inf))] -= 1
    faces = [np.zeros(1)]
    for k, number in enumerate(count):
        inner = grading.depth_at(np.linspace(at[k], at[k + 1], int(number) + 1))
        inner[-1] = edges[k + 1]
        faces.append(inner[1:])
    return np.concatenate(faces)


class _Grading:
    """Cells whose thickness is `finest_m` at some depths and grows linearly away from them.

    Position counts cells from the surface, as a real number.
    """

    def __init__(self, fine_m: FloatArray, depth_m: float, cells: int, finest_m: float) -> None:
        self.depth_m, self.cells, self.finest_m = depth_m, cells, finest_m
        middles = 0.5 * (fine_m[1:] + fine_m[:-1])
        # pieces in which thickness only grows, or only shrinks, in turns
        self._starts = np.sort(np.concatenate([fine_m, middles]))
        self._widths = np.diff([*self._starts, depth_m])
        self._shrinks = np.arange(len(self._starts)) % 2 == 1
        self.growth = 0.0
        if cells * finest_m < depth_m:
            low, high = 1e-9, 10.0
            for _ in range(100):
                self.growth = 0.5 * (low + high)
                if self._counts().sum() > cells:
                    low = self.growth
                else:
                    high = self.growth
            self._before = np.concatenate([[0.0], np.cumsum(self._counts())])

    def _count(self, distance_m: FloatArray) -> FloatArray:
        """Cells within a distance of a fine place: integral of dz / (finest + growth z)."""
        return np.asarray(np.log1p(self.growth * distance_m / self.finest_m) / self.growth)

    def _distance(self, count: FloatArray) -> FloatArray:
        return np.asarray(np.expm1(self.growth * count) * self.finest_m / self.growth)

    def _counts(self) -> FloatArray:
        return self._count(self._widths)

    def position(self, z: FloatArray) -> FloatArray:
        """Position of a depth [m]."""
        if self.growth == 0.0:
            return z / self.depth_m * self.cells
        piece = np.searchsorted(self._starts, z, side="right") - 1
        inside = z - self._starts[piece]
        rest = self._count(self._widths[piece] - inside)
        within = np.where(self._shrinks[piece], self._counts()[piece] - rest, self._count(inside))
        return np.asarray(self._before[piece] + within)

    def depth_at(self, x: FloatArray) -> FloatArray:
        """Depth [m] of a position."""
        if self.growth == 0.0:
            return x / self.cells * self.depth_m
        piece = np.clip(
            np.searchsorted(self._before, x, side="right") - 1, 0, len(self._widths) - 1
        )
        inside = x - self._before[piece]
        rest = self._distance(self._counts()[piece] - inside)
        within = np.where(self._shrinks[piece], self._widths[piece] - rest, self._distance(inside))
        return np.asarray(self._starts[piece] + within)
