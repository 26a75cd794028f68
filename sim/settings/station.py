"""Settings of what tells a node of the weather: rain gauge, forecast, source of reference ET."""

from __future__ import annotations

from pydantic import Field

from levada.sim.settings.base import Settings
from levada.sim.settings.probe import MmPerTip

__all__ = ["EtSource", "Forecast", "ZoneGauge"]


class ZoneGauge(Settings):
    """A tipping-bucket rain gauge on the node of the zone, sensor 4 of its guest. A node without
    power counts no tips."""

    mm_per_tip: MmPerTip = 0.2
    """Rain that tips the bucket once."""
    catch: float = Field(default=1.0, ge=0, le=2)
    """Share of the rain that it measures; wind costs 0.02 to 0.1 of it (WMO-No. 8, 2018, ch. 6)."""


class Forecast(Settings):
    """A forecast of the rain of the next 24 hours, sensor 5 of the guest, made of the scenario's
    own weather. It comes over the node's link. By default it is perfect; its errors are drawn by
    day."""

    hit_rate: float = Field(default=1.0, ge=0, le=1)
    """Share of the days with at least 1 mm of rain that it tells of; the others it calls dry."""
    false_alarm_ratio: float = Field(default=0.0, ge=0, le=0.9)
    """Share of the days that it calls rainy that stay dry."""
    amount_error: float = Field(default=0.0, ge=0, le=2)
    """Relative standard deviation of the amounts, which are right on average."""


class EtSource(Settings):
    """Reference ET of grass since the node asked last, sensor 6 of the guest: a weather station or
    a service. It comes over the node's link; what was missed while that was down comes later."""

    factor: float = Field(default=1.0, ge=0.1, le=3)
    """What it tells over the reference ET of the field: a station elsewhere, an uncalibrated
    formula."""
