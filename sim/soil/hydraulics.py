"""Soil hydraulic functions of van Genuchten (1980) and Mualem (1976), and their look-up tables.

    Se(h) = [1 + (alpha |h|)^n]^-m,  m = 1 - 1/n          van Genuchten 1980, Eq. 3 and 22
    K(Se) = Ks Se^l [1 - (1 - Se^(1/m))^m]^2              van Genuchten 1980, Eq. 8 (l = 1/2)

With an air-entry suction both are cut off and rescaled as Ippisch, Vogel and Bastian (2006,
Adv. Water Resour. 29:1780-1789, Eq. 5 to 8) do, which keeps K(h) of fine soils from falling by
an order of magnitude in the first centimetre.  Water and matrix compress by a specific storage
wherever the pores are full.

A solver evaluates these functions many millions of times, so it gets piecewise cubics over a
transformed head u instead of powers: h = A sinh(u) for u < 0 and h = A u for u >= 0, which is
logarithmic in dry soil and linear near saturation.  Left out: hysteresis, film and vapour flow.
Soils with structural pores are in `levada.sim.soil.structured`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from levada.guest.text.ranges import between, out_of_range
from levada.sim.settings.soil import Hydraulics

__all__ = [
    "CUSP_M",
    "FIELD_CAPACITY_FLUX_M_D",
    "HEAD_RANGE_M",
    "HEAD_SCALE_M",
    "INTERVALS",
    "SPECIFIC_STORAGE_PER_M",
    "U_MIN",
    "WILTING_POINT_HEAD_M",
    "VanGenuchten",
    "head_of",
    "table",
    "transform",
]

FloatArray = npt.NDArray[np.float64]

# The first four are compiled into the kernels, whose cache (levada.guest.fast.jit) therefore
# watches this file.
HEAD_SCALE_M = 0.01
"""A of the transformed head: below a suction of about 1 cm the tables are linear in h."""
U_MIN = -16.0
"""Dry end of the tables."""
INTERVALS = 512
"""Pieces of each table between U_MIN and saturation."""
HEAD_RANGE_M = (-HEAD_SCALE_M * float(np.sinh(-U_MIN)), 1000.0)
"""Permitted pressure heads; the dry end is oven-dry soil (pF 6.6)."""

SPECIFIC_STORAGE_PER_M = 1e-5
"""Specific storage of full pores.  Freeze and Cherry (1979, Groundwater, p. 55 and 59): matrix
compressibility of sand 1e-9 to 1e-7 per Pa gives 1e-5 to 1e-3 per m; the lower end, so that it
stays negligible against the water content."""

CUSP_M = 0.01
"""Suction below which the tables replace the cusp of K(h) by a parabola."""

WILTING_POINT_HEAD_M = -153.0
"""-1500 kPa, the usual wilting point (FAO-56, chapter 8, total available water)."""

FIELD_CAPACITY_FLUX_M_D = 1e-4
"""Drainage regarded as negligible: 0.01 cm/d (Twarakavi, Sakai and Simunek 2009, Water Resour.
Res. 45, W10410)."""

_DRY_SUCTION_M = 1e6


def transform(head_m: npt.ArrayLike) -> FloatArray:
    """Transformed head u of a pressure head [m]."""
    h = np.asarray(head_m, dtype=np.float64) / HEAD_SCALE_M
    return np.asarray(np.where(h < 0.0, np.arcsinh(np.minimum(h, 0.0)), h), dtype=np.float64)


def head_of(u: npt.ArrayLike) -> FloatArray:
    """Pressure head [m] of a transformed head."""
    v = np.asarray(u, dtype=np.float64)
    return np.asarray(HEAD_SCALE_M * np.where(v < 0.0, np.sinh(np.minimum(v, 0.0)), v))


class VanGenuchten(Hydraulics):
    """Hydraulic properties of one soil material, and the functions they make."""

    air_entry_m: float = Field(default=0.0, ge=0, le=1)
    """Suction below which all pores are full [m]; 0 is the unmodified model."""

    @property
    def m(self) -> float:
        """Van Genuchten's m = 1 - 1/n."""
        return 1.0 - 1.0 / self.n

    @property
    def has_cusp(self) -> bool:
        """Whether the slope of K(h) is unbounded at saturation."""
        return self.n < 2.0 and self.air_entry_m < CUSP_M

    def saturation(self, head_m: npt.ArrayLike) -> FloatArray:
        """Effective saturation, 0 to 1, at a pressure head [m]."""
        suction = np.maximum(-np.asarray(head_m, dtype=np.float64), self.air_entry_m)
        return np.asarray(self._vg(suction) / self._vg(np.float64(self.air_entry_m)))

    def theta(self, head_m: npt.ArrayLike) -> FloatArray:
        """Water content [m3 m-3] at a pressure head [m], van Genuchten (1980), Eq. 3.

        Above theta_s it grows by the specific storage (Freeze and Cherry 1979, p. 59).
        """
        h = np.asarray(head_m, dtype=np.float64)
        pores = self.theta_r + (self.theta_s - self.theta_r) * self.saturation(h)
        return np.asarray(pores + SPECIFIC_STORAGE_PER_M * np.maximum(h + self.air_entry_m, 0.0))

    def conductivity_m_d(self, head_m: npt.ArrayLike) -> FloatArray:
        """Hydraulic conductivity [m/d] at a pressure head [m].

        Van Genuchten (1980), Eq. 8, with Mualem's l; with air entry Ippisch et al. (2006), Eq. 8.
        """
        suction = np.maximum(-np.asarray(head_m, dtype=np.float64), self.air_entry_m)
        entry = np.float64(self.air_entry_m)
        se = self._vg(suction) / self._vg(entry)
        relative = self._mualem(suction) / self._mualem(entry)
        return np.asarray(self.ks_m_d * se**self.pore_connectivity * relative**2)

    def head(self, theta: npt.ArrayLike) -> FloatArray:
        """Pressure head [m] at a water content, the inverse of van Genuchten (1980), Eq. 3.

        Raises ValueError for a water content outside (theta_r, theta_s].
        """
        value = np.asarray(theta, dtype=np.float64)
        se = (value - self.theta_r) / (self.theta_s - self.theta_r)
        if not bool(np.all((se > 0.0) & (se <= 1.0 + 1e-12))):
            found = f"{value.min():g} to {value.max():g}"
            permitted = between(self.theta_r, self.theta_s, above=True)
            raise ValueError(out_of_range("theta", found, permitted))
        full = np.minimum(se, 1.0) * self._vg(np.float64(self.air_entry_m))
        suction = (full ** (-1.0 / self.m) - 1.0) ** (1.0 / self.n) / self.alpha_per_m
        return np.asarray(-np.minimum(suction, -HEAD_RANGE_M[0]))

    def theta_fc(self) -> float:
        """Water content at field capacity: drainage has become negligible.

        Twarakavi et al. (2009, Eq. 9): Se = n^(-0.60 [2 + log10 Ks]) with Ks in cm/d.
        """
        se = self.n ** (-0.60 * (2.0 + np.log10(self.ks_m_d * 100.0)))
        return self.theta_r + (self.theta_s - self.theta_r) * float(min(se, 1.0))

    def theta_wp(self) -> float:
        """Water content at the wilting point, -1500 kPa."""
        return float(self.theta(WILTING_POINT_HEAD_M))

    def _vg(self, suction_m: npt.ArrayLike) -> FloatArray:
        return np.asarray((1.0 + (self.alpha_per_m * np.asarray(suction_m)) ** self.n) ** -self.m)

    def _mualem(self, suction_m: npt.ArrayLike) -> FloatArray:
        """The bracket of van Genuchten (1980), Eq. 8, 1 - (1 - Se^(1/m))^m.

        It is written so that it does not cancel in dry soil.
        """
        x = (self.alpha_per_m * np.asarray(suction_m, dtype=np.float64)) ** self.n
        # (1 - Se^(1/m)) = x / (1 + x)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(-self.m * np.log1p(1.0 / x)))


def table(soil: VanGenuchten, parts: int = 8) -> FloatArray:
    """Cubics of theta, matric flux potential, K and h over u, shape (INTERVALS, 16).

    Row j holds for u in [U_MIN + j du, U_MIN + (j+1) du] four coefficients, by rising power of the
    position within the interval (0 to 1), of: theta [m3 m-3]; the matric flux potential, the
    integral of K over h from the dry end [m2/s]; K [m/s]; h [m].  Slopes are limited after Fritsch
    and Carlson (1980, SIAM J. Numer. Anal. 17:238-246), so that each is monotone.  `parts` is into
    how many parts the quadrature cuts an interval.
    """
    per_s = 1.0 / 86400.0
    u = np.linspace(U_MIN, 0.0, INTERVALS + 1)
    du = u[1] - u[0]
    # Gauss-Legendre, 8 points on each part of an interval: the kink of K(h) at saturation is only
    # met by the last part
    x, w = np.polynomial.legendre.leggauss(8)
    edges = (np.arange(INTERVALS * parts) / parts)[:, None] * du + U_MIN
    nodes = edges + (x[None, :] + 1.0) * 0.5 * du / parts
    k_nodes = _without_cusp(soil, head_of(nodes)) * per_s
    piece = (k_nodes * HEAD_SCALE_M * np.cosh(nodes)) @ w * 0.5 * du / parts
    phi = np.concatenate([[0.0], np.cumsum(piece.reshape(INTERVALS, parts).sum(axis=1))])

    h = head_of(u)
    k = _without_cusp(soil, h) * per_s
    theta = soil.theta(h)
    dh = HEAD_SCALE_M * np.cosh(u)
    # one-sided towards the dry side at the last node: the functions have a kink at saturation
    eps = 1e-4 * du
    low, high = u - eps, np.minimum(u + eps, 0.0)
    dtheta = (soil.theta(head_of(high)) - soil.theta(head_of(low))) / (high - low)
    dk = (
        (_without_cusp(soil, head_of(high)) - _without_cusp(soil, head_of(low)))
        * per_s
        / (high - low)
    )
    functions = ((theta, dtheta), (phi, k * dh), (k, dk), (h, dh))
    return np.concatenate([_cubics(y, slope * du) for y, slope in functions], axis=1)


def _without_cusp(soil: VanGenuchten, head_m: FloatArray) -> FloatArray:
    """K [m/d] with a parabola over the last CUSP_M before saturation where n < 2.

    There dK/dh is unbounded: for n = 1.1 K doubles within the last 0.01 mm, which no measurement
    supports (Ippisch et al. 2006) and no iteration can follow.
    """
    k = soil.conductivity_m_d(head_m)
    if not soil.has_cusp:
        return k
    eps = 1e-4 * CUSP_M
    edge = float(soil.conductivity_m_d(-CUSP_M))
    slope = (edge - float(soil.conductivity_m_d(-CUSP_M - eps))) / eps
    x = np.minimum(head_m, 0.0) + CUSP_M
    bend = (soil.ks_m_d - edge - slope * CUSP_M) / CUSP_M**2
    return np.asarray(np.where(head_m > -CUSP_M, edge + slope * x + bend * x**2, k))


def _cubics(y: FloatArray, slope: FloatArray) -> FloatArray:
    """Hermite coefficients by interval, shape (intervals, 4); `slope` per interval width.

    Slopes are limited after Fritsch and Carlson (1980), section 4.
    """
    rise = np.diff(y)
    smallest = np.minimum(np.append(rise, rise[-1]), np.insert(rise, 0, rise[0]))
    slope = np.clip(slope, 0.0, 3.0 * np.maximum(smallest, 0.0))
    a, b = slope[:-1], slope[1:]
    return np.stack([y[:-1], a, 3.0 * rise - 2.0 * a - b, a + b - 2.0 * rise], axis=1)
