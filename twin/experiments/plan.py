"""The definition of an experiment, and the order of its trials."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field

from levada.sim.scenario.config_table import Table
from levada.sim.settings.base import as_tuple
from levada.sim.settings.issue import Issue
from levada.twin.continuum.config import read_config

__all__ = ["Experiment", "Trial", "read_experiment", "trials"]


class Experiment(Table):
    """An experiment file."""

    name: str = Field(default="continuum", pattern=r"^[a-z0-9-]{1,40}$")
    title: str = "Five strategies from edge to cloud"
    scenario: str = "quickstart"
    """A shipped scenario, or a file relative to the experiment file."""
    strategies: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("A", "B", "C", "D", "E")
    seed: int = Field(default=1, ge=0)
    """Of the order of trials and of resampling."""
    messages: int = Field(default=100, ge=20, le=1_000)
    """Messages a trial, each an iteration."""
    rate_per_s: float = Field(default=10.0, ge=0.1, le=100.0)
    """Messages that the board sends a second."""
    blocks_min: int = Field(default=6, ge=2, le=1_000)
    """Blocks, each with one trial a strategy, that are run in any case."""
    blocks_max: int = Field(default=6, ge=2, le=1_000)
    half_width_pct: float = Field(default=10.0, gt=0, le=100)
    """Half-width of the 95 % interval of the median latency at which the experiment stops."""
    tables: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Tables of other commands (`.json` of rows, `.parquet`) that the report includes."""

    def troubles(self) -> Iterator[Issue]:
        """Strategies are known and different; the range of blocks is one."""
        known = set("ABCDE")
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            yield Issue(("strategies",), "`strategies`: name each once, at least one")
        for name in self.strategies:
            if name not in known:
                yield Issue(("strategies",), f"`strategies` has {name!r}; permitted: A to E")
        if self.blocks_max < self.blocks_min:
            yield Issue(("blocks_max",), "`blocks_max` must be at least `blocks_min`")

    @property
    def digest(self) -> str:
        """Of all that decides what is measured; results of another one are not mixed with it."""
        said = self.model_dump(
            exclude={"title", "tables", "blocks_min", "blocks_max", "half_width_pct"}
        )
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_experiment(file: Path) -> Experiment:
    """The definition in a file, its paths made relative to it; raises ScenarioError."""
    found = read_config(Experiment, file, {})
    beside = Path(found.scenario)  # made relative to the file, as every path in a configuration
    return found.model_copy(
        update={
            "scenario": str(beside) if beside.is_file() else beside.name,
            "tables": tuple(str(file.parent / table) for table in found.tables),
        }
    )


class Trial(NamedTuple):
    """One start of all processes with one strategy."""

    block: int
    order: int
    """Place within the block."""
    strategy: str

    @property
    def name(self) -> str:
        """Also of its file."""
        return f"{self.block:04d}-{self.order}-{self.strategy}"


def trials(experiment: Experiment, block: int) -> list[Trial]:
    """The trials of a block, in an order that depends on seed and block alone."""
    order = list(experiment.strategies)
    random.Random(f"{experiment.seed}/{block}").shuffle(order)
    return [Trial(block, place, strategy) for place, strategy in enumerate(order)]
