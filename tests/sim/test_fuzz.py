"""The search finds what is broken, shrinks it to a file that fails, and asks the plant alone."""

from __future__ import annotations

import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from proof_log import Prove

from levada.guest.abi import Call, TrapKind
from levada.guest.build import build
from levada.guest.exit_codes import Exit
from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import encode
from levada.sim.devices.valve import ValveParam
from levada.sim.fuzz import trial
from levada.sim.fuzz.case import Base, Case, CaseFault, base_of, scenario_data
from levada.sim.fuzz.decisions import Decisions, features, runs_of
from levada.sim.fuzz.found import write_failure
from levada.sim.fuzz.properties import PROPERTIES, expectations, not_judged
from levada.sim.fuzz.search import Findings, search
from levada.sim.fuzz.trial import Trial, Weathers, run_data
from levada.sim.run import plant as plants
from levada.sim.run.plant import Plant
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.testing import small_field
from tests.command import levada
from tests.sim.broken_guests import BROKEN, broken_guest
from tests.sim.small import reactor

THRESHOLD = Path(__file__).parents[2] / "levada/guest/examples/threshold.c"
OPENS_FOR_EVER = "(call $set_output (i32.const 23) (i32.const 1)) i32.const 3600000"


def base(module: bytes | None = None, days: int = 5, **parameters: int) -> Base:
    """The small field with that guest in it, the shipped one by default."""
    module = module or DEFAULT_GUEST.read_bytes()
    info = inspect(module)
    data = tomllib.loads(small_field(days=days))
    known = {p.name for p in info.parameters}
    given = data["zone"][0]["parameters"] | parameters
    data["zone"][0]["parameters"] = {k: v for k, v in given.items() if k in known}
    return base_of(data, module, info)


def tried(case: Case, module: bytes) -> Trial:
    found = base(module)
    return run_data(found, scenario_data(found, case), Weathers())


def tables_of(case: Case, **parameters: int) -> dict[str, dict[str, Any]]:
    """The expectations of a case by name."""
    found = base(**parameters)
    scenario = Scenario.model_validate(scenario_data(found, case))
    several = expectations(scenario, expand(scenario), found.info).values()
    return {table["name"]: table for tables in several for table in tables}


# --- broken guests --------------------------------------------------------------------------------

FINDS = {
    "limit never checked": "open-limit",
    "flow not needed": "open-limit",
    "cap forgotten at restart": "daily-cap",
    "clock used instead of uptime": "start",
    "closes too late by one step": "open-limit",
    "opens after param_set": "start",
}
"""The property that a broken guest breaks first with the seed that CI tries."""


def broken_by(name: str, seed: int) -> Findings:
    found = search(base(broken_guest(name)), 500, seed_=seed, first_only=True)
    print(f"{name}, seed {seed}: {found.cases} cases, {[*found.failures]}")
    return found


@pytest.mark.parametrize("name", ["flow not needed", "cap forgotten at restart"])
def test_a_broken_guest_is_found_within_500_cases(name: str) -> None:
    assert [*broken_by(name, 0).failures] == [FINDS[name]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_guest_is_found_within_500_cases_whatever_the_seed(
    name: str, seed: int
) -> None:
    assert broken_by(name, seed).failures


def test_what_is_found_is_a_small_scenario_that_levada_run_fails_and_the_shipped_guest_passes(
    tmp_path: Path,
) -> None:
    (tmp_path / "field.toml").write_text(small_field(days=5))
    (tmp_path / "broken.wasm").write_bytes(broken_guest("cap forgotten at restart"))
    asked = ("fuzz", "field.toml", "--guest", "broken.wasm", "--cases", "60", "--out", "found")
    done = levada(*asked, cwd=tmp_path)
    assert done.returncode == Exit.EXPECTATION_FAILED, done.stdout + done.stderr
    assert "✗  The daily cap" in done.stdout  # and more, as wide as the terminal is
    assert "4 held, 1 failed" in done.stdout
    [file] = (tmp_path / "found").iterdir()
    data = tomllib.loads(file.read_text("utf-8"))
    assert data["period"]["start"] == data["period"]["end"]  # one day
    # and one cause of a restart, a fault or a battery that runs flat
    assert len(data.get("fault", ())) + ("energy" in data["zone"][0]) == 1
    assert len(data["expect"]) == 1
    assert data["guest"]["file"] == "../broken.wasm"
    again = levada("run", "found/daily-cap.toml", cwd=tmp_path)
    assert again.returncode == Exit.EXPECTATION_FAILED, again.stdout + again.stderr
    whole = levada("run", "found/daily-cap.toml", "--guest", DEFAULT_GUEST, cwd=tmp_path)
    assert whole.returncode == Exit.PASS, whole.stdout + whole.stderr


@pytest.mark.parametrize(
    ("guest", "cases"),
    [
        ("irrigation", 40),
        pytest.param("irrigation", 10_000, marks=pytest.mark.slow),
        pytest.param("threshold", 10_000, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_found_of_a_shipped_guest(guest: str, cases: int, proof: Prove) -> None:
    module = build([THRESHOLD]).module if guest == "threshold" else None
    found = search(base(module, days=60), cases, seed_=1)
    print(f"{guest}: {found.cases / found.seconds:.1f} cases/s, {found.decisions.paths} paths")
    proof("valves open longer than permitted", tried=found.cases, found=len(found.failures))
    assert found.cases == cases


# --- limits, by hand ------------------------------------------------------------------------------

DRY = {"open_period_s": 60, "max_open_s": 1200, "daily_cap_l": 200}
"""10 L/min, so 10 L flow until the next look, and a third of a litre while the valve closes."""


def test_a_day_has_the_cap_and_what_flows_between_two_looks() -> None:
    tables = tables_of(Case(days=2), **DRY)
    a_day = tables["a: no more a day than 200 L a day permit"]
    # 200 + 2 * (10 + 1/3) and 2 unseen times of 10 1/3 by a battery that runs flat by night, + 1
    assert (a_day["below"], a_day["per"]) == (243, "day")
    both = tables["a: no more in 2 days than 200 L a day permit"]
    assert both["below"] == 443  # 2 * 210 1/3 + 2 * 10 1/3 + 1


def test_a_clock_that_jumps_may_cost_one_more_allowance_and_a_lost_memory_one_each() -> None:
    skew = CaseFault(kind="clock-skew", start_s=3600, duration_s=600, magnitude="86400 s")
    loss = CaseFault(kind="keep-loss", start_s=7200, duration_s=0)
    name = "a: no more in 1 days than 200 L a day permit"
    seen = {
        faults: tables_of(Case(faults=faults), **DRY)[name]["below"]
        for faults in ((), (skew,), (loss,))
    }
    assert [*seen.values()] == [222, 432, 443]  # the loss is a restart, too, with 10 1/3 unseen


def test_after_each_start_a_full_pause_passes() -> None:
    restart = CaseFault(kind="reboot", start_s=36_000, duration_s=0)
    install = CaseFault(kind="reinstall", start_s=36_600, duration_s=0)
    table = tables_of(Case(faults=(restart, install)), min_pause_s=2400)[
        "a: not opened after start 1"
    ]
    # 40 min after the second of them
    assert table["start"] == datetime(2023, 7, 6, 10)
    assert table["end"] == datetime(2023, 7, 6, 10, 49, 59)


def test_flow_must_be_seen_within_the_time_to_confirm_it_and_two_looks() -> None:
    that = "valve_commanded and flow_pulses == 0"
    [table] = [t for t in tables_of(Case(), **DRY).values() if t.get("that") == that]
    assert table["longer_than"] == f"{120 + 2 * 60 + 2 * 60} s"


def test_properties_need_the_parameters_of_their_limits() -> None:
    info = inspect(build([THRESHOLD]).module)
    assert {p.key for p in PROPERTIES if not not_judged(info, p)} == {
        "hardware-timer",
        "start",
        "stopped",
    }


# --- the oracle -----------------------------------------------------------------------------------


def test_the_plant_is_asked_and_not_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest without a word opens for ever; a timer that does not close is found, one that does
    holds."""
    module = reactor(OPENS_FOR_EVER)
    assert "hardware-timer" not in tried(Case(), module).broken

    class Untimed(Plant):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.valves.parameters[:, ValveParam.MAX_OPEN_MS] = np.inf

    monkeypatch.setattr(trial, "Plant", Untimed)
    broken = tried(Case(), module).broken["hardware-timer"]
    assert broken.outcome.detail.startswith("held for")


def test_a_valve_that_is_open_without_power_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    off = CaseFault(kind="brown-out", start_s=7200, duration_s=3600)
    module = reactor(OPENS_FOR_EVER)
    assert "hardware-timer" not in tried(Case(faults=(off,)), module).broken
    monkeypatch.setattr(plants, "cut_valve", lambda *_: None)
    broken = tried(Case(faults=(off,)), module).broken["hardware-timer"]
    assert broken.outcome.name == "a: closed without power, brown-out 1"


def test_a_guest_that_is_stopped_is_found() -> None:
    assert [*tried(Case(), reactor("unreachable")).broken] == ["stopped"]


# --- what covers ----------------------------------------------------------------------------------


def step(at_ms: int, counts: int, message: bytes = b'{"irrigar":0,"why":4}') -> bytes:
    return (
        encode(Call.STEP, at_ms, 1)
        + encode(Call.READ_SENSOR, 0, counts)
        + encode(Call.SET_OUTPUT, 23, int(b'"irrigar":1' in message))
        + encode(Call.MQTT_PUBLISH, b"data", message, 0)
        + encode(Call.RETURN, 600_000)
    )


def test_equal_runs_in_a_row_count_once_and_values_make_no_difference() -> None:
    tape = encode(Call.BOOT, 0) + b"".join(step(k, 2000 + k) for k in range(5))
    [(why, valve, _)] = runs_of(tape)
    assert (why, valve) == (4, 0)


def test_another_reason_another_valve_and_a_failed_sensor_are_other_runs() -> None:
    opened = step(1, 2000, b'{"irrigar":1,"why":1}')
    runs = runs_of(step(0, 2000) + opened + step(2, -2) + encode(Call.TRAP, TrapKind.UNREACHABLE))
    assert [run[:2] for run in runs] == [(4, 0), (1, 1), (4, 0)]
    assert len({path for _, _, path in runs}) == 3
    assert len(features(runs)) == 3 + 2 + 1


def test_a_guest_that_gives_no_reason_is_covered_by_its_valve() -> None:
    covered = Decisions()
    covered.add(features(runs_of(step(0, 1, b"{}") + step(1, 1, b'{"irrigar":1}'))))
    assert covered.decided == [(-1, 0), (-1, 1)]
    assert covered.reasons == []


def test_the_same_seed_tries_the_same_cases() -> None:
    first, second, other = (search(base(), 12, seed_=seed) for seed in (5, 5, 6))
    assert first.decisions._seen == second.decisions._seen
    assert first.decisions._seen != other.decisions._seen
    assert first.judged == second.judged


def test_what_a_case_says_of_faults_is_a_scenario() -> None:
    jammed = CaseFault(kind="valve-stuck-open", start_s=0, duration_s=7200)
    shut = CaseFault(kind="valve-stuck-closed", start_s=3600, duration_s=60)
    often = CaseFault(kind="clock-skew", start_s=80_000, duration_s=9000, magnitude="60 s")
    data = scenario_data(base(), Case(days=1, faults=(jammed, shut, often)))
    assert [f["kind"] for f in data["fault"]] == ["valve-stuck-open", "clock-skew"]
    assert "duration" not in data["fault"][1]  # it lasts to the end of the day
    assert data["period"]["end"] == date(2023, 7, 6)
    Scenario.model_validate(data)


def test_random_weather_is_like_the_file_read_as_the_scenario_says() -> None:
    found = base()
    found.data["weather"] |= {"fill": "linear", "time_zone": "America/Denver"}
    file = found.data["weather"]["file"]
    assert scenario_data(found, Case(rain_factor=5))["weather"] == {
        "fill": "linear",
        "time_zone": "America/Denver",
        "generator": {"like": file, "rain_factor": 5},
    }
    assert scenario_data(found, Case())["weather"]["file"] == file


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def field(tmp_path: Path) -> Path:
    (tmp_path / "field.toml").write_text(small_field(days=3))
    return tmp_path


def test_a_search_that_finds_nothing_says_what_it_has_covered(field: Path) -> None:
    done = levada("fuzz", "field.toml", "--cases", "8", "--seed", "3", cwd=field)
    assert done.returncode == Exit.PASS, done.stdout + done.stderr
    assert done.stdout.count("✓") == 5
    assert "5 held, 0 failed" in done.stdout
    assert "STARTING" in done.stdout
    assert [path.name for path in field.iterdir()] == ["field.toml"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--node", "serial:/dev/ttyUSB0"), "permitted are sim"),
        (("--node", "virtual:mqtt"), "permitted are sim"),
        (("--node", "virtual:z80"), "z80"),
        (("--cases", "0"), "--cases"),
        (("--set", "zone.0.parameters.on_pct=101"), "on_pct"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    field: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = levada("fuzz", "field.toml", *arguments, cwd=field)
    assert done.returncode == Exit.BAD_INPUT
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_without_hypothesis_the_extra_is_named(
    field: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.twin.cli.fuzz.find_spec", lambda _: None)
    done = levada("fuzz", "field.toml", cwd=field)
    assert (done.returncode, "levada[fuzz]" in done.stderr) == (Exit.BAD_INPUT, True)


def test_an_interrupted_search_tells_what_it_has_found(tmp_path: Path) -> None:
    def interrupt(found: Findings) -> None:
        if found.cases == 3:
            raise KeyboardInterrupt

    found = search(base(), 100, told=interrupt)
    assert (found.cases, found.interrupted) == (3, True)
    assert found.judged["stopped"] == 3


def test_a_failure_that_is_interrupted_while_it_is_shrunk_is_kept(tmp_path: Path) -> None:
    def interrupt(found: Findings) -> None:
        if found.shrinking:
            raise KeyboardInterrupt

    broken = base(reactor("unreachable"))
    found = search(broken, 100, told=interrupt)
    assert found.interrupted
    [stopped] = [p for p in PROPERTIES if p.key == "stopped"]
    file = write_failure(found.failures["stopped"], stopped, broken, tmp_path)
    assert "trap != NONE" in file.read_text("utf-8")
