"""The command `levada`.

Results go to standard output, progress and errors to standard error.  Exit codes: 0 pass,
1 an expectation failed, 2 bad input or usage, 3 internal error, 4 node or link, 5 nothing ran, 130
interrupted: by Ctrl-C, SIGTERM, or a terminal that is closed.  Then valves are closed first.  What
the streams cannot take changes none of them.  Modules that take long to import are imported by the
commands that need them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from levada.guest.children import until_input_ends
from levada.guest.errors import LevadaError
from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.guest.text.logs import log_to_stderr
from levada.guest.text.redaction import redacted
from levada.twin.cli import options, streams
from levada.twin.cli.attack import attack
from levada.twin.cli.cloud import cloud_app
from levada.twin.cli.compare import compare_app
from levada.twin.cli.edge import edge_app
from levada.twin.cli.experiment import experiment_app
from levada.twin.cli.fog import fog_app
from levada.twin.cli.fuzz import fuzz_app
from levada.twin.cli.init import init_app
from levada.twin.cli.learn import learn_app
from levada.twin.cli.nodes import nodes_app
from levada.twin.cli.options import GuestFile
from levada.twin.cli.ota import ota_app
from levada.twin.cli.output_file import check_output
from levada.twin.cli.pki import pki_app
from levada.twin.cli.prove import prove_app
from levada.twin.cli.replay import replay_app
from levada.twin.cli.scenarios import ScenarioFile, ScenarioFiles, scenarios_app
from levada.twin.cli.signing import TrustedFile, keys_app, signing_app
from levada.twin.cli.sweep import sweep_app
from levada.twin.cli.tape import shows_logs, tape_app
from levada.twin.cli.twin import store_app, twin_app
from levada.twin.cli.up import up_app
from levada.twin.interrupts import Interrupts, interrupts

if TYPE_CHECKING:
    from levada.sim.devices.energy import EnergyProfile

__all__ = ["Exit", "app", "main"]


class _Discreet(TyperGroup):
    """What is refused is shown without the passwords that it holds."""

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if isinstance(getattr(error, "message", None), str):  # as those of click have
                error.message = redacted(error.message)  # type: ignore[attr-defined]
            raise

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        with self._refusing():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        with self._refusing():
            return super().invoke(ctx)


app = typer.Typer(
    name="levada",
    cls=_Discreet,
    help="Run one irrigation guest, the same .wasm bytes, in a simulated field, on devices, on fog "
    "and cloud, and see where they differ.",
    epilog="Exit codes: 0 pass, 1 an expectation failed or a guest was stopped, 2 bad input, "
    "3 internal error, 4 node or link, 5 nothing ran, 130 interrupted (Ctrl-C, SIGTERM, SIGHUP).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
guest_app = typer.Typer(no_args_is_help=True, help="Inspect, build, sign and attack guest modules.")
app.add_typer(guest_app, name="guest")
guest_app.add_typer(signing_app)
app.add_typer(keys_app, name="keys")
app.add_typer(nodes_app)
app.add_typer(twin_app)
app.add_typer(edge_app)
app.add_typer(up_app)
app.add_typer(fog_app)
app.add_typer(compare_app)
app.add_typer(experiment_app)
app.add_typer(tape_app)
app.add_typer(replay_app)
app.add_typer(fuzz_app)
app.add_typer(sweep_app)
app.add_typer(cloud_app)
app.add_typer(ota_app, name="ota")
app.add_typer(init_app)
app.add_typer(learn_app)
app.add_typer(prove_app)
app.add_typer(store_app, name="store")
app.add_typer(pki_app, name="pki")
app.add_typer(scenarios_app, name="scenarios")

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Directory that a run has left.")]


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"levada {version('levada')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", hidden=True, help="End when standard input does.")
    ] = False,
) -> None:
    del version
    if until_eof:
        threading.Thread(target=_end_with_input, name="until-eof", daemon=True).start()


def _end_with_input() -> None:
    """End as by SIGTERM when standard input does: whoever started this is gone, or wants it so."""
    until_input_ends()
    os.kill(os.getpid(), signal.SIGTERM)


@app.command()
def run(
    scenario: ScenarioFile,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run directory (default: runs/NAME)."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the scenario's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    overlay: options.Overlays = None,
    strategy: options.Strategy = None,
    guest: GuestFile = None,
    speed: Annotated[
        str, typer.Option(metavar="max|1x|60x", help="Simulated seconds a second.")
    ] = "max",
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ZONE=]NODE",
            help="Where guests run instead: sim, virtual, virtual:esp32, virtual:mqtt, "
            "serial:/dev/ttyUSB0?baud=921600, serial:socket://HOST:PORT, mqtt://HOST/ic/NODE; may "
            "be repeated. ZONE is a [\\[zone]], or one of its `count`, such as maize-001.",
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write expectations as JUnit XML.")
    ] = None,
    vcd: options.Vcd = None,
    energy_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recording of a power meter (CSV of PPK2, Joulescope, Otii): the energy model is "
            "fitted to it.",
        ),
    ] = None,
    pki: options.Pki = None,
    grid_check: options.GridCheck = False,
    log: options.Log = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the last line.")] = False,
) -> None:
    """Run a scenario: guest, plant, faults, expectations, report."""
    from levada.hil.nodes import NodeMaker, node_overrides
    from levada.sim.run import runner
    from levada.sim.run.clock import parse_speed
    from levada.sim.run.grid_check import with_grid_check
    from levada.sim.scenario import load as scenarios
    from levada.twin.cli import console
    from levada.twin.continuum.extension import extension

    try:
        factor = parse_speed(speed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None
    overrides = options.overrides(settings, guest)
    layers = options.overlays(strategy, overlay)
    overrides += node_overrides(scenario, node or [], layers)
    document = scenarios.read(scenario, overrides, seed, layers)
    runner.check(document)
    loaded = document.scenario
    target = out or Path("runs") / loaded.name
    extend = with_grid_check(loaded, extension(loaded)) if grid_check else extension(loaded)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
    check_output(junit, "--junit")
    check_output(vcd, "--vcd", made=target)
    profile = None if energy_file is None else _fitted(energy_file)
    nodes = NodeMaker(speed=factor, pki=options.text(pki))
    with console.progress(loaded, quiet=quiet) as progress, nodes as make_node:
        result = runner.run_scenario(
            loaded,
            target,
            speed=factor,
            progress=progress,
            make_node=make_node,
            energy_profile=profile,
            extend=extend,
            on_records=shows_logs(loaded) if log else lambda _zone, _records: None,
        )
    if junit is not None:
        from levada.sim.results.junit import write_junit

        write_junit(junit, [result.summary])
    if vcd is not None:
        from levada.hil.vcd import write_vcd
        from levada.sim.run.rundir import RunDir

        write_vcd(RunDir(target), vcd)
    console.outcome(result.summary, target, quiet=quiet)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.summary["steps"] == 0 and not result.summary["traps"]:
        raise typer.Exit(Exit.NOTHING_RAN)
    if console.void(result.summary):
        raise typer.Exit(Exit.NODE_OR_LINK)
    failed = any(e["passed"] is False for e in result.summary["expectations"])
    raise typer.Exit(Exit.EXPECTATION_FAILED if failed else Exit.PASS)


def _fitted(recording: Path) -> EnergyProfile:
    """The energy model, fitted to a recording."""
    from levada.sim.devices.power_recording import fit, read_recording
    from levada.twin.cli import console

    fitted = fit(read_recording(recording))
    console.fit(fitted, recording)
    return fitted.profile


@app.command()
def lint(
    scenario: ScenarioFiles,
    overlay: options.Overlays = None,
    strategy: options.Strategy = None,
) -> None:
    """Check scenario files without running them."""
    from levada.sim.run import models, runner, soils
    from levada.sim.scenario import load as scenarios
    from levada.sim.scenario.expand import expand
    from levada.twin.cli import console

    bad = 0
    for path in scenario:
        try:
            document = scenarios.read(path, overlays=options.overlays(strategy, overlay))
            runner.check(document)
        except LevadaError as error:
            if error.exit_code != Exit.BAD_INPUT:
                raise
            bad += 1
            console.error(error)
        else:
            zones = expand(document.scenario)
            typer.echo(f"{path}: ok, {len(zones)} zone{'s' if len(zones) > 1 else ''}")
            weather = runner.read_weather(document.scenario)
            loaded = document.scenario
            drainage = soils.drainage(zones)
            said = (*drainage, *soils.notes(zones), *models.notes(loaded, zones), *loaded.notes())
            for note in (*said, *weather.notes, *weather.filled):
                typer.echo(f"    {note}")
    raise typer.Exit(Exit.BAD_INPUT if bad else Exit.PASS)


@app.command()
def report(run: RunPath) -> None:
    """Write the report of a run again."""
    from levada.sim.results.report import write
    from levada.sim.run.rundir import RunDir, trusted

    found = RunDir(run)
    with trusted(found):
        page = write(found.path)
    typer.echo(page)


@app.command()
def doctor() -> None:
    """What is installed, what is missing for what, which fast paths are on."""
    from levada.twin.cli.console import examination
    from levada.twin.cli.doctor import examine

    findings = examine()
    examination(findings)
    raise typer.Exit(Exit.PASS if all(f.ok or f.optional for f in findings) else Exit.BAD_INPUT)


@guest_app.command("inspect")
def guest_inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Guest module (.wasm).")],
    trusted: TrustedFile = None,
) -> None:
    """Imports, exports, parameters, sizes, SHA-256, whether it fits the ABI, who has signed it."""

    _show_module(file, trusted, signed=True)


@guest_app.command("build")
def guest_build(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="C sources.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Module to write.")
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Keep DWARF, so that a trap names its source line.")
    ] = False,
) -> None:
    """Build a guest from C; the toolchain is the `build` extra, pinned."""
    from levada.guest.build import build

    target = out or sources[0].with_suffix(".wasm")
    check_output(target, "--out")
    build(sources, target, debug=debug)
    _show_module(target)


guest_app.command("attack")(attack)


def _show_module(file: Path, trusted: Path | None = None, *, signed: bool = False) -> None:
    from levada.guest.errors import ModuleError
    from levada.guest.module.inspect import inspect
    from levada.twin.cli import console

    try:
        info = inspect(_bytes(file))
    except ModuleError as error:
        raise ModuleError(f"{file}: {error}") from None
    console.module(info, file)
    if signed:
        from levada.guest.signing.keys import read_trusted
        from levada.twin.cli.signing import show_signature

        show_signature(file, read_trusted(trusted) if trusted else None)
    raise typer.Exit(Exit.PASS if info.fits else Exit.BAD_INPUT)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None


def _interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt is behind an error: a compiler that is broken off raises its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _system_said(error: OSError) -> str:
    """What the system says of a path or of the disk, such as `x: Permission denied`."""
    if isinstance(error, FileNotFoundError) and not _is_somewhere():
        return "the current directory no longer exists; change to another one"
    said = error.strerror or str(error)
    return said if error.filename is None else f"{os.fsdecode(error.filename)}: {said}"


def _is_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors become one clear message and an exit code."""
    code: object = INTERRUPTED
    if arguments is None:  # a program of its own
        streams.forgive()
    log_to_stderr()
    with interrupts() as interrupt, suppress(KeyboardInterrupt), interrupt.heard():
        code = _run(arguments, interrupt)
        _afterwards()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it would kill an interpreter that ends
    sys.exit(code)  # type: ignore[arg-type]  # what SystemExit carries


def _afterwards() -> None:
    """What does not change the exit code, said once."""
    from levada.twin.cli import console

    jit = sys.modules.get("levada.guest.fast.jit")
    if jit is not None and (why := jit.not_kept()):
        console.warning(why)
    if sys.stdout is not None:
        sys.stdout.flush()
    if lost := streams.trouble():
        console.warning(lost)


@cache
def _command() -> Any:
    """The commands as typer makes them, which takes longer than many of them run."""
    return typer.main.get_command(app)


def _run(arguments: list[str] | None, interrupt: Interrupts | None = None) -> object:
    try:
        _command()(args=arguments)
    except SystemExit as ended:
        return ended.code
    except Exception as error:  # noqa: BLE001 - the outermost frame: a message and a code, never nothing
        from levada.twin.cli import console

        if isinstance(error, LevadaError) and error.exit_code != Exit.INTERNAL:
            console.error(error)
            return error.exit_code
        if isinstance(error, OSError):
            console.error(ValueError(_system_said(error)))
            return Exit.BAD_INPUT
        if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
            console.error(ValueError(f"{error.object!r}: a name that is not UTF-8"))
            return Exit.BAD_INPUT
        if isinstance(error, MemoryError):
            console.error(ValueError("not enough memory for this"))
            return Exit.BAD_INPUT
        if _interrupted(error):
            return INTERRUPTED
        if (
            interrupt is not None and interrupt.came.is_set()
        ):  # one that was dropped on its way up leaves things half done
            typer.echo(f"interrupted ({type(error).__name__}: {error})", err=True)
            return INTERRUPTED
        console.internal(error)
        return Exit.INTERNAL
    return Exit.PASS
