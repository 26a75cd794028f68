"""Comparisons of the bucket with pyfao56 on two of its test seasons, as they were irrigated,
without irrigation and irrigated by a rule, in one soil and in layers; see `validation.comparison`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]  # pyfao56 takes its tables
import pyfao56

from levada.sim.crop.crop import forcing_by_hour
from levada.sim.soil.bucket import Bucket
from levada.sim.soil.model import (
    Flux,
    ForcingCol,
    Observed,
    new_fluxes,
    new_forcing,
    new_observed,
)
from validation.comparison import Comparison, figure
from validation.crop import (
    COTTON,
    MAIZE,
    Case,
    column,
    our_season,
    peer_inputs,
    peer_irrigation,
    rows,
)
from validation.soil_water import (
    DEPTHS_M,
    PROBED_M,
    ROOTED,
    THETA_FC,
    THETA_START,
    THETA_WP,
    measured,
    pyfao56_profile,
)

FloatArray = npt.NDArray[np.float64]
Irrigation = Literal["as given", "rainfed", "automatic"]
IRRIGATIONS: Final[tuple[Irrigation, ...]] = ("as given", "rainfed", "automatic")

BUCKET = "[bucket](models/bucket.md)"
STEP_S: Final = 600.0
"""Ours; theirs are days."""
ALLOWED: Final = 0.5
"""Depletion of TAW after which the rule waters (pyfao56's `mad`): back to field capacity, with
yesterday's ET of today's demand on top, which is that program's default."""
KA_FIRST: Final = 0.35
"""What the rule takes for yesterday's on the first day, pyfao56's Kcmini."""


class Profile(NamedTuple):
    """A layered soil, from the top; half of what plants can take is there at the start."""

    bottom_m: tuple[float, ...]
    theta_fc: tuple[float, ...]
    theta_wp: tuple[float, ...]

    @property
    def theta0(self) -> tuple[float, ...]:
        """Water content at the start."""
        pairs = zip(self.theta_fc, self.theta_wp, strict=True)
        return tuple(round((fc + wp) / 2.0, 4) for fc, wp in pairs)


COTTON_LAYERS = Profile(
    bottom_m=(0.20, 0.40, 0.60, 0.80, 1.00, 1.20, 1.40, 1.60, 1.80, 2.00),
    theta_fc=(0.292, 0.262, 0.242, 0.272, 0.238, 0.203, 0.227, 0.172, 0.208, 0.148),
    theta_wp=(0.111, 0.111, 0.104, 0.104, 0.084, 0.084, 0.084, 0.084, 0.071, 0.071),
)
"""Plot p06-1 of cotton at Maricopa, pyfao56's test data of 2018 (CC0)."""
MAIZE_LAYERS = Profile(bottom_m=DEPTHS_M, theta_fc=THETA_FC, theta_wp=THETA_WP)
"""Plot E42 at Greeley, 2023 (CC0)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A season by one of the programs; depths in mm."""

    depletion: FloatArray
    """At the end of each day."""
    irrigation: FloatArray
    """Of each day."""
    et: float
    evaporation: float
    drainage: float

    @property
    def events(self) -> int:
        """Days with irrigation."""
        return int((self.irrigation > 0.0).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """The same season by both."""

    irrigation: Irrigation
    layered: bool
    ours: Outcome
    theirs: Outcome

    @property
    def depletion_mm(self) -> float:
        """Largest difference of depletion on any day."""
        return float(np.max(np.abs(self.ours.depletion - self.theirs.depletion)))

    @property
    def totals(self) -> dict[str, tuple[float, float]]:
        """Totals of both [mm]."""
        mine, other = self.ours, self.theirs
        return {
            "et": (mine.et, other.et),
            "drainage": (mine.drainage, other.drainage),
            "irrigation": (float(mine.irrigation.sum()), float(other.irrigation.sum())),
        }


def peer(case: Case, irrigation: Irrigation, profile: Profile | None) -> Outcome:
    """The season by pyfao56; of layers, its mode with a soil profile."""
    lines = rows(case)
    parameters, weather = peer_inputs(case, lines, "S")
    keys = weather.wdata.index
    rule = layers = None
    if irrigation == "automatic":
        rule = pyfao56.AutoIrrigate()
        rule.addset(keys[0], keys[-1], mad=ALLOWED, fw=wetted(case))
    if profile is not None:
        layers = pyfao56.SoilProfile()
        layers.sdata = pd.DataFrame(
            {"thetaFC": profile.theta_fc, "thetaWP": profile.theta_wp, "theta0": profile.theta0},
            index=[round(100 * depth) for depth in profile.bottom_m],
        )
    given = peer_irrigation(lines) if irrigation == "as given" else None
    model = pyfao56.Model(
        keys[0], keys[-1], parameters, weather, irr=given, autoirr=rule, sol=layers
    )
    model.run()
    data = model.odata
    return Outcome(
        depletion=data["Dr"].to_numpy(float),
        irrigation=data["Irrig"].to_numpy(float),
        et=float(data["ETa"].sum()),
        evaporation=float(data["E"].sum()),
        drainage=float(data["DP"].sum()),
    )


def wetted(case: Case) -> float:
    """Part of the ground that the rule's irrigation wets: furrows of cotton, all of maize."""
    return 0.5 if case is COTTON else 1.0


def soil(case: Case, profile: Profile | None, *, adjusted: bool = True) -> Bucket:
    """The soil of a season; without layers roots grow into soil at field capacity, as in pyfao56.

    Without `adjusted` p is that of the forcing.
    """
    crop = case.crop
    deepest = crop.zr_max_m
    by_layer: dict[str, npt.ArrayLike] = {
        "theta_fc": case.theta_fc,
        "theta_wp": case.theta_wp,
        "theta": case.theta0,
        "theta_below": case.theta_fc,
    }
    if profile is not None:
        by_layer = {
            "bottom_m": [[min(depth, deepest) for depth in profile.bottom_m]],
            "theta_fc": [profile.theta_fc],
            "theta_wp": [profile.theta_wp],
            "theta": [profile.theta0],
            "theta_below": [profile.theta0],
        }
    return Bucket(
        1,
        profile_m=deepest,
        zr_m=crop.zr_min_m,
        depletion_fraction=crop.depletion_fraction if adjusted else None,
        ze_m=case.ze_m,
        rew_mm=case.rew_mm,
        de_mm=1000.0,  # at most what can evaporate: the surface is dry
        probe_depth_m=0.1,
        **by_layer,
    )


def season(
    case: Case,
    irrigation: Irrigation,
    profile: Profile | None,
    *,
    step_s: float = STEP_S,
    constant_p: bool = False,
) -> Outcome:
    """The season by our bucket, rain and irrigation spread over the day."""
    lines = rows(case)
    made = soil(case, profile, adjusted=not constant_p)
    grown = our_season(case, lines, constant_p=constant_p)
    hourly = forcing_by_hour(grown)
    forcing, fluxes, observed = new_forcing(1), new_fluxes(1), new_observed(1)
    made.observe(observed)
    depletion, water = np.empty(len(lines)), np.zeros(len(lines))
    ka = KA_FIRST
    for day, row in enumerate(lines):
        forcing[0] = hourly[24 * day]
        et0_mm = forcing[0, ForcingCol.ET0_DAY_MM]
        if irrigation == "as given" and float(row["wetted"]) > 0.0:
            water[day], made.wetted[0] = float(row["irrigation_mm"]), float(row["wetted"])
        elif irrigation == "automatic":
            dr, taw = observed[0, Observed.DR_MM], observed[0, Observed.TAW_MM]
            if dr / taw > ALLOWED:
                water[day], made.wetted[0] = dr + ka * et0_mm, wetted(case)
        forcing[0, ForcingCol.RAIN_MM_H] = float(row["rain_mm"]) / 24.0
        forcing[0, ForcingCol.IRRIGATION_MM_H] = water[day] / 24.0
        forcing[0, ForcingCol.IRRIGATION_TO_S] = step_s if water[day] > 0.0 else 0.0
        before = _et_mm(fluxes)
        for _ in range(round(86_400.0 / step_s)):
            made.advance(step_s, forcing, fluxes, observed)
        ka = (_et_mm(fluxes) - before) / et0_mm
        depletion[day] = observed[0, Observed.DR_MM]
    return Outcome(
        depletion=depletion,
        irrigation=water,
        et=_et_mm(fluxes),
        evaporation=float(fluxes[0, Flux.EVAPORATION_MM]),
        drainage=float(fluxes[0, Flux.DRAINAGE_MM]),
    )


def _et_mm(fluxes: FloatArray) -> float:
    return float(fluxes[0, Flux.EVAPORATION_MM] + fluxes[0, Flux.TRANSPIRATION_MM])


def layers_of(case: Case) -> Profile:
    """The layered soil that a season is repeated with."""
    return COTTON_LAYERS if case is COTTON else MAIZE_LAYERS


@cache
def pairs(name: str) -> tuple[Pair, ...]:
    """The six seasons of `cotton` or `maize`."""
    case = COTTON if name == "cotton" else MAIZE
    return tuple(
        Pair(
            irrigation=how,
            layered=profile is not None,
            ours=season(case, how, profile),
            theirs=peer(case, how, profile),
        )
        for profile in (None, layers_of(case))
        for how in IRRIGATIONS
    )


def _comparison(name: str, title: str, data: str, period: str) -> Comparison:
    found = pairs(name)
    worst = max(pair.depletion_mm for pair in found)
    off = max(
        abs(mine - other) / other
        for pair in found
        for mine, other in pair.totals.values()
        if other > 0.0
    )
    lines = [
        "| soil | irrigation | depletion, at most [mm] | ET [mm] | drainage [mm] "
        "| irrigation [mm] | waterings |",
        "|" + " --- |" * 7,
    ]
    for pair in found:
        cells = [f"{mine:.1f} / {other:.1f}" for mine, other in pair.totals.values()]
        lines.append(
            f"| {'layers' if pair.layered else 'one'} | {pair.irrigation} "
            f"| {pair.depletion_mm:.2f} | {' | '.join(cells)} "
            f"| {pair.ours.events} / {pair.theirs.events} |"
        )

    def draw(axes: Any) -> None:
        for at, pair in zip(axes, (found[0], found[-1]), strict=True):
            at.plot(pair.theirs.depletion, "k", lw=1.5, label="pyfao56")
            at.plot(pair.ours.depletion, "r--", lw=1, label="levada")
            at.set(xlabel="day of the season", ylabel="depletion [mm]")
            at.legend(fontsize=7)

    return Comparison(
        model=BUCKET,
        name=title,
        data=data,
        period=period,
        reference="pyfao56, its own test season; irrigated as it was, rainfed, automatic; one soil "
        "and layers",
        version=pyfao56.__version__,
        error=f"depletion: at most {worst:.2g} mm; totals: at most {100 * off:.1g} %; waterings: "
        "the same number",
        worst=worst,
        limit=0.5,
        figure=figure(f"pyfao56_{name}", draw, columns=2),
        note="levada in steps of ten minutes, pyfao56 in days; each cell levada / pyfao56. "
        "Drawn: one soil as it was irrigated; layers, irrigated by the rule.\n\n"
        + "\n".join(lines),
    )


def validate_cotton() -> Comparison:
    """Cotton in furrows and by drip, six times."""
    return _comparison(
        "cotton",
        "cotton, Maricopa",
        "200 days, each with its weather; ten layers of a plot there; six seasons",
        "2013",
    )


def validate_maize() -> Comparison:
    """Sprinkled maize, six times."""
    return _comparison(
        "maize",
        "maize, Greeley",
        "184 days, each with its weather; seven layers of the plot; six seasons",
        "2023",
    )


def water_by_layer() -> FloatArray:
    """Water contents of the layers of plot E42 at the end of every day, shape (days, layers).

    With the crop numbers, constant p and tall reference that the plot was published with.
    """
    lines = rows(MAIZE)
    case = replace(MAIZE, crop=MAIZE.crop.model_copy(update={"reference": "tall"}))
    made = Bucket(
        1,
        bottom_m=[DEPTHS_M],
        theta_fc=[THETA_FC],
        theta_wp=[THETA_WP],
        theta=[THETA_START],
        theta_below=[THETA_START],
        profile_m=DEPTHS_M[-1],
        zr_m=case.crop.zr_min_m,
        ze_m=case.ze_m,
        rew_mm=case.rew_mm,
        de_mm=1000.0,
        probe_depth_m=0.1,
    )
    hourly = forcing_by_hour(our_season(case, lines, constant_p=True))
    fluxes, observed = new_fluxes(1), new_observed(1)
    found = np.empty((len(lines), len(DEPTHS_M)))
    for day, water_mm in enumerate(column(lines, "irrigation_mm")):
        forcing = hourly[24 * day : 24 * day + 1].copy()
        forcing[0, ForcingCol.RAIN_MM_H] = float(lines[day]["rain_mm"]) / 24.0
        forcing[0, ForcingCol.IRRIGATION_MM_H] = water_mm / 24.0
        forcing[0, ForcingCol.IRRIGATION_TO_S] = 86_400.0 if water_mm > 0.0 else 0.0
        made.advance(86_400.0, forcing, fluxes, observed)
        found[day] = made.profile()[1][0]
    return found


def validate_measured_layers() -> Comparison:
    """Water contents of plot E42 by the bucket, beside those measured under maize."""
    days, water = measured()
    first = date.fromisoformat(rows(MAIZE)[0]["date"])
    at = np.array([(day - first).days for day in days])
    ours = water_by_layer()[:, :ROOTED]  # down to 75 cm the probe's layers are the soil's
    water = water[:, :ROOTED]
    thickness = np.diff(PROBED_M)[:ROOTED]
    weights = thickness / thickness.sum()
    off = ours[at] - water
    root, other = off @ weights, pyfao56_profile()[at] - water @ weights
    rms = float(np.sqrt(np.mean(root**2)))
    by_layer = ", ".join(
        f"{100 * top:.0f} to {100 * low:.0f} cm {np.sqrt(np.mean(layer**2)):.3f} "
        f"({np.mean(layer):+.3f})"
        for top, low, layer in zip(PROBED_M[:-1], PROBED_M[1:], off.T, strict=False)
    )

    def draw(axes: Any) -> None:
        for k, depth in ((0, "0 to 15 cm"), (1, "15 to 45 cm")):
            axes[k].plot(at, water[:, k], "ko", ms=3, label="measured")
            axes[k].plot(ours[:, k], "r", lw=1, label="levada, bucket")
            axes[k].set(xlabel="day from 2 May", ylabel=f"theta, {depth}")
            axes[k].legend(fontsize=7)

    return Comparison(
        model=BUCKET,
        name="layers measured under maize",
        data="USDA-ARS plot E42, Greeley: weather, irrigation, field capacity and wilting point of "
        f"seven layers; water contents on {len(days)} days; nothing fitted",
        period="2 May to 1 November 2023",
        reference="neutron probe and TDR (test data of pyfao56); pyfao56, layered",
        version=pyfao56.__version__,
        error=f"theta of 0 to 75 cm, RMS (bias): levada, bucket {rms:.3f} ({np.mean(root):+.3f}), "
        f"pyfao56 {np.sqrt(np.mean(other**2)):.3f} ({np.mean(other):+.3f}); {by_layer}",
        worst=rms,
        limit=0.015,
        figure=figure("bucket_maize", draw, columns=2),
        note="With the crop numbers, constant p and tall reference that its authors published for "
        "the plot. Layers fill from the top and are emptied by plants in proportion to what they "
        "hold: the top 15 cm stay wetter than measured, the layers below drier, which over the "
        "root zone cancels.",
        unseen=True,
    )
