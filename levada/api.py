"""The public functions of `levada`: scenarios in, runs out, and single guests.

Thin on purpose: each is a few lines over the subpackages, whose modules say how things work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levada.guest.errors import GuestError
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.node import Node
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import Record, TapeReader, iter_records
from levada.guest.wasm.node import WasmtimeNode
from levada.guest.wasm.pure import PureGuest
from levada.hil.nodes import NodeMaker, node_overrides
from levada.sim.crop.et0 import daily as reference_et
from levada.sim.errors import WeatherError
from levada.sim.run import runner
from levada.sim.run.build import NodeSettings
from levada.sim.run.clock import parse_speed
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.scenario.diagnostics import Problem, ScenarioError
from levada.sim.scenario.load import read
from levada.sim.scenario.overlay import strategy_path
from levada.sim.scenario.shipped import scenario_path
from levada.twin.continuum.extension import extension

if TYPE_CHECKING:
    import pyarrow as pa

    from levada.sim.scenario.model import Scenario

__all__ = [
    "Guest",
    "NodeSettings",
    "Problem",
    "Run",
    "lint",
    "load",
    "reference_et",
    "run",
]

Overrides = Mapping[str, object]
"""Dotted key -> value, as `--set` of the command line: `{"zone.0.valve.flow_l_min": 3}`."""


def load(scenario: str | Path, *, overrides: Overrides | None = None) -> Scenario:
    """The scenario of a file, or the shipped one of that name (`quickstart`).

    Raises ScenarioError with everything that is wrong in the file, each with line and column.
    """
    return read(scenario_path(scenario), _pairs(overrides)).scenario


def lint(scenario: str | Path, *, overrides: Overrides | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong with a scenario, its guest and its weather; empty if it would run.

    What follows from the file is found in one go; guest and weather are looked at when the file is
    right.  Raises OSError if guest or weather cannot be read.
    """
    path = scenario_path(scenario)
    try:
        runner.check(read(path, _pairs(overrides)))
    except ScenarioError as error:
        return error.problems
    except WeatherError as error:
        found = f"{error.found}; {error.allowed}"
        return (Problem(file=error.path, line=error.line, column=0, key="weather", message=found),)
    except GuestError as error:
        return (Problem(file=str(path), line=0, column=0, key="guest", message=str(error)),)
    return ()


def run(
    scenario: str | Path,
    out: str | Path,
    *,
    overrides: Overrides | None = None,
    node: str | Callable[[NodeSettings], Node] | None = None,
    guest: str | Path | None = None,
    seed: int | None = None,
    strategy: str | None = None,
    overlays: Sequence[str | Path] = (),
    speed: str = "max",
    report: bool = True,
) -> Run:
    """Run a scenario, as `levada run` does, into the directory `out`.

    `node` says where the guests run (`sim`, `virtual`, `serial:/dev/ttyUSB0`), or makes the node of
    a zone, such as a `levada.testing.ScriptedNode`; its run is recorded as of node `virtual`.
    `guest` is a module instead of the scenario's, `speed` is `max` or a factor such as `60x`.

    `strategy`, "A" to "E", says which tiers run WASM; `overlays` are files that change keys of the
    scenario, the last one counts.

    Raises ScenarioError, GuestError or WeatherError before anything runs, ValueError if there is no
    such strategy, RunDirError if `out` is
    in use, HilError if a node cannot be had, SoilError if a soil cannot be solved.
    """
    path = scenario_path(scenario)
    pairs = _pairs(overrides)
    if guest is not None:
        pairs.append(("guest.file", str(Path(guest).absolute())))
    choice = "virtual" if callable(node) else node
    layers = [*([strategy_path(strategy)] if strategy else []), *map(Path, overlays)]
    pairs += node_overrides(path, [] if choice is None else [choice], layers)
    document = read(path, pairs, seed, layers)
    runner.check(document)
    factor = parse_speed(speed)
    with NodeMaker(speed=factor) as make_node:
        result = runner.run_scenario(
            document.scenario,
            Path(out),
            speed=factor,
            make_node=node if callable(node) else make_node,
            extend=extension(document.scenario),
            report=report,
        )
    return Run(result.path)


class Run:
    """What a run has left in its directory; each part is read when it is first asked for.

    Raises RunDirError, here or where a part is asked for, if the directory is none of a run or is
    damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self._files = RunDir(Path(path))

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._files.path

    @property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`: balances, expectations, digests, versions."""
        return self._files.summary

    @property
    def passed(self) -> bool:
        """Whether the run counts and no expectation failed: `levada run` would end with 0.

        It does not count if nothing ran, or it was interrupted, or a link was too bad.
        """
        summary = self.summary
        void = any(link["void"] for link in (summary["link"] or {}).values())
        ran = not summary["partial"] and (summary["steps"] or summary["traps"])
        failed = any(e["passed"] is False for e in summary["expectations"])
        return bool(ran) and not void and not failed

    @cached_property
    def trace(self) -> pa.Table:
        """The time series, a row for each zone and time of record; column names end in units.

        `.to_pandas()` makes a DataFrame of it, if pandas is installed.
        """
        return self._table("trace.parquet")

    @cached_property
    def profile(self) -> pa.Table:
        """Water content by depth: `time_ms`, `zone`, `depth_m`, `theta` [m3 m-3], a row a cell.

        Empty with the bucket, which knows no depth.
        """
        import pyarrow as pa

        if (self.path / "profile.parquet").is_file():
            return self._table("profile.parquet")
        columns = {"time_ms": "int64", "zone": "int16", "depth_m": "float32", "theta": "float32"}
        return pa.table({name: pa.array([], kind) for name, kind in columns.items()})

    def tape(self, zone: int | str = 0) -> Iterator[Record]:
        """Every host call of one zone's guest, in order, with its arguments and result.

        The zone is given by number or name.  Raises ValueError if there is none, TapeError if the
        tape is damaged.
        """
        zones = self._files.zones
        known: dict[int | str, int] = {name: i for i, name in enumerate(zones)}
        number = known.get(zone, zone)
        if not isinstance(number, int) or not 0 <= number < len(zones):
            raise ValueError(f"zone {zone!r}: there are {', '.join(zones)}, from 0")
        return iter_records(TapeReader(self._files.tape_path).tapes()[number])

    @property
    def report(self) -> Path:
        """`report.html`, written first if the run has none yet."""
        path = self.path / "report.html"
        if not path.is_file():
            from levada.sim.results.report import write

            write(self.path)
        return path

    def _table(self, name: str) -> pa.Table:
        from pyarrow import ArrowInvalid, parquet

        try:
            return parquet.read_table(self.path / name)
        except (ArrowInvalid, OSError) as error:
            raise RunDirError(f"{self.path / name}: damaged: {error}") from None


class Guest:
    """A guest module: what it is, its pure functions, and nodes that run it.

    `module` is a path or the bytes; the default is the shipped irrigation guest.  Raises
    ModuleError if it is no module that could be a guest.
    """

    def __init__(self, module: str | Path | bytes = DEFAULT_GUEST) -> None:
        self.module = module if isinstance(module, bytes) else Path(module).read_bytes()
        self.info: ModuleInfo = inspect(self.module)

    def __repr__(self) -> str:
        return f"<Guest {self.info.sha256[:8]}, {len(self.module)} bytes>"

    def node(self, **settings: Any) -> WasmtimeNode:
        """A node in this process that runs it; `settings` as of `WasmtimeNode`.

        Raises ModuleError if the module does not fit the ABI.
        """
        return WasmtimeNode(self.module, **settings)

    def call(self, function: str, *arguments: float) -> int | float | None:
        """Result of one of its pure functions, such as `process(raw, dry, wet, limit)`.

        Each call has a clean instance; `levada.guest.wasm.pure.PureGuest` keeps one.  Raises
        AbiError if there is no such function, ParameterError for arguments that do not fit it, Trap
        if it is stopped.
        """
        with PureGuest(self.module) as guest:
            return guest.call(function, *arguments)


def _pairs(overrides: Overrides | None) -> list[tuple[str, object]]:
    return list((overrides or {}).items())
