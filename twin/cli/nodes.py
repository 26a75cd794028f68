"""Commands of `levada` about nodes and devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.guest.text.plain import plain
from levada.twin.cli import options, streams
from levada.twin.cli.options import GuestFile
from levada.twin.cli.output_file import check_output
from levada.twin.cli.scenarios import ScenarioFile
from levada.twin.cli.slow import said_if_slow

if TYPE_CHECKING:
    from levada.hil.selftest import Check

__all__ = ["nodes_app"]

nodes_app = typer.Typer()

BAUD = 921_600
_COMPILING = "device: the virtual board is compiled, which takes its time before the first start"
NodeOption = Annotated[
    str,
    typer.Option("--node", metavar="NODE", help="virtual:ENGINE, serial:PORT?baud=N, ..."),
]
PortArgument = Annotated[
    str, typer.Argument(metavar="PORT", help="/dev/ttyUSB0, socket://HOST:PORT, rfc2217://...")
]
BaudOption = Annotated[int, typer.Option(help="Bits a second.")]


@nodes_app.command()
def diff(
    scenario: ScenarioFile,
    node: Annotated[
        list[str],
        typer.Option(metavar="NODE", help="At least twice; the first is what the others must do."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="A run directory a node goes here.")
    ] = Path("runs/diff"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    guest: GuestFile = None,
    pki: options.Pki = None,
) -> None:
    """Run a scenario on several nodes: identical, or the first host call that differs."""
    from levada.hil.diff import diff_nodes
    from levada.twin.cli import console

    if len(node) < 2:
        raise typer.BadParameter("give at least two nodes", param_hint="--node")
    overrides = options.overrides(settings, guest)
    found = diff_nodes(
        scenario,
        node,
        out,
        overrides=overrides,
        pki=options.text(pki),
        progress=console.node_progress,
    )
    stopped = [console.stopped(run.summary, run.node) for run in found.runs]
    console.diff(found)
    if any(run.summary["partial"] for run in found.runs):
        raise typer.Exit(INTERRUPTED)
    if any(console.void(run.summary) for run in found.runs):
        raise typer.Exit(Exit.NODE_OR_LINK)
    passed = found.equal and not any(stopped)
    raise typer.Exit(Exit.PASS if passed else Exit.EXPECTATION_FAILED)


@nodes_app.command()
def accept(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory that a run has left.")],
    golden: Annotated[Path, typer.Argument(metavar="GOLDEN", help="Directory of golden run.")],
    tolerance: options.Tolerances = None,
) -> None:
    """Keep a run as the golden one, which later runs are held to."""
    from levada.sim.results.golden import accept as accept_run
    from levada.sim.run.rundir import RunDir, trusted
    from levada.twin.cli import console

    given = options.tolerances(tolerance)
    looked_at = RunDir(run)
    with trusted(looked_at):
        before = accept_run(looked_at, golden, given)
    if before is not None:
        console.comparison(before)
    typer.echo(f"accepted {run} as {golden}")


@nodes_app.command()
def devices(
    ask: Annotated[
        bool, typer.Option("--ask", help="Open the ports of boards, which resets them, and greet.")
    ] = False,
    baud: BaudOption = BAUD,
) -> None:
    """Serial ports of this computer, and which of them look like an ESP32."""
    from levada.hil.line.ports import find_ports

    found = find_ports(ask=ask, baud=baud)
    for port in found:
        who = port.bridge or port.description
        if port.birth is not None:
            who += f": {port.birth.engine}, {port.birth.firmware}, boot {port.birth.boot_id}"
        elif port.trouble:
            who += f": {port.trouble}"
        typer.echo(plain(f"serial:{port.device}  {who}"))
    if not found:
        typer.echo("no serial port found", err=True)
        raise typer.Exit(Exit.NOTHING_RAN)


@nodes_app.command()
def device(
    engine: Annotated[
        str,
        typer.Option(
            metavar="ENGINE", help="wasm3, wasmtime, native, xtensa, esp32, aarch64, wamr."
        ),
    ] = "wasm3",
    tcp: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=0, max=65_535, help="Listen on this port of this computer; 0: any."
        ),
    ] = None,
    flash: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keeps guest and parameters.")
    ] = None,
    pins: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Gets a line for every change of a pin.")
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="trusted.json: it takes only what these keys signed."),
    ] = None,
) -> None:
    """Start a virtual board to connect anything to; Ctrl-C ends it."""
    from levada.guest.signing.keys import read_trusted
    from levada.hil.virtual import VirtualDevice

    check_output(flash, "--flash")
    check_output(pins, "--pins")
    keys = [key.hex() for key in read_trusted(trust).keys] if trust else []
    with (
        said_if_slow(_COMPILING) as ready,
        VirtualDevice(engine, tcp=tcp, flash=flash, pins=pins, trust=keys) as found,
    ):
        ready()
        try:
            typer.echo(f"serial:{found.url}")  # whoever reads it may end it at once
            code = found.process.wait()
        except KeyboardInterrupt:
            return
    if code:
        raise typer.Exit(Exit.NODE_OR_LINK)


@nodes_app.command()
def monitor(
    port: PortArgument,
    baud: BaudOption = BAUD,
    seconds: Annotated[float | None, typer.Option(help="End after so long.", min=0)] = None,
) -> None:
    """Show what a device says: its console, its frames, and what is damaged."""
    from levada.hil.line.serial_port import Port
    from levada.hil.monitor import rest, watch
    from levada.hil.wire.codec import Decoder

    line, decoder = Port(port, baud=baud), Decoder()
    try:
        for text in watch(line, seconds=seconds, decoder=decoder):
            typer.echo(text)
            if streams.gone():
                break
    except KeyboardInterrupt:  # how a monitor is ended
        for text in rest(decoder):
            typer.echo(text)
    finally:
        line.close()


@nodes_app.command()
def flash(
    port: PortArgument,
    build: Annotated[
        Path | None,
        typer.Option("--build", metavar="DIR", help="Build directory of the ESP-IDF project."),
    ] = None,
    guest: Annotated[
        Path | None, typer.Option("--guest", metavar="FILE", help="Guest module for a slot.")
    ] = None,
    slot: Annotated[int, typer.Option(min=0, max=1, help="Guest slot.")] = 0,
    chip: Annotated[str, typer.Option(help="As esptool names it.")] = "auto",
    baud: Annotated[int, typer.Option(help="Bits a second while flashing.")] = 460_800,
) -> None:
    """Write firmware, a guest, or both to an ESP32 with esptool (extra `flash`)."""
    from levada.hil.flash import flash as flash_board

    module = None
    if guest is not None:
        try:
            module = guest.read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"{guest}: {error.strerror}") from None
    flash_board(port, build=build, guest=module, slot=slot, chip=chip, baud=baud)


@nodes_app.command()
def selftest(
    node: NodeOption = "virtual",
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Result, to be sent to us.")
    ] = Path("selftest.json"),
    steps: Annotated[int, typer.Option(min=1, help="Guest steps to compare.")] = 1000,
    pki: options.Pki = None,
) -> None:
    """Try everything a device must do, beside the simulated node: first thing with a new board."""
    from levada.hil.selftest import default_guest
    from levada.hil.selftest import selftest as try_device

    check_output(out, "--out")

    def tell(check: Check) -> None:
        typer.echo(f"{'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.detail}")

    try:
        result = try_device(node, default_guest(), steps=steps, pki=options.text(pki), tell=tell)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--node") from None
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    typer.echo(f"{out} written")
    raise typer.Exit(Exit.PASS if result["passed"] else Exit.NODE_OR_LINK)
