"""Settings of a place on earth."""

from __future__ import annotations

from pydantic import Field

from levada.sim.settings.base import Settings

__all__ = ["Site"]


class Site(Settings):
    """Where weather is measured."""

    name: str = Field(default="", max_length=100)
    """For people."""
    latitude_deg: float = Field(ge=-90, le=90)
    """North is positive."""
    longitude_deg: float = Field(ge=-180, le=180)
    """East is positive."""
    elevation_m: float = Field(ge=-430, le=6000)
    """Above sea level."""
    utc_offset_h: float = Field(ge=-12, le=14)
    """Local standard time minus UTC, east positive; the files and every time here are in local
    standard time. That of a field is at most 3.5 h from the sun at `longitude_deg`."""
    wind_height_m: float = Field(default=2.0, ge=0.5, le=200)
    """Height at which the wind of a CSV file of levada's own was measured; files of others tell
    theirs."""
