"""Options that commands share: `--set key=value`, `--guest`, `--tolerance signal=number`, and how
long a store keeps what."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "GridCheck",
    "GuestFile",
    "Host",
    "HostPort",
    "Keep",
    "Log",
    "Overlays",
    "PasswordFile",
    "Pki",
    "Strategy",
    "ThinAfter",
    "Tolerances",
    "Vcd",
    "given",
    "overlays",
    "overrides",
    "pairs",
    "text",
    "tolerances",
]

Tolerances = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance", metavar="SIGNAL=VALUE", help="Allowed difference; may be repeated."
    ),
]
"""The option of commands that compare runs."""
Keep = Annotated[
    str | None,
    typer.Option(
        metavar='"400 d"', help="Remove from the store what is older than this (default: nothing)."
    ),
]
ThinAfter = Annotated[
    str | None,
    typer.Option(
        "--thin-after",
        metavar='"14 d"',
        help="Of what is older than this, keep one value an hour (default: all).",
    ),
]
Pki = Annotated[
    Path | None,
    typer.Option(
        "--pki",
        metavar="DIR",
        help="For a broker with TLS: folder with ca.pem, its authority, and with cert.pem and "
        "key.pem, who we are; `levada pki issue` makes it. Also LEVADA_MQTT_PKI. Without it the "
        "system's authorities count.",
    ),
]
"""The option of all commands that connect to brokers."""
Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Open the page to other computers, too, at this address of this one, such as 0.0.0.0: "
        "with TLS by the certificate of --pki, and a login.",
    ),
]
HostPort = Annotated[
    int | None,
    typer.Option(
        "--host-port", min=0, max=65_535, help="Port of --host (default: 8443); 0: any free one."
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="Password of the login, as `levada page-password FILE` has written it.",
    ),
]
GuestFile = Annotated[
    Path | None,
    typer.Option(
        "--guest",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Guest module instead of the scenario's.",
    ),
]


def _strategy(letter: str | None) -> str | None:
    from levada.sim.scenario.overlay import strategy_path

    if letter is not None:
        try:
            strategy_path(letter)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return letter


Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        metavar="FILE",
        help="Overlay: a part of a scenario file whose keys replace those of SCENARIO; may be "
        "repeated, the later one counts.",
    ),
]
Vcd = Annotated[Path | None, typer.Option(metavar="FILE", help="Write signals for GTKWave.")]
Log = Annotated[bool, typer.Option("--log", help="Show what guests log, as it comes.")]
GridCheck = Annotated[
    bool,
    typer.Option(
        "--grid-check",
        help="Run again with twice the cells in the soil and tell the difference.",
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        metavar="A|B|C|D|E",
        callback=_strategy,
        help="Which tiers run the guest as WebAssembly. A: edge; B: edge, fog; C: edge, fog, "
        "cloud; D: edge, the others natively; E: none, all natively.",
    ),
]


def given(
    *settings: tuple[str, str, object],
) -> dict[tuple[str, ...], tuple[str, object]]:
    """Options that were given, each (option, dotted key, value), as `read_config` takes them."""
    return {
        tuple(key.split(".")): (f"{option} {value}", value)
        for option, key, value in settings
        if value is not None
    }


def overlays(strategy: str | None, files: Sequence[Path] | None) -> list[Path]:
    """The overlays of `--strategy` and `--with`, in the order in which they are laid."""
    from levada.sim.scenario.overlay import strategy_path

    return [*([strategy_path(strategy)] if strategy else []), *(files or [])]


def overrides(settings: Sequence[str] | None, guest: Path | None = None) -> list[tuple[str, str]]:
    """Changes of a scenario by `--set` and `--guest`; raises BadParameter for what is no pair."""
    changes = pairs(settings, "--set")
    if guest is not None:
        changes.append(("guest.file", str(guest.absolute())))
    return changes


def pairs(settings: Sequence[str] | None, option: str) -> list[tuple[str, str]]:
    """Values `NAME=VALUE` of an option; raises BadParameter for what is none."""
    found = []
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{setting!r}: must be key=value", param_hint=option)
        found.append((key, value))
    return found


def text(path: Path | None) -> str | None:
    """A path as text, if there is one."""
    return None if path is None else str(path)


def tolerances(settings: Sequence[str] | None) -> dict[str, float]:
    """Allowed differences by signal; raises BadParameter for what is none."""
    found = {}
    for name, text in pairs(settings, "--tolerance"):
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < inf:
            raise typer.BadParameter(
                f"{name}={text}: must be a number, 0 or more", param_hint="--tolerance"
            )
        found[name] = value
    return found
