"""The common base of all tables of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from levada.sim.scenario.diagnostics import Issue, refusal

__all__ = ["Table"]


class Table(BaseModel):
    """Frozen; unknown keys, conversions of type, NaN and infinity are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def troubles(self) -> Iterator[Issue]:
        """What is wrong between the keys of this table; asked when each key is right by itself."""
        return iter(())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(self.troubles())
        if found:
            raise refusal(*found)
        return self
