"""Runs the trials of an experiment in their order, and goes on where it was interrupted.

Each finished trial is a file of its own, written under another name first: after kill -9 whatever
lies in `trials` is whole, and only the trial that was under way is run again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from levada.guest.children import run_child
from levada.sim.run import runner
from levada.sim.scenario.model import Scenario
from levada.twin.directory import held
from levada.twin.errors import TwinError
from levada.twin.experiments.machine import machine_record
from levada.twin.experiments.plan import Experiment, Trial, trials
from levada.twin.experiments.statistics import Interval, hierarchical_interval, warm_up
from levada.twin.experiments.trial import loaded_scenario, run_trial

__all__ = ["ENERGY", "RECORD", "RESULTS", "collect", "precision", "run_experiment", "steady"]

RECORD: Final = "experiment.json"
RESULTS: Final = "results.parquet"
ENERGY: Final = "energy.json"
_ENERGY_DAYS: Final = 7

RunTrial = Callable[[Experiment, Trial, Path], pa.Table]
RunEnergy = Callable[[Experiment, str, Path], dict[str, Any]]


def run_experiment(
    experiment: Experiment,
    where: Path,
    *,
    tell: Callable[[str], None] = lambda _line: None,
    measure: RunTrial = run_trial,
    energy: RunEnergy | None = None,
) -> pa.Table:
    """Run what is not there yet; all samples, which are in `results.parquet` as well.

    Stops after `blocks_min` blocks at the earliest, as soon as the half-width is reached, and after
    `blocks_max` at the latest.  Raises TwinError if `where` holds another experiment,
    StoreBusyError if somebody else runs it, and what a trial raises.
    """
    (where / "trials").mkdir(parents=True, exist_ok=True)
    with held(where, f"{where} is in use by another `levada experiment`"):
        loaded = {name: loaded_scenario(experiment, name) for name in experiment.strategies}
        _begin(experiment, loaded, where)
        for block in range(experiment.blocks_max):
            for trial in trials(experiment, block):
                _run(experiment, trial, where, tell, measure)
            found = collect(where)
            widths = {n: i.half_width for n, i in precision(experiment, found).items()}
            worst = max(widths.values())
            tell(f"block {block + 1}: half-width of the median latency {100 * worst:.1f} %")
            if block + 1 >= experiment.blocks_min and worst * 100 <= experiment.half_width_pct:
                break
        if not (where / ENERGY).exists():
            tell("energy of the edge by the model")
            estimate = energy or _energy
            models = {n: estimate(experiment, n, where) for n in experiment.strategies}
            _write(where / ENERGY, models)
        _replace(where / RESULTS, lambda part: pq.write_table(found, part))
    return found


def _begin(experiment: Experiment, loaded: dict[str, Scenario], where: Path) -> None:
    """Note machine and definition at the first start, and at later ones that they are the same."""
    file = where / RECORD
    modules = {n: sha256(runner.read_guest(s)).hexdigest() for n, s in loaded.items()}
    machine = machine_record()
    if file.exists():
        known = json.loads(file.read_text("utf-8"))
        was = (known["digest"], known["modules"], known["machine"]["versions"])
        if was != (experiment.digest, modules, machine["versions"]):
            raise TwinError(
                f"{where} holds trials of another definition, module or version: their results "
                "cannot be mixed; name another directory with --out"
            )
        known["starts"].append(datetime.now(UTC).isoformat(timespec="seconds"))
    else:
        known = {
            "digest": experiment.digest,
            "modules": modules,
            "machine": machine,
            "starts": [datetime.now(UTC).isoformat(timespec="seconds")],
        }
    _write(file, known | {"experiment": experiment.model_dump(mode="json")})


def _run(
    experiment: Experiment,
    trial: Trial,
    where: Path,
    tell: Callable[[str], None],
    measure: RunTrial,
) -> None:
    file = where / "trials" / f"{trial.name}.parquet"
    if file.exists():
        return
    tell(f"block {trial.block + 1}, strategy {trial.strategy}")
    with tempfile.TemporaryDirectory(prefix="levada-trial-") as folder:
        table = measure(experiment, trial, Path(folder))
    _replace(file, lambda part: pq.write_table(table, part))


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    part = file.with_name(f"{file.name}.part")
    write(part)
    part.replace(file)


def _write(file: Path, data: dict[str, Any]) -> None:
    _replace(file, lambda part: part.write_text(json.dumps(data, indent=1), encoding="utf-8"))


def collect(where: Path) -> pa.Table:
    """All samples of all finished trials; raises TwinError if there are none."""
    files = sorted((where / "trials").glob("*.parquet"))
    if not files:
        raise TwinError(f"{where} holds no finished trial")
    return pa.concat_tables([pq.read_table(file) for file in files])


def steady(
    found: pa.Table, strategy: str, metric: str, part: str
) -> tuple[list[np.ndarray[Any, np.dtype[np.float64]]], int, int]:
    """Values after the warm-up, an array a process; most iterations of warm-up, and processes that
    have not become steady.  Where a trial has one value, there is no warm-up."""
    rows = found.filter(
        (pc.field("strategy") == strategy)
        & (pc.field("metric") == metric)
        & (pc.field("part") == part)
    )
    blocks, values = rows["block"].to_numpy(), rows["value"].to_numpy()
    groups, longest, unsteady = [], 0, 0
    for block in np.unique(blocks):
        series = np.asarray(values[blocks == block], dtype=np.float64)
        if len(series) > 1:
            cut, well = warm_up(series)
            series, longest, unsteady = series[cut:], max(longest, cut), unsteady + (not well)
        groups.append(series)
    return groups, longest, unsteady


def precision(experiment: Experiment, found: pa.Table) -> dict[str, Interval]:
    """Strategy -> interval of its median latency from the board to the store [ms]."""
    return {
        name: hierarchical_interval(
            steady(found, name, "latency", "total")[0],
            lambda x: float(np.median(x)),
            seed=experiment.seed,
        )
        for name in experiment.strategies
    }


def _energy(experiment: Experiment, strategy: str, where: Path) -> dict[str, Any]:
    """Energy of the edge over the first days of the scenario, by the model [J]."""
    loaded = loaded_scenario(experiment, strategy)
    end = min(loaded.period.end, loaded.period.start + timedelta(days=_ENERGY_DAYS))
    out = where / "energy" / strategy
    if not (out / "summary.json").exists():
        command = [sys.executable, "-m", "levada", "run", experiment.scenario, "--quiet"]
        command += ["--strategy", strategy, "--out", str(out), "--set", "expect=[]"]
        command += ["--set", f"period.end={end}"]
        done = run_child(command, capture_output=True, text=True)
        if done.returncode:
            raise TwinError(f"the energy of strategy {strategy} cannot be modelled: {done.stderr}")
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    sums = {key: summary["energy"][key] for key in ("low_j", "nominal_j", "high_j", "label")}
    parts = summary["energy"]["parts"]
    return {
        **sums,
        "instructions_j": parts["instructions"],
        "days": summary["days"],
        "steps": summary["steps"],
        "messages": summary["continuum"]["messages"],
    }
