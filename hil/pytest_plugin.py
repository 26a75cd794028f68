"""pytest plugin: the same test body on a simulated node, a virtual board, and a real one.

    @pytest.mark.scenario("dry_spell.toml")
    def test_survives_a_dry_spell(levada_run):
        levada_run.check()
        assert levada_run.summary["stress_days"] < 1

    $ pytest --levada-node sim --levada-node virtual --levada-node serial:/dev/ttyUSB0

Options begin with `--levada-` (and `--require-hil`), so they do not meet those of pytest-embedded.
This module is imported by every pytest where levada is installed, so it imports nothing slow.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from levada.guest.text.redaction import redacted

if TYPE_CHECKING:
    from levada.guest.node import Node
    from levada.sim.run.rundir import RunDir

__all__ = ["LevadaNode", "LevadaRun", "levada_node", "levada_run"]

PHYSICAL: Final = ("serial:", "mqtt:", "mqtts:")
CRASHES: Final = (": watchdog", ": brown out", ": panic")
"""How a restart ends that no test wants, as `levada.hil.node` tells it.  A scenario's faults start
the guest anew, never the device."""
LINK_FIGURES: Final = (
    "requests",
    "retries",
    "crc_errors",
    "resyncs",
    "round_trip_p50_ms",
    "round_trip_p99_ms",
    "jitter_ms",
    "restarts",
    "void",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the plugin."""
    group = parser.getgroup("levada", "irrigation guests in simulated fields and on devices")
    group.addoption(
        "--levada-node",
        action="append",
        metavar="NODE",
        help="where guests run: sim (default), virtual, virtual:esp32, serial:PORT?baud=N; "
        "may be repeated, every test then runs on each",
    )
    group.addoption(
        "--require-hil",
        action="store_true",
        help="a device that is not there fails a test instead of skipping it",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Markers of the plugin."""
    config.addinivalue_line(
        "markers", "scenario(path, **values): scenario of `levada_run`, with values changed"
    )
    config.addinivalue_line("markers", "hil: needs a physical node, and is skipped without one")
    config.addinivalue_line(
        "markers",
        "disturbed: disturbs its device or line itself; neither a crash of the device nor a void "
        "link fails it",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test with a node runs on each node asked for."""
    if "levada_node" in metafunc.fixturenames:
        nodes = metafunc.config.getoption("--levada-node") or ["sim"]
        metafunc.parametrize(
            "levada_node", nodes, indirect=True, ids=[redacted(node) for node in nodes]
        )


class LevadaNode:
    """Where the guests of a test run."""

    def __init__(self, url: str, request: pytest.FixtureRequest, stack: ExitStack) -> None:
        self.url = url
        """As given with `--levada-node`."""
        self._request = request
        self._stack = stack
        self._number = 0
        self._links = 0
        # an item that is run again keeps what its last attempt has told
        kept = [p for p in request.node.user_properties if not p[0].startswith("levada_")]
        request.node.user_properties[:] = [*kept, ("levada_node", redacted(url))]

    @property
    def physical(self) -> bool:
        """Whether it is hardware."""
        return self.url.startswith(PHYSICAL)

    def open(self, module: bytes, **settings: Any) -> Node:
        """A node with that guest, closed after the test; settings as of
        `levada.guest.wasm.node.WasmtimeNode`.

        A device that is not there skips the test, or fails it with `--require-hil`.
        """
        from levada.guest.wasm.node import WasmtimeNode
        from levada.hil.errors import LinkError
        from levada.hil.node import DeviceNode
        from levada.hil.nodes import open_link
        from levada.sim.scenario.node_url import parse_node

        node: Node
        url = parse_node(self.url)
        if url.simulated:
            node = WasmtimeNode(module, **settings)
        else:
            try:
                link = open_link(url, self._stack)
                link.hello()
            except LinkError as error:
                self._missing(error)
            node = DeviceNode(link, module, **settings)
            try:
                node.birth()
            except LinkError as error:
                pytest.fail(str(error), pytrace=False)
        self._stack.callback(self._closed, node)
        return node

    def _closed(self, node: Node) -> None:
        quality = node.quality()
        self._tell(quality)
        node.close()
        self._judge(quality)

    def run(self, scenario: Path | str, **values: object) -> LevadaRun:
        """Run a scenario on this node; `values` change it, dots written as `__`.

        It is a file beside the test's, or the name of a shipped scenario.
        """
        from levada.hil.errors import LinkError
        from levada.hil.node import DeviceNode
        from levada.hil.nodes import NodeMaker, node_overrides
        from levada.sim.run import build, runner
        from levada.sim.scenario import load as scenarios
        from levada.sim.scenario.shipped import scenario_path

        path = self._request.path.parent / scenario_path(scenario)
        overrides = [(key.replace("__", "."), str(value)) for key, value in values.items()]
        overrides += node_overrides(path, [self.url])
        document = scenarios.read(path, overrides)
        runner.check(document)
        out = self._request.getfixturevalue("tmp_path") / f"run{self._number}"
        self._number += 1
        nodes: list[DeviceNode] = []
        lost: LinkError | None = None
        with NodeMaker() as make_node:

            def greeted(settings: build.NodeSettings) -> Node:
                try:
                    node = make_node(settings)
                    node.link.hello()
                except LinkError as error:
                    self._missing(error)
                nodes.append(node)
                return node

            try:
                result = runner.run_scenario(document.scenario, out, make_node=greeted)
                if result.interrupted:  # who runs the tests wants them to end
                    raise KeyboardInterrupt
            except LinkError as error:  # of a device that had answered
                lost = error
        qualities: list[dict[str, Any] | None] = [node.quality() for node in nodes] or [None]
        for quality in qualities:
            self._tell(quality)
        if lost is not None:
            pytest.fail(f"lost in the middle of the run: {lost}", pytrace=False)
        for quality in qualities:
            self._judge(quality)
        done = LevadaRun(out, self._request.node)
        self._judge_guest(done.summary)
        return done

    def _missing(self, error: Exception) -> None:
        """Skip a test before its device has ever answered, or fail if that is not wanted.

        A virtual board has no excuse.
        """
        if self.physical and not self._request.config.getoption("--require-hil"):
            pytest.skip(f"no device: {error}")
        pytest.fail(str(error), pytrace=False)

    def _tell(self, quality: dict[str, Any] | None) -> None:
        """Figures of a link as properties of the test, for JUnit; a second one has a number."""
        if quality is None:
            return
        from levada.sim.results.junit import link_properties

        self._links += 1
        link = "link" if self._links == 1 else f"link{self._links}"
        told = link_properties(quality)
        self._request.node.user_properties += [
            (f"levada_{link}_{name}", told[name]) for name in LINK_FIGURES
        ]

    def _judge(self, quality: dict[str, Any] | None) -> None:
        """Fail a test whose device crashed, or whose link was too bad, unless it meant to do so."""
        if quality is None or self._request.node.get_closest_marker("disturbed"):
            return
        found = [f"crashed at {r}" for r in quality["restarts"] if r.endswith(CRASHES)]
        if quality["void"]:
            found.append(f"the run is void: {quality['void']}")
        if found:
            pytest.fail("\n".join(redacted(f"{self.url}: {text}") for text in found), pytrace=False)

    def _judge_guest(self, summary: dict[str, Any]) -> None:
        """Fail a test whose guest was stopped, unless its scenario or the test means to do so."""
        from levada.sim.run import stops

        if stops.fails(summary) and not self._request.node.get_closest_marker("disturbed"):
            pytest.fail("\n".join(stops.lines(summary)), pytrace=False)


class LevadaRun:
    """A scenario that has been run."""

    def __init__(self, path: Path, item: pytest.Item) -> None:
        from levada.sim.run.rundir import RunDir

        self.dir: RunDir = RunDir(path)
        """Summary, trace and tape (`levada.sim.run.rundir.RunDir`)."""
        self._item = item

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return self.dir.summary

    @property
    def void(self) -> str | None:
        """Why the run does not count, if its link was too bad."""
        links = (self.summary["link"] or {}).values()
        return next((link["void"] for link in links if link["void"]), None)

    def check(self) -> None:
        """Fail if an expectation of the scenario failed; the report shows the trace there."""
        from levada.hil.failure_report import around, course

        failed = [e for e in self.summary["expectations"] if not e["passed"]]
        for e in failed:
            if e["time_ms"] is not None:
                shown = around(self.dir, e["zone"], e["time_ms"])
            else:
                shown = course(self.dir, e)
            self._item.add_report_section("call", f"levada: {e['name']}", shown)
        if failed:
            lines = [f"{e['name']}: {e['detail']}" for e in failed]
            pytest.fail("\n".join(lines), pytrace=False)

    def check_golden(self, golden: Path | str, **tolerances: float) -> None:
        """Fail if the run differs from an accepted one (`levada accept RUN GOLDEN`).

        Tolerances are absolute, by signal of the trace, above those accepted with it.
        """
        from levada.hil.failure_report import side_by_side
        from levada.sim.results.golden import differences, golden_comparison
        from levada.sim.run.rundir import RunDir

        path = Path(golden)
        if not path.is_absolute():
            path = self._item.path.parent / path
        found = golden_comparison(self.dir, path, tolerances)
        if not found.equal:
            shown = side_by_side(RunDir(path), self.dir, found)
            self._item.add_report_section("call", f"levada: golden run {path.name}", shown)
            pytest.fail(differences(found), pytrace=False)


@contextmanager
def _closed_at_sigterm() -> Iterator[None]:
    """SIGTERM ends the tests as Ctrl-C does, so that valves are closed, unless it has a meaning."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def levada_node(request: pytest.FixtureRequest) -> Iterator[LevadaNode]:
    """A node of those asked for with `--levada-node`; everything it opened is closed at the end."""
    from levada.sim.scenario.node_url import parse_node

    try:
        parse_node(request.param)
    except ValueError as error:  # its traceback would show the URL with a password in it
        pytest.fail(redacted(f"--levada-node {request.param}: {error}"), pytrace=False)
    node = LevadaNode(request.param, request, stack := ExitStack())
    if request.node.get_closest_marker("hil") and not node.physical:
        if request.config.getoption("--require-hil"):
            pytest.fail(f"needs a physical node, has {redacted(node.url)}", pytrace=False)
        pytest.skip(f"needs a physical node, has {redacted(node.url)}")
    with stack, _closed_at_sigterm():
        yield node


@pytest.fixture
def levada_run(levada_node: LevadaNode, request: pytest.FixtureRequest) -> LevadaRun:
    """The scenario of the marker `scenario`, run on the node."""
    marker = request.node.get_closest_marker("scenario")
    if marker is None or len(marker.args) != 1:
        needs = f'{request.node.nodeid}: levada_run needs @pytest.mark.scenario("FILE.toml")'
        pytest.fail(needs, pytrace=False)
    from levada.sim.scenario.diagnostics import ScenarioError

    try:
        return levada_node.run(marker.args[0], **marker.kwargs)
    except ScenarioError as error:  # the file or a key of the marker: a traceback adds nothing
        pytest.fail(f"{request.node.nodeid}: its scenario cannot be used\n{error}", pytrace=False)
