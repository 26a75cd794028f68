"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from levada.guest.fast.jit import CACHE
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.messages import FaultKind, FaultPoint

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
WEEK = """
import pytest
FILE = {path!r}
WEEK = {{"period__start": "2023-07-01", "period__end": "2023-07-03"}}
"""
PLAIN = (
    *("-p", "no:dash", "-p", "no:pytest_embedded", "-p", "no:cacheprovider"),
    *("-p", "no:faulthandler"),
)
"""At the end of a run within this process faulthandler would put back the signal handlers of before
its start; those by which wasmtime catches a trap would be gone, and the next trap would end us."""


@pytest.fixture(autouse=True)
def compiled(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels need not be compiled again where pytester is at home."""
    del pytester
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE.parent.parent))


@pytest.fixture
def week() -> str:
    """The head of a test file: a scenario of three days."""
    return WEEK.format(path=str(ROOT / "levada/scenarios" / "quickstart.toml"))


def test_one_body_runs_on_every_node_and_says_how_the_link_was(
    pytester: pytest.Pytester, week: str
) -> None:
    pytester.makepyfile(
        week
        + """
@pytest.mark.scenario(FILE, **WEEK)
def test_runs(levada_run):
    assert levada_run.summary["traps"] == 0
"""
    )
    result = pytester.runpytest_inprocess(
        *PLAIN, "--levada-node", "sim", "--levada-node", "virtual", "--junitxml", "out.xml"
    )
    result.assert_outcomes(passed=2)
    found = {}
    for case in ElementTree.parse("out.xml").iter("testcase"):
        figures = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        found[figures["levada_node"]] = figures
    assert set(found) == {"sim", "virtual"}
    figures = found["virtual"]
    assert int(figures["levada_link_requests"]) > 3 * 144
    assert int(figures["levada_link_crc_errors"]) == 0
    assert float(figures["levada_link_round_trip_p99_ms"]) > 0.0
    assert (figures["levada_link_restarts"], figures["levada_link_void"]) == ("none", "no")
    assert not any("link" in name for name in found["sim"])


def test_a_failed_expectation_shows_the_trace_around_it(
    pytester: pytest.Pytester, week: str
) -> None:
    pytester.makepyfile(
        week
        + """
@pytest.mark.scenario(FILE, **WEEK, expect__0__that="counts > 0", expect__0__longer_than="1 h")
def test_fails(levada_run):
    levada_run.check()

@pytest.mark.scenario(FILE, **WEEK, expect__4__below=1)
def test_fails_in_total(levada_run):
    levada_run.check()
"""
    )
    result = pytester.runpytest_inprocess(*PLAIN)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*levada: Valve never open longer*", "zone maize", "time *counts *valve_open*"]
    )
    result.stdout.fnmatch_lines(["2023-07-01 0*"])
    result.stdout.fnmatch_lines(
        [
            "*levada: Water used below 550 mm*",
            "zone maize, a row is a day*",
            "from *irrigation_mm *so far*",
        ]
    )


def test_a_node_can_be_asked_step_by_step(pytester: pytest.Pytester, week: str) -> None:
    pytester.makepyfile(
        week
        + """
from levada.hil.selftest import default_guest
START_MS = 1_681_516_800_000
def test_steps(levada_node):
    node = levada_node.open(default_guest())
    booted = node.boot(START_MS)
    result = node.step(START_MS + booted.wake_ms, (2000, 1500, 3700, 0))
    assert result.wake_ms > 0
"""
    )
    result = pytester.runpytest_inprocess(*PLAIN, "--levada-node", "virtual:native")
    result.assert_outcomes(passed=1)


def test_without_hardware_a_test_is_skipped_unless_it_is_required(
    pytester: pytest.Pytester, week: str
) -> None:
    pytester.makepyfile(
        week
        + """
@pytest.mark.scenario(FILE, **WEEK)
def test_runs(levada_run): pass

@pytest.mark.hil
def test_real(levada_node): pass
"""
    )
    absent = ("--levada-node", "serial:/dev/no-such-port")
    skipped = pytester.runpytest_inprocess(*PLAIN, *absent, "-rs")
    skipped.assert_outcomes(skipped=1, passed=1)
    skipped.stdout.fnmatch_lines(["*no device: /dev/no-such-port: cannot be opened*"])
    required = pytester.runpytest_inprocess(*PLAIN, *absent, "--require-hil")
    required.assert_outcomes(failed=0, errors=1, passed=1)
    simulated = pytester.runpytest_inprocess(*PLAIN, "--require-hil", "-k", "real")
    simulated.assert_outcomes(errors=1)
    simulated.stdout.fnmatch_lines(["*needs a physical node, has sim*"])


def test_a_board_that_has_answered_is_never_skipped(pytester: pytest.Pytester, week: str) -> None:
    pytester.makeconftest(
        """
from levada.hil.link import Link, Patience
Link.__init__.__kwdefaults__["patience"] = Patience(reopen_s=0.0)
"""
    )
    pytester.makepyfile(
        week
        + """
import os, signal
from levada.hil.wire.messages import Ack, Fault, FaultKind, FaultPoint
from levada.hil.node import DeviceNode
from levada.hil.selftest import default_guest
BOARD = {board}
START_MS = 1_681_516_800_000

@pytest.mark.scenario(FILE, **WEEK)
def test_crashes_in_a_run(levada_run): pass

def crash(levada_node):
    node = levada_node.open(default_guest())
    node.boot(START_MS)
    hang = Fault(kind=FaultKind.HANG, point=FaultPoint.CALL, after=0, argument=0)
    node.link.ask(hang, Ack)
    node.step(START_MS + 600_000, (2000, 1500, 3700, 0))

def test_crashes_step_by_step(levada_node): crash(levada_node)

@pytest.mark.disturbed
def test_crashes_as_it_should(levada_node): crash(levada_node)

def test_dies(levada_node, monkeypatch):
    step = DeviceNode.step
    def last(node, time_ms, *args, **named):
        if node.link.quality.requests == 200:
            os.kill(BOARD, signal.SIGKILL)
        return step(node, time_ms, *args, **named)
    monkeypatch.setattr(DeviceNode, "step", last)
    levada_node.run(FILE, **WEEK)

@pytest.mark.scenario(FILE, **WEEK)
def test_is_gone(levada_run): pass
"""
    )
    hang = f"{FaultKind.HANG},{FaultPoint.CALL},300,0"
    with VirtualDevice(tcp=0, options=("--fault", hang)) as board:
        file = next(Path(pytester.path).glob("test_*.py"))
        file.write_text(file.read_text().replace("{board}", str(board.process.pid)))
        result = pytester.runpytest_inprocess(
            *PLAIN, "-rs", "--levada-node", f"serial:{board.url}", "--junitxml", "out.xml"
        )
    # in a run, in its fixture; in steps, when they are over; the last board was never there
    result.assert_outcomes(errors=2, passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["serial:socket:*: crashed at 2023-07-01T*: watchdog"])
    result.stdout.fnmatch_lines(["serial:socket:*: crashed at 2023-04-15T00:10:00: watchdog"])
    result.stdout.fnmatch_lines(["lost in the middle of the run: socket:*"])
    result.stdout.fnmatch_lines(["SKIPPED * no device: socket:*: cannot be opened*"])
    restarts = {
        case.attrib["name"].partition("[")[0]: p.attrib["value"]
        for case in ElementTree.parse("out.xml").iter("testcase")
        for p in case.iter("property")
        if p.attrib["name"] == "levada_link_restarts"
    }
    assert restarts.pop("test_dies") == "none"
    assert len(restarts) == 3
    assert all(text.endswith(": watchdog") for text in restarts.values())


def test_a_run_is_held_to_a_golden_one(pytester: pytest.Pytester, week: str) -> None:
    pytester.makepyfile(
        week
        + """
from pathlib import Path
from levada.sim.results.golden import accept

@pytest.mark.scenario(FILE, **WEEK)
def test_same(levada_run, levada_node):
    golden = Path("golden").absolute()
    accept(levada_run.dir, golden, {})
    levada_node.run(FILE, **WEEK).check_golden(golden)
    wet = levada_node.run(FILE, **WEEK, zone__0__soil__initial__available_pct=60)
    wet.check_golden(golden, storage_mm=0.5)
"""
    )
    result = pytester.runpytest_inprocess(*PLAIN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*storage_mm of zone maize differs first at*0.5 allowed*"])
    result.stdout.fnmatch_lines(
        [
            "*levada: golden run golden*",
            "zone maize, first difference 2023-07-01 00:00; of * signals that differ, the first 3",
            "time * golden * now * golden * now*",
            "2023-07-01 06:00 *<",
        ]
    )


def test_it_works_beside_pytest_embedded(pytester: pytest.Pytester, week: str) -> None:
    pytester.makepyfile(
        week
        + """
@pytest.mark.scenario(FILE, **WEEK)
def test_both(levada_run, dut):
    assert levada_run.summary["traps"] == 0
    assert dut is not None
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:dash", "--levada-node", "virtual")
    result.assert_outcomes(passed=1)


def test_a_scenario_marker_is_needed_and_said_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x(levada_run): pass")
    result = pytester.runpytest_inprocess(*PLAIN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ['*py::test_x?sim?: levada_run needs @pytest.mark.scenario("FILE.toml")*']
    )


def test_a_key_of_a_marker_that_there_is_not_names_the_test(
    pytester: pytest.Pytester, week: str
) -> None:
    pytester.makepyfile(
        week
        + """
@pytest.mark.scenario(FILE, period__ends="2023-07-03")
def test_x(levada_run): pass
"""
    )
    result = pytester.runpytest_inprocess(*PLAIN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*py::test_x?sim?: its scenario cannot be used", "*`ends`*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_starting_pytest_imports_nothing_slow(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys
def test_x():
    assert "levada.hil.pytest_plugin" in sys.modules
    slow = {"numpy", "numba", "wasmtime", "pyarrow", "serial"} & set(sys.modules)
    assert not slow
"""
    )
    result = pytester.runpytest_subprocess(*PLAIN, "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)


def test_a_stopped_guest_fails_a_test_unless_that_was_meant(
    pytester: pytest.Pytester, week: str
) -> None:
    """A guest without its budget is stopped at once; the scenario expects nothing of that."""
    pytester.makepyfile(
        week
        + """
STOPPED = {**WEEK, "guest__budget__instructions": 100, "expect": []}

@pytest.mark.scenario(FILE, **STOPPED)
def test_stopped(levada_run): pass

@pytest.mark.disturbed
@pytest.mark.scenario(FILE, **STOPPED)
def test_stopped_by_the_test(levada_run):
    assert levada_run.summary["traps"] > 0

@pytest.mark.scenario(FILE, **STOPPED, guest__may_stop="true")
def test_stopped_as_the_scenario_permits(levada_run):
    assert levada_run.summary["traps"] > 0

def test_stopped_in_the_body(levada_node):
    levada_node.run(FILE, **STOPPED)
    raise AssertionError("not reached")
"""
    )
    result = pytester.runpytest_inprocess(*PLAIN, "-rfE")
    result.assert_outcomes(errors=1, passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["zone maize, 2023-07-01T00:*: guest stopped in init: out of fuel (more than 100 *"]
    )
    result.stdout.no_fnmatch_line("*not reached*")


def test_an_item_that_is_run_again_has_the_figures_of_its_last_run(
    pytester: pytest.Pytester,
) -> None:
    """As pytest-rerunfailures does it: the protocol of the same item, once more."""
    pytester.makeconftest(
        """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.user_properties.append(("own", "kept"))
    for last in (False, True):
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
    )
    pytester.makepyfile(
        """
from levada.hil.selftest import default_guest
START_MS = 1_681_516_800_000

def test_steps(levada_node):
    levada_node.open(default_guest()).boot(START_MS)
"""
    )
    result = pytester.runpytest_inprocess(
        *PLAIN, "--levada-node", "virtual:native", "--junitxml", "out.xml"
    )
    result.assert_outcomes(passed=1)
    names = [p.attrib["name"] for p in ElementTree.parse("out.xml").iter("property")]
    assert len(names) == len(set(names)), "each figure once"
    assert {"own", "levada_node", "levada_link_requests"} <= set(names)
    assert not any(name.startswith("levada_link2") for name in names)
