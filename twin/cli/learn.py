"""`levada learn`: what a store's readings say of a scenario."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from levada.twin.cli import options as shared
from levada.twin.cli.scenarios import ScenarioFile
from levada.twin.cli.twin import StorePath, store_place

if TYPE_CHECKING:
    from levada.sim.scenario.expand import ZoneConfig
    from levada.twin.estimate.learn import Learned, Record

__all__ = ["learn_app"]

learn_app = typer.Typer()


@learn_app.command("learn")
def learn(
    scenario: ScenarioFile,
    store: StorePath,
    zone: Annotated[
        str | None, typer.Option("--zone", "-z", help="Only this zone (default: all).")
    ] = None,
    members: Annotated[
        int, typer.Option(min=16, max=512, help="Soils in the ensemble; more are more exact.")
    ] = 64,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
) -> None:
    """What the readings of a store say of soil, crop, water and probe: before, after, and the
    lines that would set it.  Nothing is changed."""
    from levada.sim.run import runner
    from levada.sim.scenario import load as scenarios
    from levada.sim.scenario.expand import expand
    from levada.twin.estimate.learn import learn as learned_of
    from levada.twin.estimate.learn import stored_record

    document = scenarios.read(scenario, shared.overrides(settings))
    runner.check(document)
    loaded = document.scenario
    zones = expand(loaded)
    names = [z.name for z in zones]
    if zone is not None and zone not in names:
        raise typer.BadParameter(
            f"no zone `{zone}`; the scenario has {', '.join(names)}", param_hint="--zone"
        )
    for config in zones:
        if zone is not None and config.name != zone:
            continue
        record = stored_record(store_place(store), loaded, config)
        learned = learned_of(loaded, config, record, members=members, progress=_progress)
        _show(config, record, learned)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        typer.echo(text, err=True)


def _show(zone: ZoneConfig, record: Record, learned: Learned) -> None:
    from levada.twin.estimate.proposal import findings, toml_lines

    found = findings(learned)
    typer.echo(
        f"zone {zone.name}: {len(record.time_ms)} readings six hours apart, "
        f"{len(record.openings_ms)} openings, {record.refused} readings stuck or implausible; "
        f"{learned.members} soils"
    )
    typer.echo(
        f"RMS difference from the readings: {learned.rms_free:.4f} m3/m3 as described, "
        f"{learned.rms_corrected:.4f} as learned (a reading counts as +- {learned.error_sd:.3f})"
    )
    width = max(len(f.meaning) for f in found)
    typer.echo(f"{'':{width}}  {'before':>16}  {'after':>16}")
    for f in found:
        before, after = (f"{mean:.3f} +- {sd:.3f}" for mean, sd in (f.prior, f.posterior))
        typer.echo(f"{f.meaning:{width}}  {before:>16}  {after:>16}  {f.sentence}")
    lines = toml_lines(zone, found)
    if lines:
        typer.echo(f"\nProposed for [[zone]] {zone.group}, not applied:")
        for line in lines:
            typer.echo(f"  {line}")
    else:
        typer.echo("\nNothing to propose: the readings agree with the scenario, within the error.")
