"""What a store's readings say of a scenario."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_field import START_MS, scenario
from typer.testing import CliRunner

from levada.sim.scenario.expand import expand
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.sim.units import DAY_MS, HOUR_MS
from levada.twin.cli.main import app
from levada.twin.errors import TwinError
from levada.twin.estimate.ensemble import SoilEnsemble
from levada.twin.estimate.learn import Record, learn, record_of
from levada.twin.estimate.proposal import findings, toml_lines
from levada.twin.sources.bench import Bench
from levada.twin.sources.recording import stored_reports
from levada.twin.store.store import Store
from levada.twin.twin import Twin

FLOW = ("flow",)


def recorded(folder: Path, days: int = 6) -> tuple[Scenario, Path]:
    """Days of the small field, stored."""
    field, place = scenario(folder, days=days), folder / "past.sqlite"
    with Store(place, clock_ms=lambda: START_MS) as store:
        twin = Twin(field, store, Bench(speed=None))
        twin.run()
        twin.close()
    return field, place


def made(field: Scenario, **truth: float) -> Record:
    """Readings of a soil with known parameters, watered every third day."""
    zone = expand(field)[0]
    times = np.arange(START_MS + 6 * HOUR_MS, field.period.end_ms + 1, 6 * HOUR_MS)
    starts = np.arange(START_MS + DAY_MS, field.period.end_ms, 3 * DAY_MS) + 8 * HOUR_MS
    openings = np.column_stack((starts, starts + 3 * HOUR_MS + 600_000))
    soil = SoilEnsemble(field, zone, {k: np.array([v]) for k, v in truth.items()})
    noise = np.random.default_rng(3).normal(0.0, 0.003, len(times))
    theta = soil.run(times, openings).probe[:, 0] + truth.get("offset", 0.0) + noise
    return Record(time_ms=times, theta=theta, openings_ms=openings, refused=0)


def test_the_ensemble_of_one_is_the_run_of_the_scenario(tmp_path: Path) -> None:
    """A member with the scenario's parameters goes where the plant of a run goes."""
    field, place = recorded(tmp_path)
    zone = expand(field)[0]
    record = record_of(stored_reports(place, zone.name, field), field, zone)
    found = SoilEnsemble(field, zone, {"flow": np.ones(1)}).run(record.time_ms, record.openings_ms)
    assert len(record.time_ms) >= 20
    assert len(record.openings_ms) >= 1
    assert np.sqrt(np.mean((found.probe[:, 0] - record.theta) ** 2)) < 0.004


def test_reports_in_any_order_and_doubled_lead_to_the_same(tmp_path: Path) -> None:
    field, place = recorded(tmp_path)
    zone = expand(field)[0]
    reports = stored_reports(place, zone.name, field)
    digests = set()
    for seed in range(3):
        shuffled = reports + reports[:: seed + 2]
        random.Random(seed).shuffle(shuffled)
        record = record_of(shuffled, field, zone)
        digests.add(learn(field, zone, record, members=16).digest())
    record = record_of(reports, field, zone)
    digests.add(learn(field, zone, record, members=16).digest())
    assert len(digests) == 1


def test_a_clogged_emitter_is_found(tmp_path: Path) -> None:
    field = scenario(tmp_path, days=20)
    zone = expand(field)[0]
    record = made(field, flow=0.6)
    learned = learn(field, zone, record, members=48, names=FLOW)
    (flow,) = findings(learned)
    assert abs(flow.posterior[0] - 0.6) < 3.0 * flow.posterior[1]
    assert flow.sentence == "the open valve gives less than the scenario says"
    (line,) = toml_lines(zone, [flow])
    assert line.startswith("valve.flow_l_min = 3.") or line.startswith("valve.flow_l_min = 4.")
    assert learned.rms_corrected < 0.6 * learned.rms_free


def test_a_field_as_described_brings_no_proposal(tmp_path: Path) -> None:
    field = scenario(tmp_path, days=20)
    zone = expand(field)[0]
    learned = learn(field, zone, made(field, flow=1.0), members=48)
    found = findings(learned)
    assert toml_lines(zone, found) == []


def test_too_little_to_learn_from_is_said(tmp_path: Path) -> None:
    field = scenario(tmp_path)
    zone = expand(field)[0]
    with pytest.raises(TwinError, match="0 usable readings six hours apart, needed are 8"):
        record_of([], field, zone)


def test_the_command_shows_and_changes_nothing(tmp_path: Path) -> None:
    _, place = recorded(tmp_path)
    file = tmp_path / "field.toml"
    before = file.read_bytes()
    done = CliRunner().invoke(app, ["learn", str(file), str(place), "--members", "16"])
    assert done.exit_code == 0, done.output
    assert "zone maize: " in done.output
    assert "field capacity, times the scenario's" in done.output
    assert file.read_bytes() == before
    wrong = CliRunner().invoke(app, ["learn", str(file), str(place), "--zone", "wheat"])
    assert wrong.exit_code == 2
    assert "no zone `wheat`" in wrong.output


def test_proposed_lines_are_lines_of_a_scenario(tmp_path: Path) -> None:
    field = scenario(tmp_path, days=20)
    zone = expand(field)[0]
    learned = learn(field, zone, made(field, theta_fc=1.3, flow=0.6, roots=0.8), members=32)
    found = [replace(f, contradicts=True) for f in findings(learned)]
    lines = toml_lines(zone, found)
    text = (tmp_path / "field.toml").read_text()
    text = text.replace("soil.initial.available_pct = 60\n", "").replace(
        "valve.flow_l_min = 5.5\n", ""
    )
    (tmp_path / "taken.toml").write_text(text + "\n".join(lines) + "\n")
    assert load(tmp_path / "taken.toml").zone[0].soil.theta_fc is not None


def test_a_stuck_probe_does_not_drag(tmp_path: Path) -> None:
    """Half of the reports stand still: what is learned is what is learned without them."""
    field, place = recorded(tmp_path)
    zone = expand(field)[0]
    reports = stored_reports(place, zone.name, field)
    half_ms = START_MS + 3 * DAY_MS
    last = [r.values["raw"] for r in reports if r.time_ms < half_ms and "raw" in r.values][-1]
    stuck = [
        replace(r, values={**r.values, "raw": last})
        if r.time_ms >= half_ms and "raw" in r.values
        else r
        for r in reports
    ]
    without = [
        replace(r, values={k: v for k, v in r.values.items() if k != "raw"})
        if r.time_ms >= half_ms
        else r
        for r in reports
    ]
    dragged, left_out = record_of(stuck, field, zone), record_of(without, field, zone)
    assert dragged.refused > 400
    assert dragged.time_ms.tolist() == left_out.time_ms.tolist()
    assert dragged.theta == pytest.approx(left_out.theta, abs=0.002)
