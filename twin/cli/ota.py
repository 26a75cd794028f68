"""`levada ota`: a module to one node or a field of them, tried on the twin before."""

from __future__ import annotations

import getpass
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.guest.topic import is_node_name
from levada.sim.scenario.shipped import names, scenario_path
from levada.twin.cli import ota_options as options
from levada.twin.cli.options import Pki
from levada.twin.cli.options import text as as_text
from levada.twin.cli.signing import TrustedFile
from levada.twin.interrupts import interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from levada.hil.update.package import ModulePackage
    from levada.twin.mqtt.messages import OtaState
    from levada.twin.ota.gate import GateReport
    from levada.twin.ota.journal import RolloutFolder
    from levada.twin.ota.rollout import Rollout
    from levada.twin.ota.settings import RolloutSettings

__all__ = ["ota_app"]

ota_app = typer.Typer(
    no_args_is_help=True, help="Send a module to nodes over the air: gate, rollout, abort."
)

ANSWER_S: Final = 3.0
"""How long nodes are waited for that are asked where they stand."""


@ota_app.command("push")
def push(
    module: options.Module,
    node: options.Nodes = None,
    broker: options.Broker = "mqtt://127.0.0.1",
    pki: Pki = None,
    scenario: options.Site = None,
    store: options.RecordStore = None,
    days: options.Days = 28,
    suite: options.Suite = None,
    present: options.Present = None,
    trusted: TrustedFile = None,
    override: options.Override = "",
    rollout: options.RolloutToml = None,
    canary: options.Canary = None,
    group: options.Groups = None,
    rate: options.Rate = None,
    abort: options.Aborts = None,
    trial_steps: options.TrialSteps = 3,
    who: options.Who = None,
    check_only: options.CheckOnly = False,
    rollouts: options.Folder = options.ROLLOUTS,
) -> None:
    """Try a module on the twin, then send it to nodes: canaries first, stopped if too many fail."""
    from levada.hil.line.broker import parse_broker
    from levada.twin.cli import ota_console
    from levada.twin.ota.module_file import read_package

    settings = options.rollout_settings(rollout, canary, group, rate, abort)
    package = read_package(module)
    nodes = _nodes(node, scenario)
    address = parse_broker(broker, as_text(pki))
    ota_console.sending(package)
    report = _gate(
        package,
        nodes,
        scenario,
        suite,
        trusted=trusted,
        present=present,
        store=store,
        days=days,
    )
    override = override.strip()
    ota_console.gate(report, override=override if report.failures else "")
    if report.failures and not (override and report.sound):
        hint = "" if not report.sound else ' (--override "reason" sends it all the same)'
        typer.echo(f"refused{hint}")
        raise typer.Exit(Exit.EXPECTATION_FAILED)
    if check_only:
        raise typer.Exit(Exit.PASS)
    sender = who or getpass.getuser()
    folder = _begin(package, nodes, settings, report, rollouts, override, sender, trial_steps)
    _note(store, package, nodes, sender, override, folder, report)
    _drive(folder, address)


@ota_app.command("resume")
def resume(
    rollout: options.WhichRollout = None,
    broker: options.Broker = "mqtt://127.0.0.1",
    pki: Pki = None,
    rollouts: options.Folder = options.ROLLOUTS,
) -> None:
    """Go on with a rollout that was interrupted; after an abort, have its nodes give up."""
    from levada.hil.line.broker import parse_broker
    from levada.twin.cli import ota_console

    folder = _found(rollout, rollouts)
    found = folder.rollout()
    if found.has_ended:
        ota_console.rollout_end(found, str(folder.path))
        typer.echo(f"{folder.name} has ended already: there is nothing to go on with")
        _exit(found)
    _drive(folder, parse_broker(broker, as_text(pki)))


@ota_app.command("abort")
def abort_rollout(
    rollout: options.WhichRollout = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by the operator",
    rollouts: options.Folder = options.ROLLOUTS,
) -> None:
    """Stop a rollout: nothing more begins, nodes under way go back to their former module."""
    folder = _found(rollout, rollouts)
    found = folder.rollout()
    if found.has_ended:
        typer.echo(f"{folder.name} has ended already: there is nothing to stop")
        raise typer.Exit(Exit.NOTHING_RAN)
    waiting = folder.stop(reason)
    if waiting is None:
        typer.echo(f"{folder.name}: {reason}; the levada that runs it stops it")
    elif waiting:
        typer.echo(
            f"{folder.name}: {reason}; nobody runs it. Under way: {len(waiting)} "
            f"{_nodes_word(len(waiting))}, which levada ota resume {folder.name} has give the "
            "module up"
        )
    else:
        typer.echo(f"{folder.name}: {reason}; stopped")
    updated = found.counts().get("SUCCEEDED", 0)
    if updated:
        typer.echo(
            f"{updated} {_nodes_word(updated)} committed to the module already, which stays: to go "
            "back, send the former one, signed for the nonce of each node"
        )


def _nodes_word(count: int) -> str:
    return "node" if count == 1 else "nodes"


@ota_app.command("status")
def status(
    node: options.Nodes = None,
    broker: options.Broker = "mqtt://127.0.0.1",
    pki: Pki = None,
    scenario: options.Site = None,
    rollouts: options.Folder = options.ROLLOUTS,
) -> None:
    """Which module each node runs, and how far the newest rollout is."""
    from levada.hil.line.broker import parse_broker
    from levada.twin.cli import ota_console
    from levada.twin.ota import journal

    folder = next(journal.rollouts(rollouts), None)
    nodes = _nodes(node, scenario) if node or scenario else None
    if nodes is None and folder is not None:
        nodes = list(folder.rollout().executions)
    if nodes is None:
        raise typer.BadParameter(
            "name nodes, or a scenario whose zones they are", param_hint="--node"
        )
    states = _ask(nodes, parse_broker(broker, as_text(pki)))
    ota_console.nodes(states)
    if folder is not None:
        about = folder.read()
        typer.echo(f"\nnewest rollout: {about['name']} {about['version']}")
        ota_console.rollout_end(folder.rollout(), str(folder.path))
    answered = [state for state in states.values() if state is not None]
    raise typer.Exit(Exit.PASS if len(answered) == len(nodes) else Exit.NODE_OR_LINK)


def _nodes(node: list[str] | None, scenario: Path | None) -> list[str]:
    from levada.hil.update.line import is_line
    from levada.sim.scenario.node_url import parse_node

    if node:
        twice = {name for name in node if node.count(name) > 1}
        if twice:
            raise typer.BadParameter(f"{', '.join(sorted(twice))}: twice", param_hint="--node")
        lines = [name for name in node if is_line(name)]
        if lines and len(lines) < len(node):
            raise typer.BadParameter(
                f"{lines[0]} is a line, {min(set(node) - set(lines))} is not: send to lines, or to "
                "nodes of a broker",
                param_hint="--node",
            )
        for name in lines:
            try:
                parse_node(name)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--node") from None
        for name in node:
            if not is_node_name(name) and not lines:
                raise typer.BadParameter(
                    f"{name!r:.80}: a node name has no / + # $ in it", param_hint="--node"
                )
        return node
    if scenario is None:
        raise typer.BadParameter(
            "name the nodes, or a scenario whose zones they are", param_hint="--node"
        )
    from levada.sim.scenario import load as scenarios
    from levada.sim.scenario.expand import expand

    return [zone.node.device or zone.name for zone in expand(scenarios.load(scenario))]


def _suite(chosen: list[str] | None, scenario: Path | None) -> list[Path]:
    """Shipped scenarios that are tried, beside the site's own."""
    if chosen == ["none"]:
        return []
    unknown = sorted(set(chosen or ()) - set(names()))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: no shipped scenario; there are {', '.join(names())}",
            param_hint="--suite",
        )
    paths = [scenario_path(name) for name in chosen or names()]
    return [path for path in paths if scenario is None or not _is_same(path, scenario)]


def _is_same(one: Path, other: Path) -> bool:
    """Whether it is the same scenario, or an unchanged copy of it."""
    return one.resolve() == other.resolve() or one.read_bytes() == other.read_bytes()


def _gate(
    package: ModulePackage,
    nodes: Sequence[str],
    scenario: Path | None,
    suite: list[str] | None,
    *,
    trusted: Path | None,
    **more: Any,
) -> GateReport:
    from levada.guest.signing.keys import read_trusted
    from levada.hil.update.line import is_line
    from levada.twin.cli import ota_console
    from levada.twin.ota.gate import check_package, run_gate

    keys = () if trusted is None else read_trusted(trusted).keys
    named = [node for node in nodes if not is_line(node)]  # a device at a line knows its name
    checks = check_package(package, nodes=named, trusted=keys)
    chosen = _suite(suite, scenario)
    with ota_console.gate_progress(len(chosen) + (scenario is not None)) as tell:
        return run_gate(package, scenario=scenario, suite=chosen, checks=checks, tell=tell, **more)


def _begin(
    package: ModulePackage,
    nodes: list[str],
    settings: RolloutSettings,
    report: GateReport,
    rollouts: Path,
    override: str,
    who: str,
    trial_steps: int,
) -> RolloutFolder:
    from levada.twin.ota.journal import described, new_folder
    from levada.twin.ota.rollout import Rollout

    folder = new_folder(rollouts, package, datetime.now(UTC))
    about = described(
        package,
        who=who,
        override=override if report.failures else "",
        trial_steps=trial_steps,
        attempt=secrets.token_hex(4),
        gate=report.evidence(),
    )
    folder.begin(package, about, Rollout(settings, nodes))
    return folder


def _note(
    store: str | None,
    package: ModulePackage,
    nodes: Sequence[str],
    who: str,
    override: str,
    folder: RolloutFolder,
    report: GateReport,
) -> None:
    """Keep in the store of the site who sends what, and why if the gate was overruled."""
    if store is None:
        return
    from levada.twin.errors import StoreBusyError
    from levada.twin.ota.journal import note_in_store

    text = f"{who} sends {package.label} to {len(nodes)} nodes"
    overruled = override if report.failures else ""
    if overruled:
        text += f", though the gate has refused it: {overruled}"
    evidence = {
        "rollout": folder.name,
        "sha256": package.sha256,
        "nodes": list(nodes)[:100],
        "override": overruled,
        "failures": report.failures,
    }
    try:
        note_in_store(store, "update", text, evidence)
    except StoreBusyError:
        typer.echo("the store is in use: its twin notes this from what it hears", err=True)


def _drive(folder: RolloutFolder, address: Any) -> None:
    from levada.hil.update.line import is_line
    from levada.twin.cli import ota_console
    from levada.twin.ota.campaign import Campaign
    from levada.twin.ota.line_campaign import LineCampaign

    stop = threading.Event()
    nodes = list(folder.rollout().executions)
    total = len(nodes)
    with folder.held(), interrupts() as interrupt, ota_console.rollout_progress(total) as show:
        interrupt.stop_with(stop.set)
        if is_line(nodes[0]):
            rollout = LineCampaign(folder, on_change=show).run(stop)
        else:
            with Campaign(folder, address, on_change=show) as campaign:
                rollout = campaign.run(stop)
    ota_console.rollout_end(rollout, str(folder.path))
    if interrupt.came.is_set() and not rollout.has_ended:
        typer.echo(f"interrupted: levada ota resume {folder.name} goes on")
        raise typer.Exit(INTERRUPTED)
    _exit(rollout)


def _exit(rollout: Rollout) -> None:
    """End with what became of a rollout."""
    from levada.twin.ota.rollout import RolloutStatus

    done = rollout.status is RolloutStatus.COMPLETED
    good = rollout.counts().get("SUCCEEDED", 0) == len(rollout.executions)
    raise typer.Exit(Exit.PASS if done and good else Exit.EXPECTATION_FAILED)


def _found(name: str | None, rollouts: Path) -> RolloutFolder:
    from levada.twin.ota import journal

    known = list(journal.rollouts(rollouts))
    for folder in known:
        if name is None or folder.name == name:
            return folder
    some = ", ".join(folder.name for folder in known[:5]) or "none"
    raise typer.BadParameter(
        f"no rollout {name or ''} in {rollouts}; there are {some}", param_hint="ROLLOUT"
    )


def _ask(nodes: Sequence[str], address: Any) -> dict[str, OtaState | None]:
    """What nodes say of themselves, within a short time."""
    from levada.hil.update.line import is_line
    from levada.twin.ota.line_campaign import ask_lines
    from levada.twin.ota.sender import ask_states

    if nodes and is_line(nodes[0]):
        return ask_lines(nodes)
    return ask_states(address, nodes, ANSWER_S)
