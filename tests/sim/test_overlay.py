"""Overlays: what they change, what they add, and where their mistakes are said to be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from levada.hil.nodes import node_overrides
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.load import load
from levada.sim.scenario.overlay import merge, relocated, strategies, strategy_path

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "levada/scenarios/quickstart.toml"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_tables_are_merged_and_values_replaced() -> None:
    data = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    moved = merge(data, {"a": {"y": 5, "z": {"w": 6}}, "b": [7], "d": {"e": 8}})
    assert data == {"a": {"x": 1, "y": 5, "z": {"w": 6}}, "b": [7], "c": 3, "d": {"e": 8}}
    assert moved == {}


def test_items_of_one_name_are_merged_and_others_added() -> None:
    data = {"zone": [{"name": "a", "v": {"f": 1}}, {"name": "b"}], "fault": [{"kind": "leak"}]}
    overlay = {"zone": [{"name": "c"}, {"name": "b", "v": {"f": 2}}], "fault": [{"kind": "leak"}]}
    moved = merge(data, overlay)
    assert data == {
        "zone": [{"name": "a", "v": {"f": 1}}, {"name": "b", "v": {"f": 2}}, {"name": "c"}],
        "fault": [{"kind": "leak"}, {"kind": "leak"}],  # a kind is no name: there may be several
    }
    assert relocated(("zone", 0, "name"), moved) == ("zone", 2, "name")
    assert relocated(("zone", 1, "v", "f"), moved) == ("zone", 1, "v", "f")
    assert relocated(("fault", 0), moved) == ("fault", 1)
    assert relocated(("site", "name"), moved) == ("site", "name")


def test_links_are_told_apart_by_what_they_connect() -> None:
    data = {"link": [{"between": "edge-fog", "delay_ms": 1.0}]}
    merge(data, {"link": [{"between": "fog-cloud"}, {"between": "edge-fog", "loss_pct": 2.0}]})
    assert data["link"] == [
        {"between": "edge-fog", "delay_ms": 1.0, "loss_pct": 2.0},
        {"between": "fog-cloud"},
    ]


def test_two_items_of_one_name_in_an_overlay_stay_two() -> None:
    """The check of the scenario says that one is too many, as it does of a scenario's own."""
    twice = [{"between": "edge-fog", "delay_ms": 1.0}, {"between": "edge-fog", "delay_ms": 2.0}]
    data = {"link": [{"between": "fog-cloud"}], "zone": [{"name": "a"}]}
    moved = merge(data, {"link": twice, "zone": [{"name": "a", "x": 1}, {"name": "a", "x": 2}]})
    assert data == {
        "link": [{"between": "fog-cloud"}, *twice],
        "zone": [{"name": "a", "x": 1}, {"name": "a", "x": 2}],
    }
    assert relocated(("zone", 1, "x"), moved) == ("zone", 1, "x")


def test_a_link_is_set_by_what_it_connects(tmp_path: Path) -> None:
    overlay = write(tmp_path / "o.toml", '[fog]\n[cloud]\n[[link]]\nbetween = "edge-fog"\n')
    found = load(QUICKSTART, [("link.edge-fog.delay_ms", "80")], overlays=[overlay])
    assert found.link[0].delay_ms == 80.0
    with pytest.raises(ScenarioError, match="edge-fog"):
        load(QUICKSTART, [("link.edge-fig.delay_ms", "80")], overlays=[overlay])


def test_an_overlay_may_begin_with_a_mark_and_have_lines_of_windows(tmp_path: Path) -> None:
    overlay = tmp_path / "o.toml"
    overlay.write_bytes(b"\xef\xbb\xbfsite.latitude_deg = 400\r\nseed = 7\r\n")
    with pytest.raises(ScenarioError) as caught:
        load(QUICKSTART, overlays=[overlay])
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.source) == (1, 21, "site.latitude_deg = 400")


def test_a_directory_is_no_overlay(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(QUICKSTART, overlays=[tmp_path])


def test_the_last_overlay_counts_and_set_counts_more(tmp_path: Path) -> None:
    first = write(tmp_path / "1.toml", 'seed = 5\n[[zone]]\nname = "maize"\nvalve.flow_l_min = 3.0')
    last = write(tmp_path / "2.toml", 'seed = 6\n[[zone]]\nname = "maize"\narea_m2 = 50')
    found = load(QUICKSTART, overlays=[first, last])
    zone = found.zone[0]
    assert (found.seed, zone.valve.flow_l_min, zone.area_m2, len(found.zone)) == (6, 3.0, 50, 1)
    assert zone.crop.name == "maize"
    assert load(QUICKSTART, [("seed", "7")], overlays=[first, last]).seed == 7


def test_paths_in_an_overlay_are_relative_to_it(tmp_path: Path) -> None:
    shutil.copy(ROOT / "levada/guest/irrigation/irrigation.wasm", tmp_path / "mine.wasm")
    overlay = write(tmp_path / "o.toml", '[guest]\nfile = "mine.wasm"')
    assert load(QUICKSTART, overlays=[overlay]).guest.file == str(tmp_path / "mine.wasm")


def test_a_mistake_is_shown_where_it_stands(tmp_path: Path) -> None:
    overlay = write(
        tmp_path / "o.toml",
        '[site]\nlatitude_deg = 400\n[[zone]]\nname = "maize"\n[zone.valve]\nflow = 3\n',
    )
    with pytest.raises(ScenarioError) as caught:
        load(QUICKSTART, overlays=[overlay])
    places = {p.key: (p.file, p.line, p.column, p.source) for p in caught.value.problems}
    assert places == {
        "site.latitude_deg": (str(overlay), 2, 16, "latitude_deg = 400"),
        "zone.0.valve.flow": (str(overlay), 6, 1, "flow = 3"),
    }


def test_a_mistake_that_an_overlay_makes_of_the_scenario_is_shown_in_the_overlay(
    tmp_path: Path,
) -> None:
    """The later end of the two: the scenario alone was right."""
    overlay = write(tmp_path / "o.toml", "[period]\nend = 2023-04-01\n")
    with pytest.raises(ScenarioError) as caught:
        load(QUICKSTART, overlays=[overlay])
    problem = next(p for p in caught.value.problems if p.key == "period.end")
    assert (problem.file, problem.line) == (str(overlay), 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[site", "not TOML"), ("\xff", "not UTF-8"), (None, "cannot be read")],
)
def test_an_overlay_that_cannot_be_read_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    overlay = tmp_path / "o.toml"
    if text is not None:
        overlay.write_bytes(text.encode("latin-1"))
    with pytest.raises(ScenarioError) as caught:
        load(QUICKSTART, overlays=[overlay])
    (problem,) = caught.value.problems
    assert problem.file == str(overlay)
    assert message in problem.message


def test_a_zone_of_an_overlay_can_have_a_node_of_its_own(tmp_path: Path) -> None:
    overlay = write(tmp_path / "o.toml", '[[zone]]\nname = "north"\n')
    assert ("zone.north.node", "virtual") in node_overrides(
        QUICKSTART, ["north=virtual"], [overlay]
    )


@pytest.mark.parametrize("node", ["virtual?flash=board.flash", "virtual:xtensa?flash=b"])
def test_an_option_of_an_address_is_no_zone(node: str) -> None:
    assert ("zone.0.node", node) in node_overrides(QUICKSTART, [node])
    assert ("zone.maize.node", node) in node_overrides(QUICKSTART, [f"maize={node}"])


ENGINES = {
    "A": ("wasm", "off", "off"),
    "B": ("wasm", "wasm", "off"),
    "C": ("wasm", "wasm", "wasm"),
    "D": ("wasm", "native", "native"),
    "E": ("native", "native", "native"),
}


def test_the_strategies_say_which_tier_runs_what() -> None:
    assert strategies() == sorted(ENGINES)
    for letter, engines in ENGINES.items():
        found = load(QUICKSTART, overlays=[strategy_path(letter.lower())])
        assert found.fog is not None
        assert found.cloud is not None
        assert (found.edge.engine, found.fog.engine, found.cloud.engine) == engines


def test_a_strategy_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="'F': permitted are A, B, C, D, E"):
        strategy_path("F")


def tiers(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    overlay = write(tmp_path / "o.toml", text)
    with pytest.raises(ScenarioError) as caught:
        load(QUICKSTART, overlays=[overlay])
    return [(p.key, p.message) for p in caught.value.problems]


def test_what_makes_no_sense_between_tiers_is_refused(tmp_path: Path) -> None:
    assert tiers(tmp_path, "[cloud]")[0][0] == "cloud"
    assert tiers(tmp_path, "[fog]")[0][0] == "fog"
    link = '[[link]]\nbetween = "edge-fog"\n'
    assert "no [fog]" in tiers(tmp_path, link)[0][1]
    assert tiers(tmp_path, f"[fog]\n[cloud]\n{link}{link}")[0][0] == "link.1.between"
    outage = '[[link.outage]]\nstart = "300 d"\nduration = "1 h"\n'
    assert tiers(tmp_path, f"[fog]\n[cloud]\n{link}{outage}")[0][0] == "link.0.outage.0.start"
    assert tiers(tmp_path, '[fog]\nwindow = "7 h"\n[cloud]')[0][0] == "fog.window"
    key, message = tiers(tmp_path, '[fog]\nname = "maize"\n[cloud]')[0]
    assert (key, message) == (
        "fog.name",
        '`name` = "maize": a node is called so, and fog would not hear it',
    )
