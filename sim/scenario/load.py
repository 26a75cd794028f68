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
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from levada.guest.module.rules import Rule
from levada.guest.text.plain import UNPRINTABLE, plain
from levada.sim.errors import WeatherError
from levada.sim.scenario.alert import Alert
from levada.sim.scenario.checks import DeclaredParameter, between_tables, guest_parameters
from levada.sim.scenario.diagnostics import Problem, ScenarioError
from levada.sim.scenario.dump import sha256_of
from levada.sim.scenario.expect import Expect
from levada.sim.scenario.fault import Fault
from levada.sim.scenario.model import SCENARIO_VERSION, FieldSite, Period, Scenario
from levada.sim.scenario.shipped import bare, names
from levada.sim.scenario.toml_index import KeyPlace, index
from levada.sim.scenario.toml_index import Path as KeyPath
from levada.sim.scenario.zone import Zone
from levada.sim.settings.explain import explain
from levada.sim.settings.issue import Issue, did_you_mean

__all__ = [
    "Document",
    "Overrides",
    "load",
    "read",
]

Overrides = Sequence[tuple[str, object]]
"""Dotted key and value; a text value is read as TOML, and as itself if it is not TOML."""

_SYNTAX: Final = re.compile(
    r"(?P<what>.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL
)
_MAX_BYTES: Final = 4_000_000
_MOST_NESTED: Final = 32
"""Tables and arrays in each other; a scenario has four."""
_LONG_KEY: Final = re.compile(rf"(?<![\w-])(?:[\w-]+\.){{{_MOST_NESTED},}}")
_MOST_DIGITS: Final = 9
"""Of the number of an item."""
_SHOWN: Final = 60
"""Characters of an override that a message repeats."""
_LARGE: Final = "a number beyond 64 bits: a whole number is permitted from -2^63 to 2^63 - 1"
_T = TypeVar("_T", Period, Zone, Fault, Expect, Alert)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A scenario together with where its keys stand, for those who find more to say about it."""

    scenario: Scenario
    source: _Source

    def problems(self, troubles: Iterator[Issue] | Sequence[Issue]) -> list[Problem]:
        """Troubles with paths from the top of the file -> problems with line and column."""
        return [self.source.problem(trouble) for trouble in troubles]

    def check_parameters(
        self, parameters: Mapping[str, DeclaredParameter], rules: Sequence[Rule] = ()
    ) -> list[Problem]:
        """What the guest does not accept of `[zone.parameters]`: name -> what its module says."""
        return self.problems(guest_parameters(self.scenario.zone, parameters, rules))


def load(path: Path, overrides: Overrides = (), seed: int | None = None) -> Scenario:
    """Read and check a file; raises ScenarioError with everything that is wrong."""
    return read(path, overrides, seed).scenario


def read(path: Path, overrides: Overrides = (), seed: int | None = None) -> Document:
    """As `load`, keeping the positions."""
    source = _open(path)
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


@dataclass
class _Source:
    file: str
    lines: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, KeyPlace] = field(default_factory=dict)
    given: dict[KeyPath, str] = field(default_factory=dict)
    """Path -> option of the command line that set it."""

    def problem(self, trouble: Issue) -> Problem:
        """Where a trouble stands: its key, or the nearest table around it."""
        path = trouble.path
        for i in range(len(path), 0, -1):
            if path[:i] in self.given:
                return self._problem(trouble, file=self.given[path[:i]])
        for found in (path, (*path[:-1], *str(path[-1]).split(".")) if path else path):
            if found in self.places:
                place = self.places[found]
                span = place.key if trouble.message.startswith("unknown key") else place.value
                break
        else:
            while path and path not in self.places:
                path = path[:-1]
            if not path:
                return self._problem(trouble, file=self.file)
            span = self.places[path].value
        return self._problem(
            trouble,
            file=self.file,
            line=span.line,
            column=span.column,
            width=span.width,
            source=self.lines[span.line - 1],
        )

    def _problem(
        self,
        trouble: Issue,
        *,
        file: str,
        line: int = 0,
        column: int = 0,
        width: int = 1,
        source: str = "",
    ) -> Problem:
        return Problem(
            file=file,
            line=line,
            column=column,
            key=".".join(map(str, trouble.path)),
            message=trouble.message,
            hint=trouble.hint,
            source=source,
            width=width,
        )

    def override(self, key: str, value: object) -> Iterator[Issue]:
        """Set one dotted key in the data."""
        option = f"--set {_short(key)}={_short(str(value))}"
        path: KeyPath = ()
        here: Any = self.data
        if key.count(".") >= _MOST_NESTED:
            self.given[key,] = option
            yield Issue((key,), f"nested more than {_MOST_NESTED} deep")
            return
        steps = key.split(".")
        for depth, step in enumerate(steps):
            last = depth == len(steps) - 1
            if isinstance(here, list):
                number = _item(here, step)
                if number is None:
                    names = [str(i.get("name")) for i in here if isinstance(i, dict)]
                    self.given[*path, step] = option
                    yield Issue(
                        (*path, step),
                        f"no `{step}` in [[{path[-1]}]]",
                        did_you_mean(step, names, "by number from 0, or by name"),
                    )
                    return
                path = (*path, number)
                if last:
                    here[number] = _value(value)
                else:
                    here = here[number]
            elif isinstance(here, dict):
                path = (*path, step)
                if last:
                    here[step] = _value(value)
                else:
                    here = here.setdefault(step, {})
            else:
                self.given[path] = option
                yield Issue(path, f"`{path[-1]}` is not a table")
                return
        self.given[path] = option


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _item(items: list[Any], step: str) -> int | None:
    if step.isdecimal() and len(step) <= _MOST_DIGITS:
        return int(step) if int(step) < len(items) else None
    for number, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == step:
            return number
    return None


def _value(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # ValueError: no TOML, or a number beyond all bounds
        return value


_NAMES: Final = ("name", "title")
"""Keys of texts of one line."""
_NO_NAME: Final = re.compile(f"[\t\n]|{UNPRINTABLE.pattern}")


def _unstorable(data: dict[str, Any]) -> list[Issue]:
    """Values that no report, terminal or other TOML file could take."""
    found: list[Issue] = []
    waiting: list[tuple[KeyPath, object]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > _MOST_NESTED:
            return [Issue(path[:2], f"nested more than {_MOST_NESTED} deep")]
        items: Iterator[tuple[str | int, object]] = iter(())
        if isinstance(value, dict):
            items = iter(value.items())
            bad = [str(key) for key in value if UNPRINTABLE.search(str(key))]
            found += [Issue(path, f"{plain(key)!r}: a control character in a key") for key in bad]
        elif isinstance(value, list):
            items = iter(enumerate(value))
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            found.append(Issue(path, _LARGE))
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


def _open(path: Path) -> _Source:
    source = _Source(file=str(path))

    def fail(message: str, line: int = 0, column: int = 0, hint: str = "") -> ScenarioError:
        text = source.lines[line - 1] if 0 < line <= len(source.lines) else ""
        return ScenarioError(
            [
                Problem(
                    file=source.file,
                    line=line,
                    column=column,
                    key="",
                    message=message,
                    hint=hint,
                    source=text,
                )
            ]
        )

    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        hint = did_you_mean(str(path), names(), "shipped scenarios") if bare(path) else ""
        raise fail(f"cannot be read: {error.strerror}", hint=hint) from None
    if len(content) > _MAX_BYTES:
        raise fail(f"larger than {_MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise fail(f"not UTF-8: byte {content[error.start]:#04x} in line {line}") from None
    source.lines = text.split("\n")
    if _LONG_KEY.search(text):  # which takes a parser the square of its length
        raise fail("not TOML: nested too deeply")
    try:
        source.data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX.fullmatch(str(error))
        if match is None:
            raise fail(f"not TOML: {error}") from None
        what, line_text, column_text = match.groups()
        last = len(text.rstrip("\n").split("\n"))
        raise fail(
            f"not TOML: {what[0].lower()}{what[1:]}",
            int(line_text or last),
            int(column_text or len(source.lines[last - 1]) + 1),
        ) from None
    except RecursionError:
        raise fail("not TOML: nested too deeply") from None
    except ValueError:  # Python reads no more digits
        line, column = _longest_number(text)
        raise fail(f"not TOML: {_LARGE}", line, column) from None
    try:
        source.places = index(text)
    except RecursionError:
        raise fail("not TOML: nested too deeply") from None
    return source


def _longest_number(text: str) -> tuple[int, int]:
    """Line and column of the longest run of digits."""
    found = max(re.finditer(r"[+-]?\d[\d_]*", text), key=lambda match: len(match.group()))
    before = text[: found.start()]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


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
        file = find(("guest", "file"), guest.file, guest.sha256)
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
