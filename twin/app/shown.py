"""What the page shows: a twin, the continuum, or both; they have one store."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from levada.guest.module.inspect import ModuleInfo
from levada.sim.scenario.model import Scenario
from levada.twin.calibration.dry_run import DryRun
from levada.twin.continuum.view import ContinuumView
from levada.twin.snapshot import View
from levada.twin.store.store import Store

__all__ = ["Continuum", "Shown", "Subject"]


class Subject(Protocol):
    """A twin."""

    store: Store
    scenario: Scenario
    info: ModuleInfo

    @property
    def view(self) -> View:
        """What is to be seen now."""

    def calibrate(
        self,
        zone: str,
        values: Mapping[str, int],
        *,
        who: str,
        seen: Mapping[str, int] | None = None,
        expires_s: float | None = None,
    ) -> Future[dict[str, int]]:
        """Change parameters."""

    def try_out(self, zone: str, values: Mapping[str, int], days: int) -> DryRun:
        """What a change would have done over the last days."""


class Continuum(Protocol):
    """The tiers above the nodes."""

    store: Store

    @property
    def view(self) -> ContinuumView:
        """What is to be seen now."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown; one of the two is there."""

    twin: Subject | None
    continuum: Continuum | None

    @property
    def store(self) -> Store:
        """Where both read."""
        subject = self.twin or self.continuum
        assert subject is not None
        return subject.store
