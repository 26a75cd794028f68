"""One step of Richards' equation: Newton's method over all cells of a column.

Fluxes between cells, at the surface and at the bottom are those of `richards_fluxes`; equations and
their sources stand in `richards_kernel`.
"""

from __future__ import annotations

import math

from levada.guest.fast.jit import njit, njit_inline
from levada.sim.soil.hydraulics import INTERVALS, U_MIN
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
    DRY,
    DRY_LIMIT,
    FLAT,
    LEAST_RATIO,
    LEAST_SLOPE,
    MAX_CHANGE_U,
    MAX_ITERATIONS,
    NEARLY,
    P_CRITICAL,
    P_GRAVITY,
    P_POND_MAX,
    P_STEEP,
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
    SMALLEST_K,
    STEEP_ITERATIONS,
    T_RESIDUAL,
    T_STEEPEST,
    T_THETA,
    TOLERANCE,
    W_DRYING,
    W_GAMMA,
    W_RAW,
    W_RHS,
    W_SLOPE,
    W_STEP,
    W_THETA,
    W_U,
    W_UPTAKE,
    W_UPTAKE_SLOPE,
    W_WETTING,
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
    within_steep_soil,
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
def _compensated(
    cells: FloatArray, p: FloatArray, tables: FloatArray, w: FloatArray, h3: float, demand: float
) -> tuple[float, float]:
    """What all roots together are asked for [m s-1], and how much of a lack remains.

    Jarvis (1989): the demand over max(omega, omega_c), where omega is the share of it that the
    roots can take where they are.
    """
    omega = 0.0
    for i in range(cells.shape[1]):
        if cells[C_ROOT, i] > 0.0:
            h = soil_at(tables, int(cells[C_SOIL, i]), w[W_U, i])[6]
            omega += root_uptake(cells[C_ROOT, i], h, 0.0, h3, p)[0]
    if omega >= 1.0:
        return demand, 1.0
    asked = demand / max(omega, p[P_CRITICAL])
    return asked, (demand - omega * asked) / (asked * (1.0 - omega))


@njit
def _note_powers(
    w: FloatArray, tables: FloatArray, soil: int, i: int, k: float, dk: float
) -> float:
    """Note of which powers of exp(u) theta - theta_r and K of a cell nearly are.

    In dry soil these are n - 1 and (n - 1) l + 2 n (van Genuchten 1980, Eq. 3 and 8).  Returns the
    least limit of the residual: u of a cell that holds nothing above theta_r is undetermined.
    """
    row = tables[soil, INTERVALS]
    held = w[W_RAW, i] - row[T_RESIDUAL]
    of_theta = row[T_STEEPEST]
    if held > DRY:
        of_theta = min(w[W_SLOPE, i] / held, of_theta)
    w[W_WETTING, i] = of_theta
    w[W_DRYING, i] = dk / (k + SMALLEST_K)
    return DRY_LIMIT if 2.0 * held < row[T_THETA] - row[T_RESIDUAL] else 0.0


@njit
def _mix_powers(w: FloatArray, i: int, stored: float, per_uptake: float) -> None:
    """When drying, the power between those of theta, of K and of uptake, which is none.

    As far as the pivot comes from storage, the share `stored`, from fluxes, and from uptake, whose
    slope times `per_uptake` is its share.
    """
    stored = min(max(stored, 0.0), 1.0)
    taken = min(max(w[W_UPTAKE_SLOPE, i] * per_uptake, 0.0), 1.0 - stored)
    w[W_DRYING, i] = stored * w[W_WETTING, i] + (1.0 - stored - taken) * w[W_DRYING, i]


@njit_inline
def _from_above(
    cells: FloatArray,
    tables: FloatArray,
    w: FloatArray,
    i: int,
    soil0: int,
    soil: int,
    gravity: float,
    steep: bool,
    above: tuple[float, float, float, float, float, float],
    here: tuple[float, float, float, float, float, float],
) -> tuple[float, float, float]:
    """Flux [m s-1] into cell i from the one above, and its derivatives by u above and here."""
    dinv = cells[C_DINV, i - 1]
    gap = here[0] - above[0]
    if soil == soil0:
        if steep:
            return within_steep_soil(gap, dinv, gravity, above, here)
        return within_soil(gap, dinv, gravity, above, here)
    part = cells[C_DZ, i - 1] / (cells[C_DZ, i - 1] + cells[C_DZ, i])
    mean, dmean_above, dmean_here = between_soils(
        tables, soil0, soil, w[W_U, i - 1], w[W_U, i], part
    )
    drop = gravity - gap * dinv
    return (
        mean * drop,
        dmean_above * drop + mean * above[3] * dinv,
        dmean_here * drop - mean * here[3] * dinv,
    )


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
    with the sink of Feddes, Kowalik and Zaradny (1978), compensated after Jarvis (1989).
    Returns the largest residual in units of its cell's limit, the sum of all (NaN if any is), the
    uptake [m s-1], flux through top and bottom with their derivatives, and the change of the last
    cell's u.  S_ERROR_CELL and S_ERROR_SIZE say which cell is worst.
    """
    last = cells.shape[1] - 1
    steep = p[P_STEEP] > 0.0
    demand = s[S_FORCING + 3]
    asked, missing = demand, 1.0
    if p[P_CRITICAL] < 1.0 and demand > 0.0:
        asked, missing = _compensated(cells, p, tables, w, h3, demand)
    worst, worst_cell, total = 0.0, 0, 0.0
    uptake, airless, stored0 = 0.0, 0.0, 0.0
    # values of the cell above, and derivatives of the flux from it by its u and by this one's
    above = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    soil0, limit0 = -1, 1.0
    # row of the cell above, waiting for its lower face
    diag0, rest0, lower0, gamma, rhs = 0.0, 0.0, 0.0, 0.0, 0.0
    # how far a flux may grow with u below and still count, or shrink with u above: not at all keeps
    # the pivots positive, but lets Newton's method stall where K doubles within a cell
    most = 1e300 if steep else 0.0
    for i in range(last + 1):
        u = w[W_U, i]
        soil = int(cells[C_SOIL, i])
        theta, dtheta, phi, dphi, k, dk, h, dh = soil_at(tables, soil, u)
        here = (h, phi, k, dh, dphi, dk)
        # flux through the upper face and its derivatives by u above and here
        if i == 0:
            q, dq_here = surface_flux(h, phi, k, dphi, dk, dh, 2.0 / cells[C_DZ, 0], dt, s, p)
            dq_above = 0.0
            q_top, dq_top = q, min(dq_here, 0.0)
        else:
            q, dq_above, dq_here = _from_above(
                cells, tables, w, i, soil0, soil, p[P_GRAVITY], steep, above, here
            )
            # the row above is complete now
            r = rest0 + q * dt
            diag = max(diag0 + max(dq_above, -most) * dt, stored0)
            upper = min(dq_here, most) * dt
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
            if steep:
                _mix_powers(w, i - 1, stored0 / diag, dt / diag)
        # this row so far: storage, uptake and the upper face
        take, dtake = 0.0, 0.0
        if demand > 0.0:
            take, dtake, short = root_uptake(asked * cells[C_ROOT, i], h, dh, h3, p)
            airless += short
        uptake += take
        w[W_UPTAKE, i] = take
        w[W_UPTAKE_SLOPE, i] = dtake
        w[W_RAW, i] = theta
        w[W_SLOPE, i] = dtheta
        w[W_THETA, i] = theta
        dz = cells[C_DZ, i]
        rest0 = dz * (theta - cells[C_THETA, i]) + (take - q) * dt
        diag0 = dz * max(dtheta, LEAST_SLOPE) + (dtake - min(dq_here, most)) * dt
        lower0 = -max(dq_above, -most) * dt
        above = here
        soil0 = soil
        limit0 = dz * min(1.0, max(dtheta, FLAT) * PER_STEEP)
        if steep:
            stored0 = dz * max(dtheta, LEAST_SLOPE)
            limit0 = max(limit0, dz * _note_powers(w, tables, soil, i, k, dk))
    q_bottom, dq_bottom = bottom_face(above, cells[C_DINV, last], p)
    r = rest0 + q_bottom * dt
    total += r
    if abs(r) > worst * limit0:
        worst = abs(r) / limit0
        worst_cell = last
    w[W_THETA, last] -= r * cells[C_DZINV, last]
    diag = diag0 + dq_bottom * dt
    if steep:
        diag = max(diag, stored0)
        _mix_powers(w, last, stored0 / diag, dt / diag)
    s[S_AIRLESS] = missing * (airless / demand) if demand > 0.0 else 0.0
    s[S_ERROR_CELL] = worst_cell
    s[S_ERROR_SIZE] = worst
    change = (-r - lower0 * rhs) / (diag - lower0 * gamma)
    return worst, total, uptake, q_top, dq_top, q_bottom, dq_bottom, change


@njit
def _substitute_back(w: FloatArray, n: int, change: float, iteration: int, steep: bool) -> bool:
    """The other half: new u of all cells; false if any did not take Newton's full step.

    In `steep` soil theta and K are nearly powers of exp(u), and a tangent leaves them far behind:
    the step is the one that solves for the power, as if theta or K were the unknown (Forsyth, Wu
    and Pruess 1995, Adv. Water Resour. 18:25-38, switch between head and saturation for that).
    """
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
        if steep and u < 0.0:
            power = w[W_WETTING, i] if step > 0.0 else w[W_DRYING, i]
            if power > 1.0:
                step = math.log(max(1.0 + power * step, LEAST_RATIO)) / power
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
    steep = p[P_STEEP] > 0.0
    # a last step that is linear closes the balance only if the Jacobian is whole, but compensated
    # uptake of a cell depends on all others, and pivots of steep soil are bounded
    linear = p[P_CRITICAL] >= 1.0 and not steep
    _begin(cells, s, w, dt)
    for iteration in range(STEEP_ITERATIONS if steep else MAX_ITERATIONS):
        worst, total, uptake, q_top, dq_top, q_bottom, dq_bottom, change = _sweep(
            cells, s, p, tables, w, dt, h3
        )
        s[S_ITERATIONS] += 1.0
        if not math.isfinite(total):
            s[S_ERROR_SIZE] = math.nan
            for i in range(n - 1, -1, -1):
                if not math.isfinite(w[W_THETA, i]):
                    s[S_ERROR_CELL] = i
            return False
        if worst <= TOLERANCE:
            _accept(cells, w, dt)
            _close(s, p, dt, q_top, q_bottom, uptake)
            return True
        # A Newton step from here leaves about twenty times the square of this residual: good
        # enough to be the last, with all fluxes linear in it, unless a cell meets a kink.
        full = _substitute_back(w, n, change, iteration, steep)
        if full and linear and worst <= NEARLY:
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
