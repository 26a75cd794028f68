"""The command `levada fog`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.twin.cli import options

if TYPE_CHECKING:
    from levada.twin.continuum.config import Given

__all__ = ["fog_app"]

fog_app = typer.Typer()

_OWN: Final = "The fog node"
_WAYS: Final = "Connections and files"
_KEEPING: Final = "Keeping"


ConfigOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TOML file, see docs/continuum.md; options win over it."),
]
EdgeBrokerOption = Annotated[
    str | None,
    typer.Option(
        metavar="mqtt(s)://HOST[:PORT]",
        rich_help_panel=_WAYS,
        help="Broker to which boards report, user and password in LEVADA_MQTT_USER and "
        "LEVADA_MQTT_PASSWORD; or the broker.json of a `levada broker`. Default: a broker of its "
        "own, for this computer only.",
    ),
]
CloudBrokerOption = Annotated[
    str | None,
    typer.Option(
        metavar="mqtt(s)://HOST[:PORT]",
        rich_help_panel=_WAYS,
        help="Broker at which the cloud listens (default: the same).",
    ),
]
BufferOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_WAYS,
        help="File of what the cloud has not acknowledged yet (default: fog.sqlite).",
    ),
]
HealthPortOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        rich_help_panel=_WAYS,
        help="Port of /health and /metrics, on 127.0.0.1 (default: 8060); 0: any free one.",
    ),
]
LogOption = Annotated[
    str, typer.Option(metavar="plain|json", rich_help_panel=_WAYS, help="Form of log lines.")
]
NameOption = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_OWN,
        help="Name of the fog node, as in the topic ic/NAME/processed (default: fog).",
    ),
]
GuestOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", rich_help_panel=_OWN, help="Guest module (default: the shipped one)."
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        metavar="wasm|native|off",
        rich_help_panel=_OWN,
        help="How the guest's functions run (default: wasm); off: relay and keep only.",
    ),
]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=NUMBER",
        rich_help_panel=_OWN,
        help="Parameter of the guest, such as filter_kind=1 (a moving average); may be repeated.",
    ),
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        metavar='"1 h"',
        rich_help_panel=_OWN,
        help='Readings are summed up over windows of this length (default: 1 h); "0 s": not.',
    ),
]
LateOption = Annotated[
    str | None,
    typer.Option(
        metavar='"1 d"',
        rich_help_panel=_OWN,
        help="How late a message may be and still correct its window (default: 1 d).",
    ),
]
BufferRowsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", rich_help_panel=_KEEPING, help="Most rows that are kept (default: 10000000)."
    ),
]
BufferFullOption = Annotated[
    str | None,
    typer.Option(
        metavar="stop|drop-oldest|fail",
        rich_help_panel=_KEEPING,
        help="With that many rows: acknowledge nothing more (default), drop the oldest, or end.",
    ),
]
FlushRowsSOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_KEEPING,
        help="Most rows sent a second after an outage (default: 5000).",
    ),
]


@fog_app.command()
def fog(
    config: ConfigOption = None,
    edge_broker: EdgeBrokerOption = None,
    cloud_broker: CloudBrokerOption = None,
    buffer: BufferOption = None,
    health_port: HealthPortOption = None,
    log: LogOption = "plain",
    name: NameOption = None,
    guest: GuestOption = None,
    engine: EngineOption = None,
    parameter: ParameterOption = None,
    window: WindowOption = None,
    late: LateOption = None,
    buffer_rows: BufferRowsOption = None,
    buffer_full: BufferFullOption = None,
    flush_rows_s: FlushRowsSOption = None,
    pki: options.Pki = None,
) -> None:
    """Run a fog node: take readings of boards, filter, sum up and forward them.

    What a board sends is acknowledged when it is on the disk here, and removed
    when the cloud has acknowledged it, so an outage on either side loses
    nothing. The broker, its password and the address of /health are in
    fog.json beside the buffer, which only its owner can read.
    """
    import logging

    from levada.guest.text.logs import JsonLines, log_to_stderr
    from levada.twin.continuum.config import FogFile, read_config
    from levada.twin.continuum.fog_session import run_fog

    if log not in ("plain", "json"):
        raise typer.BadParameter(f"{log!r}: permitted are plain and json", param_hint="--log")
    given = options.given(
        ("--edge-broker", "edge_broker", edge_broker),
        ("--cloud-broker", "cloud_broker", cloud_broker),
        ("--buffer", "buffer", buffer and str(buffer)),
        ("--health-port", "health_port", health_port),
        ("--pki", "pki", options.text(pki)),
        ("--guest", "guest", guest and str(guest)),
        ("--name", "fog.name", name),
        ("--engine", "fog.engine", engine),
        ("--window", "fog.window", window),
        ("--late", "fog.late", late),
        ("--buffer-rows", "fog.buffer_rows", buffer_rows),
        ("--buffer-full", "fog.buffer_full", buffer_full),
        ("--flush-rows-s", "fog.flush_rows_s", flush_rows_s),
    )
    given |= _parameters(parameter)
    found = read_config(FogFile, config, given)
    log_to_stderr(level=logging.INFO, formatter=JsonLines() if log == "json" else None)
    interrupted = run_fog(found, started=_announce)
    raise typer.Exit(INTERRUPTED if interrupted else Exit.PASS)


def _announce(health: str, broker: str) -> None:
    typer.echo(f"fog takes ic/+/data at {broker}; {health}/health  (Ctrl-C ends it)")


def _parameters(settings: list[str] | None) -> Given:
    found: dict[tuple[str, ...], tuple[str, object]] = {}
    for name, text in options.pairs(settings, "--parameter"):
        try:
            value = int(text)
        except ValueError:
            raise typer.BadParameter(
                f"{name}={text}: must be a whole number", param_hint="--parameter"
            ) from None
        found["fog", "parameters", name] = (f"--parameter {name}={text}", value)
    return found
