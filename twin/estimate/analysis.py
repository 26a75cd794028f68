"""The analysis step of an ensemble Kalman filter, in its deterministic form.

An ensemble holds one column a member, shape (quantities, members).  Pavel Sakov and Peter R. Oke
(2008), A deterministic formulation of the ensemble Kalman filter: an alternative to ensemble square
root filters, Tellus A 60(2), 361-371, doi:10.1111/j.1600-0870.2007.00299.x.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from levada.sim.soil.model import FloatArray

__all__ = ["LEAST_MEMBERS", "analyse", "gaspari_cohn", "innovation_inflation"]

LEAST_MEMBERS: Final = 3
"""Fewer members say nothing of a covariance."""
MOST_INFLATION: Final = 2.0
"""Largest factor of the variance that one innovation may bring about."""


def analyse(
    ensemble: FloatArray,
    predicted: FloatArray,
    measured: FloatArray,
    error_sd: FloatArray,
    *,
    taper: FloatArray | None = None,
    taper_measured: FloatArray | None = None,
) -> FloatArray:
    """The ensemble after `measured` (p,) was seen, shape (quantities, members).

    `predicted` (p, members) is what each member would have read, `error_sd` (p,) the standard
    deviations of the independent errors of the readings.  Mean: x + K (y - h), anomalies:
    A - K HA / 2, with K = PH' (HPH' + R)^-1 (Sakov and Oke 2008, Eqs. 1 to 3 and 15).  The
    covariance is that of the Kalman filter and K HPH' K' / 4 more.

    `taper` (quantities, p) and `taper_measured` (p, p) localise: they are multiplied to PH' and
    HPH'.  Raises ValueError for shapes that do not fit, fewer than three members, or errors that
    are not above 0.
    """
    _check(ensemble, predicted, measured, error_sd)
    members = ensemble.shape[1]
    mean, mean_predicted = ensemble.mean(axis=1), predicted.mean(axis=1)
    anomalies = ensemble - mean[:, None]
    of_predicted = predicted - mean_predicted[:, None]
    cross = anomalies @ of_predicted.T / (members - 1)
    covariance = of_predicted @ of_predicted.T / (members - 1)
    if taper is not None:
        cross = cross * taper
    if taper_measured is not None:
        covariance = covariance * taper_measured
    innovation = covariance + np.diag(error_sd**2)
    gain = np.linalg.solve(innovation, cross.T).T
    mean = mean + gain @ (measured - mean_predicted)
    return np.asarray(mean[:, None] + anomalies - 0.5 * gain @ of_predicted)


def _check(
    ensemble: FloatArray, predicted: FloatArray, measured: FloatArray, error_sd: FloatArray
) -> None:
    members = ensemble.shape[1]
    if members < LEAST_MEMBERS:
        raise ValueError(f"{members} members: permitted are {LEAST_MEMBERS} and more")
    wanted = (len(measured), members)
    if predicted.shape != wanted or error_sd.shape != measured.shape:
        raise ValueError(
            f"predicted of shape {predicted.shape} and error_sd of {error_sd.shape}: needed are "
            f"{wanted} and {measured.shape}"
        )
    if not np.all(error_sd > 0.0):
        raise ValueError(f"error_sd = {error_sd.min():g}: permitted above 0")


def gaspari_cohn(distance: FloatArray, half_width: float) -> FloatArray:
    """Correlation that falls from 1 to 0 at twice `half_width`, in the unit of `distance`.

    G. Gaspari and S. E. Cohn (1999), Construction of correlation functions in two and three
    dimensions, Q. J. R. Meteorol. Soc. 125, 723-757, Eq. 4.10.
    """
    z = np.abs(np.asarray(distance, np.float64)) / half_width
    near = 1.0 + z**2 * (-5.0 / 3.0 + z * (5.0 / 8.0 + z * (0.5 - 0.25 * z)))
    far_z = np.maximum(z, 1.0)
    far = (
        4.0
        - 5.0 * far_z
        + 5.0 / 3.0 * far_z**2
        + 5.0 / 8.0 * far_z**3
        - 0.5 * far_z**4
        + far_z**5 / 12.0
        - 2.0 / (3.0 * far_z)
    )
    return np.asarray(np.where(z <= 1.0, near, np.where(z < 2.0, far, 0.0)))


def innovation_inflation(
    predicted: FloatArray, measured: FloatArray, error_sd: FloatArray
) -> float:
    """Factor of the ensemble's variance under which its innovations have the size they should.

    (d' R^-1 d - p) / trace(R^-1 HPH'): X. Wang and C. H. Bishop (2003), J. Atmos. Sci. 60,
    1140-1158, Eq. 14; never below 1, since an ensemble that is too wide costs less than one that
    no longer listens, and at most `MOST_INFLATION`.
    """
    weights = 1.0 / error_sd**2
    departure = measured - predicted.mean(axis=1)
    spread = float(weights @ predicted.var(axis=1, ddof=1))
    if spread <= 0.0:
        return 1.0
    factor = (float(weights @ departure**2) - len(measured)) / spread
    return min(max(factor, 1.0), MOST_INFLATION)
