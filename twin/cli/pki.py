"""The commands `levada pki`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from levada.guest.exit_codes import Exit
from levada.twin.cli.scenarios import ScenarioFile

__all__ = ["pki_app"]

pki_app = typer.Typer(
    no_args_is_help=True,
    help="A private authority: certificates of broker, nodes, fog and twin. See docs/deploy.md.",
)

Folder = Annotated[
    Path,
    typer.Option("--dir", metavar="DIR", help="Folder of the authority; keep a copy of it safe."),
]
DEFAULT: Final = Path("pki")
_SIDES: Final = ("edge", "cloud", "both")


@pki_app.command("init")
def init(
    folder: Folder = DEFAULT,
    name: Annotated[
        str, typer.Option(help='Name in its certificate (default: "levada" and six digits).')
    ] = "",
    days: Annotated[int, typer.Option(min=1, max=7300, help="How long it is valid.")] = 3650,
) -> None:
    """Make an authority: its key, its certificate, an empty list of revoked certificates."""
    from levada.twin.pki.authority import CA_KEY, create

    made = create(folder, name=name, days=days)
    typer.echo(f"{folder}: valid until {made.certificate.not_valid_after_utc:%Y-%m-%d}")
    typer.echo(f"Whoever has {folder / CA_KEY} can be anybody: it stays here. Next:")
    typer.echo("  levada pki issue broker --host NAME-OF-ITS-COMPUTER")
    typer.echo("  levada pki issue NODE fog twin ...")


@pki_app.command()
def issue(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Nodes, and fog, twin, edge, homeassistant, broker: the user at the broker.",
        ),
    ],
    folder: Folder = DEFAULT,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Host name or IP address under which it serves, for a broker or a page; may be "
            "repeated. Without it the certificate is one of a client alone.",
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1, max=7300, help="How long it is valid (default: 1825, with --host 825)."
        ),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="The next one, while the present one stays valid.")
    ] = False,
) -> None:
    """Issue certificates, and say what is to be copied where."""
    from levada.twin.pki.authority import Authority

    if host and len(names) > 1:
        raise typer.BadParameter("one NAME for one computer", param_hint="--host")
    authority = Authority(folder)
    for name in names:
        entry = authority.issue(name, hosts=host or (), days=days, renew=renew)
        where = authority.files(name)
        serves = f", serves as {', '.join(entry.hosts)}" if entry.hosts else ""
        typer.echo(f"{where}: user {name} until {entry.expires[:10]}{serves}")
    typer.echo("Copy the folder to where NAME is, readable by its user alone, and give it there:")
    typer.echo('  a computer  --pki FOLDER, or `pki = "FOLDER"` in fog.toml, cloud.toml, edge.toml')
    typer.echo("  a board     ca.pem, cert.pem and key.pem in provisioning (docs/hardware.md)")
    if host:
        typer.echo("  a broker    levada pki broker SCENARIO --out FOLDER, which has all it needs")


@pki_app.command()
def revoke(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Whose certificates.")],
    folder: Folder = DEFAULT,
    reason: Annotated[
        str,
        typer.Option(
            metavar="WHY",
            help="unspecified, key-compromise, superseded or cessation-of-operation.",
        ),
    ] = "unspecified",
) -> None:
    """Revoke certificates, and write the list for brokers anew."""
    from levada.twin.pki.authority import CRL, Authority

    authority = Authority(folder)
    for name in names:
        found = authority.revoke(name, reason)
        serials = ", ".join(entry.serial[:12] for entry in found)
        typer.echo(f"{name}: {len(found)} revoked ({serials})")
    typer.echo(
        f"Copy {folder / CRL} to the broker and restart it (systemctl restart mosquitto): after a "
        "reload it refuses new connections, but keeps those that are open."
    )


@pki_app.command("list")
def show(folder: Folder = DEFAULT) -> None:
    """All certificates that were ever issued, and how they are."""
    from datetime import UTC, datetime

    from levada.twin.pki.authority import Authority

    authority = Authority(folder)
    end = authority.certificate.not_valid_after_utc
    now = datetime.now(UTC)
    typer.echo(f"authority until {end:%Y-%m-%d}{'' if now < end else ', expired'}")
    entries = authority.entries()
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        state = entry.state(now)
        if entry.revoked:
            state += f" {entry.revoked[:10]} ({entry.reason})"
        hosts = f"  {', '.join(entry.hosts)}" if entry.hosts else ""
        until = entry.expires[:10]
        typer.echo(f"{entry.name:<{width}}  {entry.serial[:12]}  until {until}  {state}{hosts}")
    if not entries:
        typer.echo("nothing was issued yet")


@pki_app.command()
def broker(
    scenario: ScenarioFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the broker's files.")
    ],
    folder: Folder = DEFAULT,
    name: Annotated[str, typer.Option(help="Whose certificate it has.")] = "broker",
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on (default: all).")
    ] = "",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port.")] = 8883,
    at: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the files will lie (default: --out)."),
    ] = None,
    side: Annotated[
        str,
        typer.Option(
            metavar="edge|cloud|both",
            help="Which broker: of nodes and fog, of fog and cloud, or one for all (default).",
        ),
    ] = "both",
) -> None:
    """Write mosquitto's configuration for a scenario: TLS, certificates, and who may say what."""
    from levada.sim.run import runner
    from levada.sim.scenario import load as scenarios
    from levada.twin.pki.authority import Authority
    from levada.twin.pki.broker import CONFIG, write_broker

    if side not in _SIDES:
        raise typer.BadParameter(
            f"{side!r}: permitted are {', '.join(_SIDES)}", param_hint="--side"
        )
    document = scenarios.read(scenario)
    runner.check(document)
    found = write_broker(
        Authority(folder),
        document.scenario,
        out,
        name=name,
        listen=listen,
        port=port,
        at=at,
        side=side,  # type: ignore[arg-type]  # checked above
    )
    typer.echo(f"{out / CONFIG}: port {port}, {len(found.rights)} users; try it: mosquitto -c FILE")
    if found.missing:
        shown = " ".join(found.missing[:20]) + (" ..." if len(found.missing) > 20 else "")
        typer.echo(f"without a certificate yet: levada pki issue {shown}")
    raise typer.Exit(Exit.PASS)
