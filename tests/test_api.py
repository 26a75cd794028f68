"""The public surface: what a program that uses levada may rely on."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numpy as np
import pytest

import levada
from levada.guest.abi import DEFAULT_PINS, Call
from levada.guest.errors import AbiError, ModuleError
from levada.guest.tape import TapeError
from levada.sim.run.rundir import RunDirError
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.units import HOUR_MS
from levada.testing import WEATHER, ScriptedNode, alternating, small_field

BANGKOK = levada.Site(
    latitude_deg=13 + 44 / 60, longitude_deg=100.5, elevation_m=2.0, utc_offset_h=7.0
)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("field") / "small.toml"
    path.write_text(small_field(zones=("a", "b")), "utf-8")
    return path


@pytest.fixture(scope="module")
def ran(field: Path) -> levada.Run:
    return levada.run(field, field.parent / "run", report=False)


def test_the_names_that_type_checkers_see_are_those_that_there_are() -> None:
    tree = ast.parse(Path(levada.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert isinstance(block.test, ast.Name)
    assert block.test.id == "TYPE_CHECKING"
    seen = {a.name for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == set(levada.__all__)
    assert set(levada.__all__) <= set(dir(levada))


def test_a_name_that_is_none_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'levada' has no attribute 'irrigate'"):
        levada.irrigate  # noqa: B018


def test_a_shipped_scenario_is_loaded_by_its_name() -> None:
    scenario = levada.load("quickstart", overrides={"zone.0.valve.flow_l_min": 3})
    assert scenario.name == "quickstart"
    assert scenario.zone[0].valve.flow_l_min == 3.0


def test_a_scenario_that_is_none_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ScenarioError, match=r"(?s)nosuch: cannot be read.*shipped.*quickstart"):
        levada.load("nosuch")
    with pytest.raises(levada.LevadaError, match="did you mean `quickstart`"):
        levada.load("quikstart")


def test_lint_finds_nothing_in_a_good_scenario(field: Path) -> None:
    assert levada.lint(field) == ()


@pytest.mark.parametrize(
    ("overrides", "key", "says"),
    [
        ({"zone.0.valve.flow_l_min": -1}, "zone.0.valve.flow_l_min", "-1"),
        ({"zone.0.parameters.on_pct": 101}, "zone.0.parameters.on_pct", "101"),
        ({"guest.file": str(WEATHER)}, "guest", "greeley_co_2023_daily.csv"),
        (
            {
                "period.start": "2022-07-06",
                "period.end": "2022-07-08",
                "zone.0.crop.planting": "2022-05-02",
                "zone.1.crop.planting": "2022-05-02",
            },
            "period.start",
            "2022",
        ),
    ],
    ids=["value", "parameter", "guest", "weather"],
)
def test_lint_returns_what_is_wrong_wherever_it_is(
    field: Path, overrides: dict[str, object], key: str, says: str
) -> None:
    problems = levada.lint(field, overrides=overrides)
    assert [p for p in problems if p.key == key and says in str(p)], problems


def test_a_run_gives_what_it_has_left(ran: levada.Run, field: Path) -> None:
    assert ran.passed
    assert ran.path == field.parent / "run"
    assert ran.summary["zones"][0]["name"] == "a"
    trace = ran.trace
    assert {"time_ms", "zone", "rain_mm"} <= set(trace.column_names)
    assert set(trace["zone"].to_pylist()) == {0, 1}
    assert ran.profile.num_rows == 0  # a bucket knows no depth
    assert ran.profile.column_names == ["time_ms", "zone", "depth_m", "theta"]
    opened = [r for r in ran.tape("b") if r.call == Call.SET_OUTPUT and r.values[-1] == 1]
    assert opened
    assert list(ran.tape(1)) == list(ran.tape("b"))
    assert levada.Run(str(ran.path)).summary == ran.summary


@pytest.mark.parametrize("zone", [2, -1, "c"])
def test_a_zone_that_is_none_is_refused_with_those_that_there_are(
    ran: levada.Run, zone: int | str
) -> None:
    with pytest.raises(ValueError, match=rf"zone {zone!r}: there are a, b, from 0"):
        ran.tape(zone)


def test_the_report_is_written_when_it_is_asked_for(ran: levada.Run) -> None:
    assert not (ran.path / "report.html").exists()
    assert "<html" in ran.report.read_text("utf-8")


def test_damaged_files_of_a_run_are_said_to_be_so(ran: levada.Run, tmp_path: Path) -> None:
    for name in ("trace.parquet", "tape.cbor"):
        folder = tmp_path / name
        shutil.copytree(ran.path, folder)
        (folder / name).write_bytes(b"none")
    with pytest.raises(RunDirError, match=r"trace\.parquet: damaged"):
        _ = levada.Run(tmp_path / "trace.parquet").trace
    with pytest.raises(TapeError, match="not a tape"):
        levada.Run(tmp_path / "tape.cbor").tape()
    with pytest.raises(RunDirError, match="no such run directory"):
        levada.Run(tmp_path / "nothing")


def test_profiles_hold_water_contents_by_depth(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(small_field(days=1, model="richards"), "utf-8")
    profile = levada.run(path, tmp_path / "run", report=False).profile
    theta = np.asarray(profile["theta"])
    assert profile.num_rows > 0
    assert ((theta > 0.0) & (theta < 1.0)).all()


def test_a_run_takes_a_node_that_follows_a_script(tmp_path: Path) -> None:
    """Two days of an hour open, an hour closed, at 10 L min-1 on 100 m2: 6 mm an hour."""
    path = tmp_path / "small.toml"
    path.write_text(small_field(days=2), "utf-8")
    node = ScriptedNode(alternating(HOUR_MS, HOUR_MS))
    asked: list[levada.NodeSettings] = []

    def make(settings: levada.NodeSettings) -> levada.Node:
        asked.append(settings)
        return node

    run = levada.run(path, tmp_path / "run", node=make, report=False)
    assert [settings.zone.name for settings in asked] == ["a"]
    assert len(node.boots_ms) == 1
    assert len(node.times_ms) == pytest.approx(48, abs=1)
    assert sum(run.trace["irrigation_mm"].to_pylist()) == pytest.approx(24 * 6.0, rel=0.03)


def test_expectations_that_fail_make_a_run_fail(field: Path, tmp_path: Path) -> None:
    expect = [{"name": "Flood", "kind": "summary", "of": "irrigation_mm", "above": 1e6}]
    run = levada.run(field, tmp_path / "run", overrides={"expect": expect}, report=False)
    assert not run.passed


def test_a_guest_tells_what_it_is_and_calls_its_functions() -> None:
    guest = levada.Guest()
    assert guest.info.metadata is not None
    assert guest.info.metadata.name == "irrigation"
    assert guest.info.sha256[:8] in repr(guest)
    with pytest.raises(AbiError, match=r"no function .irrigate.; there are .*process"):
        guest.call("irrigate", 1)
    with pytest.raises(ModuleError):
        levada.Guest(b"none")


def test_a_node_in_this_process_runs_a_guest() -> None:
    with levada.Guest().node(name="bench") as node:
        node.boot(1_681_516_800_000)
        step = node.step(1_681_517_400_000, (2300, 2000, 4000, 0))
    assert set(step.outputs) <= set(DEFAULT_PINS)
    assert step.wake_ms > 0


def test_reference_et_is_fao_56_example_17() -> None:
    result = levada.reference_et(
        tmax_c=34.8,
        tmin_c=25.6,
        ea_kpa=2.85,
        solar_mj_m2=22.65,
        wind_m_s=2.0,
        day_of_year=105,
        site=BANGKOK,
        soil_heat_mj_m2=0.14,
    )
    assert result == pytest.approx([5.72], abs=0.005)
