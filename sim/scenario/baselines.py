"""The `[baselines]` table: controllers that run beside the guest, to hold it against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from levada.sim.scenario.config_table import Table
from levada.sim.settings.base import as_tuple
from levada.sim.settings.issue import Issue

__all__ = ["BASELINES", "Baseline", "Baselines"]

Baseline = Literal["rainfed", "calendar", "fao56", "optimum"]

BASELINES: Final[dict[str, str]] = {
    "rainfed": "rain alone: no irrigation",
    "calendar": "the farmer's calendar: the same depth at the same interval, whatever the weather",
    "fao56": "FAO-56 schedule: a water balance of weather and soil says when, and refills",
    "optimum": "perfect knowledge: sees the true soil and the weather to come",
}
"""Name -> what it does."""


class Baselines(Table):
    """Controllers on the same field, weather and valves, without faults and without a probe; each
    costs a further run of the plant, `optimum` ten or more."""

    run: Annotated[tuple[Baseline, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (
        "rainfed",
        "calendar",
        "fao56",
        "optimum",
    )
    """Which."""
    hour: int = Field(default=6, ge=0, le=23)
    """Hour of the day at which they decide, once a day."""
    allowed_depletion: float | None = Field(default=None, ge=0.05, le=0.95)
    """`fao56`: management allowed depletion, share of the available water of the root zone;
    without it, p of the crop for the day, so that irrigation begins where stress would."""
    application_efficiency: float | None = Field(default=None, ge=0.2, le=1)
    """`fao56`: net over gross depth that it counts on; without it, what wind and sun leave of
    sprinkled water in the hour of the decision."""
    interval_d: int | None = Field(default=None, ge=1, le=60)
    """`calendar`: days between irrigations, from planting to harvest; without it, how long
    `depth_mm` lasts at the mean demand of mid-season."""
    depth_mm: float | None = Field(default=None, gt=0, le=500)
    """`calendar`: gross depth of each; without it, the readily available water of the full-grown
    roots."""

    def troubles(self) -> Iterator[Issue]:
        """Each once, and no key of one that does not run."""
        if len(set(self.run)) != len(self.run):
            yield Issue(("run",), f"`run` = {list(self.run)}: each permitted once")
        for key, owner in _OF.items():
            if getattr(self, key) is not None and owner not in self.run:
                yield Issue((key,), f'`{key}` has no effect: "{owner}" is not in `run`')


_OF: Final[dict[str, Baseline]] = {
    "allowed_depletion": "fao56",
    "application_efficiency": "fao56",
    "interval_d": "calendar",
    "depth_mm": "calendar",
}
