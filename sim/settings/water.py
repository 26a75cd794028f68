"""Settings of water on its way: sprinklers, runoff by curve number, yield and its response."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from levada.sim.settings.base import as_tuple

__all__ = [
    "Abstraction",
    "CurveNumber",
    "Ky",
    "KyStages",
    "Moisture",
    "SprayDrift",
    "YieldTHa",
]

Moisture = Literal["five-day-rain", "dry", "average", "wet"]
"""How antecedent moisture is known."""
CurveNumber = Annotated[float, Field(ge=1, le=100)]
"""Of average antecedent moisture."""
Abstraction = Annotated[float, Field(ge=0, le=0.5)]
"""Initial abstraction as a share of the retention S."""
SprayDrift = Literal["none", "solid-set", "moving-lateral"]
"""Formula of wind drift and evaporation losses."""
Ky = Annotated[float, Field(ge=0, le=3)]
"""A yield response factor."""
KyStages = Annotated[tuple[Ky, Ky, Ky], BeforeValidator(as_tuple)]
"""Those of the vegetative stage, of mid-season and of the late season."""
YieldTHa = Annotated[float, Field(gt=0, le=500)]
"""Yield of a crop that never lacks water."""
