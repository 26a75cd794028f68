"""Compiled kernels of `levada.sim.soil.richards`: Richards' equation in one dimension, all zones in
arrays.

Mixed form with water content conserved to rounding (Celia, Bouloutas and Zarba 1990, Water Resour.
Res. 26:1483-1496), finite volumes, backward Euler, Newton's method in the transformed head u of
`levada.sim.soil.hydraulics`.  z and fluxes point down.

Conserved: a step stores theta_old - dt div(q) of its last iterate, whose difference from theta(u)
is about TOLERANCE (the next step takes it up); so the balance closes whatever the iteration leaves
over.

Flux between cells of one soil, d apart, with phi the matric flux potential:

    q = [phi(i) - phi(i+1)] / d + K_g
    K_g = (K(i) + K(i+1)) / 2                          if the upper cell is wetter
    K_g = [phi(i+1) - phi(i)] / [h(i+1) - h(i)]        otherwise

The second form makes hydrostatic equilibrium exact, the first is what a Taylor expansion of the
exact steady flux gives for infiltration.  Across a layer boundary, where phi jumps, the two halves
conduct in series.

Steps belong to the column, not to the caller: a step is planned up to a look-ahead time with the
forcing as it is, and a caller who stops inside it gets the state between its ends, linear in
theta and so in all sums.  If the forcing changes inside, the step is discarded and repeated up to
the edge.  Where the calls end therefore never changes the steps.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from levada.guest.fast.jit import njit
from levada.sim.soil.hydraulics import HEAD_SCALE_M, INTERVALS, SPECIFIC_STORAGE_PER_M, U_MIN
from levada.sim.soil.model import F, Flux, Observed
from levada.sim.soil.uptake import ROOT_NODES

__all__ = ["PER_U", "advance", "observe"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Rows of `cells`, shape (n, rows, cells): first what changes, then what was configured.
C_U = 0  # transformed head at the start of the step
C_THETA = 1  # water content there
C_RATE = 2  # change of theta in the step before [1/s]
C_URATE = 3  # change of u in the step before [1/s]
C_U_END = 4
C_THETA_END = 5
C_ROOT = 6  # share of the roots
C_ZONE = 7  # thickness within the root zone [m]
C_UPTAKE = 8  # taken up by roots until the start of the step [m]
C_UPTAKE_STEP = 9  # and in it
CELL_STATE_ROWS = 10
C_DZ = 10  # thickness [m]
C_DINV = 11  # 1 / distance to the centre below [1/m]; last: to the bottom face
C_BOTTOM = 12  # depth of the lower face [m]
C_PROBE = 13  # share of the probe's support volume
C_FC = 14  # theta at field capacity
C_WP = 15  # theta at the wilting point
C_SOIL = 16  # index of the table
C_DZINV = 17  # 1 / thickness
CELL_ROWS = 18

# Columns of `scalars`, shape (n, columns): the state of a zone besides its cells.
S_NOW = 0  # time the caller has reached [s]
S_START = 1  # start and end of the planned step
S_END = 2
S_DT = 3  # step wanted from S_START
S_DT_END = 4  # step wanted from S_END
S_SMOOTH = 5  # 0 directly after a change of forcing: rates of the step before do not hold
S_POND = 6  # water on the surface [m over the zone]
S_POND_END = 7
S_WET = 8  # share of the surface that takes up and evaporates water
S_DEMAND = 9  # potential transpiration, mean of about a day [m/s]
S_DEMAND_END = 10
S_FORCING = 11  # rain, irrigation, evaporation, transpiration [m/s], root depth [m], wet E
S_PLAN = 17  # Flux columns of the planned step [m]
S_GIVEN = 23  # of which the caller has been given
S_OBS = 29  # storage, root zone water [m], probe theta, probe head [m] at S_START
S_OBS_END = 33  # and S_END
S_FC = 37  # water in the root zone at field capacity [m]
S_TAW = 38
S_KS = 39  # last stress coefficient
S_ERROR_CELL = 40
S_ERROR_SIZE = 41
S_STEPS = 42  # counters: accepted steps, iterations, refused steps
S_ITERATIONS = 43
S_REFUSED = 44
S_DEPLETION = 45  # p of the last call, for RAW
S_AIRLESS = 46  # part of the demand that roots too wet leave in the planned step, 0 to 1
SCALARS = 47

# Columns of `settings`, shape (n, columns): configuration of a zone.
P_BOTTOM = 0  # kind
P_BOTTOM_HEAD = 1
P_BOTTOM_PHI = 2
P_BOTTOM_K = 3
P_SURFACE = 4  # 0 atmosphere, 1 prescribed head
P_SURFACE_HEAD = 5
P_SURFACE_PHI = 6
P_SURFACE_K = 7
P_DRY_HEAD = 8  # minimum head of evaporation
P_DRY_PHI = 9
P_SATURATED_PHI = 10  # of the top soil
P_SATURATED_K = 11
P_POND_MAX = 12  # [m]
P_WETTED = 13  # share of the surface wetted by irrigation
P_H1 = 14
P_H2 = 15
P_H3_HIGH = 16
P_H3_LOW = 17
P_H4 = 18
P_DEMAND_HIGH = 19  # [m/s]
P_DEMAND_LOW = 20
P_TOLERANCE = 21  # accepted time error of theta in a step
P_PROBE_CELL = 22  # cell with the probe's centre
P_GRAVITY = 23  # cosine of the column's slope: 1 vertical, 0 horizontal
P_ROOTS = 24  # ROOT_NODES columns: cumulative root profile
SETTINGS = P_ROOTS + ROOT_NODES

FREE_DRAINAGE = 0
ZERO_FLUX = 1
FIXED_HEAD = 2
SEEPAGE_FACE = 3

# Columns of `tables`, shape (soils, INTERVALS + 1, 16): see levada.sim.soil.hydraulics.table; the
# last row of each holds theta, phi and K at saturation and the air-entry suction.
T_THETA = 0
T_PHI = 4
T_K = 8
T_H = 12

PER_U = INTERVALS / -U_MIN
NEARLY = 1e-4  # residual from which one more Newton step meets TOLERANCE
TOLERANCE = 1e-6  # of theta(u) against the conserved theta
PER_STEEP = 1e3  # below d theta / d u = 1e-3 (near saturation) it shrinks in proportion
FLAT = 1e-7
SMALLEST_K = 1e-100  # keeps ratios of conductivities finite in the driest sands
LONGEST_STEP_S = 3600.0
SHORTEST_STEP_S = 1e-3
FIRST_STEP_S = 60.0
MAX_ITERATIONS = 20
MAX_CHANGE_U = 1.5
DEMAND_MEMORY_S = 86400.0
MM = 1000.0
PER_MM_H = 1.0 / (1000.0 * 3600.0)

# Rows of the workspace
W_U = 0
W_THETA = 1
W_GAMMA = 2  # upper diagonal after elimination
W_RHS = 3
W_STEP = 4  # change in the iteration before
W_UPTAKE = 5  # [m/s]
W_RAW = 6  # theta(u)
W_SLOPE = 7  # d theta / d u
W_UPTAKE_SLOPE = 8
WORK_ROWS = 9

_RAIN = int(Flux.RAIN_MM)
_IRRIGATION = int(Flux.IRRIGATION_MM)
_EVAPORATION = int(Flux.EVAPORATION_MM)
_TRANSPIRATION = int(Flux.TRANSPIRATION_MM)
_DRAINAGE = int(Flux.DRAINAGE_MM)
_RUNOFF = int(Flux.RUNOFF_MM)
FLUXES = 6
F_RAIN, F_IRRIGATION = int(F.RAIN_MM_H), int(F.IRRIGATION_MM_H)
F_FROM, F_TO = int(F.IRRIGATION_FROM_S), int(F.IRRIGATION_TO_S)
F_EVAPORATION, F_CAP = int(F.EVAPORATION_MM_H), int(F.EVAPORATION_CAP_MM_H)
F_TRANSPIRATION, F_ZR, F_P = int(F.TRANSPIRATION_MM_H), int(F.ZR_M), int(F.DEPLETION_FRACTION)
F_ET0, F_KC_MAX = int(F.ET0_MM_H), int(F.KC_MAX)
O_STORAGE, O_THETA, O_DR = int(Observed.STORAGE_MM), int(Observed.THETA_ROOT), int(Observed.DR_MM)
O_TAW, O_RAW, O_KS = int(Observed.TAW_MM), int(Observed.RAW_MM), int(Observed.KS)
O_PROBE, O_POND = int(Observed.THETA_PROBE), int(Observed.PONDING_MM)
O_HEAD, O_FC = int(Observed.HEAD_PROBE_M), int(Observed.FC_MM)


@njit
def _head(u: float) -> float:
    if u < 0.0:
        return HEAD_SCALE_M * math.sinh(u)
    return HEAD_SCALE_M * u


@njit
def _set_roots(cells: FloatArray, s: FloatArray, p: FloatArray, zr_m: float) -> None:
    """Spread the roots over the cells; field capacity and available water of the root zone."""
    top = 0.0
    fc = 0.0
    taw = 0.0
    above = 0.0
    for i in range(cells.shape[1]):
        bottom = cells[C_BOTTOM, i]
        inside = min(max(zr_m - top, 0.0), bottom - top)
        cells[C_ZONE, i] = inside
        fc += inside * cells[C_FC, i]
        taw += inside * (cells[C_FC, i] - cells[C_WP, i])
        below = 0.0
        if zr_m > 0.0:
            below = 1.0
            x = bottom / zr_m * (ROOT_NODES - 1)
            if x < ROOT_NODES - 1:
                j = int(x)
                below = p[P_ROOTS + j] + (x - j) * (p[P_ROOTS + j + 1] - p[P_ROOTS + j])
        cells[C_ROOT, i] = below - above
        above = below
        top = bottom
    s[S_FC] = fc
    s[S_TAW] = taw


@njit
def _look(cells: FloatArray, p: FloatArray, u: int, theta: int, s: FloatArray, at: int) -> None:
    """Storage, root zone water, probe theta and probe head of one of the two states."""
    storage = 0.0
    root = 0.0
    probe = 0.0
    for i in range(cells.shape[1]):
        w = cells[theta, i]
        storage += w * cells[C_DZ, i]
        root += w * cells[C_ZONE, i]
        probe += w * cells[C_PROBE, i]
    s[at] = storage
    s[at + 1] = root
    s[at + 2] = probe
    s[at + 3] = _head(cells[u, int(p[P_PROBE_CELL])])


@njit
def _soil(
    tables: FloatArray, soil: int, u: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """Theta, phi, K and h, each followed by its derivative by u."""
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
def _between_soils(
    tables: FloatArray, soil0: int, soil1: int, u0: float, u1: float, share: float
) -> tuple[float, float, float]:
    """Conductivity across a layer boundary and its derivatives by u above and below.

    Each half conducts with the mean of its K over the heads between the two cells, both in series
    (`share` of the distance in the upper soil): exact for a saturated profile.
    """
    resistance = 0.0
    means = (0.0, 0.0)
    d_above = (0.0, 0.0)
    d_below = (0.0, 0.0)
    for half in range(2):
        soil = soil0 if half == 0 else soil1
        part = share if half == 0 else 1.0 - share
        _, _, phi0, dphi0, k0, dk0, h0, dh0 = _soil(tables, soil, u0)
        _, _, phi1, dphi1, k1, dk1, h1, dh1 = _soil(tables, soil, u1)
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
def _surface(
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
    """Flux into the soil [m/s] and its derivative by u of the top cell."""
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
    supply = s[S_FORCING] + s[S_FORCING + 1] - _potential_evaporation(s)
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
def _potential_evaporation(s: FloatArray) -> float:
    if s[S_WET] < 1.0:
        return float(min(s[S_FORCING + 2], s[S_WET] * s[S_FORCING + 5]))
    return float(s[S_FORCING + 2])


@njit
def _begin(cells: FloatArray, s: FloatArray, w: FloatArray, dt: float) -> None:
    """First iterate: where the last step was heading, if the forcing went on as it was."""
    for i in range(cells.shape[1]):
        guess = 0.0
        if s[S_SMOOTH] > 0.0:
            guess = min(max(cells[C_URATE, i] * dt, -0.2), 0.2)
        w[W_U, i] = max(cells[C_U, i] + guess, U_MIN)


@njit
def _wilting_head(s: FloatArray, p: FloatArray) -> float:
    """Feddes' h3 [m] at the demand of the last day, between its values for low and high."""
    share = (s[S_DEMAND] - p[P_DEMAND_LOW]) / (p[P_DEMAND_HIGH] - p[P_DEMAND_LOW])
    share = min(max(share, 0.0), 1.0)
    h3: float = p[P_H3_LOW] + share * (p[P_H3_HIGH] - p[P_H3_LOW])
    return h3


@njit
def _within_soil(
    gap: float,
    dinv: float,
    gravity: float,
    above: tuple[float, float, float, float, float, float],
    here: tuple[float, float, float, float, float, float],
) -> tuple[float, float, float]:
    """Flux [m s-1] between two cells of one soil, and its derivatives by u above and here.

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
def _root_uptake(
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
def _bottom_face(
    above: tuple[float, float, float, float, float, float], dinv: float, p: FloatArray
) -> tuple[float, float]:
    """Flux through the lower end [m s-1], down, and its derivative by the last cell's u."""
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


@njit
def _sweep(
    cells: FloatArray,
    s: FloatArray,
    p: FloatArray,
    tables: FloatArray,
    w: FloatArray,
    dt: float,
    h3: float,
) -> tuple[float, float, float, float, float, float, float, float]:
    """Residuals of all cells at the iterate in `w`, and the forward half of the elimination.

    Returns the largest residual in units of its cell's limit, the sum of all (NaN if any is), the
    uptake [m s-1], flux through top and bottom with their derivatives, and the change of the last
    cell's u.  S_ERROR_CELL and S_ERROR_SIZE say which cell is worst.
    """
    n = cells.shape[1]
    last = n - 1
    demand = s[S_FORCING + 3]
    gravity = p[P_GRAVITY]
    worst = 0.0
    worst_cell = 0
    total = 0.0
    uptake = 0.0
    airless = 0.0
    q_top = 0.0
    dq_top = 0.0
    # values of the cell above, and derivatives of the flux from it by its u and by this one's
    above = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    soil0 = -1
    limit0 = 1.0
    # row of the cell above, waiting for its lower face
    diag0 = 0.0
    rest0 = 0.0
    lower0 = 0.0
    gamma = 0.0
    rhs = 0.0
    for i in range(n):
        u = w[W_U, i]
        soil = int(cells[C_SOIL, i])
        theta, dtheta, phi, dphi, k, dk, h, dh = _soil(tables, soil, u)
        here = (h, phi, k, dh, dphi, dk)
        # flux through the upper face and its derivatives by u above and here
        if i == 0:
            q, dq_here = _surface(h, phi, k, dphi, dk, dh, 2.0 / cells[C_DZ, 0], dt, s, p)
            dq_above = 0.0
            q_top = q
            dq_top = min(dq_here, 0.0)
        else:
            dinv = cells[C_DINV, i - 1]
            gap = h - above[0]
            if soil != soil0:
                part = cells[C_DZ, i - 1] / (cells[C_DZ, i - 1] + cells[C_DZ, i])
                mean, dmean_above, dmean_here = _between_soils(
                    tables, soil0, soil, w[W_U, i - 1], u, part
                )
                drop = gravity - gap * dinv
                q = mean * drop
                dq_above = dmean_above * drop + mean * above[3] * dinv
                dq_here = dmean_here * drop - mean * dh * dinv
            else:
                q, dq_above, dq_here = _within_soil(gap, dinv, gravity, above, here)
            # the row above is complete now
            r = rest0 + q * dt
            diag = diag0 + max(dq_above, 0.0) * dt
            upper = min(dq_here, 0.0) * dt
            total += r
            if abs(r) > worst * limit0:
                worst = abs(r) / limit0
                worst_cell = i - 1
            w[W_THETA, i - 1] -= r * cells[C_DZINV, i - 1]
            pivot = 1.0 / (diag - lower0 * gamma)
            rhs = (-r - lower0 * rhs) * pivot
            gamma = upper * pivot
            w[W_GAMMA, i - 1] = gamma
            w[W_RHS, i - 1] = rhs
        # this row so far: storage, uptake and the upper face
        take = 0.0
        dtake = 0.0
        if demand > 0.0:
            take, dtake, short = _root_uptake(demand * cells[C_ROOT, i], h, dh, h3, p)
            airless += short
        uptake += take
        w[W_UPTAKE, i] = take
        w[W_UPTAKE_SLOPE, i] = dtake
        w[W_RAW, i] = theta
        w[W_SLOPE, i] = dtheta
        w[W_THETA, i] = theta
        dz = cells[C_DZ, i]
        rest0 = dz * (theta - cells[C_THETA, i]) + (take - q) * dt
        diag0 = dz * dtheta + (dtake - min(dq_here, 0.0)) * dt
        lower0 = -max(dq_above, 0.0) * dt
        above = here
        soil0 = soil
        limit0 = dz * min(1.0, max(dtheta, FLAT) * PER_STEEP)
    q_bottom, dq_bottom = _bottom_face(above, cells[C_DINV, last], p)
    r = rest0 + q_bottom * dt
    total += r
    if abs(r) > worst * limit0:
        worst = abs(r) / limit0
        worst_cell = last
    w[W_THETA, last] -= r * cells[C_DZINV, last]
    s[S_AIRLESS] = airless / demand if demand > 0.0 else 0.0
    s[S_ERROR_CELL] = worst_cell
    s[S_ERROR_SIZE] = worst
    change = (-r - lower0 * rhs) / (diag0 + dq_bottom * dt - lower0 * gamma)
    return worst, total, uptake, q_top, dq_top, q_bottom, dq_bottom, change


@njit
def _substitute_back(w: FloatArray, n: int, change: float, iteration: int) -> bool:
    """The other half: new u of all cells; false if any did not take Newton's full step."""
    full = True
    last = n - 1
    for back in range(n):
        i = last - back
        if back > 0:
            change = w[W_RHS, i] - w[W_GAMMA, i] * change
        u = w[W_U, i]
        step = change
        if step * w[W_STEP, i] < 0.0 and iteration > 1:
            # a cell that turns back may be trapped between two iterates: halve its swing
            half = 0.5 * abs(w[W_STEP, i])
            step = min(max(step, -half), half)
        v = u + step
        if u < 0.0:
            # saturation is met gently, and no cell may leap across the retention curve
            v = min(max(v, u - MAX_CHANGE_U), u + MAX_CHANGE_U)
            v = max(min(v, 0.5), U_MIN)
        elif v < -0.5:
            v = -0.5
        if v != u + change or (v < 0.0) != (u < 0.0):
            full = False
        w[W_STEP, i] = v - u
        w[W_U, i] = v
    return full


@njit
def _accept(cells: FloatArray, w: FloatArray, dt: float) -> None:
    """The iterate becomes the end state."""
    for i in range(cells.shape[1]):
        cells[C_U_END, i] = w[W_U, i]
        cells[C_THETA_END, i] = w[W_THETA, i]
        cells[C_UPTAKE_STEP, i] = w[W_UPTAKE, i] * dt


@njit
def _accept_linear(cells: FloatArray, w: FloatArray, dt: float) -> float:
    """The step just taken becomes the last, all that depends on u linear in it; the uptake."""
    uptake = 0.0
    for i in range(cells.shape[1]):
        step = w[W_STEP, i]
        take = w[W_UPTAKE, i] + w[W_UPTAKE_SLOPE, i] * step
        uptake += take
        cells[C_U_END, i] = w[W_U, i]
        cells[C_THETA_END, i] = w[W_RAW, i] + w[W_SLOPE, i] * step
        cells[C_UPTAKE_STEP, i] = take * dt
    return uptake


@njit
def _solve(
    cells: FloatArray, s: FloatArray, p: FloatArray, tables: FloatArray, w: FloatArray, dt: float
) -> bool:
    """One backward Euler step of `dt` [s] from the start state into the end state.

    False if Newton's method does not converge; S_ERROR_CELL then says where.
    """
    n = cells.shape[1]
    h3 = _wilting_head(s, p)
    _begin(cells, s, w, dt)
    for iteration in range(MAX_ITERATIONS):
        worst, total, uptake, q_top, dq_top, q_bottom, dq_bottom, change = _sweep(
            cells, s, p, tables, w, dt, h3
        )
        s[S_ITERATIONS] += 1.0
        if not math.isfinite(total):
            return False
        if worst <= TOLERANCE:
            _accept(cells, w, dt)
            _close(s, p, dt, q_top, q_bottom, uptake)
            return True
        # A Newton step from here leaves about twenty times the square of this residual: good
        # enough to be the last, with all fluxes linear in it, unless a cell meets a kink.
        full = _substitute_back(w, n, change, iteration)
        if full and worst <= NEARLY:
            uptake = _accept_linear(cells, w, dt)
            q_top += dq_top * w[W_STEP, 0]
            q_bottom += dq_bottom * w[W_STEP, n - 1]
            _close(s, p, dt, q_top, q_bottom, uptake)
            return True
    return False


@njit
def _close(
    s: FloatArray, p: FloatArray, dt: float, q_top: float, q_bottom: float, uptake: float
) -> None:
    """Fluxes of a solved step and what remains on the surface."""
    rain = s[S_FORCING] * dt
    irrigation = s[S_FORCING + 1] * dt
    evaporation = _potential_evaporation(s) * dt
    runoff = 0.0
    pond = s[S_POND] + rain + irrigation - evaporation - q_top * dt
    if p[P_SURFACE] == 1.0:
        # whatever the head needs or gives back beyond the supply counts as (negative) runoff
        runoff = pond
        pond = 0.0
    elif pond < 0.0:
        evaporation += pond
        pond = 0.0
    elif pond > p[P_POND_MAX] * s[S_WET]:
        runoff = pond - p[P_POND_MAX] * s[S_WET]
        pond = p[P_POND_MAX] * s[S_WET]
    s[S_POND_END] = pond
    s[S_PLAN + _RAIN] = rain
    s[S_PLAN + _IRRIGATION] = irrigation
    s[S_PLAN + _EVAPORATION] = evaporation
    s[S_PLAN + _TRANSPIRATION] = uptake * dt
    s[S_PLAN + _DRAINAGE] = q_bottom * dt
    s[S_PLAN + _RUNOFF] = runoff
    weight = math.exp(-dt / DEMAND_MEMORY_S)
    s[S_DEMAND_END] = s[S_FORCING + 3] + weight * (s[S_DEMAND] - s[S_FORCING + 3])


@njit
def _plan(
    cells: FloatArray, s: FloatArray, p: FloatArray, tables: FloatArray, w: FloatArray, until: float
) -> bool:
    """Plan a step from S_START, at most up to `until` [s]; False if it cannot be solved."""
    n = cells.shape[1]
    left = until - s[S_START]
    dt = s[S_DT]
    if left < 1.3 * dt:
        dt = left
    elif left < 2.0 * dt:
        dt = 0.5 * left
    tolerance = p[P_TOLERANCE]
    while True:
        if not _solve(cells, s, p, tables, w, dt):
            s[S_REFUSED] += 1.0
            dt *= 0.3
            if dt < SHORTEST_STEP_S:
                return False
            continue
        # time error: half the change of the rate over the step (Kavetski et al. 2001)
        error = 0.0
        for i in range(n):
            e = cells[C_THETA_END, i] - cells[C_THETA, i] - dt * cells[C_RATE, i]
            error = max(error, abs(e))
        error *= 0.5
        factor = 3.0
        if error > 0.0:
            factor = min(0.8 * math.sqrt(tolerance / error), 3.0)
        if factor < 0.4 and dt > 1.0:
            s[S_REFUSED] += 1.0
            dt *= max(factor, 0.1)
            continue
        break
    s[S_END] = s[S_START] + dt
    if until - s[S_END] < 1e-6:  # rounding must not leave a sliver of a step
        s[S_END] = until
    wanted = dt * factor
    if factor >= 1.0:
        wanted = max(wanted, s[S_DT])
    s[S_DT_END] = min(wanted, LONGEST_STEP_S)
    _look(cells, p, C_U_END, C_THETA_END, s, S_OBS_END)
    s[S_STEPS] += 1.0
    return True


@njit
def _commit(cells: FloatArray, s: FloatArray, fluxes: FloatArray) -> None:
    """Make the end of the planned step the start of the next."""
    dt = s[S_END] - s[S_START]
    for i in range(cells.shape[1]):
        cells[C_RATE, i] = (cells[C_THETA_END, i] - cells[C_THETA, i]) / dt
        cells[C_URATE, i] = (cells[C_U_END, i] - cells[C_U, i]) / dt
        cells[C_U, i] = cells[C_U_END, i]
        cells[C_THETA, i] = cells[C_THETA_END, i]
        cells[C_UPTAKE, i] += cells[C_UPTAKE_STEP, i]
        cells[C_UPTAKE_STEP, i] = 0.0
    for j in range(FLUXES):
        fluxes[j] += (s[S_PLAN + j] - s[S_GIVEN + j]) * MM
        s[S_GIVEN + j] = 0.0
    for j in range(4):
        s[S_OBS + j] = s[S_OBS_END + j]
    s[S_POND] = s[S_POND_END]
    s[S_DEMAND] = s[S_DEMAND_END]
    s[S_DT] = s[S_DT_END]
    s[S_START] = s[S_END]
    s[S_SMOOTH] = 1.0


@njit
def _run(
    cells: FloatArray,
    s: FloatArray,
    p: FloatArray,
    tables: FloatArray,
    fluxes: FloatArray,
    until: float,
) -> bool:
    """Take steps until one reaches `until` [s]; leave the last as planned, not committed."""
    work = np.empty((WORK_ROWS, cells.shape[1]))
    while s[S_END] < until:
        if s[S_END] > s[S_START]:
            _commit(cells, s, fluxes)
        # no step crosses a whole hour: there weather changes, so no work is thrown away
        hour = (math.floor(s[S_START] / 3600.0) + 1.0) * 3600.0
        if not _plan(cells, s, p, tables, work, hour):
            return False
    return True


@njit
def _stop(
    cells: FloatArray, s: FloatArray, p: FloatArray, tables: FloatArray, fluxes: FloatArray
) -> bool:
    """End the planned step at S_NOW: where it goes further, repeat it up to there."""
    now = s[S_NOW]
    if s[S_END] > now:
        work = np.empty((WORK_ROWS, cells.shape[1]))
        s[S_END] = s[S_START]
        while s[S_START] < now:
            if not _plan(cells, s, p, tables, work, now):
                return False
            _commit(cells, s, fluxes)
    elif s[S_END] > s[S_START]:
        _commit(cells, s, fluxes)
    return True


@njit
def _force(
    cells: FloatArray,
    s: FloatArray,
    p: FloatArray,
    rain: float,
    irrigation: float,
    evaporation: float,
    transpiration: float,
    zr_m: float,
    wet_evaporation: float,
) -> None:
    """Begin a new forcing."""
    jump = abs(
        rain + irrigation - evaporation - (s[S_FORCING] + s[S_FORCING + 1] - s[S_FORCING + 2])
    )
    grown = zr_m != s[S_FORCING + 4]
    s[S_FORCING] = rain
    s[S_FORCING + 1] = irrigation
    s[S_FORCING + 2] = evaporation
    s[S_FORCING + 3] = transpiration
    s[S_FORCING + 4] = zr_m
    s[S_FORCING + 5] = wet_evaporation
    if rain > 0.0:
        s[S_WET] = 1.0
    elif irrigation > 0.0:
        s[S_WET] = p[P_WETTED]
    if grown:
        _set_roots(cells, s, p, zr_m)
        _look(cells, p, C_U, C_THETA, s, S_OBS)
    if jump > 0.0:
        s[S_DT] = max(min(s[S_DT], 0.2 * cells[C_DZ, 0] / jump), 1.0)
    s[S_SMOOTH] = 0.0


@njit
def _report(s: FloatArray, observed: FloatArray) -> None:
    """Observables at S_NOW, between the ends of the planned step."""
    x = 0.0
    if s[S_END] > s[S_START]:
        x = (s[S_NOW] - s[S_START]) / (s[S_END] - s[S_START])
    y = 1.0 - x
    root = y * s[S_OBS + 1] + x * s[S_OBS_END + 1]
    pond = y * s[S_POND] + x * s[S_POND_END]
    zr_m = s[S_FORCING + 4]
    observed[O_STORAGE] = (y * s[S_OBS] + x * s[S_OBS_END] + pond) * MM
    observed[O_PROBE] = y * s[S_OBS + 2] + x * s[S_OBS_END + 2]
    observed[O_THETA] = root / zr_m if zr_m > 0.0 else observed[O_PROBE]
    observed[O_FC] = s[S_FC] * MM
    observed[O_DR] = max(s[S_FC] - root, 0.0) * MM
    observed[O_TAW] = s[S_TAW] * MM
    observed[O_RAW] = s[S_DEPLETION] * s[S_TAW] * MM
    observed[O_KS] = s[S_KS]
    observed[O_POND] = pond * MM
    observed[O_HEAD] = y * s[S_OBS + 3] + x * s[S_OBS_END + 3]


@njit
def advance(
    first: int,
    stop: int,
    dt_s: float,
    cells: FloatArray,
    scalars: FloatArray,
    settings: FloatArray,
    tables: FloatArray,
    forcing: FloatArray,
    fluxes: FloatArray,
    observed: FloatArray,
) -> int:
    """Advance zones first..stop-1 by dt_s [s]; -1, or the zone that cannot be solved."""
    for zone in range(first, stop):
        c = cells[zone]
        s = scalars[zone]
        p = settings[zone]
        f = forcing[zone]
        out = fluxes[zone]
        depth = c[C_BOTTOM, c.shape[1] - 1]
        start = s[S_NOW]
        before = out[_TRANSPIRATION]
        # the call falls into up to three parts: before, during and after irrigation
        on = dt_s
        off = dt_s
        if f[F_IRRIGATION] > 0.0 and f[F_TO] > f[F_FROM]:
            on = min(max(f[F_FROM], 0.0), dt_s)
            off = min(max(f[F_TO], on), dt_s)
        for part in range(3):
            begin = 0.0
            end = on
            rate = 0.0
            if part == 1:
                begin = on
                end = off
                rate = f[F_IRRIGATION] * PER_MM_H
            elif part == 2:
                begin = off
                end = dt_s
            if end <= begin:
                continue
            rain = f[F_RAIN] * PER_MM_H
            evaporation = min(f[F_EVAPORATION], f[F_CAP]) * PER_MM_H
            transpiration = f[F_TRANSPIRATION] * PER_MM_H
            zr_m = min(f[F_ZR], depth)
            wet_evaporation = f[F_KC_MAX] * f[F_ET0] * PER_MM_H
            if (
                rain != s[S_FORCING]
                or rate != s[S_FORCING + 1]
                or evaporation != s[S_FORCING + 2]
                or transpiration != s[S_FORCING + 3]
                or zr_m != s[S_FORCING + 4]
                or wet_evaporation != s[S_FORCING + 5]
            ):
                if not _stop(c, s, p, tables, out):
                    return zone
                _force(c, s, p, rain, rate, evaporation, transpiration, zr_m, wet_evaporation)
            until = start + end
            if s[S_END] < until and not _run(c, s, p, tables, out, until):
                return zone
            s[S_NOW] = until
        x = (s[S_NOW] - s[S_START]) / (s[S_END] - s[S_START])
        for j in range(FLUXES):
            given = x * s[S_PLAN + j]
            out[j] += (given - s[S_GIVEN + j]) * MM
            s[S_GIVEN + j] = given
        potential = f[F_TRANSPIRATION] * dt_s / 3600.0
        if potential > 0.0:
            s[S_KS] = min(max((out[_TRANSPIRATION] - before) / potential, 0.0), 1.0)
        s[S_DEPLETION] = f[F_P]
        _report(s, observed[zone])
    return -1


@njit
def observe(scalars: FloatArray, observed: FloatArray) -> None:
    """Fill the observables without advancing."""
    for zone in range(scalars.shape[0]):
        _report(scalars[zone], observed[zone])
