"""Configuration of a tier: a TOML file, and flags that win over it.

Its tables are those of a scenario (`levada.sim.scenario.continuum`); beside them stand the
connections.  What is wrong is said with line and column, as of a scenario.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import Field, ValidationError

from levada.guest.shipped import DEFAULT_GUEST
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.continuum import Cloud, Fog
from levada.sim.scenario.diagnostics import Problem, ScenarioError
from levada.sim.scenario.toml_index import Path as KeyPath
from levada.sim.scenario.toml_index import Place, index
from levada.sim.settings.explain import explain
from levada.sim.settings.issue import Issue

__all__ = ["CloudFile", "FogFile", "Given", "TierFile", "read_config"]

_MOST_BYTES: Final = 1_000_000
Given = Mapping[tuple[str, ...], tuple[str, object]]
"""Key -> flag that sets it, and the value."""


class TierFile(Table):
    """What every tier above the node is told besides its own table."""

    guest: str | None = None
    """Module (`.wasm`); default: the shipped one."""
    cloud_broker: str | None = None
    """Broker between fog and cloud, `mqtt(s)://HOST[:PORT]`."""

    @property
    def module(self) -> Path:
        """File of the guest."""
        return Path(self.guest) if self.guest else DEFAULT_GUEST


class FogFile(TierFile):
    """Configuration of `levada fog`."""

    fog: Fog = Fog()
    edge_broker: str | None = None
    """Broker between nodes and fog; default: one of its own, on this computer only."""
    buffer: str = "fog.sqlite"
    """File in which it keeps what the cloud has not acknowledged."""
    health_port: int = Field(default=8060, ge=0, le=65_535)
    """Of `/health` and `/metrics`, on this computer only; 0: any."""

    def troubles(self) -> Iterator[Issue]:
        """A buffer has a name, and another one than the file with the addresses beside it."""
        if not self.buffer.strip() or self.buffer.endswith(".json"):
            yield Issue(
                ("buffer",), f'`buffer` = "{self.buffer}": name a file such as "fog.sqlite"'
            )


class CloudFile(TierFile):
    """Configuration of `levada cloud`."""

    cloud: Cloud = Cloud()
    store: str | None = None
    """A file, or `postgresql://...`; default: `store.sqlite` in the directory of `--out`."""
    port: int = Field(default=8050, ge=0, le=65_535)
    """Of the page, on this computer only; 0: any."""


T = TypeVar("T", bound=TierFile)


def read_config(kind: type[T], file: Path | None, given: Given) -> T:
    """The configuration in `file`, if there is one, with what flags say; raises ScenarioError."""
    text = "" if file is None else _text(file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([_problem(str(file), f"not TOML: {error}")]) from None
    places = index(text)
    for path, (_, value) in given.items():
        table = data
        for step in path[:-1]:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise ScenarioError([_problem(str(file), f"`{step}` is not a table")])
        table[path[-1]] = value
    try:
        found = kind.model_validate(data)
    except ValidationError as error:
        lines = text.splitlines()
        raise ScenarioError(
            _placed(issue, str(file or "flags"), given, places, lines)
            for issue in explain(error, kind)
        ) from None
    if file is not None:
        found = _located(found, file.parent, given)
    return found


def _located(found: T, folder: Path, given: Given) -> T:
    """Files that the file names are relative to it."""
    changes = {}
    for name in ("guest", "buffer", "store"):
        value = getattr(found, name, None)
        if value is not None and "://" not in value and (name,) not in given:
            changes[name] = str(folder / value)
    return found.model_copy(update=changes)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ScenarioError([_problem(str(file), f"cannot be read: {error.strerror}")]) from None
    if len(content) > _MOST_BYTES:
        raise ScenarioError([_problem(str(file), f"larger than {_MOST_BYTES} bytes")])
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ScenarioError([_problem(str(file), f"not UTF-8: byte {error.start}")]) from None


def _problem(file: str, message: str) -> Problem:
    return Problem(file=file, line=0, column=0, key="", message=message)


def _placed(
    issue: Issue,
    file: str,
    given: Given,
    places: Mapping[KeyPath, Place],
    lines: Sequence[str],
) -> Problem:
    """Where an issue stands: a flag, the line of its key, or the file."""
    path = tuple(issue.path)
    where: dict[str, Any] = {"file": file, "line": 0, "column": 0}
    for end in range(len(path), 0, -1):
        option = given.get(path[:end])  # type: ignore[arg-type]  # a number is in no flag
        if option is not None:
            where["file"] = option[0]
            break
        if path[:end] in places:
            place = places[path[:end]]
            span = place.key if issue.message.startswith("unknown key") else place.value
            where |= {"line": span.line, "column": span.column, "width": span.width}
            where["source"] = lines[span.line - 1]
            break
    key = ".".join(map(str, path))
    return Problem(key=key, message=issue.message, hint=issue.hint, **where)
