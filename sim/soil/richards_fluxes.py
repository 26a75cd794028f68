"""Fluxes of Richards' equation at one place, and their derivatives by the transformed head.

Between cells of one soil and of two, through the surface and the bottom, and into roots.
"""

from __future__ import annotations

import math

from levada.guest.fast.jit import njit
from levada.sim.soil.hydraulics import HEAD_SCALE_M, INTERVALS, SPECIFIC_STORAGE_PER_M, U_MIN
from levada.sim.soil.richards_columns import (
    BLEND,
    FREE_DRAINAGE,
    P_BOTTOM,
    P_BOTTOM_HEAD,
    P_BOTTOM_K,
    P_BOTTOM_PHI,
    P_DEMAND_HIGH,
    P_DEMAND_LOW,
    P_DRY_HEAD,
    P_DRY_PHI,
    P_GRAVITY,
    P_H1,
    P_H2,
    P_H3_HIGH,
    P_H3_LOW,
    P_H4,
    P_POND_MAX,
    P_SATURATED_K,
    P_SATURATED_PHI,
    P_SURFACE,
    P_SURFACE_HEAD,
    P_SURFACE_K,
    P_SURFACE_PHI,
    PER_U,
    S_DEMAND,
    S_FORCING,
    S_POND,
    S_WET,
    SEEPAGE_FACE,
    SMALLEST_K,
    T_K,
    T_PHI,
    T_THETA,
    ZERO_FLUX,
    FloatArray,
)

__all__ = [
    "between_soils",
    "bottom_face",
    "head_m",
    "potential_evaporation",
    "root_uptake",
    "soil_at",
    "surface_flux",
    "wilting_head",
    "within_soil",
    "within_steep_soil",
]


@njit
def head_m(u: float) -> float:
    """Pressure head [m] of a transformed head, as `levada.sim.soil.hydraulics.head_of`."""
    if u < 0.0:
        return HEAD_SCALE_M * math.sinh(u)
    return HEAD_SCALE_M * u


@njit
def soil_at(
    tables: FloatArray, soil: int, u: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """Theta, phi, K and h, each followed by its derivative by u.

    Cubics through van Genuchten (1980), Eq. 3 and 8, from `levada.sim.soil.hydraulics.table`; above
    saturation theta grows with the specific storage and phi with K.
    """
    if u < 0.0:
        x = (u - U_MIN) * PER_U
        j = min(int(x), INTERVALS - 1)
        t = x - j
        c = tables[soil, j]
        return (
            c[0] + t * (c[1] + t * (c[2] + t * c[3])),
            (c[1] + t * (2.0 * c[2] + t * 3.0 * c[3])) * PER_U,
            c[4] + t * (c[5] + t * (c[6] + t * c[7])),
            (c[5] + t * (2.0 * c[6] + t * 3.0 * c[7])) * PER_U,
            c[8] + t * (c[9] + t * (c[10] + t * c[11])),
            (c[9] + t * (2.0 * c[10] + t * 3.0 * c[11])) * PER_U,
            c[12] + t * (c[13] + t * (c[14] + t * c[15])),
            (c[13] + t * (2.0 * c[14] + t * 3.0 * c[15])) * PER_U,
        )
    c = tables[soil, INTERVALS]
    h = HEAD_SCALE_M * u
    k = c[T_K]
    return (
        c[T_THETA] + SPECIFIC_STORAGE_PER_M * h,
        SPECIFIC_STORAGE_PER_M * HEAD_SCALE_M,
        c[T_PHI] + k * h,
        k * HEAD_SCALE_M,
        k,
        0.0,
        h,
        HEAD_SCALE_M,
    )


@njit
def between_soils(
    tables: FloatArray, soil0: int, soil1: int, u0: float, u1: float, share: float
) -> tuple[float, float, float]:
    """Conductivity across a layer boundary and its derivatives by u above and below.

    Two conductors in series, d / K = d0 / K0 + d1 / K1 with `share` = d0 / d.  That each has the
    mean of its K over the heads between the two cells is our choice: exact for a saturated profile.
    """
    resistance = 0.0
    means = (0.0, 0.0)
    d_above = (0.0, 0.0)
    d_below = (0.0, 0.0)
    for half in range(2):
        soil = soil0 if half == 0 else soil1
        part = share if half == 0 else 1.0 - share
        _, _, phi0, dphi0, k0, dk0, h0, dh0 = soil_at(tables, soil, u0)
        _, _, phi1, dphi1, k1, dk1, h1, dh1 = soil_at(tables, soil, u1)
        gap = h1 - h0
        if abs(gap) > 1e-4 * abs(h0) + 1e-9:
            mean = (phi1 - phi0) / gap
            dmean0 = (mean * dh0 - dphi0) / gap
            dmean1 = (dphi1 - mean * dh1) / gap
        else:
            mean = 0.5 * (k0 + k1)
            dmean0 = 0.5 * dk0
            dmean1 = 0.5 * dk1
        mean += SMALLEST_K
        resistance += part / mean
        means = (means[1], mean)
        d_above = (d_above[1], dmean0)
        d_below = (d_below[1], dmean1)
    k = 1.0 / resistance
    upper = share * (k / means[0]) ** 2
    lower = (1.0 - share) * (k / means[1]) ** 2
    return (
        k,
        upper * d_above[0] + lower * d_above[1],
        upper * d_below[0] + lower * d_below[1],
    )


@njit
def surface_flux(
    h: float,
    phi: float,
    k: float,
    dphi: float,
    dk: float,
    dh: float,
    dinv: float,
    dt: float,
    s: FloatArray,
    p: FloatArray,
) -> tuple[float, float]:
    """Flux into the soil [m/s] and its derivative by u of the top cell.

    Darcy-Buckingham between the surface and the centre of the cell, limited by what arrives.
    """
    gravity = p[P_GRAVITY]
    if p[P_SURFACE] == 1.0:
        gap = h - p[P_SURFACE_HEAD]
        if gap > 1e-4 * abs(h) + 1e-9:
            mean = (phi - p[P_SURFACE_PHI]) / gap
            return (
                gravity * mean - (phi - p[P_SURFACE_PHI]) * dinv,
                -dphi * dinv + gravity * (dphi - mean * dh) / gap,
            )
        return (
            (p[P_SURFACE_PHI] - phi) * dinv + 0.5 * gravity * (p[P_SURFACE_K] + k),
            -dphi * dinv + 0.5 * gravity * dk,
        )
    wet = s[S_WET]
    supply = s[S_FORCING] + s[S_FORCING + 1] - potential_evaporation(s)
    q = s[S_POND] / dt + supply
    dq = 0.0
    if q > 0.0 or h > 0.0:
        # what the soil takes: surface head = depth of the pond, which is part of the unknowns
        per_head = p[P_SATURATED_K] * dinv
        capacity = (p[P_SATURATED_PHI] - phi) * dinv + 0.5 * gravity * (p[P_SATURATED_K] + k)
        dcapacity = -dphi * dinv + 0.5 * gravity * dk
        full = wet * (capacity + per_head * p[P_POND_MAX])
        filling = wet * (capacity + per_head * q * dt / wet) / (1.0 + per_head * dt)
        if filling < full:
            if filling < q:
                q = filling
                dq = wet * dcapacity / (1.0 + per_head * dt)
        elif full < q:
            q = full
            dq = wet * dcapacity
    if q < 0.0 and h <= 0.0:
        # what the soil can give up to a surface as dry as the air allows
        gap = h - p[P_DRY_HEAD]
        limit = 0.0
        dlimit = 0.0
        if gap > 1e-4 * abs(h) + 1e-9:
            flow = phi - p[P_DRY_PHI]
            mean = flow / gap
            limit = gravity * mean - flow * dinv
            dlimit = -dphi * dinv + gravity * (dphi - mean * dh) / gap
        if limit > 0.0:
            limit = 0.0
            dlimit = 0.0
        if q < limit:
            q = limit
            dq = dlimit
    return q, dq


@njit
def potential_evaporation(s: FloatArray) -> float:
    """Evaporation [m s-1] that the surface, where it is wet, allows: FAO-56 Eq. 71 with 75."""
    if s[S_WET] < 1.0:
        return float(min(s[S_FORCING + 2], s[S_WET] * s[S_FORCING + 5]))
    return float(s[S_FORCING + 2])


@njit
def wilting_head(s: FloatArray, p: FloatArray) -> float:
    """Feddes' h3 [m] at the demand of the last day, between its values for low and high.

    It is linear in the demand, as in Wesseling et al. (1991) and `levada.sim.soil.uptake`.
    """
    share = (s[S_DEMAND] - p[P_DEMAND_LOW]) / (p[P_DEMAND_HIGH] - p[P_DEMAND_LOW])
    share = min(max(share, 0.0), 1.0)
    h3: float = p[P_H3_LOW] + share * (p[P_H3_HIGH] - p[P_H3_LOW])
    return h3


@njit
def within_soil(
    gap: float,
    dinv: float,
    gravity: float,
    above: tuple[float, float, float, float, float, float],
    here: tuple[float, float, float, float, float, float],
) -> tuple[float, float, float]:
    """Flux [m s-1] between two cells of one soil, and its derivatives by u above and here.

    Darcy's law as Buckingham (1907) extended it, q = -K (dh/dz - 1), between two centres.
    `gap` is the difference of their heads [m], `dinv` one over their distance; each cell is given
    by h, phi, k and their derivatives.  The conductivity is its mean over the heads between them.
    """
    h0, phi0, k0, dh0, dphi0, dk0 = above
    _, phi, k, dh, dphi, dk = here
    if gap > 1e-4 * abs(h0) + 1e-9:
        per_gap = 1.0 / gap
        mean = (phi - phi0) * per_gap
        q = mean * (gravity - gap * dinv)
        dq_above = dphi0 * dinv + gravity * (mean * dh0 - dphi0) * per_gap
        dq_here = -dphi * dinv + gravity * (dphi - mean * dh) * per_gap
    else:
        q = (phi0 - phi) * dinv + 0.5 * gravity * (k0 + k)
        dq_above = dphi0 * dinv + 0.5 * gravity * dk0
        dq_here = -dphi * dinv + 0.5 * gravity * dk
    return q, dq_above, dq_here


@njit
def within_steep_soil(
    gap: float,
    dinv: float,
    gravity: float,
    above: tuple[float, float, float, float, float, float],
    here: tuple[float, float, float, float, float, float],
) -> tuple[float, float, float]:
    """As `within_soil`; from the mean of both conductivities the one over heads is passed into.

    In steep soil the tables of phi and K agree less well, and no iteration passes a jump.
    """
    q, dq_above, dq_here = within_soil(gap, dinv, gravity, above, here)
    h0, phi0, k0, dh0, dphi0, dk0 = above
    _, phi, k, dh, dphi, dk = here
    apart = gap / (BLEND * abs(h0))
    if gap > 1e-4 * abs(h0) + 1e-9 and apart < 1.0:
        mean = (phi - phi0) / gap
        rest = (1.0 - apart) * gravity
        q += rest * (0.5 * (k0 + k) - mean)
        dq_above += rest * (0.5 * dk0 - (mean * dh0 - dphi0) / gap)
        dq_here += rest * (0.5 * dk - (dphi - mean * dh) / gap)
    return q, dq_above, dq_here


@njit
def root_uptake(
    most: float, h: float, dh: float, h3: float, p: FloatArray
) -> tuple[float, float, float]:
    """Uptake of a cell that roots ask `most` of, its derivative, and what lacks for want of air.

    Feddes, Kowalik and Zaradny (1978): none above h1, all from h2 to h3, none below h4.
    """
    take = 0.0
    dtake = 0.0
    if most > 0.0 and h > p[P_H4] and h < p[P_H1]:
        if h < h3:
            take = most * (h - p[P_H4]) / (h3 - p[P_H4])
            dtake = most * dh / (h3 - p[P_H4])
        elif h > p[P_H2]:
            # the derivative is left out: uptake falling with h would destabilise
            take = most * (p[P_H1] - h) / (p[P_H1] - p[P_H2])
        else:
            take = most
    return take, dtake, most - take if h > p[P_H2] else 0.0


@njit
def bottom_face(
    above: tuple[float, float, float, float, float, float], dinv: float, p: FloatArray
) -> tuple[float, float]:
    """Flux through the lower end [m s-1], down, and its derivative by the last cell's u.

    Darcy-Buckingham; of free drainage the gradient is that of gravity, q = K.
    """
    h0, phi0, k0, dh0, dphi0, dk0 = above
    bottom = int(p[P_BOTTOM])
    gravity = p[P_GRAVITY]
    if bottom == FREE_DRAINAGE:
        return gravity * k0, gravity * dk0
    if bottom == ZERO_FLUX:
        return 0.0, 0.0
    gap = p[P_BOTTOM_HEAD] - h0
    if gap > 1e-4 * abs(h0) + 1e-9:
        mean = (p[P_BOTTOM_PHI] - phi0) / gap
        q = mean * (gravity - gap * dinv)
        dq = dphi0 * dinv + gravity * (mean * dh0 - dphi0) / gap
    else:
        q = (phi0 - p[P_BOTTOM_PHI]) * dinv + 0.5 * gravity * (k0 + p[P_BOTTOM_K])
        dq = dphi0 * dinv + 0.5 * gravity * dk0
    if bottom == SEEPAGE_FACE and q < 0.0:
        return 0.0, 0.0
    return q, dq
