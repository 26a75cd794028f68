"""The quickstart season on every board: the same tape as on the simulated node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from levada.hil.diff import diff_nodes
from levada.hil.errors import UsageError
from levada.hil.nodes import NodeMaker, node_overrides
from levada.sim.run import runner
from levada.sim.scenario import load as scenario
from levada.sim.scenario.diagnostics import ScenarioError

QUICKSTART = Path(__file__).parents[2] / "levada/scenarios" / "quickstart.toml"
SENSOR_OR_ET = QUICKSTART.with_name("sensor-or-et.toml")
WEEK = [("period.start", "2023-07-01"), ("period.end", "2023-07-07")]
BOARDS = ("wasm3", "wasmtime", "native", "xtensa", "aarch64")

MIXED = """
version = 1
name = "mixed"
[site]
name = "Greeley"
latitude_deg = 40.45
longitude_deg = -104.64
elevation_m = 1427
utc_offset_h = -7
wind_height_m = 2
[period]
start = 2023-07-01
end = 2023-07-02
[weather]
file = "{weather}"
[[zone]]
name = "real"
area_m2 = 100
node = "virtual:native"
[zone.soil]
texture = "sandy loam"
[zone.crop]
name = "maize"
planting = 2023-05-02
[zone.probe]
depth_m = 0.3
[zone.valve]
flow_l_min = 5
[[zone]]
name = "row"
count = 7
area_m2 = 100
[zone.soil]
texture = "sandy loam"
[zone.crop]
name = "maize"
planting = 2023-05-02
[zone.probe]
depth_m = 0.3
[zone.valve]
flow_l_min = 5
"""


def run(path: Path, out: Path, *nodes: str) -> dict[str, Any]:
    document = scenario.read(path, node_overrides(path, nodes))
    with NodeMaker() as make_node:
        return runner.run_scenario(
            document.scenario, out, make_node=make_node, report=False
        ).summary


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(QUICKSTART, tmp_path_factory.mktemp("sim"), "sim")


@pytest.mark.usefixtures("no_repair")
@pytest.mark.parametrize(
    "board",
    [
        *(name for name in BOARDS if name != "aarch64"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("aarch64", "esp32")),
    ],
)
def test_the_season_is_the_same_call_by_call(
    board: str, simulated: dict[str, Any], tmp_path: Path
) -> None:
    summary = run(QUICKSTART, tmp_path, f"virtual:{board}")
    assert summary["tape_digest"] == simulated["tape_digest"]
    assert summary["steps"] == simulated["steps"] > 20_000
    assert summary["irrigation_mm"] == simulated["irrigation_mm"]
    link = summary["link"]["maize"]
    assert link["void"] is None
    assert link["restarts"] == []
    assert link["requests"] > summary["steps"]


def mixed(directory: Path) -> Path:
    weather = QUICKSTART.parent / "weather" / "greeley_co_2023_daily.csv"
    path = directory / "mixed.toml"
    path.write_text(MIXED.format(weather=weather), encoding="utf-8")
    return path


@pytest.mark.usefixtures("no_repair")
def test_one_board_among_simulated_zones_shares_their_clock(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    among = run(path, tmp_path / "mixed")
    alone = run(path, tmp_path / "alone", "real=sim")
    assert among["tape_digest"] == alone["tape_digest"]
    assert [zone["node"] for zone in among["zones"]] == ["virtual", *["sim"] * 7]
    assert list(among["link"]) == ["real"]
    assert alone["link"] is None


@pytest.mark.usefixtures("no_repair")
@pytest.mark.parametrize("board", ["xtensa", "esp32"])
def test_diff_says_identical_and_over_how_many_calls(board: str, tmp_path: Path) -> None:
    nodes = ["sim", "virtual", f"virtual:{board}"]
    found = diff_nodes(QUICKSTART, nodes, tmp_path, overrides=WEEK)
    assert found.equal
    # 7 days of 144 steps and at least a reading and a return each
    assert found.calls > 7 * 144 * 2
    assert [run.engine.split()[0] for run in found.runs] == ["wasmtime", "wasm3", "wasm3"]
    assert (tmp_path / f"2-virtual-{board}" / "tape.cbor").is_file()


@pytest.mark.usefixtures("no_repair")
@pytest.mark.parametrize("board", ["wasm3", "wasmtime", "xtensa"])
def test_rain_forecast_and_reference_et_reach_a_board_as_they_do_the_simulated_node(
    board: str, tmp_path: Path
) -> None:
    """Three days around a rain, in which the link is away for a while."""
    lossy = ("fault", '[{kind = "link-loss", start = "30 h", duration = "5 h"}]')
    days = [("period.start", "2023-07-20"), ("period.end", "2023-07-22"), lossy]
    found = diff_nodes(SENSOR_OR_ET, ["sim", f"virtual:{board}"], tmp_path, overrides=days)
    assert found.equal, found.runs[1].difference
    # three zones, each with five readings a step
    assert found.calls > 3 * 3 * 144 * 5


@pytest.mark.usefixtures("no_repair")
def test_a_battery_that_runs_flat_does_so_on_all_nodes_alike(tmp_path: Path) -> None:
    """One node counts instructions and the other does not: the battery must not tell."""
    small = ("zone.0.energy.capacity_mah", "10")
    found = diff_nodes(QUICKSTART, ["sim", "virtual"], tmp_path, overrides=[*WEEK, small])
    assert found.equal, found.runs[1].difference
    assert found.runs[0].summary["steps"] == found.runs[1].summary["steps"]
    assert found.runs[0].summary["steps"] < 6 * 144, "it was flat before the week was over"


def test_diff_names_the_first_call_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from levada.hil import nodes

    original = nodes.DeviceNode.boot

    def boot(self: Any, time_ms: int, **lost: Any) -> Any:
        config = self._session.config
        self._session.config = (config[0] + 1, *config[1:])  # a board that misreads its flash
        return original(self, time_ms, **lost)

    monkeypatch.setattr(nodes.DeviceNode, "boot", boot)
    found = diff_nodes(QUICKSTART, ["sim", "virtual"], tmp_path, overrides=WEEK)
    assert not found.equal
    assert found.runs[1].zone == "maize"
    difference = found.runs[1].difference
    assert difference is not None
    assert difference.left is not None
    assert difference.left.startswith("get_config(dry) -> ")
    assert difference.right is not None
    assert int(difference.right.split()[-1]) == int(difference.left.split()[-1]) + 1


def test_one_zone_of_many_has_a_board_and_has_it_again_from_what_the_run_keeps(
    tmp_path: Path,
) -> None:
    path = mixed(tmp_path)
    alone = run(path, tmp_path / "alone", "sim")
    among = run(path, tmp_path / "among", "row-003=virtual:native", "sim")
    again = run(tmp_path / "among" / "scenario.toml", tmp_path / "again")
    for summary in (among, again):
        assert summary["tape_digest"] == alone["tape_digest"]
        assert list(summary["link"]) == ["row-003"]
        assert summary["link"]["row-003"]["url"] == "virtual:native"
    nowhere = run(tmp_path / "among" / "scenario.toml", tmp_path / "nowhere", "row=sim")
    assert nowhere["link"] is None


def test_one_node_for_all_zones_of_a_table_is_refused_when_it_can_be_had_once(
    tmp_path: Path,
) -> None:
    path = mixed(tmp_path)
    with pytest.raises(ScenarioError, match="zones row-001 and row-002 have one and the same node"):
        scenario.read(path, node_overrides(path, ["row=serial:/dev/ttyUSB0"]))
    with pytest.raises(ScenarioError, match="no zone `row-008` in this table: it has row-001 to"):
        scenario.read(path, node_overrides(path, ["row-008=virtual"]))


def test_a_choice_of_node_is_for_all_zones_or_for_one() -> None:
    port = "serial:/dev/ttyUSB0?baud=921600"
    assert node_overrides(QUICKSTART, ["virtual"]) == [("zone.0.node", "virtual")]
    assert node_overrides(QUICKSTART, [port]) == [("zone.0.node", port)]
    assert node_overrides(QUICKSTART, [f"maize={port}"]) == [("zone.maize.node", port)]
    assert node_overrides(Path("no such file"), ["sim"]) == []


@pytest.mark.parametrize("choices", [("virtual", "sim"), ("maize=virtual", "maize=sim")])
def test_two_nodes_for_one_zone_are_refused(choices: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=" on virtual, and on sim as well: give one"):
        node_overrides(QUICKSTART, choices)
