"""What was learned of a zone in words, and as the lines of a scenario that would say so.

Nothing is applied: the lines are for whoever keeps the scenario to take over, or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from levada.sim.run import soils
from levada.sim.scenario.expand import ZoneConfig
from levada.twin.estimate.learn import Learned
from levada.twin.estimate.parameters import PARAMETERS

__all__ = ["Finding", "findings", "toml_lines"]

TOLD: Final = 0.85
"""Readings tell of a parameter if they bring its standard deviation below this share of the
prior's ..."""
MOVED: Final = 1.0
"""... and contradict the prior if the mean has moved by so many posterior standard deviations."""
_MORE_LESS: Final = {
    "theta_fc": ("the soil holds more water than", "the soil holds less water than"),
    "theta_wp": ("roots leave more water than", "roots leave less water than"),
    "initial": ("the soil was wetter at the start than", "the soil was drier at the start than"),
    "kcb": ("the crop needs more water than", "the crop needs less water than"),
    "roots": ("roots go deeper than", "roots stay shallower than"),
    "rain": ("more rain has fallen than", "less rain has fallen than"),
    "et0": ("more water evaporates than", "less water evaporates than"),
    "flow": ("the open valve gives more than", "the open valve gives less than"),
    "offset": ("the probe reads too wet for", "the probe reads too dry for"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One parameter before and after."""

    name: str
    meaning: str
    prior: tuple[float, float]
    """Mean and standard deviation of the ensemble."""
    posterior: tuple[float, float]
    told: bool
    """Whether the readings say something of it."""
    contradicts: bool
    """Whether they say something else than the scenario."""
    sentence: str


def findings(learned: Learned) -> list[Finding]:
    """What was learned of each parameter, in the order of `PARAMETERS`."""
    found = []
    for name, parameter in PARAMETERS.items():
        if name not in learned.prior:
            continue
        before, after = learned.prior[name], learned.posterior[name]
        mean, sd = float(after.mean()), float(after.std(ddof=1))
        told = sd < TOLD * float(before.std(ddof=1))
        contradicts = told and abs(mean - parameter.mean) > MOVED * sd
        found.append(
            Finding(
                name=name,
                meaning=parameter.meaning,
                prior=(float(before.mean()), float(before.std(ddof=1))),
                posterior=(mean, sd),
                told=told,
                contradicts=contradicts,
                sentence=_sentence(name, mean - parameter.mean, told, contradicts),
            )
        )
    return found


def _sentence(name: str, moved: float, told: bool, contradicts: bool) -> str:
    if not told:
        return "these readings do not tell"
    if not contradicts:
        return "as the scenario says, within the error"
    more, less = _MORE_LESS[name]
    return f"{more if moved > 0.0 else less} the scenario says"


def toml_lines(zone: ZoneConfig, found: Sequence[Finding]) -> list[str]:
    """Lines for the zone's table that set what contradicts the scenario, with the error as a
    comment; none for what has no key (rain, ET0, the probe's offset)."""
    by_name = {f.name: f for f in found if f.contradicts}
    lines = [*_soil_lines(zone, by_name)]
    crop = soils.crop(zone.crop)
    if "kcb" in by_name:
        for key in ("kcb_ini", "kcb_mid", "kcb_end"):
            lines.append(_line(f"crop.{key}", getattr(crop, key), by_name["kcb"], 2))
    if "roots" in by_name:
        lines.append(_line("crop.zr_max_m", crop.zr_max_m, by_name["roots"], 2))
    if "flow" in by_name:
        lines.append(_line("valve.flow_l_min", zone.valve.flow_l_min, by_name["flow"], 2))
    return lines


def _soil_lines(zone: ZoneConfig, by_name: dict[str, Finding]) -> Iterator[str]:
    layered = bool(zone.soil.layer)
    curves = [layer.has_curve for layer in zone.soil.layer] if layered else [False]
    for number, horizon in enumerate(soils.horizons(zone.soil)):
        if curves[number] or not {"theta_fc", "theta_wp"} & set(by_name):
            continue
        where = f"# layer {number + 1}: " if layered else "soil."
        for key in ("theta_fc", "theta_wp"):  # a soil has both or neither
            value = getattr(horizon, key)
            if key in by_name:
                yield _line(f"{where}{key}", value, by_name[key], 3)
            else:
                yield f"{where}{key} = {value:.3f}"
    initial = zone.soil.initial
    if "initial" in by_name and initial.available_pct is not None and len(initial.values) == 1:
        yield _line("soil.initial.available_pct", initial.values[0], by_name["initial"], 0)


def _line(key: str, value: float, finding: Finding, digits: int) -> str:
    mean, sd = finding.posterior
    return f"{key} = {value * mean:.{digits}f} # +- {value * sd:.{digits}f}, instead of {value:g}"
