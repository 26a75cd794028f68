"""`levada init`: a project of one's own."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["init_app"]

init_app = typer.Typer()


class _Guest(StrEnum):
    C = "c"
    NONE = "none"


def _guest(answer: str) -> _Guest:
    from levada.twin.project import ProjectError

    try:
        return _Guest(answer.strip().lower())
    except ValueError:
        raise ProjectError(f"guest {answer}: permitted are c and none") from None


@init_app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to; made if it is not there.")
    ] = Path(),
    site: Annotated[
        str | None,
        typer.Option(
            metavar="SITE", help="LAT,LON,ELEVATION in degrees and metres, or a shipped scenario."
        ),
    ] = None,
    crop: Annotated[str | None, typer.Option(help="Crop of FAO-56, such as `maize`.")] = None,
    weather: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weather file (default: that of the shipped site, otherwise generated).",
        ),
    ] = None,
    guest: Annotated[
        _Guest | None,
        typer.Option(help="`c`: source to start from; `none`: the shipped guest `irrigation`."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the scenario (default: DIR's).")] = None,
) -> None:
    """Make a project of your own: scenario, guest, test, CI; nothing there is overwritten.

    On a terminal it asks for what no option says; elsewhere it takes the defaults.
    """
    from levada.twin.project import Answers, create, crop_name, project_name, site_of

    compiler = importlib.util.find_spec("ziglang") is not None
    default = _Guest.C if compiler else _Guest.NONE
    if sys.stdin.isatty():
        name = name or typer.prompt("Name", project_name(folder))
        site = site or typer.prompt("Site (LAT,LON,ELEVATION or a shipped scenario)", "quickstart")
        site_of(site)
        crop = crop or typer.prompt("Crop", "maize")
        crop_name(crop)
        guest = guest or _guest(typer.prompt("Guest (c or none)", default.value))
    chosen = guest or default
    answers = Answers(
        name=name or project_name(folder),
        site=site or "quickstart",
        crop=crop or "maize",
        weather=weather,
        guest="c" if chosen is _Guest.C else "none",
    )
    for path in create(folder, answers):
        typer.echo(path)
    steps = ["levada run field.toml", "python -m pytest"]
    if chosen is _Guest.C:
        steps.insert(1, "levada guest build guest/field.c")
    if folder.resolve() != Path.cwd():
        steps.insert(0, f"cd {shlex.quote(str(folder))}")
    typer.echo("\nNext:\n" + "\n".join(f"  {step}" for step in steps))
