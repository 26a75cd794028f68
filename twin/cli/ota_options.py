"""Options of `levada ota`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from levada.sim.scenario.shipped import scenario_path
from levada.twin.cli.options import given

if TYPE_CHECKING:
    from levada.twin.ota.settings import RolloutSettings

__all__ = ["ROLLOUTS", "rollout_settings"]

ROLLOUTS: Final = Path("runs/ota")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*min")
_ABORT: Final = re.compile(r"([A-Z_]+):(\d+(?:\.\d+)?)(?::(\d+))?")


def _found(scenario: Path | None) -> Path | None:
    return None if scenario is None else scenario_path(scenario)


Module = Annotated[Path, typer.Argument(metavar="MODULE", help="Guest module (.wasm).")]
Broker = Annotated[
    str,
    typer.Option(
        metavar="mqtt(s)://HOST",
        help="Broker of the nodes, user and password in LEVADA_MQTT_USER and "
        "LEVADA_MQTT_PASSWORD; or the broker.json of a `levada broker`.",
    ),
]
Nodes = Annotated[
    list[str] | None,
    typer.Option(
        "--node",
        metavar="NODE",
        help="As in ic/NODE/data, or a line: serial:/dev/ttyUSB0, mqtt://HOST/ic/NODE; may be "
        "repeated.",
    ),
]
Folder = Annotated[Path, typer.Option("--rollouts", metavar="DIR", help="Where rollouts are kept.")]
WhichRollout = Annotated[
    str | None, typer.Argument(metavar="ROLLOUT", help="Name of a rollout (default: the newest).")
]
Site = Annotated[
    Path | None,
    typer.Option(
        "--scenario",
        metavar="SCENARIO",
        callback=_found,
        help="The site's scenario: its zones are the nodes unless --node names some.",
    ),
]
RecordStore = Annotated[
    str | None,
    typer.Option(
        metavar="STORE", help="What the site has recorded: store.sqlite, or postgresql://..."
    ),
]
Days = Annotated[int, typer.Option(min=1, max=366, help="Days of the record that are tried.")]
Suite = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Shipped scenarios that are tried, or `none`; may be repeated (default: all).",
    ),
]
Present = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Module that the nodes have now (default: the scenario's).",
    ),
]
Override = Annotated[
    str,
    typer.Option(metavar="REASON", help="Send it although an expectation fails; is recorded."),
]
RolloutToml = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="TOML file with a table \\[rollout], see docs/updates.md; options win over it.",
    ),
]
Canary = Annotated[
    int | None, typer.Option(min=0, help="Nodes that go first and must all succeed.")
]
Groups = Annotated[
    list[float] | None,
    typer.Option(
        metavar="PERCENT",
        help="Share of the others that goes as one group before the next; may be repeated.",
    ),
]
Rate = Annotated[str | None, typer.Option(metavar="50/min", help="Nodes that begin a minute.")]
Aborts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TYPE:PERCENT[:LEAST]",
        help="Stop when so many percent of at least so many nodes (default: 10) are FAILED, "
        "REJECTED, TIMED_OUT or, all of these, ALL; may be repeated (default: ALL:10:10).",
    ),
]
TrialSteps = Annotated[
    int, typer.Option(min=1, max=65_535, help="Steps that the new module must run on trial.")
]
Who = Annotated[str | None, typer.Option(help="Name for the record.")]
CheckOnly = Annotated[
    bool, typer.Option("--check-only", help="Say what the gate finds, and send nothing.")
]


def rollout_settings(
    file: Path | None,
    canary: int | None,
    groups: list[float] | None,
    rate: str | None,
    aborts: list[str] | None,
) -> RolloutSettings:
    """The settings of a rollout; raises BadParameter or ScenarioError."""
    from levada.twin.ota.settings import read_rollout

    return read_rollout(
        file,
        given(
            ("--canary", "rollout.canary", canary),
            ("--group", "rollout.groups", groups or None),
            ("--rate", "rollout.rate_per_minute", _per_minute(rate)),
            ("--abort", "rollout.abort", [_criterion(text) for text in aborts or ()] or None),
        ),
    )


def _per_minute(rate: str | None) -> float | None:
    if rate is None:
        return None
    match = _RATE.fullmatch(rate.strip())
    if match is None:
        raise typer.BadParameter(f"{rate!r}: write such as 50/min", param_hint="--rate")
    return float(match[1])


def _criterion(text: str) -> dict[str, Any]:
    match = _ABORT.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r}: write such as FAILED:10:20", param_hint="--abort")
    least = {} if match[3] is None else {"min_executed": int(match[3])}
    return {"failure_type": match[1], "threshold_percentage": float(match[2]), **least}
