"""How a module goes to a fleet: the table `[rollout]` of a TOML file, and its `[[rollout.abort]]`.

The words are those of AWS IoT Jobs (JobExecutionsRolloutConfig, AbortConfig, TimeoutConfig), in
lower case; groups with a success threshold are those of hawkBit's rollouts.  `VALVE_TIME` and
`STRESS` are ours: a module that runs without a fault may still irrigate too much or too little.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from levada.hil.update.states import FailureType
from levada.sim.quantities import ExactDuration
from levada.sim.scenario.config_table import Table
from levada.sim.settings.base import as_tuple
from levada.sim.settings.issue import Issue
from levada.twin.continuum.config import Given, read_config

__all__ = ["AGRONOMIC", "AbortCriterion", "RolloutSettings", "read_rollout"]

Criterion = Literal["FAILED", "REJECTED", "TIMED_OUT", "ALL", "VALVE_TIME", "STRESS"]
AGRONOMIC: Final = frozenset({"VALVE_TIME", "STRESS"})
"""Failures of the field rather than of the update: what an updated node does too much."""
_DAY: Final = timedelta(days=1)


class AbortCriterion(Table):
    """When a rollout is stopped; the nodes that have not begun keep their module."""

    failure_type: Criterion = "ALL"
    """`FAILED`, `REJECTED`, `TIMED_OUT`, any of them (`ALL`); of updated nodes `VALVE_TIME`, their
    valve is open longer than `limit` a day, or `STRESS`, they are too dry longer than `limit`."""
    threshold_percentage: float = Field(default=10.0, gt=0.0, le=100.0)
    """Share of the nodes that have come to an end, from which on it is stopped [%]."""
    min_executed: int = Field(default=10, ge=1, le=1_000_000)
    """Nodes that have come to an end before the share counts."""
    action: Literal["CANCEL"] = "CANCEL"
    """Nothing more begins; what is under way comes to its end."""
    limit: ExactDuration | None = None
    """Of `VALVE_TIME` and `STRESS`: time a day."""

    def troubles(self) -> Iterator[Issue]:
        """A limit where there is something to limit, and only there."""
        agronomic = self.failure_type in AGRONOMIC
        if agronomic and (self.limit is None or not timedelta() < self.limit < _DAY):
            yield Issue(("limit",), f'`limit`: {self.failure_type} needs a time a day, as "6 h"')
        if not agronomic and self.limit is not None:
            yield Issue(("limit",), f"`limit`: {self.failure_type} has none")

    def covers(self, failure: str) -> bool:
        """Whether a failure counts here."""
        return failure == self.failure_type or (
            self.failure_type == "ALL" and failure in FailureType.__members__
        )


class RolloutSettings(Table):
    """In which order, how fast, and until when a module goes to a fleet."""

    canary: int = Field(default=0, ge=0, le=1_000)
    """Nodes that go first; all of them must succeed."""
    groups: Annotated[tuple[float, ...], BeforeValidator(as_tuple)] = ()
    """Shares of the other nodes, one group after the other [%]; default: all at once."""
    success_percentage: float = Field(default=90.0, ge=0.0, le=100.0)
    """Nodes of a group that must succeed before the next one begins [%]."""
    soak: ExactDuration = timedelta()
    """Time after the last node of a group before the next one begins."""
    rate_per_minute: float = Field(default=50.0, gt=0.0, le=60_000.0)
    """Nodes that begin a minute."""
    increment_factor: float = Field(default=1.0, ge=1.0, le=5.0)
    """The rate is multiplied by it each time `increase_after` more nodes have succeeded."""
    increase_after: int = Field(default=100, ge=1, le=1_000_000)
    maximum_per_minute: float = Field(default=1_000.0, gt=0.0, le=60_000.0)
    """The rate does not grow beyond."""
    timeout: ExactDuration = timedelta(minutes=30)
    """For one node, from its beginning to its end."""
    abort: Annotated[tuple[AbortCriterion, ...], BeforeValidator(as_tuple)] = (AbortCriterion(),)
    """`[[rollout.abort]]`: any of them stops the rollout."""

    def troubles(self) -> Iterator[Issue]:
        """Groups that are the whole."""
        if self.groups and (min(self.groups) <= 0 or abs(sum(self.groups) - 100.0) > 0.01):
            yield Issue(
                ("groups",),
                f"`groups`: {list(self.groups)}: must be shares above 0 % that sum up to 100 %",
            )
        if self.timeout < timedelta(seconds=1):
            yield Issue(("timeout",), "`timeout`: must be at least 1 s")


class RolloutFile(Table):
    """A file with a table `[rollout]`."""

    rollout: RolloutSettings = RolloutSettings()


def read_rollout(file: Path | None, given: Given) -> RolloutSettings:
    """The settings in `file`, if there is one, with what options say; raises ScenarioError."""
    return read_config(RolloutFile, file, given).rollout
