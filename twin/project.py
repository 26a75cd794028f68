"""A project of one's own: scenario, guest, test, CI and editor settings, from a few answers.

Everything is made and checked in a temporary folder; the project's folder is written only when all
of it is right, and nothing that is there is overwritten.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from levada.guest.build import build
from levada.guest.errors import LevadaError
from levada.guest.shipped import DEFAULT_GUEST
from levada.sim.crop.table import ALIASES, TABLE
from levada.sim.scenario.load import read
from levada.sim.scenario.shipped import SHIPPED, names
from levada.sim.settings.issue import did_you_mean
from levada.twin.errors import TwinError

__all__ = ["Answers", "GuestKind", "ProjectError", "create", "crop_name", "project_name", "site_of"]

GuestKind = Literal["c", "none"]

_LIKE: Final = SHIPPED / "weather" / "greeley_co_2023_daily.csv"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_TEMPLATES: Final = Path(__file__).parent / "templates"
_GENERATED: Final = date(2025, 1, 1), date(2025, 10, 31)
"""Days for which the generator is asked: of the months that its file has."""


class ProjectError(TwinError):
    """A project cannot be made from these answers, or where it should lie."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a project is made of."""

    name: str
    site: str
    """LATITUDE,LONGITUDE,ELEVATION [deg, deg, m], or the name of a shipped scenario."""
    crop: str
    weather: Path | None = None
    """Weather file; None: that of the shipped site, or the generator for a place of one's own."""
    guest: GuestKind = "c"


def project_name(folder: Path) -> str:
    """The name of a folder as that of a scenario: small letters, digits and `-`."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return plain if _NAME.fullmatch(plain) else f"field-{plain}".rstrip("-")


def crop_name(crop: str) -> str:
    """The name of a crop in the table, also from its other English name; raises ProjectError."""
    word = crop.strip().lower()
    name = ALIASES.get(word, word)
    if name not in TABLE:
        hint = did_you_mean(name, list(TABLE), "crops")
        raise ProjectError(f"--crop {crop}: not a crop of the table; {hint}")
    return name


def site_of(site: str) -> dict[str, Any]:
    """The table `[site]` of a place; raises ProjectError."""
    if site in names():
        table = tomllib.loads((SHIPPED / f"{site}.toml").read_text("utf-8"))
        return dict(table["site"])
    parts = site.split(",")
    if len(parts) == 1:
        raise ProjectError(
            f"--site {site}: no shipped site; {did_you_mean(site, names(), 'there are')}, "
            "or LATITUDE,LONGITUDE,ELEVATION such as 38.57,-7.91,309"
        )
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ProjectError(
            f"--site {site}: permitted are three numbers, LATITUDE,LONGITUDE,ELEVATION in degrees "
            "and metres, such as 38.57,-7.91,309"
        )
    latitude, longitude, elevation = numbers
    for what, value, low, high in (
        ("latitude", latitude, -66.0, 66.0),
        ("longitude", longitude, -180.0, 180.0),
        ("elevation", elevation, -430.0, 6000.0),
    ):
        if not low <= value <= high:
            raise ProjectError(f"--site {site}: {what} {value:g}, permitted {low:g} to {high:g}")
    return {
        "latitude_deg": latitude,
        "longitude_deg": longitude,
        "elevation_m": elevation,
        "utc_offset_h": round(longitude / 15.0),
    }


def create(folder: Path, answers: Answers) -> list[Path]:
    """Make a project; the files that were written.

    Raises ProjectError before anything is written if one of them is there, and the errors of
    weather, scenario and compiler.
    """
    if not _NAME.fullmatch(answers.name):
        raise ProjectError(
            f"--name {answers.name}: permitted are small letters, digits and `-`, a letter first"
        )
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"{folder}: a file, and a project needs a folder")
    with tempfile.TemporaryDirectory(prefix="levada-init-") as directory:
        made = Path(directory)
        _fill(made, answers)
        files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
        there = [str(path) for path in files if os.path.lexists(folder / path)]
        parents = sorted({parent for path in files for parent in path.parents})
        there += [str(path) for path in parents if _no_folder(folder / path)]
        if there:
            raise ProjectError(
                f"{folder}: {', '.join(there)} exist{'s' if len(there) == 1 else ''} already, and "
                "nothing was written; choose another folder"
            )
        for path in files:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / path, target)
    return [folder / path for path in files]


def _fill(folder: Path, answers: Answers) -> None:
    """Write the project into an empty folder, build its guest, and check its scenario."""
    crop, site = crop_name(answers.crop), site_of(answers.site)
    source = answers.weather or _shipped_weather(answers.site)
    if source is None and site["latitude_deg"] < 0.0:
        raise ProjectError(
            f"--site {answers.site}: south of the equator a weather file is needed, "
            "--weather FILE; the generator resembles a place in the north"
        )
    (folder / "weather").mkdir()
    weather = Path(shutil.copy(_readable(source or _LIKE), folder / "weather"))
    read_as = {} if answers.weather else _shipped_keys(answers.site)
    first, last = _GENERATED if source is None else _days(source, site, read_as)
    start, end = _season(first, last, site["latitude_deg"], crop)
    values = {
        "@NAME@": json.dumps(answers.name, ensure_ascii=False),
        "@TITLE@": json.dumps(f"{crop.capitalize()} at {site.get('name', answers.site)}"),
        "@SITE@": "\n".join(f"{key} = {json.dumps(site[key])}" for key in site),
        "@START@": start.isoformat(),
        "@END@": end.isoformat(),
        "@WEATHER@": _weather(weather.name, read_as, generated=source is None),
        "@GUEST@": '\n[guest]\nfile = "guest/field.wasm"\n' if answers.guest == "c" else "",
        "@CROP@": json.dumps(crop),
        "@SOIL@": 'model = "bucket" # rice stands in water\n' if crop == "rice" else "",
        "@DEPTH@": f"{max(0.1, round(sum(TABLE[crop].zr_m) / len(TABLE[crop].zr_m) * 0.4, 2)):g}",
        "@BUILD@": "levada guest build guest/field.c\n" if answers.guest == "c" else "",
        "@BUILD_STEP@": "      - run: levada guest build guest/field.c\n"
        if answers.guest == "c"
        else "",
        "@LEVADA@": "levada[build]" if answers.guest == "c" else "levada",
        "@HEADING@": answers.name,
    }
    for template, target in _FILES.items():
        text = (_TEMPLATES / template).read_text("utf-8")
        for key, value in values.items():
            text = text.replace(key, value)
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / target).write_text(text, "utf-8")
    shutil.copy(SHIPPED / "levada.schema.json", folder)
    if answers.guest == "c":
        (folder / "guest").mkdir()
        c_source = folder / "guest" / "field.c"
        shutil.copyfile(DEFAULT_GUEST.parents[1] / "examples" / "field.c", c_source)
        build([c_source], c_source.with_suffix(".wasm"))
    _check(folder)


def _check(folder: Path) -> None:
    """What `levada lint` checks; raises ProjectError that names files as in the project."""
    from levada.sim.run import runner

    try:
        document = read(folder / "field.toml")
        runner.check(document)
        runner.read_weather(document.scenario)
    except LevadaError as error:
        raise ProjectError(str(error).replace(f"{folder}{os.sep}", "")) from error


_FILES: Final = {
    "field.toml": "field.toml",
    "test_field.txt": "tests/test_field.py",
    "workflow.yml": ".github/workflows/levada.yml",
    "settings.json": ".vscode/settings.json",
    "extensions.json": ".vscode/extensions.json",
    "requirements.txt": "requirements.txt",
    "project_readme.md": "README.md",
}
"""Template -> file of the project."""


def _no_folder(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_dir()


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ProjectError(f"--weather {path}: no such file")
    return path


def _shipped_weather(site: str) -> Path | None:
    """The weather file of a shipped site; None for a place of one's own."""
    if site not in names():
        return None
    table = tomllib.loads((SHIPPED / f"{site}.toml").read_text("utf-8"))["weather"]
    return SHIPPED / str(table.get("file") or table["generator"]["like"])


def _shipped_keys(site: str) -> dict[str, str]:
    """How the weather file of a shipped site is read."""
    if site not in names():
        return {}
    table = tomllib.loads((SHIPPED / f"{site}.toml").read_text("utf-8"))["weather"]
    keys = ("fill", "from_temperature", "time_zone")
    return {key: table[key] for key in keys if key in table}


def _days(path: Path, site: dict[str, Any], read_as: dict[str, Any]) -> tuple[date, date]:
    """First and last whole day of a weather file; raises WeatherError."""
    from levada.sim.scenario.model import FieldSite
    from levada.sim.weather import files

    weather = files.read(_readable(path), FieldSite(**site), **read_as)
    return weather.start, weather.end


def _season(first: date, last: date, latitude_deg: float, crop: str) -> tuple[date, date]:
    """Planting and last day: from spring where the weather has one, otherwise from its start."""
    month = 5 if latitude_deg >= 0.0 else 11
    springs = (date(year, month, 2) for year in range(first.year, last.year + 1))
    start = next((day for day in springs if first <= day < last), first)
    length = timedelta(days=sum(TABLE[crop].stages_d) - 1)
    return start, min(last, start + length)


def _weather(name: str, read_as: dict[str, str], *, generated: bool) -> str:
    if not generated:
        keys = {"file": f"weather/{name}"} | read_as
        lines = (f"{key} = {json.dumps(keys[key], ensure_ascii=False)}" for key in keys)
        return "\n".join(("[weather]", *lines))
    return (
        "# Random weather like that of Greeley, Colorado.  For that of your field put a file\n"
        '# of it in weather/ and write `file = "weather/NAME.csv"` instead.\n'
        f'[weather.generator]\nlike = "weather/{name}"'
    )
