"""One trial: broker, cloud, fog and edge with one strategy, each a process, started afresh.

Everything of a trial is one table of samples (`SCHEMA`).  The four processes are on this machine
and share its monotonic clock, so no clock offset enters.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pyarrow as pa
import tomli_w

from levada.hil.nodes import node_overrides
from levada.sim.run import runner
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.dump import dump
from levada.sim.scenario.model import Scenario
from levada.sim.scenario.overlay import strategy_path
from levada.sim.scenario.shipped import scenario_path
from levada.twin.continuum.supervisor import Supervised
from levada.twin.errors import TwinError
from levada.twin.experiments import measured_cloud
from levada.twin.experiments.machine import busy_share, cpu_jiffies
from levada.twin.experiments.plan import Experiment, Trial
from levada.twin.experiments.processes import ProcessUse, descendants, use_of

__all__ = ["SCHEMA", "TIERS", "loaded_scenario", "run_trial"]

TIERS: Final = ("broker", "cloud", "fog", "edge")
"""Processes, in the order in which they are started."""
START_S: Final = 600.0
"""How long a process may take to start: the first time boards and kernels are compiled."""

SCHEMA: Final = pa.schema(
    [
        ("block", pa.int32()),
        ("order", pa.int32()),
        ("strategy", pa.string()),
        ("metric", pa.string()),
        ("part", pa.string()),
        ("unit", pa.string()),
        ("iteration", pa.int32()),
        ("value", pa.float64()),
    ]
)
"""`iteration` is the number of the message within the trial; 0 where there is one value a trial."""


def loaded_scenario(experiment: Experiment, strategy: str) -> Scenario:
    """The scenario with a strategy laid over it, its boards virtual; raises what loading raises."""
    path = scenario_path(experiment.scenario)
    layers = [strategy_path(strategy)]
    document = scenarios.read(path, node_overrides(path, [], layers), overlays=layers)
    runner.check(document)
    return document.scenario


def run_trial(experiment: Experiment, trial: Trial, where: Path) -> pa.Table:
    """Run one trial in the empty directory `where`; its samples.

    Raises TwinError if a process does not start, ends, or if messages do not come.
    """
    before, own_s = cpu_jiffies(), 0.0
    loaded = loaded_scenario(experiment, trial.strategy)
    samples: list[tuple[str, str, str, int, float]] = []
    with ExitStack() as open_:
        parts: dict[str, Supervised] = {}
        measured = threading.Event()

        def tell(line: str) -> None:
            if line == "measured":
                measured.set()

        for name, command in _commands(experiment, loaded, where):
            began = monotonic()
            parts[name] = open_.enter_context(Supervised(name, command, tell))
            parts[name].wait(START_S, threading.Event())
            samples.append(("start-up", name, "s", 0, monotonic() - began))
        first = {name: _use(part) for name, part in parts.items()}
        _wait(experiment, parts, measured)
        for name, part in parts.items():
            used = _use(part)
            own_s += used.cpu_s
            cpu_us = (used.cpu_s - first[name].cpu_s) / experiment.messages * 1e6
            samples += [
                ("memory, PSS", name, "MiB", 0, used.pss_kib / 1024),
                ("memory, peak", name, "MiB", 0, used.peak_kib / 1024),
                ("processor time a message", name, "us", 0, cpu_us),
            ]
    samples += _latencies(where / measured_cloud.FILE)
    others = 100 * busy_share(before, cpu_jiffies(), own_s)
    samples.append(("others on this machine", "all", "%", 0, others))
    return _table(trial, samples)


def _wait(experiment: Experiment, parts: dict[str, Supervised], measured: threading.Event) -> None:
    """Until all messages are measured; nobody may be started again meanwhile."""
    until = monotonic() + 60 + 5 * experiment.messages / experiment.rate_per_s
    while not measured.wait(0.1):
        if monotonic() > until:
            raise TwinError(
                f"fewer than {experiment.messages} messages reached the cloud in time; "
                "lower `rate_per_s`"
            )
        for part in parts.values():
            if part.restarts or part.over:
                raise TwinError(f"{part.name} ended during a trial")


def _use(part: Supervised) -> ProcessUse:
    """Of a process and all that it has started."""
    used = use_of(part.pid)
    for child in descendants(part.pid):
        used += use_of(child)
    return used


def _commands(
    experiment: Experiment, loaded: Scenario, where: Path
) -> Iterator[tuple[str, list[str]]]:
    assert loaded.fog is not None
    assert loaded.cloud is not None
    levada = [sys.executable, "-m", "levada", "--until-eof"]
    address = str(where / "broker.json")
    (where / "scenario.toml").write_text(dump(loaded, where), encoding="utf-8")
    guest = {"guest": loaded.guest.file} if loaded.guest.file is not None else {}
    fog = loaded.fog.model_dump(exclude_unset=True)
    _write(where / "fog.toml", {**guest, "edge_broker": address, "health_port": 0, "fog": fog})
    cloud = {"parameters": loaded.fog.parameters} | loaded.cloud.model_dump(exclude_unset=True)
    _write(where / "cloud.toml", {**guest, "cloud_broker": address, "port": 0, "cloud": cloud})
    speed = f"{experiment.rate_per_s * loaded.period.step_s:g}x"
    yield "broker", [*levada, "broker", "--port", "0", "--out", str(where)]
    yield (
        "cloud",
        [
            *(sys.executable, "-m", measured_cloud.__name__),
            *(str(where / "cloud.toml"), str(where), str(experiment.messages)),
        ],
    )
    yield "fog", [*levada, "fog", "--config", str(where / "fog.toml")]
    edge = [*levada, "edge", str(where / "scenario.toml"), "--broker", address, "--speed", speed]
    yield "edge", edge


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(tomli_w.dumps(data), encoding="utf-8")


def _latencies(file: Path) -> list[tuple[str, str, str, int, float]]:
    found = []
    for number, stages in enumerate(json.loads(file.read_text("utf-8"))):
        del stages["seq"]
        for stage, value_us in {**stages, "total_us": sum(stages.values())}.items():
            part = stage.removesuffix("_us")
            found.append(("latency", part, "ms", number, value_us / 1_000))
    return found


def _table(trial: Trial, samples: list[tuple[str, str, str, int, float]]) -> pa.Table:
    rows = [
        {
            "block": trial.block,
            "order": trial.order,
            "strategy": trial.strategy,
            "metric": metric,
            "part": part,
            "unit": unit,
            "iteration": iteration,
            "value": value,
        }
        for metric, part, unit, iteration, value in samples
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
