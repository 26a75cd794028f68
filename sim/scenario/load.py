"""Scenario files: read, check, write, and expand into zones.

    scenario = load(Path("scenarios/quickstart.toml"), overrides=[("zone.0.crop.name", "wheat")])
    zones = expand(scenario)

Everything that is wrong with a file is reported at once, with line and column.  Paths in a file are
relative to it and absolute in a loaded scenario; `dump` writes them relative to where the text will
lie.  The tables themselves are in `levada.sim.scenario.model`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from levada.guest.module.rules import Rule
from levada.guest.shipped import SHIPPED_GUESTS
from levada.guest.text.plain import UNPRINTABLE, plain
from levada.sim.errors import WeatherError
from levada.sim.scenario.alert import Alert
from levada.sim.scenario.checks import DeclaredParameter, between_tables, guest_parameters
from levada.sim.scenario.diagnostics import Problem, ScenarioError
from levada.sim.scenario.dump import sha256_of
from levada.sim.scenario.expect import Expect
from levada.sim.scenario.fault import Fault
from levada.sim.scenario.model import SCENARIO_VERSION, FieldSite, Period, Scenario
from levada.sim.scenario.source import LARGE, MOST_NESTED, Source, open_source
from levada.sim.scenario.toml_index import Path as KeyPath
from levada.sim.scenario.zone import Zone
from levada.sim.settings.explain import explain
from levada.sim.settings.issue import Issue

__all__ = [
    "Document",
    "Overrides",
    "load",
    "read",
]

Overrides = Sequence[tuple[str, object]]
"""Dotted key and value; a text value is read as TOML, and as itself if it is not TOML."""

_T = TypeVar("_T", Period, Zone, Fault, Expect, Alert)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A scenario together with where its keys stand, for those who find more to say about it."""

    scenario: Scenario
    source: Source

    def problems(self, troubles: Iterator[Issue] | Sequence[Issue]) -> list[Problem]:
        """Troubles with paths from the top of the file -> problems with line and column."""
        return [self.source.problem(trouble) for trouble in troubles]

    def check_parameters(
        self, parameters: Mapping[str, DeclaredParameter], rules: Sequence[Rule] = ()
    ) -> list[Problem]:
        """What the guest does not accept of the parameters of zones, fog and cloud.

        `parameters`: name -> what its module says.
        """
        tables: list[tuple[KeyPath, Mapping[str, int]]] = [
            (("zone", i, "parameters"), zone.parameters)
            for i, zone in enumerate(self.scenario.zone)
        ]
        for name, tier in (("fog", self.scenario.fog), ("cloud", self.scenario.cloud)):
            if tier is not None:
                tables.append(((name, "parameters"), tier.parameters))
        return self.problems(guest_parameters(tables, parameters, rules))


def load(
    path: Path,
    overrides: Overrides = (),
    seed: int | None = None,
    overlays: Sequence[Path] = (),
) -> Scenario:
    """Read and check a file; raises ScenarioError with everything that is wrong.

    `overlays` are laid over the file in their order, then `overrides` over all of them.
    """
    return read(path, overrides, seed, overlays).scenario


def read(
    path: Path,
    overrides: Overrides = (),
    seed: int | None = None,
    overlays: Sequence[Path] = (),
) -> Document:
    """As `load`, keeping the positions."""
    source = open_source(path, overlays)
    troubles = [t for key, value in overrides for t in source.override(key, value)]
    troubles += _unstorable(source.data)
    if seed is not None:
        source.data["seed"] = seed
        source.given["seed",] = f"--seed {seed}"
    scenario = None
    if not troubles:
        scenario, found = _check(source.data)
        troubles += found
    if scenario is not None and not troubles:
        scenario, found = _locate(scenario, path.parent.absolute())
        troubles += found
    if troubles or scenario is None:
        raise ScenarioError(source.problem(t) for t in troubles)
    return Document(scenario=scenario, source=source)


_NAMES: Final = ("name", "title")
"""Keys of texts of one line."""
_NO_NAME: Final = re.compile(f"[\t\n]|{UNPRINTABLE.pattern}")


def _unstorable(data: dict[str, Any]) -> list[Issue]:
    """Values that no report, terminal or other TOML file could take."""
    found: list[Issue] = []
    waiting: list[tuple[KeyPath, object]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > MOST_NESTED:
            return [Issue(path[:2], f"nested more than {MOST_NESTED} deep")]
        items: Iterator[tuple[str | int, object]] = iter(())
        if isinstance(value, dict):
            items = iter(value.items())
            bad = [str(key) for key in value if UNPRINTABLE.search(str(key))]
            found += [Issue(path, f"{plain(key)!r}: a control character in a key") for key in bad]
        elif isinstance(value, list):
            items = iter(enumerate(value))
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            found.append(Issue(path, LARGE))
        elif isinstance(value, str):
            no = _NO_NAME if path[-1] in _NAMES else UNPRINTABLE
            if match := no.search(value):
                found.append(
                    Issue(
                        path,
                        f"a control character, U+{ord(match.group()):04X}, as character "
                        f"{match.start() + 1}",
                        "write text that can be shown and stored anywhere",
                    )
                )
        waiting += [((*path, key), item) for key, item in items]
    return found


def _check(data: dict[str, Any]) -> tuple[Scenario | None, list[Issue]]:
    version = data.get("version")
    if version != SCENARIO_VERSION or isinstance(version, bool):
        if version is None:
            message = f"`version` is missing: this levada reads version = {SCENARIO_VERSION}"
            return None, [Issue((), message)]
        return None, [
            Issue(
                ("version",), f"`version` = {version}: this levada reads version {SCENARIO_VERSION}"
            )
        ]
    try:
        return Scenario.model_validate(data), []
    except ValidationError as error:
        troubles = list(explain(error, Scenario))
    # the tables that are right by themselves can still contradict each other
    between = between_tables(
        _part(Period, data.get("period")),
        [_part(Zone, item) for item in _items(data.get("zone"))],
        [_part(Fault, item) for item in _items(data.get("fault"))],
        [_part(Expect, item) for item in _items(data.get("expect"))],
        [_part(Alert, item) for item in _items(data.get("alert"))],
    )
    seen = {(t.path, t.message) for t in troubles}
    return None, troubles + [t for t in between if (t.path, t.message) not in seen]


def _part(model: type[_T], data: object) -> _T | None:
    try:
        return model.model_validate(data)
    except ValidationError:
        return None


def _items(data: object) -> list[object]:
    return data if isinstance(data, list) else []


def _locate(scenario: Scenario, directory: Path) -> tuple[Scenario, list[Issue]]:
    """Make paths absolute; files must be there, and be those that are pinned."""
    troubles = []

    def find(path: KeyPath, name: str, sha256: str | None) -> str:
        file = Path(os.path.normpath(directory / name))
        if not file.is_file():
            troubles.append(Issue(path, f'`{path[-1]}` = "{name}": no such file', str(file)))
        elif sha256 is not None and sha256_of(file) != sha256:
            troubles.append(
                Issue(
                    (path[0], "sha256"),
                    f"{name} is not the file that is pinned: its SHA-256 is {sha256_of(file)}",
                )
            )
        return str(file)

    weather, guest = scenario.weather, scenario.guest
    troubles += _unread(scenario, directory)
    if weather.file is not None:
        file = find(("weather", "file"), weather.file, weather.sha256)
        weather = weather.model_copy(update={"file": file})
    elif weather.generator is not None:
        like = find(("weather", "generator", "like"), weather.generator.like, weather.sha256)
        fitted = weather.generator.model_copy(update={"like": like})
        weather = weather.model_copy(update={"generator": fitted})
    if guest.file is not None:
        beside = (directory / guest.file).is_file()
        named = guest.file if beside else str(SHIPPED_GUESTS.get(guest.file, guest.file))
        file = find(("guest", "file"), named, guest.sha256)
        guest = guest.model_copy(update={"file": file})
    return scenario.model_copy(update={"weather": weather, "guest": guest}), troubles


def _unread(scenario: Scenario, directory: Path) -> Iterator[Issue]:
    """Keys that say something of a weather file which its form says already."""
    from levada.sim.weather.files import form_of, said  # loads numpy

    file = Path(os.path.normpath(directory / scenario.weather.source))
    try:
        form = form_of(file)
    except (OSError, WeatherError):
        return  # whoever reads the file says so
    zone, height_m = scenario.weather.time_zone, scenario.site.wind_height_m
    if form is None or form == "hourly":
        return
    if zone is not None:
        yield Issue(
            ("weather", "time_zone"),
            f'`time_zone` = "{zone}" has no effect: {file.name} is {said(form)}',
            "it goes with an hourly CSV file of levada's own that is kept on clock time",
        )
    if form != "daily" and height_m != FieldSite.model_fields["wind_height_m"].default:
        yield Issue(
            ("site", "wind_height_m"),
            f"`wind_height_m` = {height_m:g} m has no effect: {file.name} is {said(form)}, whose "
            "wind has its own height",
        )
