"""Settings of random weather."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

__all__ = ["RainFactor", "WarmingC"]

RainFactor = Annotated[float, Field(ge=0, le=10)]
"""Amount of each rain relative to the fit."""
WarmingC = Annotated[float, Field(ge=-10, le=10)]
"""Added to every temperature."""
