"""Commands of `levada` about the live twin and its store."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.sim.units import DAY_MS
from levada.twin.cli import options as shared
from levada.twin.cli.scenarios import ScenarioFile

if TYPE_CHECKING:
    from levada.sim.scenario.model import Period
    from levada.twin.session import Running
    from levada.twin.store.keeper import Policy

__all__ = ["StorePath", "policy", "store_app", "store_place", "twin_app"]

twin_app = typer.Typer()
store_app = typer.Typer(no_args_is_help=True, help="Export and trim the twin's store.")

RUNS: Final = Path("runs/twin")
_URLS: Final = ("postgres:/", "postgresql:/", "postgresql+psycopg:/")
StorePath = Annotated[
    Path, typer.Argument(metavar="STORE", help="store.sqlite of a twin, or postgresql://...")
]


NodeOptions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[ZONE=]NODE",
        help="The physical node: virtual, virtual:esp32, virtual:mqtt, mqtt://HOST/ic/NODE, "
        "serial:/dev/ttyUSB0?baud=921600 or sim; may be repeated.",
    ),
]
ReplayOption = Annotated[
    str | None,
    typer.Option(
        metavar="STORE",
        help="Instead of a node, what one reported before: the store of an earlier twin.",
    ),
]
ShadowOption = Annotated[
    bool,
    typer.Option(
        "--shadow",
        help="Follow nodes, mqtt://HOST/ic/NODE, that read real soil; virtual:mqtt: "
        "virtual boards in simulated soil, to try it.",
    ),
]


@twin_app.command()
def twin(
    scenario: ScenarioFile,
    node: NodeOptions = None,
    speed: Annotated[
        str, typer.Option(metavar="max|1x|60x", help="Simulated seconds a second.")
    ] = "1x",
    skip_to: Annotated[
        datetime | None, typer.Option(help="Pass the time before this at full speed.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of the page, on 127.0.0.1; 0: any.")
    ] = 8050,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Store and address go here (default: runs/twin/NAME-TIME)."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="postgresql://...", help="Store there instead of in a file of --out."),
    ] = None,
    keep: shared.Keep = None,
    thin_after: shared.ThinAfter = None,
    replay: ReplayOption = None,
    shadow: ShadowOption = False,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="mqtt(s)://HOST",
            help="Use this broker instead of an embedded one; password in LEVADA_MQTT_PASSWORD.",
        ),
    ] = None,
    home_assistant: Annotated[
        bool, typer.Option("--home-assistant", help="Announce the nodes to Home Assistant.")
    ] = False,
    pki: shared.Pki = None,
    host: shared.Host = None,
    host_port: shared.HostPort = None,
    password_file: shared.PasswordFile = None,
    stay: Annotated[
        bool, typer.Option(help="Keep the page after the end of the period, until Ctrl-C.")
    ] = True,
) -> None:
    """A physical node and its simulated twin side by side, live, in a browser."""
    from levada.hil.nodes import node_overrides
    from levada.sim.run import runner, stops
    from levada.sim.scenario import load as scenarios
    from levada.twin.app.login import open_door
    from levada.twin.cli import console
    from levada.twin.session import Options, run_session

    factor = _factor(speed)
    _check_sources(store, replay, shadow=shadow, home_assistant=home_assistant)
    overrides = shared.overrides(settings)
    overrides += node_overrides(scenario, node or [])
    document = scenarios.read(scenario, overrides)
    runner.check(document)
    loaded = document.scenario
    where = out or RUNS / f"{loaded.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    options = Options(
        speed=factor,
        port=port,
        skip_to_ms=None if skip_to is None else _skip_to_ms(skip_to, loaded.period),
        broker=broker,
        pki=shared.text(pki),
        door=open_door(host, host_port, shared.text(pki), password_file),
        store=store,
        policy=policy(keep, thin_after),
        replay=replay,
        shadow=shadow,
        home_assistant=home_assistant,
        stay=stay,
    )

    failed = False

    def ended(running: Running) -> None:
        nonlocal failed
        found = running.twin.guest_stops()
        console.guest_stops(found)
        failed = stops.fails(found)

    interrupted = run_session(
        loaded,
        where,
        options,
        started=_announce,
        ended=ended,
        tell=lambda text: typer.echo(text, err=True),
    )
    if failed:  # also after Ctrl-C, which is how a twin is ended
        raise typer.Exit(Exit.EXPECTATION_FAILED)
    raise typer.Exit(INTERRUPTED if interrupted else Exit.PASS)


def _announce(running: Running) -> None:
    typer.echo(f"{running.page.url}  (Ctrl-C ends it; store: {running.store})")
    if running.page.remote_url is not None:
        typer.echo(f"{running.page.remote_url}  for other computers, with the password")
    typer.echo(f"{running.page.link}  opens it once with the right to change something")


def _factor(speed: str) -> float | None:
    from levada.sim.run.clock import parse_speed

    try:
        return parse_speed(speed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None


def _check_sources(
    store: str | None, replay: str | None, *, shadow: bool, home_assistant: bool
) -> None:
    if store is not None and not store.startswith(_URLS):
        raise typer.BadParameter(f"{store}: write postgresql://...", param_hint="--store")
    if replay is not None:
        _existing(Path(replay), "--replay")
    for given, option in ((shadow, "--shadow"), (home_assistant, "--home-assistant")):
        if given and replay is not None:
            raise typer.BadParameter(f"--replay and {option} exclude each other", param_hint=option)


def _skip_to_ms(skip_to: datetime, period: Period) -> int:
    skip_to_ms = round(skip_to.replace(tzinfo=UTC).timestamp() * 1000)
    if not period.start_ms <= skip_to_ms < period.end_ms:
        raise typer.BadParameter(
            f"{skip_to}: outside the period of the scenario", param_hint="--skip-to"
        )
    return skip_to_ms


@twin_app.command()
def calibrate(
    zone: Annotated[str, typer.Argument(metavar="ZONE", help="Zone of a twin that runs.")],
    values: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Parameters of the guest.")
    ],
    dry_run: Annotated[
        str, typer.Option(metavar="14d", help="Days of the past to try it on first; 0d: none.")
    ] = "14d",
    expires: Annotated[
        str | None, typer.Option(metavar='"7 d"', help="Put the old values back after this time.")
    ] = None,
    who: Annotated[str, typer.Option(help="Name for the record.")] = "command line",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of the twin (default: the newest that runs)."),
    ] = None,
) -> None:
    """Change parameters of a running guest: try them on the past, ask, set, read back."""
    from levada.twin.app.openapi import MOST_DAYS

    wanted: dict[str, int] = {}
    for setting in values:
        name, equals, text = setting.partition("=")
        try:
            wanted[name] = int(text)
        except ValueError:
            equals = ""
        if not equals:
            raise typer.BadParameter(f"{setting!r}: write NAME=NUMBER")
    number = dry_run.removesuffix("d")
    days = int(number) if re.fullmatch("[0-9]{1,4}", number) else -1
    if not 0 <= days <= MOST_DAYS:
        raise typer.BadParameter(
            f"{dry_run!r}: write days, 0d to {MOST_DAYS}d", param_hint="--dry-run"
        )
    expires_s = _expiry(expires) if expires is not None else None
    address = _address(run)
    request: dict[str, Any] = {"values": wanted, "who": who}
    if days > 0:
        found = _post(address, zone, {"values": wanted, "dry_run_days": days})
        _show_dry_run(found)
        request["seen"] = found["present"]
    if not yes and not _agreed():
        raise typer.Exit(Exit.NOTHING_RAN)
    if expires_s is not None:
        request["expires_s"] = expires_s
    answer = _post(address, zone, request)
    typer.echo("in force: " + ", ".join(f"{k} = {v}" for k, v in answer["values"].items()))


def _expiry(text: str) -> float:
    from levada.sim.quantities import parse_duration
    from levada.twin.app.openapi import LONGEST_EXPIRY_S

    try:
        expires_s = parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from None
    if not 0 < expires_s <= LONGEST_EXPIRY_S:
        raise typer.BadParameter(
            f"{text}: must be above 0, at most {LONGEST_EXPIRY_S // 86_400} d",
            param_hint="--expires",
        )
    return expires_s


def _agreed() -> bool:
    try:
        return typer.confirm("Set it?")
    except typer.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise typer.Exit(INTERRUPTED) from None
        typer.echo("\nnobody answers: give --yes to set it without asking", err=True)
        raise typer.Exit(Exit.BAD_INPUT) from None


def _address(run: Path | None) -> dict[str, str]:
    from levada.guest.text.json_text import parse
    from levada.twin.session import ADDRESS

    if run is not None:
        found = [run / ADDRESS]
    else:
        found = sorted(RUNS.glob(f"*/{ADDRESS}"), key=lambda path: path.stat().st_mtime)
    try:
        data: dict[str, str] = parse(found[-1].read_text("utf-8"))
        data = {key: str(data[key]) for key in ("url", "token")}
    except (LookupError, OSError, TypeError, ValueError):
        # ValueError: it is just being written
        raise typer.BadParameter(
            f"no twin runs under {run or RUNS}: start one with `levada twin`", param_hint="--run"
        ) from None
    return data


def _post(address: dict[str, str], zone: str, data: dict[str, Any]) -> dict[str, Any]:
    from http import HTTPStatus
    from urllib.error import HTTPError
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    request = Request(
        f"{address['url']}/api/zones/{quote(zone, safe='')}/calibration",
        data=json.dumps(data).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {address['token']}",
        },
    )
    try:
        with urlopen(request, timeout=120) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except HTTPError as error:
        try:
            reason = json.load(error)["error"]
        except (ValueError, KeyError):
            reason = str(error)  # as of a twin that only starts
        if error.code == HTTPStatus.GATEWAY_TIMEOUT:
            typer.echo(f"not acknowledged: {reason}", err=True)
            raise typer.Exit(Exit.NODE_OR_LINK) from None
        typer.echo(f"refused: {reason}", err=True)
        raise typer.Exit(Exit.BAD_INPUT) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        typer.echo(f"{address['url']} does not answer: {reason}", err=True)
        raise typer.Exit(Exit.NODE_OR_LINK) from None


def _show_dry_run(found: dict[str, Any]) -> None:
    days = (found["end_ms"] - found["start_ms"]) / DAY_MS
    typer.echo(f"The twin's simulation of the last {days:.0f} days, before and with the change:")
    for label, key, form in (
        ("water [L]", "water_l", ".0f"),
        ("irrigation [mm]", "irrigation_mm", ".1f"),
        ("drainage [mm]", "drainage_mm", ".1f"),
        ("days of stress", "stress_days", ".0f"),
        ("valve openings", "openings", "d"),
    ):
        before, after = found["before"][key], found["after"][key]
        typer.echo(f"  {label:<16} {before:>9{form}} -> {after:>9{form}}")


@twin_app.command("page-password")
def page_password(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="For --password-file.")],
) -> None:
    """Ask for the password of the page, and keep what scrypt makes of it in a file.

    It is read from standard input where that is no terminal.
    """
    import sys

    from levada.twin.app.password import write_password

    if sys.stdin.isatty():
        text = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        text = sys.stdin.readline().rstrip("\n")
    write_password(file, text)
    typer.echo(f"{file} written; give it with --password-file")


@twin_app.command()
def withdraw(
    node: Annotated[str, typer.Argument(metavar="NODE", help="As in ic/NODE/data.")],
    broker: Annotated[
        str,
        typer.Option(
            metavar="mqtt(s)://HOST",
            help="Where Home Assistant listens; password in LEVADA_MQTT_PASSWORD.",
        ),
    ],
    pki: shared.Pki = None,
) -> None:
    """Remove a node, which will not come back, from Home Assistant."""
    from levada.hil.line.broker import check_pki, parse_broker
    from levada.twin.mqtt import discovery

    address = parse_broker(broker, shared.text(pki))
    check_pki(shared.text(pki), address)
    topics = discovery.withdraw(address, node)
    typer.echo(f"{node}: {topics} retained topics emptied")
    if not topics:
        raise typer.Exit(Exit.NOTHING_RAN)


@store_app.command("export")
def store_export(
    store: StorePath,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="parquet|csv", help="Default: what the suffix of FILE says."
        ),
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Only this zone.")] = None,
    start: Annotated[datetime | None, typer.Option(help="From this time on.")] = None,
    end: Annotated[datetime | None, typer.Option(help="Before this time.")] = None,
) -> None:
    """Write everything stored into one table, a row a value."""
    from levada.twin.store.export import export

    if form is None:
        form = out.suffix.lower().removeprefix(".")
        if form not in ("parquet", "csv"):
            raise typer.BadParameter(
                f"{out}: its suffix is neither .parquet nor .csv; name the format with --format",
                param_hint="--out",
            )
    if form not in ("parquet", "csv"):
        raise typer.BadParameter(f"{form!r}: must be parquet or csv", param_hint="--format")
    _existing(store)
    rows = export(
        store_place(store),
        out,
        format=form,  # type: ignore[arg-type]  # checked above
        node=zone,
        start_ms=_ms(start),
        end_ms=_ms(end),
    )
    typer.echo(f"{out}: {rows} values")


@store_app.command("prune")
def store_prune(
    store: StorePath,
    before: Annotated[datetime, typer.Option(help="Remove what is older than this.")],
    events: Annotated[bool, typer.Option(help="Also alerts and decisions.")] = False,
) -> None:
    """Remove what is older than a moment; calibrations and runs are always kept."""
    from levada.twin.store.policy import prune
    from levada.twin.store.store import Store

    _existing(store)
    before_ms = _ms(before)
    assert before_ms is not None
    with Store(store_place(store), existing=True) as opened:
        removed = prune(opened, before_ms=before_ms, events=events)
    typer.echo(
        f"removed {removed.messages} messages, {removed.points} values, {removed.events} events"
    )


@store_app.command("thin")
def store_thin(
    store: StorePath,
    before: Annotated[datetime, typer.Option(help="Thin what is older than this.")],
    every: Annotated[str, typer.Option(metavar='"1 h"', help="Keep one value each.")] = "1 h",
) -> None:
    """Replace old values by one each interval: means, sums of amounts, last of codes."""
    from levada.sim.quantities import parse_whole_seconds
    from levada.twin.store.policy import downsample
    from levada.twin.store.store import Store

    _existing(store)
    before_ms = _ms(before)
    assert before_ms is not None
    try:
        every_ms = round(parse_whole_seconds(every).total_seconds() * 1000)
        with Store(store_place(store), existing=True) as opened:
            removed = downsample(opened, before_ms=before_ms, every_ms=every_ms)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--every") from None
    typer.echo(f"removed {removed.points} values")


def policy(keep: str | None, thin_after: str | None) -> Policy | None:
    """How long a store keeps what, by `--keep` and `--thin-after`; None: everything for ever."""
    from levada.sim.quantities import parse_whole_seconds
    from levada.twin.store.keeper import Policy

    def ms(text: str | None, option: str) -> int | None:
        try:
            return None if text is None else round(parse_whole_seconds(text).total_seconds() * 1000)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None

    if keep is None and thin_after is None:
        return None
    return Policy(keep_ms=ms(keep, "--keep"), thin_after_ms=ms(thin_after, "--thin-after"))


def store_place(store: Path) -> str:
    """A path, or the URL that became one."""
    text = str(store)
    return text.replace(":/", "://", 1) if text.startswith(_URLS) else text


def _existing(store: Path, where: str = "STORE") -> None:
    if not str(store).startswith(_URLS) and not store.is_file():
        raise typer.BadParameter(f"{store}: no such file", param_hint=where)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.replace(tzinfo=UTC).timestamp() * 1000)
