"""The fault `reinstall`: a guest that is replaced while its node runs, on `sim` and on a board."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from levada.guest.abi import Call
from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import TapeReader, iter_records
from levada.hil.node import DeviceNode
from levada.hil.nodes import NodeMaker
from levada.sim.fuzz.case import base_of
from levada.sim.fuzz.search import search
from levada.sim.results.replay import replay_run
from levada.sim.run import runner
from levada.sim.run.rundir import RunDir
from levada.sim.scenario import load as scenarios
from levada.testing import small_field

PARAMETERS = {"on_pct": 95, "off_pct": 100, "daily_cap_l": 300, "min_pause_s": 600}
FAULTS = """
[[fault]]
kind = "reinstall"
start = "1 h 5 min"

[[fault]]
kind = "brown-out"
start = "4 h"
duration = "2 h"

[[fault]]
name = "without power"
kind = "reinstall"
start = "5 h"

[[fault]]
kind = "clock-skew"
start = "7 h"
magnitude = "90 min"

[[fault]]
name = "with a clock ahead"
kind = "reinstall"
start = "8 h 1 s"
"""
INSTALLED_S = (3900, 28_801)


def small(folder: Path, node: str = "sim", faults: str = FAULTS) -> Path:
    """A dry field of a day."""
    path = folder / f"{node}.toml"
    source = tomllib.loads(small_field(days=1, extra=faults))
    source["zone"][0] |= {"node": node, "parameters": PARAMETERS}
    source["zone"][0]["soil"]["initial"] = {"available_pct": 20}
    path.write_text(tomli_w.dumps(source))
    return path


def run(path: Path) -> RunDir:
    with NodeMaker() as make_node:
        runner.run_scenario(
            scenarios.load(path), path.with_suffix(""), make_node=make_node, report=False
        )
    return RunDir(path.with_suffix(""))


def test_a_board_that_takes_its_guest_again_does_what_a_simulated_node_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    install = DeviceNode.install

    def noted(self: DeviceNode, module: bytes) -> Any:
        birth = install(self, module)
        taken.append(birth.guest_sha256)
        return birth

    monkeypatch.setattr(DeviceNode, "install", noted)
    board, simulated = run(small(tmp_path, "virtual")), run(small(tmp_path))
    shipped = inspect(DEFAULT_GUEST.read_bytes()).sha256
    idle = taken[0]
    assert taken == [idle, shipped] * len(INSTALLED_S)
    assert idle != shipped
    assert board.summary["tape_digest"] == simulated.summary["tape_digest"]
    assert board.summary["valve_openings"] > 3
    assert replay_run(board).exact


def test_an_installed_guest_finds_nothing_has_its_parameters_and_opens_no_valve(
    tmp_path: Path,
) -> None:
    found = run(small(tmp_path))
    start_ms = scenarios.load(found.scenario_path).period.start_ms
    records = list(iter_records(TapeReader(found.tape_path).tapes()[0]))
    at = [k for k, record in enumerate(records) if record.call == Call.BOOT]
    lives = [records[a:b] for a, b in zip(at, [*at[1:], len(records)], strict=True)]
    booted_s = [(life[0].values[0] - start_ms) / 1000 for life in lives]
    # the one without power does nothing; the last is by a clock that is ahead by 90 min
    assert booted_s == [0, INSTALLED_S[0], 6 * 3600, INSTALLED_S[1] + 5400]
    for life in (lives[1], lives[3]):
        assert [r.values[1] for r in life if r.call == Call.KEEP_GET] == [0] * 8
        assert len([r for r in life if r.call == Call.PARAM_SET]) == 4
    assert any(r.values[1] for r in lives[2] if r.call == Call.KEEP_GET)
    seconds = (found.trace["time_ms"] - start_ms) / 1000
    for installed_s in INSTALLED_S:
        pause = (seconds >= installed_s) & (seconds < installed_s + 600)
        assert not found.trace["valve_commanded"][pause].any()


def test_a_search_on_a_board_covers_what_one_on_a_simulated_node_covers() -> None:
    data = tomllib.loads(small_field(days=5))
    module = DEFAULT_GUEST.read_bytes()
    seen = []
    with NodeMaker() as make_node:
        for node in ("sim", "virtual"):
            base = base_of(data, module, inspect(module), node=node)
            found = search(base, 6, seed_=4, make_node=make_node)
            assert (found.cases, found.failures) == (6, {})
            seen.append(found.decisions._seen)
    assert seen[0] == seen[1]


@pytest.mark.slow
def test_nothing_is_found_on_a_board_in_1000_cases() -> None:
    data = tomllib.loads(small_field(days=5))
    module = DEFAULT_GUEST.read_bytes()
    with NodeMaker() as make_node:
        base = base_of(data, module, inspect(module), node="virtual")
        found = search(base, 1000, seed_=1, make_node=make_node)
    print(f"{found.cases / found.seconds:.1f} cases/s")
    assert (found.cases, found.failures) == (1000, {})
