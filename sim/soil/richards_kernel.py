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

from levada.guest.fast.jit import njit, njit_owning
from levada.sim.soil.richards_columns import (
    C_BOTTOM,
    C_DZ,
    C_FC,
    C_PROBE,
    C_RATE,
    C_ROOT,
    C_THETA,
    C_THETA_END,
    C_U,
    C_U_END,
    C_UPTAKE,
    C_UPTAKE_STEP,
    C_URATE,
    C_WP,
    C_ZONE,
    F_CAP,
    F_ET0,
    F_EVAPORATION,
    F_FROM,
    F_IRRIGATION,
    F_KC_MAX,
    F_P,
    F_RAIN,
    F_TO,
    F_TRANSPIRATION,
    F_ZR,
    FLUXES,
    LONGEST_STEP_S,
    MM,
    O_DR,
    O_FC,
    O_HEAD,
    O_KS,
    O_POND,
    O_PROBE,
    O_RAW,
    O_STORAGE,
    O_TAW,
    O_THETA,
    P_PROBE_CELL,
    P_ROOTS,
    P_TOLERANCE,
    P_WETTED,
    PER_MM_H,
    Q_TRANSPIRATION,
    S_DEMAND,
    S_DEMAND_END,
    S_DEPLETION,
    S_DT,
    S_DT_END,
    S_END,
    S_FC,
    S_FORCING,
    S_GIVEN,
    S_KS,
    S_NOW,
    S_OBS,
    S_OBS_END,
    S_PLAN,
    S_POND,
    S_POND_END,
    S_REFUSED,
    S_SMOOTH,
    S_START,
    S_STEPS,
    S_TAW,
    S_WET,
    SHORTEST_STEP_S,
    WORK_ROWS,
    FloatArray,
)
from levada.sim.soil.richards_fluxes import head_m
from levada.sim.soil.richards_newton import solve
from levada.sim.soil.uptake import ROOT_NODES

__all__ = ["advance", "report"]


@njit
def _set_roots(cells: FloatArray, s: FloatArray, p: FloatArray, zr_m: float) -> None:
    """Spread the roots over the cells; field capacity and available water of the root zone.

    Bookkeeping: available water is FAO-56 Eq. 82 summed over the cells, the roots' share of a cell
    is what the profile of `levada.sim.soil.uptake` gains between its upper and its lower face.
    """
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
    s[at + 3] = head_m(cells[u, int(p[P_PROBE_CELL])])


@njit
def _plan(
    cells: FloatArray, s: FloatArray, p: FloatArray, tables: FloatArray, w: FloatArray, until: float
) -> bool:
    """Plan a step from S_START, at most up to `until` [s]; False if it cannot be solved.

    The error of a step is taken as Kavetski, Binning and Sloan (2001), Int. J. Numer. Methods Eng.
    53:1301-1322, do: half the change of the rate over it.  The bounds of the next step are ours.
    """
    n = cells.shape[1]
    left = until - s[S_START]
    dt = s[S_DT]
    if left < 1.3 * dt:
        dt = left
    elif left < 2.0 * dt:
        dt = 0.5 * left
    tolerance = p[P_TOLERANCE]
    while True:
        if not solve(cells, s, p, tables, w, dt):
            s[S_REFUSED] += 1.0
            dt *= 0.3
            if dt < SHORTEST_STEP_S:
                return False
            continue
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


@njit_owning
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


@njit_owning
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
def report(s: FloatArray, observed: FloatArray) -> None:
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
        before = out[Q_TRANSPIRATION]
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
            s[S_KS] = min(max((out[Q_TRANSPIRATION] - before) / potential, 0.0), 1.0)
        s[S_DEPLETION] = f[F_P]
        report(s, observed[zone])
    return -1
