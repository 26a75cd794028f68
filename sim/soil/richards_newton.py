"""One step of Richards' equation: Newton's method over all cells of a column.

Fluxes between cells, at the surface and at the bottom are those of `richards_fluxes`; equations and
their sources stand in `richards_kernel`.
"""

from __future__ import annotations

import math

from levada.guest.fast.jit import njit
from levada.sim.soil.hydraulics import U_MIN
from levada.sim.soil.richards_columns import (
    C_DINV,
    C_DZ,
    C_DZINV,
    C_ROOT,
    C_SOIL,
    C_THETA,
    C_THETA_END,
    C_U,
    C_U_END,
    C_UPTAKE_STEP,
    C_URATE,
    DEMAND_MEMORY_S,
    FLAT,
    MAX_CHANGE_U,
    MAX_ITERATIONS,
    NEARLY,
    P_GRAVITY,
    P_POND_MAX,
    P_SURFACE,
    PER_STEEP,
    Q_DRAINAGE,
    Q_EVAPORATION,
    Q_IRRIGATION,
    Q_RAIN,
    Q_RUNOFF,
    Q_TRANSPIRATION,
    S_AIRLESS,
    S_DEMAND,
    S_DEMAND_END,
    S_ERROR_CELL,
    S_ERROR_SIZE,
    S_FORCING,
    S_ITERATIONS,
    S_PLAN,
    S_POND,
    S_POND_END,
    S_SMOOTH,
    S_WET,
    TOLERANCE,
    W_GAMMA,
    W_RAW,
    W_RHS,
    W_SLOPE,
    W_STEP,
    W_THETA,
    W_U,
    W_UPTAKE,
    W_UPTAKE_SLOPE,
    FloatArray,
)
from levada.sim.soil.richards_fluxes import (
    between_soils,
    bottom_face,
    potential_evaporation,
    root_uptake,
    soil_at,
    surface_flux,
    wilting_head,
    within_soil,
)

__all__ = ["solve"]


@njit
def _begin(cells: FloatArray, s: FloatArray, w: FloatArray, dt: float) -> None:
    """First iterate: where the last step was heading, if the forcing went on as it was."""
    for i in range(cells.shape[1]):
        guess = 0.0
        if s[S_SMOOTH] > 0.0:
            guess = min(max(cells[C_URATE, i] * dt, -0.2), 0.2)
        w[W_U, i] = max(cells[C_U, i] + guess, U_MIN)


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

    It is the mixed form of Celia, Bouloutas and Zarba (1990) by finite volumes and backward Euler,
    with the sink of Feddes, Kowalik and Zaradny (1978).
    Returns the largest residual in units of its cell's limit, the sum of all (NaN if any is), the
    uptake [m s-1], flux through top and bottom with their derivatives, and the change of the last
    cell's u.  S_ERROR_CELL and S_ERROR_SIZE say which cell is worst.
    """
    last = cells.shape[1] - 1
    demand = s[S_FORCING + 3]
    gravity = p[P_GRAVITY]
    worst, worst_cell, total = 0.0, 0, 0.0
    uptake, airless = 0.0, 0.0
    q_top, dq_top = 0.0, 0.0
    # values of the cell above, and derivatives of the flux from it by its u and by this one's
    above = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    soil0 = -1
    limit0 = 1.0
    # row of the cell above, waiting for its lower face
    diag0, rest0, lower0 = 0.0, 0.0, 0.0
    gamma, rhs = 0.0, 0.0
    for i in range(last + 1):
        u = w[W_U, i]
        soil = int(cells[C_SOIL, i])
        theta, dtheta, phi, dphi, k, dk, h, dh = soil_at(tables, soil, u)
        here = (h, phi, k, dh, dphi, dk)
        # flux through the upper face and its derivatives by u above and here
        if i == 0:
            q, dq_here = surface_flux(h, phi, k, dphi, dk, dh, 2.0 / cells[C_DZ, 0], dt, s, p)
            dq_above = 0.0
            q_top = q
            dq_top = min(dq_here, 0.0)
        else:
            dinv = cells[C_DINV, i - 1]
            gap = h - above[0]
            if soil != soil0:
                part = cells[C_DZ, i - 1] / (cells[C_DZ, i - 1] + cells[C_DZ, i])
                mean, dmean_above, dmean_here = between_soils(
                    tables, soil0, soil, w[W_U, i - 1], u, part
                )
                drop = gravity - gap * dinv
                q = mean * drop
                dq_above = dmean_above * drop + mean * above[3] * dinv
                dq_here = dmean_here * drop - mean * dh * dinv
            else:
                q, dq_above, dq_here = within_soil(gap, dinv, gravity, above, here)
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
            take, dtake, short = root_uptake(demand * cells[C_ROOT, i], h, dh, h3, p)
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
    q_bottom, dq_bottom = bottom_face(above, cells[C_DINV, last], p)
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
def solve(
    cells: FloatArray, s: FloatArray, p: FloatArray, tables: FloatArray, w: FloatArray, dt: float
) -> bool:
    """One backward Euler step of `dt` [s] from the start state into the end state.

    False if Newton's method does not converge; S_ERROR_CELL then says where.
    """
    n = cells.shape[1]
    h3 = wilting_head(s, p)
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
    evaporation = potential_evaporation(s) * dt
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
    s[S_PLAN + Q_RAIN] = rain
    s[S_PLAN + Q_IRRIGATION] = irrigation
    s[S_PLAN + Q_EVAPORATION] = evaporation
    s[S_PLAN + Q_TRANSPIRATION] = uptake * dt
    s[S_PLAN + Q_DRAINAGE] = q_bottom * dt
    s[S_PLAN + Q_RUNOFF] = runoff
    weight = math.exp(-dt / DEMAND_MEMORY_S)
    s[S_DEMAND_END] = s[S_FORCING + 3] + weight * (s[S_DEMAND] - s[S_FORCING + 3])
