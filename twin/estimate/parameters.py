"""What is uncertain of a zone: each with its prior, in the free variable that a filter may move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from levada.sim.soil.model import FloatArray

__all__ = ["PARAMETERS", "Parameter"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One uncertain number, kept between its bounds by a logit.

    The filter moves z = log((x - low) / (high - x)), whose prior is normal; `sd` is that of x to
    first order, at `mean`.
    """

    name: str
    meaning: str
    mean: float
    sd: float
    low: float
    high: float

    def free(self, value: FloatArray | float) -> FloatArray:
        """The free variable of a value within the bounds."""
        x = np.asarray(value, np.float64)
        return np.asarray(np.log((x - self.low) / (self.high - x)))

    def value(self, free: FloatArray) -> FloatArray:
        """The value of a free variable; it never leaves the bounds."""
        share = 1.0 / (1.0 + np.exp(-np.clip(free, -30.0, 30.0)))
        return np.asarray(self.low + (self.high - self.low) * share)

    def draw(self, normal: FloatArray) -> FloatArray:
        """Free variables of the prior by standard normal numbers."""
        slope = (self.high - self.low) / ((self.mean - self.low) * (self.high - self.mean))
        return np.asarray(self.free(self.mean) + self.sd * slope * normal)


def _of(
    name: str, meaning: str, mean: float, sd: float, low: float, high: float
) -> tuple[str, Parameter]:
    return name, Parameter(name=name, meaning=meaning, mean=mean, sd=sd, low=low, high=high)


PARAMETERS: dict[str, Parameter] = dict(
    (
        _of("theta_fc", "field capacity, times the scenario's", 1.0, 0.10, 0.6, 1.5),
        _of("theta_wp", "wilting point, times the scenario's", 1.0, 0.10, 0.6, 1.5),
        _of("initial", "available water at the start, times the scenario's", 1.0, 0.15, 0.3, 1.8),
        _of("kcb", "basal crop coefficient, times the scenario's", 1.0, 0.10, 0.6, 1.5),
        _of("roots", "depth of the roots, times the scenario's", 1.0, 0.15, 0.5, 1.6),
        _of("rain", "rain, times that of the weather", 1.0, 0.10, 0.5, 1.6),
        _of("et0", "reference ET, times that of the weather", 1.0, 0.05, 0.7, 1.4),
        _of("flow", "flow of the open valve, times the scenario's", 1.0, 0.10, 0.2, 1.5),
        _of("offset", "probe offset [m3 m-3]", 0.0, 0.02, -0.1, 0.1),
    )
)
"""Judgements, not measurements; docs/estimate.md says what each rests on."""
