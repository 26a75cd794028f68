"""The quickstart season on every board: the same tape as on the simulated node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hil.diff import diff_nodes
from hil.errors import HilError
from hil.nodes import NodeMaker, node_overrides
from sim import runner, scenario

QUICKSTART = Path(__file__).parents[2] / "scenarios" / "quickstart.toml"
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


@pytest.mark.parametrize("board", BOARDS)
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


def test_one_board_among_simulated_zones_shares_their_clock(tmp_path: Path) -> None:
    weather = QUICKSTART.parent / "weather" / "greeley_co_2023_daily.csv"
    path = tmp_path / "mixed.toml"
    path.write_text(MIXED.format(weather=weather), encoding="utf-8")
    mixed = run(path, tmp_path / "mixed")
    alone = run(path, tmp_path / "alone", "real=sim")
    assert mixed["tape_digest"] == alone["tape_digest"]
    assert [zone["node"] for zone in mixed["zones"]] == ["virtual", *["sim"] * 7]
    assert list(mixed["link"]) == ["real"]
    assert alone["link"] is None


def test_diff_says_identical_and_over_how_many_calls(tmp_path: Path) -> None:
    found = diff_nodes(QUICKSTART, ["sim", "virtual", "virtual:xtensa"], tmp_path, overrides=WEEK)
    assert found.equal
    # 7 days of 144 steps and at least a reading and a return each
    assert found.calls > 7 * 144 * 2
    assert [run.engine.split()[0] for run in found.runs] == ["wasmtime", "wasm3", "wasm3"]
    assert (tmp_path / "2-virtual-xtensa" / "tape.cbor").is_file()


def test_diff_names_the_first_call_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hil import nodes

    original = nodes.DeviceNode.boot

    def boot(self: Any, time_ms: int) -> Any:
        self._config = (self._config[0] + 1, *self._config[1:])  # a board that misreads its flash
        return original(self, time_ms)

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


def test_two_zones_on_one_port_are_refused(tmp_path: Path) -> None:
    weather = QUICKSTART.parent / "weather" / "greeley_co_2023_daily.csv"
    path = tmp_path / "mixed.toml"
    path.write_text(MIXED.format(weather=weather), encoding="utf-8")
    with pytest.raises(HilError, match="have one and the same node loop://"):
        run(path, tmp_path / "out", "serial:loop://")


def test_a_choice_of_node_is_for_all_zones_or_for_one() -> None:
    port = "serial:/dev/ttyUSB0?baud=921600"
    assert node_overrides(QUICKSTART, ["virtual"]) == [("zone.0.node", "virtual")]
    assert node_overrides(QUICKSTART, [port]) == [("zone.0.node", port)]
    assert node_overrides(QUICKSTART, [f"maize={port}"]) == [("zone.maize.node", port)]
    assert node_overrides(Path("no such file"), ["sim"]) == []
