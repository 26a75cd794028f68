"""Hydraulic functions of a structured soil: a matrix, and pores between its aggregates.

    theta(h) = theta_r + (theta_m - theta_r) Sm + (theta_s - theta_m) Ss
    Sm = (alpha |h|)^-lambda,  lambda = n - 1              Brooks and Corey (1964), of the matrix
    Ss = [1 + (a |h|)^N]^-(1 - 1/N)                        van Genuchten (1980), Eq. 3, between
    K(h) = K_m Sm^(l + 2 + 2/lambda)
         + (Ks - K_m) Ss^1/2 [1 - (1 - Ss^(1/M))^M]^2      Mualem (1976), sum of the two

Two domains in one column with one pressure head, as Durner (1994, Water Resour. Res. 30:211-223)
for retention and Ross and Smettem (1993, Soil Sci. Soc. Am. J. 57:926-930) for conductivity.  One
pore system cannot drain to a measured field capacity within days and hold water there: what
conducts at field capacity would have to conduct almost as well below it.

Left out: an exchange that takes time between the domains (dual permeability), hysteresis.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from levada.guest.text.ranges import between, out_of_range
from levada.sim.soil.hydraulics import (
    HEAD_RANGE_M,
    SPECIFIC_STORAGE_PER_M,
    FloatArray,
    VanGenuchten,
)

__all__ = ["STRUCTURE", "StructuredSoil"]

STRUCTURE = VanGenuchten(theta_r=0.0, theta_s=1.0, alpha_per_m=10.0, n=5.0, ks_m_d=1.0)
"""Relative functions of the pores between aggregates: half of them empty at 0.11 m of suction and
nearly all at 0.3 m, the range of structural pores (Jarvis 2007, Eur. J. Soil Sci. 58:523-546)."""


class StructuredSoil(VanGenuchten):
    """A soil with a matrix and structural pores; `alpha_per_m` and `n` are those of the matrix.

    1 / `alpha_per_m` is the suction [m] up to which the matrix is full, `n` - 1 Brooks and Corey's
    lambda.
    """

    theta_m: float = Field(ge=0.0, le=1.0)
    """Water content of the full matrix with empty structural pores."""
    matrix_ks_m_d: float = Field(gt=0.0, le=1000.0)
    """Conductivity of the full matrix, K_m."""

    @property
    def has_cusp(self) -> bool:
        """No: both domains are flat at saturation."""
        return False

    def saturation(self, head_m: npt.ArrayLike) -> FloatArray:
        """Effective saturation of both domains together, 0 to 1, at a pressure head [m]."""
        structural = (self.theta_s - self.theta_m) / (self.theta_s - self.theta_r)
        matrix = self._matrix(head_m) ** -(self.n - 1.0)
        return np.asarray((1.0 - structural) * matrix + structural * STRUCTURE.saturation(head_m))

    def theta(self, head_m: npt.ArrayLike) -> FloatArray:
        """Water content [m3 m-3] at a pressure head [m]; Durner (1994), Eq. 4."""
        h = np.asarray(head_m, dtype=np.float64)
        pores = self.theta_r + (self.theta_s - self.theta_r) * self.saturation(h)
        return np.asarray(pores + SPECIFIC_STORAGE_PER_M * np.maximum(h, 0.0))

    def conductivity_m_d(self, head_m: npt.ArrayLike) -> FloatArray:
        """Hydraulic conductivity [m/d] at a pressure head [m]; Ross and Smettem (1993), Eq. 7."""
        power = (self.n - 1.0) * (self.pore_connectivity + 2.0) + 2.0
        matrix = self.matrix_ks_m_d * self._matrix(head_m) ** -power
        between_m_d = (self.ks_m_d - self.matrix_ks_m_d) * STRUCTURE.conductivity_m_d(head_m)
        return np.asarray(matrix + between_m_d)

    def head(self, theta: npt.ArrayLike) -> FloatArray:
        """Pressure head [m] at a water content, by bisection.

        Raises ValueError for a water content outside (theta_r, theta_s].
        """
        value = np.asarray(theta, dtype=np.float64)
        if not bool(np.all((value > self.theta_r) & (value <= self.theta_s + 1e-12))):
            found = f"{value.min():g} to {value.max():g}"
            permitted = between(self.theta_r, self.theta_s, above=True)
            raise ValueError(out_of_range("theta", found, permitted))
        low = np.full(value.shape, np.log(1e-6))
        high = np.full(value.shape, np.log(-HEAD_RANGE_M[0]))
        for _ in range(60):
            middle = 0.5 * (low + high)
            wetter = self.theta(-np.exp(middle)) > value
            low, high = np.where(wetter, middle, low), np.where(wetter, high, middle)
        return np.asarray(np.where(value >= self.theta_s, 0.0, -np.exp(high)))

    def _matrix(self, head_m: npt.ArrayLike) -> FloatArray:
        """Suction over that up to which the matrix is full, at least 1."""
        suction = np.maximum(-np.asarray(head_m, dtype=np.float64), 0.0)
        return np.maximum(self.alpha_per_m * suction, 1.0)
