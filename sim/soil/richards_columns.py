"""Columns of the arrays that `levada.sim.soil.richards_kernel` works on, and its constants."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from levada.sim.soil.hydraulics import INTERVALS, U_MIN
from levada.sim.soil.model import Flux, ForcingCol, Observed
from levada.sim.soil.uptake import ROOT_NODES

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
P_CRITICAL = 24  # critical stress index: below 1 uptake is compensated
P_STEEP = 25  # 1 if a layer is so steep that Newton's step must follow its powers
P_ROOTS = 26  # ROOT_NODES columns: cumulative root profile
SETTINGS = P_ROOTS + ROOT_NODES
FREE_DRAINAGE = 0
ZERO_FLUX = 1
FIXED_HEAD = 2
SEEPAGE_FACE = 3
# Columns of `tables`, shape (soils, INTERVALS + 1, 16): see levada.sim.soil.hydraulics.table; the
# last row of each holds theta, phi and K at saturation, theta_r and the steepest power of theta.
T_THETA = 0
T_RESIDUAL = 1
T_STEEPEST = 2
T_PHI = 4
T_K = 8
T_H = 12
PER_U = INTERVALS / -U_MIN
NEARLY = 1e-4  # residual from which one more Newton step meets TOLERANCE
TOLERANCE = 1e-6  # of theta(u) against the conserved theta
PER_STEEP = 1e3  # below d theta / d u = 1e-3 (near saturation) it shrinks in proportion
FLAT = 1e-7
STEEP_N = 5.0  # from this n on Newton's step in u is refined; below it converges without
DRY = 1e-12  # theta - theta_r below which rounding hides the slope
DRY_LIMIT = 1e-2  # least limit of a half empty cell of steep soil, whose u may be undetermined
BLEND = 2e-3  # share of the head by which two cells of steep soil differ when fully apart
LEAST_SLOPE = 1e-15  # d theta / d u of a pivot: where theta and K vanish, nothing else is left
LEAST_RATIO = 1e-9  # of the power after a step to that before
SMALLEST_K = 1e-100  # keeps ratios of conductivities finite in the driest sands
LONGEST_STEP_S = 3600.0
SHORTEST_STEP_S = 1e-3
FIRST_STEP_S = 60.0
MAX_ITERATIONS = 20
STEEP_ITERATIONS = 60
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
W_WETTING = 9  # power to follow when wetting, that of theta
W_DRYING = 10  # and when drying, between those of theta and K
WORK_ROWS = 11
Q_RAIN = int(Flux.RAIN_MM)
Q_IRRIGATION = int(Flux.IRRIGATION_MM)
Q_EVAPORATION = int(Flux.EVAPORATION_MM)
Q_TRANSPIRATION = int(Flux.TRANSPIRATION_MM)
Q_DRAINAGE = int(Flux.DRAINAGE_MM)
Q_RUNOFF = int(Flux.RUNOFF_MM)
FLUXES = 6
F_RAIN, F_IRRIGATION = int(ForcingCol.RAIN_MM_H), int(ForcingCol.IRRIGATION_MM_H)
F_FROM, F_TO = int(ForcingCol.IRRIGATION_FROM_S), int(ForcingCol.IRRIGATION_TO_S)
F_EVAPORATION, F_CAP = int(ForcingCol.EVAPORATION_MM_H), int(ForcingCol.EVAPORATION_CAP_MM_H)
F_TRANSPIRATION, F_ZR, F_P = (
    int(ForcingCol.TRANSPIRATION_MM_H),
    int(ForcingCol.ZR_M),
    int(ForcingCol.DEPLETION_FRACTION),
)
F_ET0, F_KC_MAX = int(ForcingCol.ET0_MM_H), int(ForcingCol.KC_MAX)
O_STORAGE, O_THETA, O_DR = int(Observed.STORAGE_MM), int(Observed.THETA_ROOT), int(Observed.DR_MM)
O_TAW, O_RAW, O_KS = int(Observed.TAW_MM), int(Observed.RAW_MM), int(Observed.KS)
O_PROBE, O_POND = int(Observed.THETA_PROBE), int(Observed.PONDING_MM)
O_HEAD, O_FC = int(Observed.HEAD_PROBE_M), int(Observed.FC_MM)
