"""Settings of soil probes and of the rain gauge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from levada.sim.settings.base import Settings
from levada.sim.settings.issue import Issue

__all__ = ["ADC_MAX", "PRESETS", "MmPerTip", "Probe"]

# compiled into the kernels, whose cache (levada.guest.fast.jit) therefore watches this file
ADC_MAX: Final = 4095
"""Largest count of a 12-bit converter."""

MmPerTip = Annotated[float, Field(ge=0.01, le=10)]
"""Rain that tips the bucket of a gauge once."""

PRESETS: Final[dict[str, dict[str, object]]] = {
    "ideal": {},
    "realistic": {
        "curve": "inverse",
        "noise_counts": 3.0,
        "ends_scatter_counts": 72.0,
        "theta_error": 0.05,
        "temperature_counts_per_c": -1.0,
        "electronics_counts_per_c": 0.5,
    },
}
"""What of a probe's keys differs from the defaults; sources: docs/models/probe.md."""


class Probe(Settings):
    """The soil probe of a zone and how it turns water into counts of a 12-bit converter."""

    kind: Literal["capacitive", "tensiometer"] = "capacitive"
    """`capacitive` measures water content, `tensiometer` suction (needs `richards`)."""
    preset: Literal["ideal", "realistic"] = "ideal"
    """Decides the defaults of the keys below: `ideal` is as good as its calibration, `realistic`
    a capacitive probe v1.2 (SEN0193) as published measurements found it."""
    depth_m: float = Field(default=0.15, gt=0, le=5)
    """Centre of the support volume."""
    half_height_m: float = Field(default=0.05, ge=0, le=1)
    """Half the height of the support volume."""
    dry_counts: float = Field(default=3000.0, ge=0, le=ADC_MAX)
    """Counts at `theta_dry`; a tensiometer: at `range_kpa`."""
    wet_counts: float = Field(default=1300.0, ge=0, le=ADC_MAX)
    """Counts at `theta_wet`; a tensiometer: at no suction."""
    theta_dry: float = Field(default=0.0, ge=0, le=1)
    """Water content at the dry end of the calibration."""
    theta_wet: float = Field(default=0.45, ge=0, le=1)
    """Water content at the wet end of the calibration."""
    curve: Literal["linear", "inverse", "topp"] = "linear"
    """Between the ends: straight in water content; `inverse`, as measured of probes v1.2; or
    straight in permittivity after Topp (1980)."""
    ends_scatter_counts: float = Field(default=0.0, ge=0, le=500)
    """Standard deviation of each end from probe to probe, drawn once a zone; the node does not
    know."""
    theta_error: float = Field(default=0.0, ge=0, le=0.2)
    """Standard deviation of the water content by which this soil seems wetter or drier, drawn once
    a zone; the node does not know."""
    range_kpa: float = Field(default=80.0, ge=1, le=200)
    """Suction at which air enters a tensiometer; it reads no drier."""
    temperature_counts_per_c: float = Field(default=0.0, ge=-100, le=100)
    """Change of the reading with soil temperature."""
    electronics_counts_per_c: float = Field(default=0.0, ge=-100, le=100)
    """Change of the reading with the temperature of the electronics, which is that of the air."""
    reference_c: float = Field(default=20.0, ge=-40, le=85)
    """Temperature of the calibration."""
    noise_counts: float = Field(default=4.0, ge=0, le=ADC_MAX)
    """Standard deviation of one reading."""
    drift_counts_per_day: float = Field(default=0.0, ge=-ADC_MAX, le=ADC_MAX)
    """Steady drift from the start."""
    ageing_per_year: float = Field(default=0.0, ge=0, le=1)
    """Share of the span lost in a year, seen from the dry end."""
    warmup_counts: float = Field(default=0.0, ge=-ADC_MAX, le=ADC_MAX)
    """Offset at power-up, fading exponentially."""
    warmup_s: float = Field(default=1.0, ge=0.001, le=86_400)
    """Time constant of the fading."""
    adc_bits: int = Field(default=12, ge=4, le=12)
    """Effective resolution."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        preset = data.get("preset")
        return {**PRESETS.get(preset, {}), **data} if isinstance(preset, str) else data

    def troubles(self) -> Iterator[Issue]:
        """A calibration that can be turned around, and a preset that is of this kind."""
        if self.kind == "tensiometer" and self.preset != "ideal":
            yield Issue(
                ("preset",),
                f'`preset` = "{self.preset}": that of a capacitive probe, not of a tensiometer',
            )
            return
        if abs(self.dry_counts - self.wet_counts) < 1:
            yield Issue(
                ("wet_counts",),
                f"`wet_counts` = {self.wet_counts:g} counts: equals `dry_counts`",
            )
        if self.theta_wet - self.theta_dry < 0.01:
            yield Issue(
                ("theta_wet",),
                f"`theta_wet` = {self.theta_wet}: must be at least 0.01 above `theta_dry` = "
                f"{self.theta_dry}",
            )
