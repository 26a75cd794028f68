"""`levada scenarios`: the shipped scenarios, listed and copied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levada.sim.scenario.shipped import copy, names, scenario_path, title

__all__ = ["OptionalScenario", "ScenarioFile", "ScenarioFiles", "scenarios_app"]


def _found(scenario: Path | None) -> Path | None:
    return None if scenario is None else scenario_path(scenario)


def _all_found(scenarios: list[Path]) -> list[Path]:
    return [scenario_path(scenario) for scenario in scenarios]


_HELP = "Scenario file (TOML), or the name of a shipped one."
ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help=_HELP, callback=_found)]
ScenarioFiles = Annotated[
    list[Path], typer.Argument(metavar="SCENARIO...", help=_HELP, callback=_all_found)
]

OptionalScenario = Annotated[
    Path | None, typer.Argument(metavar="SCENARIO", help=_HELP, callback=_found)
]

scenarios_app = typer.Typer(help="List the shipped scenarios, or copy one to start from.")


@scenarios_app.callback(invoke_without_command=True)
def list_scenarios(context: typer.Context) -> None:
    """List the shipped scenarios, or copy one to start from."""
    if context.invoked_subcommand is not None:
        return
    width = max(map(len, names()))
    for name in names():
        typer.echo(f"{name:<{width}}  {title(name)}")
    typer.echo("\nRun one by its name: levada run quickstart\nCopy one: levada scenarios copy NAME")


@scenarios_app.command("copy")
def copy_scenario(
    name: Annotated[str, typer.Argument(help="Name of a shipped scenario.")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to; made if it is not there.")
    ] = Path(),
) -> None:
    """Copy a shipped scenario with its weather; what is there already is not overwritten."""
    for path in copy(name, folder):
        typer.echo(path)
