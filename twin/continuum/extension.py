"""What fog and cloud add to a run, loaded only if a scenario has them."""

from __future__ import annotations

from levada.sim.run.runner import Extension
from levada.sim.scenario.model import Scenario

__all__ = ["extension"]


def extension(scenario: Scenario) -> Extension | None:
    """The chain through fog to the cloud; None: the scenario ends at the edge."""
    if scenario.fog is None:
        return None
    from levada.twin.continuum.chain import through_continuum

    return through_continuum
