"""The common base of the tables of a scenario that no model shares."""

from __future__ import annotations

from levada.sim.settings.base import Settings

__all__ = ["Table"]


class Table(Settings):
    """A table of the scenario file."""
