"""The scenarios that come with levada: found by name, copied to start from."""

from __future__ import annotations

import shutil
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Final

__all__ = ["SHIPPED", "bare", "copy", "names", "scenario_path", "title"]

SHIPPED: Final = Path(str(files("levada"))) / "scenarios"


def names() -> list[str]:
    """Names of the shipped scenarios, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def title(name: str) -> str:
    """What a shipped scenario is about, in its own words."""
    text = tomllib.loads((SHIPPED / f"{name}.toml").read_text("utf-8"))
    return str(text.get("title", name))


def scenario_path(scenario: str | Path) -> Path:
    """A file as it is; a bare name such as `quickstart` is the shipped scenario of that name.

    A file of that very name in the working directory comes first.  Whether the file exists is for
    its reader to say.
    """
    path = Path(scenario)
    shipped = SHIPPED / f"{path}.toml"
    return shipped if bare(path) and not path.exists() and shipped.is_file() else path


def bare(path: Path) -> bool:
    """Whether this may be meant as the name of a shipped scenario: no folder, no `.toml`."""
    return path.parts == (path.stem,)


def copy(name: str, folder: Path) -> list[Path]:
    """Copy a shipped scenario, its weather and the schema into a folder; what was written.

    Files that are there already with the same content, such as the weather of another scenario, are
    left.  Raises FileExistsError before anything is written if one has other content, and
    FileNotFoundError if there is no such scenario.
    """
    source = SHIPPED / f"{name}.toml"
    if name not in names():
        raise FileNotFoundError(f"no scenario `{name}`; there are {', '.join(names())}")
    text = source.read_text("utf-8")
    wanted = [source, SHIPPED / "levada.schema.json"]
    wanted += [path for path in sorted(SHIPPED.glob("weather/*")) if path.name in text]
    targets = {path: folder / path.relative_to(SHIPPED) for path in wanted}
    for path, target in targets.items():
        if target.exists() and target.read_bytes() != path.read_bytes():
            raise FileExistsError(f"{target} exists already: nothing was copied")
    for path, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return list(targets.values())
