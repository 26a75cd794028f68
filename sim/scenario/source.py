"""A TOML file of the user with the place of every key, the overlays upon it, and `--set`.

Whatever is wrong with a value can so be said with file, line and column, or with the option that
set it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from levada.sim.scenario.diagnostics import Problem, ScenarioError
from levada.sim.scenario.overlay import absolute, identity_key, merge, relocated
from levada.sim.scenario.shipped import bare, names
from levada.sim.scenario.toml_index import KeyPlace, index
from levada.sim.scenario.toml_index import Path as KeyPath
from levada.sim.settings.issue import Issue, did_you_mean

__all__ = ["LARGE", "MOST_NESTED", "Source", "no_source", "open_source"]

_SYNTAX: Final = re.compile(
    r"(?P<what>.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL
)
_MAX_BYTES: Final = 4_000_000
MOST_NESTED: Final = 32
"""Tables and arrays in each other; a scenario has four."""
_LONG_KEY: Final = re.compile(rf"(?<![\w-])(?:[\w-]+\.){{{MOST_NESTED},}}")
_MOST_DIGITS: Final = 9
"""Of the number of an item."""
_SHOWN: Final = 60
"""Characters of an override that a message repeats."""
LARGE: Final = "a number beyond 64 bits: a whole number is permitted from -2^63 to 2^63 - 1"


@dataclass(kw_only=True)
class Layer:
    """A file of which a scenario is made."""

    file: str
    lines: list[str]
    places: dict[KeyPath, KeyPlace]
    """Path in the scenario -> where it stands in this file."""


@dataclass
class Source:
    """Data, and where they come from."""

    layers: list[Layer]
    """The scenario file, and the overlays upon it."""
    data: dict[str, Any]
    given: dict[KeyPath, str] = field(default_factory=dict)
    """Path -> option of the command line that set it."""

    def problem(self, trouble: Issue) -> Problem:
        """Where a trouble stands: its key, or the nearest table around it."""
        path = trouble.path
        for i in range(len(path), 0, -1):
            if path[:i] in self.given:
                return self._problem(trouble, file=self.given[path[:i]])
        dotted = (*path[:-1], *str(path[-1]).split(".")) if path else path
        for found in (path, dotted, *(path[:i] for i in range(len(path) - 1, 0, -1))):
            for layer in reversed(self.layers):
                if found in layer.places:
                    place = layer.places[found]
                    exact = found in (path, dotted)
                    unknown = exact and trouble.message.startswith("unknown key")
                    span = place.key if unknown else place.value
                    return self._problem(
                        trouble,
                        file=layer.file,
                        line=span.line,
                        column=span.column,
                        width=span.width,
                        source=layer.lines[span.line - 1],
                    )
        return self._problem(trouble, file=self.layers[0].file)

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

    def lay_over(self, path: Path) -> None:
        """Merge an overlay into the data."""
        overlay = _open(path)
        absolute(overlay.data, path.parent.absolute())
        moved = merge(self.data, overlay.data)
        (layer,) = overlay.layers
        layer.places = {relocated(at, moved): place for at, place in layer.places.items()}
        self.layers.append(layer)

    def put(self, path: Sequence[str], value: object, option: str) -> None:
        """Set a value that stands in `option` of the command line; raises ScenarioError."""
        here: Any = self.data
        for depth, step in enumerate(path[:-1], start=1):
            here = here.setdefault(step, {})
            if not isinstance(here, dict):
                issue = Issue(tuple(path[:depth]), f"`{step}` is not a table")
                raise ScenarioError([self.problem(issue)])
        here[path[-1]] = value
        self.given[tuple(path)] = option

    def override(self, key: str, value: object) -> Iterator[Issue]:
        """Set one dotted key in the data."""
        option = f"--set {_short(key)}={_short(str(value))}"
        path: KeyPath = ()
        here: Any = self.data
        if key.count(".") >= MOST_NESTED:
            self.given[key,] = option
            yield Issue((key,), f"nested more than {MOST_NESTED} deep")
            return
        steps = key.split(".")
        for depth, step in enumerate(steps):
            last = depth == len(steps) - 1
            if isinstance(here, list):
                identity = identity_key(str(path[-1]))
                number = _item(here, step, identity)
                if number is None:
                    names = [str(i.get(identity)) for i in here if isinstance(i, dict)]
                    self.given[*path, step] = option
                    yield Issue(
                        (*path, step),
                        f"no `{step}` in [[{path[-1]}]]",
                        did_you_mean(step, names, f"by number from 0, or by {identity}"),
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


def _item(items: list[Any], step: str, identity: str) -> int | None:
    if step.isdecimal() and len(step) <= _MOST_DIGITS:
        return int(step) if int(step) < len(items) else None
    for number, item in enumerate(items):
        if isinstance(item, dict) and item.get(identity) == step:
            return number
    return None


def _value(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # ValueError: no TOML, or a number beyond all bounds
        return value


def no_source(name: str) -> Source:
    """Nothing, to put options into; what is wrong is said to be in `name`."""
    return Source(layers=[Layer(file=name, lines=[], places={})], data={})


def open_source(path: Path, overlays: Sequence[Path] = ()) -> Source:
    """A TOML file with its positions, and overlays upon it; raises ScenarioError."""
    source = _open(path)
    for overlay in overlays:
        source.lay_over(overlay)
    return source


def _open(path: Path) -> Source:
    lines: list[str] = []

    def fail(message: str, line: int = 0, column: int = 0, hint: str = "") -> ScenarioError:
        text = lines[line - 1] if 0 < line <= len(lines) else ""
        return ScenarioError(
            [
                Problem(
                    file=str(path),
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
    lines += text.split("\n")
    if _LONG_KEY.search(text):  # which takes a parser the square of its length
        raise fail("not TOML: nested too deeply")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX.fullmatch(str(error))
        if match is None:
            raise fail(f"not TOML: {error}") from None
        what, line_text, column_text = match.groups()
        last = len(text.rstrip("\n").split("\n"))
        raise fail(
            f"not TOML: {what[0].lower()}{what[1:]}",
            int(line_text or last),
            int(column_text or len(lines[last - 1]) + 1),
        ) from None
    except RecursionError:
        raise fail("not TOML: nested too deeply") from None
    except ValueError:  # Python reads no more digits
        line, column = _longest_number(text)
        raise fail(f"not TOML: {LARGE}", line, column) from None
    try:
        places = index(text)
    except RecursionError:
        raise fail("not TOML: nested too deeply") from None
    return Source(layers=[Layer(file=str(path), lines=lines, places=places)], data=data)


def _longest_number(text: str) -> tuple[int, int]:
    """Line and column of the longest run of digits."""
    found = max(re.finditer(r"[+-]?\d[\d_]*", text), key=lambda match: len(match.group()))
    before = text[: found.start()]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
