"""Errors of the package `sim`; the tree of all stands in `levada.guest.errors`."""

from __future__ import annotations

from levada.guest.errors import LevadaError
from levada.guest.exit_codes import Exit

__all__ = ["PeriodError", "SettingError", "SimError", "SoilError", "WeatherError"]


class SimError(LevadaError):
    """Base of the errors of the simulation and of its files."""

    exit_code = Exit.BAD_INPUT


class SettingError(SimError, ValueError):
    """A setting is out of its range, or contradicts another one."""


class SoilError(SimError):
    """The soil model cannot solve an interval.

    `time_s` is the model time at which it gave up, `zone` and `cell` (both from 0) are where the
    balance was violated most.
    """

    exit_code = Exit.INTERNAL

    def __init__(self, detail: str, *, time_s: float, zone: int, cell: int) -> None:
        self.detail = detail
        self.time_s = time_s
        self.zone = zone
        self.cell = cell
        super().__init__(f"soil of zone {zone} at {time_s:.3f} s, cell {cell}: {detail}")


class WeatherError(SimError, ValueError):
    """A weather file or a period of it cannot be used; `line` is 0 if it is none in particular."""

    def __init__(self, path: str, line: int, found: str, allowed: str) -> None:
        self.path, self.line, self.found, self.allowed = path, line, found, allowed
        place = f"{path}:{line}" if line else path
        super().__init__(f"{place}: {found}; {allowed}")


class PeriodError(WeatherError):
    """A weather file does not cover the period that is asked for."""
