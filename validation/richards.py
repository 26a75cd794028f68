"""Comparisons of `levada.sim.soil.richards` with known answers; see `validation.comparison`.

All references are computed here from the formulae of van Genuchten and Mualem themselves, by
quadrature, never from the tables of the solver; or they are numbers another program printed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from levada.sim.soil.column import Column
from levada.sim.soil.hydraulics import FloatArray, VanGenuchten, head_of, transform
from levada.sim.soil.model import Flux
from levada.sim.soil.richards_profile import Bottom, InitialProfile, Layer, Surface
from levada.sim.units import DAY_S
from validation.comparison import Comparison, figure

MODEL = "[Richards](models/richards.md)"

Times = tuple[float, float, float]

# Celia et al. (1990): soil of New Mexico
NEW_MEXICO = VanGenuchten(
    theta_r=0.102, theta_s=0.368, alpha_per_m=3.35, n=2.0, ks_m_d=0.00922 * 864.0
)
# Vanderborght et al. (2005), Table 2
SAND = VanGenuchten(theta_r=0.045, theta_s=0.43, alpha_per_m=15.0, n=3.0, ks_m_d=10.0)
LOAM = VanGenuchten(theta_r=0.08, theta_s=0.43, alpha_per_m=4.0, n=1.6, ks_m_d=0.5)
CLAY = VanGenuchten(theta_r=0.1, theta_s=0.4, alpha_per_m=1.0, n=1.1, ks_m_d=0.1)


def column(
    soils: list[tuple[float, VanGenuchten]], cells: Any, head_m: float, **settings: Any
) -> Column:
    """A column with a uniform initial head [m]; `soils` are thicknesses [m] and materials."""
    layers = [
        # field capacity plays no part here
        Layer(thickness_m=d, soil=s, theta_wp=s.theta_r, theta_fc=s.theta_s)
        for d, s in soils
    ]
    settings.setdefault("initial", InitialProfile(quantity="head_m", values=(head_m,)))
    return Column(layers, cells=cells, **settings)


def even(depth_m: float, cells: int) -> FloatArray:
    """Faces of equal cells [m]."""
    return np.linspace(0.0, depth_m, cells + 1)


def front_m(depths_m: FloatArray, values: FloatArray, level: float) -> float:
    """Depth [m] at which a profile that falls with depth passes a level."""
    i = int(np.argmax(values < level))
    share = (values[i - 1] - level) / (values[i - 1] - values[i])
    return float(depths_m[i - 1] + share * (depths_m[i] - depths_m[i - 1]))


# ----------------------------------------------------------------------- exact solutions


def validate_hydrostatic() -> Comparison:
    """Three layers over a water table stay as they are: h = z - z_table."""
    run = column(
        [(0.3, LOAM), (0.5, SAND), (1.2, CLAY)],
        50,
        0.0,
        initial=InitialProfile(quantity="water_table_m", values=(1.5,)),
        bottom=Bottom(kind="head", head_m=0.5),
    ).run({}, np.array([0.0, 30.0]) * DAY_S)
    off = float(np.max(np.abs(run.head_m[-1] - (run.depths_m - 1.5))))
    return Comparison(
        model=MODEL,
        name="hydrostatic equilibrium",
        data="loam, sand, clay, water table at 1.5 m, 50 graded cells",
        period="30 d",
        reference="h = z - 1.5 m",
        version="-",
        error=f"head {off:.1g} m",
        worst=off,
        limit=1e-6,
    )


def validate_unit_gradient() -> Comparison:
    """Rain at K(h) on a uniform h, free drainage: nothing changes and all of it drains."""
    worst = 0.0
    for soil in (SAND, LOAM, CLAY):
        rate = float(soil.conductivity_m_d(-0.5)) * 1000.0 / 24.0
        run = column([(2.0, soil)], 50, -0.5).run({"rain_mm_h": rate}, [0.0, 30.0 * DAY_S])
        worst = max(
            worst,
            float(np.max(np.abs(run.head_m[-1] + 0.5))),
            abs(run.fluxes_mm[:, Flux.DRAINAGE_MM].sum() / (rate * 720.0) - 1.0),
        )
    return Comparison(
        model=MODEL,
        name="unit gradient",
        data="sand, loam, clay at h = -0.5 m, rain at K(h), 50 graded cells",
        period="30 d",
        reference="h stays, drainage = rain",
        version="-",
        error=f"head (m) and drainage (relative) {worst:.1g}",
        worst=worst,
        limit=1e-3,
    )


def steady_profile(
    layers: list[tuple[float, VanGenuchten]], q_m_d: float, bottom_head_m: float, steps: int = 20000
) -> tuple[FloatArray, FloatArray]:
    """Depths and heads [m] of steady flow q (down) through layers, up from the bottom head.

    dh/dz = 1 - q/K(h), fourth-order Runge-Kutta; a layer boundary is met exactly.
    """
    z = float(sum(d for d, _ in layers))
    h = bottom_head_m
    depths, heads = [z], [h]
    for thickness, soil in reversed(layers):
        dz = thickness / steps

        def slope(head: float, soil: VanGenuchten = soil) -> float:
            return q_m_d / float(soil.conductivity_m_d(head)) - 1.0

        for _ in range(steps):
            a = slope(h)
            b = slope(h + 0.5 * dz * a)
            c = slope(h + 0.5 * dz * b)
            d = slope(h + dz * c)
            h += dz * (a + 2.0 * b + 2.0 * c + d) / 6.0
            z -= dz
            depths.append(z)
            heads.append(h)
    return np.array(depths[::-1]), np.array(heads[::-1])


def validate_layered_steady_flow() -> Comparison:
    """Steady infiltration of 0.5 cm/d through two layers (Vanderborght et al. 2005, Table 3)."""
    rate = 0.005
    cases = {
        "loam over sand": [(0.5, LOAM), (1.5, SAND)],
        "sand over loam": [(0.5, SAND), (1.5, LOAM)],
        "clay over sand": [(0.5, CLAY), (1.5, SAND)],
    }
    worst = 0.0
    profiles = {}
    for name, layers in cases.items():
        below = layers[-1][1]
        heads = head_of(np.linspace(-12.0, 0.0, 100_001))
        bottom = float(np.interp(rate, below.conductivity_m_d(heads), heads))
        exact = steady_profile(layers, rate, bottom, steps=1500)
        run = column(layers, 50, bottom).run(
            {"rain_mm_h": rate * 1000.0 / 24.0}, np.array([0.0, 500.0, 1000.0]) * DAY_S
        )
        theirs = np.interp(run.depths_m, *exact)
        worst = max(worst, float(np.max(np.abs(run.head_m[-1] - theirs))))
        profiles[name] = (exact, run)

    def draw(axes: Any) -> None:
        for (name, (exact, run)), color in zip(profiles.items(), "brg", strict=True):
            axes.plot(exact[1] * 100, exact[0] * 100, color, lw=1, label=name)
            axes.plot(run.head_m[-1] * 100, run.depths_m * 100, color + ".", ms=3)
        axes.set(xlabel="head [cm]", ylabel="depth [cm]", ylim=(200, 0))
        axes.legend()

    return Comparison(
        model=MODEL,
        name="steady flow through layers",
        data="0.5 cm/d through loam/sand, sand/loam, clay/sand (0.5 + 1.5 m), 50 graded cells",
        period="steady state",
        reference="Vanderborght et al. 2005 (Vadose Zone J. 4:206-221), integral of "
        "dh/dz = 1 - q/K(h) by Runge-Kutta",
        version="-",
        error=f"head at most {worst * 100:.2g} cm",
        worst=worst,
        limit=0.02,
        figure=figure("richards_layers", draw),
        note="Lines: integral. Points: the 50 cells.",
    )


def steady_evaporation_m_d(soil: VanGenuchten, table_m: float, dry_head_m: float) -> float:
    """Steady evaporation [m/d] from a water table, surface at a dry head: the root of
    L = integral of dh / (1 + e/K(h)) over suction (Gardner 1958, Soil Sci. 85:228-232)."""
    u = np.linspace(float(transform(dry_head_m)), 0.0, 50_001)
    h = head_of(u)
    k = soil.conductivity_m_d(h)

    def height(rate: float) -> float:
        f = 1.0 / (1.0 + rate / k)
        return float(np.sum(0.5 * (f[1:] + f[:-1]) * np.diff(h)))

    low, high = 1e-9, 10.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if height(middle) > table_m else (low, middle)
    return low


def validate_steady_evaporation() -> Comparison:
    """Evaporation from water tables at 0.2 to 1.5 m, limited by what the soil delivers."""
    deep = (0.5, 0.75, 1.0, 1.5)
    # sand a metre above water evaporates some nm a day and never gets steady
    soils = {"sand": (SAND, (0.2, 0.3, 0.4, 0.5)), "loam": (LOAM, deep), "clay": (CLAY, deep)}
    worst = 0.0
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in soils}
    for name, (soil, tables) in soils.items():
        for table in tables:
            exact = steady_evaporation_m_d(soil, table, -1000.0) * 1000.0
            run = column(
                [(table, soil)],
                50,
                0.0,
                top_cell_m=0.002,
                initial=InitialProfile(quantity="water_table_m", values=(table,)),
                bottom=Bottom(kind="head"),
                surface=Surface(minimum_head_m=-1000.0),
            ).run({"evaporation_mm_h": 50.0}, np.array([0.0, 999.0, 1000.0]) * DAY_S)
            ours = float(run.fluxes_mm[-1, Flux.EVAPORATION_MM])
            results[name].append((table, exact, ours))
            worst = max(worst, abs(ours / exact - 1.0))

    def draw(axes: Any) -> None:
        for (name, rows), color in zip(results.items(), "brg", strict=True):
            table, exact, ours = np.array(rows).T
            axes.semilogy(table, exact, color, lw=1, label=name)
            axes.semilogy(table, ours, color + "o", ms=4)
        axes.set(xlabel="depth of the water table [m]", ylabel="evaporation [mm/d]")
        axes.legend()

    return Comparison(
        model=MODEL,
        name="steady evaporation",
        data="sand, loam, clay, water table at 0.2 to 1.5 m, surface at -1000 m, 50 cells",
        period="steady state (1000 d)",
        reference="Gardner 1958: L = integral dh/(1 + e/K), by quadrature",
        version="-",
        error=f"rate at most {worst * 100:.2g} %",
        worst=worst,
        limit=0.02,
        figure=figure("richards_steady_evaporation", draw),
    )


# ------------------------------------------------------------------------- infiltration


def modified_picard(
    soil: VanGenuchten, heads: tuple[float, float, float], depth_m: float, nodes: int, dt_s: float
) -> tuple[FloatArray, FloatArray]:
    """Depths and heads [m] after one day by the modified Picard scheme of Celia et al. (1990).

    Programmed again from the paper: nodes at both ends, K by arithmetic mean, `heads` at the
    start, top and bottom.  Slow and plain on purpose.
    """
    z = np.linspace(0.0, depth_m, nodes)
    dz = z[1] - z[0]
    h = np.full(nodes, heads[0])
    h[0], h[-1] = heads[1], heads[2]
    per_s = 1.0 / DAY_S
    eps = 1e-6
    for _ in range(round(DAY_S / dt_s)):
        old = soil.theta(h)
        for _iteration in range(50):
            k = soil.conductivity_m_d(h) * per_s
            mean = 0.5 * (k[1:] + k[:-1])
            capacity = (soil.theta(h + eps) - soil.theta(h - eps)) / (2.0 * eps)
            flux = -mean * (np.diff(h) / dz - 1.0)
            residual = (soil.theta(h) - old)[1:-1] / dt_s + np.diff(flux) / dz
            change = _thomas(
                -mean[:-1] / dz**2,
                capacity[1:-1] / dt_s + (mean[1:] + mean[:-1]) / dz**2,
                -mean[1:] / dz**2,
                -residual,
            )
            h[1:-1] += change
            if float(np.max(np.abs(change))) < 1e-5:
                break
    return z, h


def _thomas(lower: FloatArray, diag: FloatArray, upper: FloatArray, rhs: FloatArray) -> FloatArray:
    a, b, c, r = lower.tolist(), diag.tolist(), upper.tolist(), rhs.tolist()
    for i in range(1, len(b)):
        w = a[i] / b[i - 1]
        b[i] -= w * c[i - 1]
        r[i] -= w * r[i - 1]
    x = [0.0] * len(b)
    x[-1] = r[-1] / b[-1]
    for i in range(len(b) - 2, -1, -1):
        x[i] = (r[i] - c[i] * x[i + 1]) / b[i]
    return np.array(x)


def validate_celia() -> Comparison:
    """Infiltration into dry soil, New Mexico (Celia et al. 1990), from 2.5 cm down."""
    level = -5.0  # half of the jump, in the steepest part

    def ours(cells: int) -> Any:
        return column(
            [(1.0, NEW_MEXICO)],
            even(1.0, cells),
            -10.0,
            surface=Surface(head_m=-0.75),
            bottom=Bottom(kind="head", head_m=-10.0),
            theta_error=1e-4,
        ).run({}, [0.0, DAY_S])

    theirs = modified_picard(NEW_MEXICO, (-10.0, -0.75, -10.0), 1.0, 401, 60.0)
    coarse_theirs = modified_picard(NEW_MEXICO, (-10.0, -0.75, -10.0), 1.0, 41, 60.0)
    reference = front_m(*theirs, level)
    runs = {cells: ours(cells) for cells in (40, 80, 160, 320)}
    fronts = {cells: front_m(run.depths_m, run.head_m[-1], level) for cells, run in runs.items()}
    infiltrated = {cells: float(run.flow_mm[:, 0].sum()) for cells, run in runs.items()}
    off = abs(fronts[320] - reference)

    def draw(axes: Any) -> None:
        axes.plot(theirs[1], theirs[0] * 100, "k", lw=1, label="modified Picard, 0.25 cm")
        axes.plot(coarse_theirs[1], coarse_theirs[0] * 100, "k--", lw=1, label="same, 2.5 cm")
        for cells, style in ((40, "ro"), (320, "b-")):
            run = runs[cells]
            axes.plot(
                run.head_m[-1], run.depths_m * 100, style, ms=3, lw=1, label=f"{100 / cells:g} cm"
            )
        axes.set(xlabel="head [m]", ylabel="depth [cm]", ylim=(100, 0))
        axes.legend()

    rows = "\n".join(
        f"| {100 / n:g} | {fronts[n] * 100:.2f} | {infiltrated[n]:.3f} |" for n in runs
    )
    return Comparison(
        model=MODEL,
        name="Celia's infiltration into dry soil",
        data="New Mexico soil, h = -10 m, surface at -0.75 m, 100 cm",
        period="1 d",
        reference="modified Picard scheme of Celia et al. 1990 (Water Resour. Res. 26:1483-1496), "
        "programmed again, 0.25 cm and 60 s",
        version="-",
        error=f"front {off * 100:.2g} cm at 0.31 cm, "
        f"{abs(fronts[40] - reference) * 100:.2g} cm at 2.5 cm",
        worst=off,
        limit=0.005,
        figure=figure("richards_celia", draw),
        note="Convergence with the cell size (front at h = -5 m; the scheme of the paper has it "
        f"at {reference * 100:.2f} cm with 0.25 cm and at "
        f"{front_m(*coarse_theirs, level) * 100:.2f} cm with 2.5 cm). The paper prints its result "
        "as Figure 6 only; the scheme was therefore programmed again rather than the figure read "
        "off.\n\n"
        f"| cell [cm] | front [cm] | infiltrated [mm] |\n| --- | --- | --- |\n{rows}",
    )


def travelling_wave(
    soil: VanGenuchten, initial_m: float, surface_m: float
) -> tuple[FloatArray, FloatArray, float]:
    """Shape and speed of an infiltration front far from the surface.

    Water contents, their distance [m] below that of the mean water content, and speed [m/d]
    (Philip 1957; Vanderborght et al. 2005, Eq. 56 to 60), the integral over head instead of theta.
    """
    u = np.linspace(float(transform(initial_m)) + 1e-6, float(transform(surface_m)) - 1e-6, 200_001)
    h = head_of(u)
    theta, k = soil.theta(h), soil.conductivity_m_d(h)
    low, high = float(soil.theta(initial_m)), float(soil.theta(surface_m))
    k_low = float(soil.conductivity_m_d(initial_m))
    k_high = float(soil.conductivity_m_d(surface_m))
    rise, k_rise = high - low, k_high - k_low
    f = rise * k / (k_rise * (theta - low) - (k - k_low) * rise)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (f[1:] + f[:-1]) * np.diff(h))])
    distance = np.interp(0.5 * (low + high), theta, integral) - integral
    return theta, distance, k_rise / rise


def validate_infiltration_fronts() -> Comparison:
    """Infiltration into sand, loam and clay at h = -400 cm (Vanderborght et al. 2005, Fig. 4)."""
    # sand takes 100 cm/d unsaturated: K(h) = 1 m/d
    heads = head_of(np.linspace(-6.0, 0.0, 100_001))
    sand_head = float(np.interp(1.0, SAND.conductivity_m_d(heads), heads))
    cases: tuple[tuple[str, VanGenuchten, float, dict[str, float], Surface, Times], ...] = (
        ("sand", SAND, sand_head, {"rain_mm_h": 1000.0 / 24.0}, Surface(), (0.1, 0.2, 0.3)),
        ("loam", LOAM, 0.0, {}, Surface(head_m=0.0), (0.2, 0.5, 1.0)),
        ("clay", CLAY, 0.0, {}, Surface(head_m=0.0), (0.1, 0.2, 0.5)),
    )
    drawn = []
    speeds, shapes = [], []
    for name, soil, surface_head, forcing, surface, days in cases:
        theta, distance, speed = travelling_wave(soil, -4.0, surface_head)
        middle = 0.5 * (float(soil.theta(-4.0)) + float(soil.theta(surface_head)))
        run = column([(2.0, soil)], even(2.0, 400), -4.0, surface=surface).run(
            forcing, np.array([0.0, *days]) * DAY_S
        )
        fronts = [front_m(run.depths_m, run.theta[k], middle) for k in (1, 2, 3)]
        speeds.append(abs((fronts[2] - fronts[1]) / (days[2] - days[1]) / speed - 1.0))
        exact = np.interp(run.depths_m - fronts[2], distance[::-1], theta[::-1])
        shapes.append(float(np.sqrt(np.mean((exact - run.theta[3]) ** 2))))
        drawn.append((name, run, fronts, theta, distance))

    def draw(axes: Any) -> None:
        for axis, (name, run, fronts, theta, distance) in zip(axes, drawn, strict=True):
            for k, front in enumerate(fronts):
                axis.plot(theta, (distance + front) * 100, "k", lw=1)
                axis.plot(run.theta[k + 1][::4], run.depths_m[::4] * 100, "r.", ms=3)
            axis.set(title=name, xlabel="theta", ylim=(200, 0))
        axes[0].set(ylabel="depth [cm]")

    return Comparison(
        model=MODEL,
        name="infiltration fronts",
        data="sand (100 cm/d), loam and clay (saturated surface) from h = -400 cm, 0.5 cm cells",
        period="0.3, 1 and 0.5 d",
        reference="travelling wave, Vanderborght et al. 2005, Eq. 56 to 60",
        version="-",
        error=f"speed at most {max(speeds) * 100:.2g} %, shape (RMS of theta) {max(shapes):.2g}",
        worst=max(speeds),
        limit=0.002,
        figure=figure("richards_fronts", draw, columns=3),
        note="Lines: the analytical wave, laid through the depth of the mean water content. "
        "Points: every fourth cell. Speed is that of the mean water content between the last two "
        "times; it is not fitted.",
    )


# HYDRUS-1D 4 (Simunek, van Genuchten, Sejna), as printed in Nod_inf of the test case "Hammel, loam"
# that the authors of LWFBrook90.jl keep beside their program (github.com/fabern/LWFBrook90.jl,
# commit 87c0567): theta at five depths [mm] by day; 101 nodes 20 mm apart, theta = 0.160248 at the
# start, 100 mm of rain on the second day, free drainage.
HYDRUS_LOAM = VanGenuchten(
    theta_r=0.061, theta_s=0.399, alpha_per_m=1.11732, n=1.47231, ks_m_d=0.120504
)
HYDRUS_DEPTHS_MM = (100, 300, 500, 1000, 1500)
HYDRUS_THETA = {
    3: (0.3321, 0.3304, 0.3013, 0.1605, 0.1605),
    5: (0.3032, 0.3035, 0.2903, 0.1605, 0.1605),
    10: (0.2770, 0.2788, 0.2728, 0.1829, 0.1605),
    20: (0.2568, 0.2587, 0.2563, 0.2202, 0.1606),
    50: (0.2345, 0.2364, 0.2362, 0.2237, 0.1848),
}


def validate_hydrus() -> Comparison:
    """A day of rain on loam and 48 days of redistribution, beside HYDRUS-1D."""
    run = column(
        [(2.0, HYDRUS_LOAM)],
        even(2.0, 100),
        0.0,
        initial=InitialProfile(quantity="theta", values=(0.160248,)),
    ).run({"rain_mm_h": [0.0, 100.0 / 24.0, *[0.0] * 48]}, np.arange(51.0) * DAY_S)
    depths = np.array(HYDRUS_DEPTHS_MM) / 1000.0
    off = {
        day: np.interp(depths, run.depths_m, run.theta[day]) - np.array(theta)
        for day, theta in HYDRUS_THETA.items()
    }
    worst = max(float(np.max(np.abs(row))) for row in off.values())
    rms = float(np.sqrt(np.mean(np.array(list(off.values())) ** 2)))

    def draw(axes: Any) -> None:
        for (day, theta), color in zip(HYDRUS_THETA.items(), "bcgmr", strict=True):
            axes.plot(run.theta[day], run.depths_m * 100, color, lw=1, label=f"day {day}")
            axes.plot(theta, depths * 100, color + "o", ms=4)
        axes.set(xlabel="theta", ylabel="depth [cm]", ylim=(200, 0))
        axes.legend()

    return Comparison(
        model=MODEL,
        name="rain and redistribution",
        data="loam, 2 m, 100 mm in a day, free drainage, 2 cm cells",
        period="50 d",
        reference="HYDRUS-1D, output kept by LWFBrook90.jl (commit 87c0567)",
        version="4",
        error=f"theta at most {worst:.2g}, RMS {rms:.1g}",
        worst=worst,
        limit=0.006,
        figure=figure("richards_hydrus", draw),
        note="Lines: levada. Points: HYDRUS-1D. Its hydraulic functions are interpolated between "
        "100 tabulated heads; already before any rain its theta is 2.5e-4 above the one given.",
    )


# ----------------------------------------------------------------- evaporation, kept unseen


def desorptivity(soil: VanGenuchten, initial_m: float, surface_m: float) -> float:
    """Desorptivity [m d^-1/2] after Lockington (1994, Water Resour. Res. 30:177-181).

    As in Vanderborght et al. (2005), Eq. 39 to 43; integrals of the diffusivity over the scaled
    water content between surface and initial one, taken over head.
    """
    u = np.linspace(float(transform(surface_m)), float(transform(initial_m)), 400_001)
    h = head_of(u)
    theta = soil.theta(h)
    scaled = (theta - theta[0]) / (theta[-1] - theta[0])
    weight = soil.conductivity_m_d(h) / (theta[-1] - theta[0])  # D dTheta = K dh / range

    def integral(f: FloatArray) -> float:
        return float(np.sum(0.5 * (f[1:] + f[:-1]) * np.diff(h)))

    whole = integral(weight)
    beta = (integral(scaled * weight) / whole) ** 2
    alpha = integral((1.0 - beta * scaled) ** 2 * weight) / whole
    bracket = 1.0 - alpha / (1.0 - beta) ** 2
    mu = 3.0 * beta * (1.0 + (1.0 - 14.0 / 9.0 * bracket) ** 0.5) / (2.0 * (beta - 1.0) * bracket)
    return float((theta[-1] - theta[0]) * (4.0 / mu * whole) ** 0.5)


def validate_evaporation() -> Comparison:
    """Drying of bare soil from a uniform head (Vanderborght et al. 2005, Fig. 5)."""
    cases = (
        ("sand", SAND, -0.4, 1.0, 1.0),
        ("loam 1", LOAM, -2.0, 1.0, 10.0),
        ("loam 2", LOAM, -2.0, 3.0, 2.0),
        ("clay", CLAY, -2.0, 3.0, 6.0),
    )
    drawn, totals = [], []
    for name, soil, head, potential, days in cases:
        s = desorptivity(soil, head, -100.0) * 1000.0  # mm d^-1/2
        switch = s**2 / (2.0 * potential**2)
        times = np.linspace(0.0, days, 201)
        after = np.maximum(times - switch, 0.0)
        # Eq. 44 to 47, integrated over time
        exact = np.where(
            times < switch,
            potential * times,
            potential * switch + s * (np.sqrt(0.5 * switch + after) - np.sqrt(0.5 * switch)),
        )
        both = []
        for gravity in (1.0, 0.0):
            run = column(
                [(1.0, soil)],
                50,
                head,
                top_cell_m=0.001,
                surface=Surface(minimum_head_m=-100.0),
                bottom=Bottom(kind="free_drainage"),
                gravity=gravity,
            ).run({"evaporation_mm_h": potential / 24.0}, times * DAY_S)
            ours = np.concatenate([[0.0], np.cumsum(run.fluxes_mm[:, Flux.EVAPORATION_MM])])
            both.append(float(ours[-1] / exact[-1] - 1.0))
        totals.append((name, both[0], both[1]))
        rate = np.diff(exact) / np.diff(times)
        drawn.append((name, times[1:], rate, np.diff(ours) / np.diff(times)))

    def draw(axes: Any) -> None:
        for axis, (name, times, exact, ours) in zip(axes, drawn, strict=True):
            axis.plot(times, exact, "k", lw=1)
            axis.plot(times[::4], ours[::4], "r.", ms=3)
            axis.set(title=name, xlabel="d")
        axes[0].set(ylabel="evaporation [mm/d]")

    worst = max(abs(error) for _, _, error in totals)
    return Comparison(
        model=MODEL,
        name="drying of bare soil",
        data="sand, loam (twice), clay from h = -40 or -200 cm, 1 or 3 mm/d, surface at -100 m, "
        "50 cells from 1 mm",
        period="1 to 10 d",
        reference="desorptivity of Lockington 1994, Vanderborght et al. 2005, Eq. 39 to 47",
        version="-",
        error="total " + ", ".join(f"{name} {error * 100:+.1f} %" for name, error, _ in totals),
        worst=worst,
        limit=0.02,
        figure=figure("richards_evaporation", draw, columns=4),
        unseen=True,
        note="Line: analytical. Points: levada without gravity. The analytical solution is "
        "approximate (its author gives about 1 %) and leaves gravity out; the table above has "
        "gravity, which at -40 cm drains the sand while it dries. Without gravity: "
        + ", ".join(f"{name} {error * 100:+.1f} %" for name, _, error in totals)
        + ". Seen once the solver was finished: its first run gave the numbers of the table; "
        "gravity became an option to find the reason.",
    )
