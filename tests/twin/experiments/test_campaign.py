"""The order of trials, resuming, stopping, and what is written, with trials that are drawn."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from levada.sim.scenario.diagnostics import ScenarioError
from levada.twin.errors import TwinError
from levada.twin.experiments.analysis import analyse
from levada.twin.experiments.campaign import RESULTS, run_experiment
from levada.twin.experiments.outputs import included_table, write_outputs
from levada.twin.experiments.plan import Experiment, Trial, read_experiment, trials
from levada.twin.experiments.trial import SCHEMA, TIERS, run_trial

ROOT = Path(__file__).parents[3]
SCALE = {"A": 10.0, "B": 10.0, "C": 20.0, "D": 10.0, "E": 10.0}
"""Median latency of the drawn trials [ms]: only C differs."""


def drawn(experiment: Experiment, trial: Trial, _where: Path) -> pa.Table:
    rng = np.random.default_rng([trial.block, ord(trial.strategy)])
    level = SCALE[trial.strategy] * rng.lognormal(0, 0.02)
    rows: list[tuple[str, str, str, int, float]] = []
    for number, value in enumerate(level * rng.lognormal(0, 0.1, experiment.messages)):
        rows += [
            ("latency", part, "ms", number, float(value))
            for part in ("total", "edge", "fog", "uplink", "commit")
        ]
    for metric in ("processor time a message", "memory, PSS", "memory, peak", "start-up"):
        rows += [(metric, tier, "unit", 0, float(rng.normal(5, 0.1))) for tier in TIERS]
    rows.append(("others on this machine", "all", "%", 0, 2.0))
    head = {"block": trial.block, "order": trial.order, "strategy": trial.strategy}
    names = ("metric", "part", "unit", "iteration", "value")
    return pa.Table.from_pylist(
        [head | dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMA
    )


def modelled(_experiment: Experiment, _strategy: str, _where: Path) -> dict[str, Any]:
    return {
        "low_j": 70.0,
        "nominal_j": 140.0,
        "high_j": 280.0,
        "label": "model, not measured",
        "instructions_j": {"nominal_j": 1.4},
        "days": 7.0,
        "steps": 100,
        "messages": 100,
    }


def run(experiment: Experiment, where: Path) -> pa.Table:
    return run_experiment(experiment, where, measure=drawn, energy=modelled)


def test_every_block_has_every_strategy_once_in_an_order_of_its_own() -> None:
    plan = Experiment(seed=4)
    orders = [tuple(t.strategy for t in trials(plan, block)) for block in range(20)]
    assert all(sorted(order) == list("ABCDE") for order in orders)
    assert len(set(orders)) > 10
    assert orders == [tuple(t.strategy for t in trials(plan, block)) for block in range(20)]


@pytest.mark.slow
def test_only_the_strategy_that_differs_is_separated(tmp_path: Path) -> None:
    plan = Experiment()
    analysis = analyse(plan, run(plan, tmp_path))
    medians = {c.strategy: c for c in analysis.of("latency", "total", "p50")}
    assert len({medians[name].group for name in "ABDE"}) == 1
    assert medians["C"].group != medians["A"].group
    assert medians["C"].interval.low < 20 * 1.05
    assert medians["C"].interval.high > 20 * 0.95
    assert all(cell.repetitions >= 30 for cell in medians.values())
    assert analysis.busy_trials == 0


def test_an_interrupted_experiment_runs_only_what_is_missing(tmp_path: Path) -> None:
    plan, ran = Experiment(blocks_min=2, blocks_max=2), []

    def killed(experiment: Experiment, trial: Trial, where: Path) -> pa.Table:
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append(trial)
        return drawn(experiment, trial, where)

    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, tmp_path, measure=killed, energy=modelled)
    (tmp_path / "trials" / "0000-3-A.parquet.part").write_bytes(b"half of a file")

    def counted(experiment: Experiment, trial: Trial, where: Path) -> pa.Table:
        ran.append(trial)
        return drawn(experiment, trial, where)

    found = run_experiment(plan, tmp_path, measure=counted, energy=modelled)
    assert sorted(ran) == sorted([*trials(plan, 0), *trials(plan, 1)])
    assert found.equals(run(plan, tmp_path / "at-once"))


def test_another_definition_is_not_mixed_in(tmp_path: Path) -> None:
    run(Experiment(blocks_min=2, blocks_max=2), tmp_path)
    with pytest.raises(TwinError, match="cannot be mixed"):
        run(Experiment(blocks_min=2, blocks_max=2, rate_per_s=5), tmp_path)


def test_it_stops_at_the_half_width(tmp_path: Path) -> None:
    plan = Experiment(strategies=("A",), blocks_min=2, blocks_max=30, half_width_pct=20)
    found = run(plan, tmp_path)
    assert len(set(found["block"].to_pylist())) < 10


def test_a_half_width_that_was_not_reached_is_said(tmp_path: Path) -> None:
    plan = Experiment(strategies=("A", "C"), blocks_min=2, blocks_max=2, half_width_pct=0.1)
    run(plan, tmp_path)
    said = " ".join(write_outputs(plan, tmp_path))
    assert "half-width of 0.1 % was not reached" in said
    assert "no strategy can be separated" in said


def test_everything_is_written(tmp_path: Path) -> None:
    (tmp_path / "overhead.json").write_text('[{"kernel": "<crc>", "ratio": 1.25}]')
    plan = Experiment(
        strategies=("A", "C"), blocks_min=4, blocks_max=4, tables=(str(tmp_path / "overhead.json"),)
    )
    run(plan, tmp_path)
    write_outputs(plan, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.index("<figure>") < page.index("<table>")
    assert "&lt;crc&gt;" in page
    assert "model, not measured" in page
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text("utf-8").splitlines()))
    assert {row["strategy"] for row in rows} == set("AC")
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows)
    assert (tmp_path / "table.tex").read_text("utf-8").count(r"\\") == 3
    for name in ("latency", "hops", "processor-time", "memory", "start-up"):
        assert (tmp_path / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (tmp_path / "figures" / f"{name}.svg").read_text("utf-8")
    assert (tmp_path / RESULTS).is_file()
    record = json.loads((tmp_path / "experiment.json").read_text("utf-8"))
    assert record["machine"]["kernel"]
    assert len(record["modules"]["A"]) == 64


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]"])
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(TwinError, match="cannot be included"):
        included_table(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('strategies = ["A", "F"]', "permitted: A to E"),
        ('strategies = ["A", "A"]', "each once"),
        ("strategies = []", "at least one"),
        ("blocks_min = 9\nblocks_max = 3", "at least `blocks_min`"),
        ("messages = 5", "20"),
    ],
)
def test_a_wrong_experiment_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=said):
        read_experiment(file)


def test_the_experiment_of_the_tree_can_be_read() -> None:
    plan = read_experiment(ROOT / "experiments" / "continuum.toml")
    assert plan.strategies == ("A", "B", "C", "D", "E")
    assert plan.scenario == "quickstart"
    assert plan.blocks_min * plan.messages >= 30


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["A", "E"])
def test_a_trial_measures_real_processes(tmp_path: Path, strategy: str) -> None:
    plan = Experiment(messages=20)
    found = run_trial(plan, Trial(0, 0, strategy), tmp_path).to_pylist()
    totals = [r["value"] for r in found if (r["metric"], r["part"]) == ("latency", "total")]
    assert len(totals) == 20
    assert min(totals) > 0
    memory = {r["part"]: r["value"] for r in found if r["metric"] == "memory, PSS"}
    assert set(memory) == set(TIERS)
    assert all(5 < mib < 2_000 for mib in memory.values())
