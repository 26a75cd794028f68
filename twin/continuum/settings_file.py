"""Files of settings of the tiers: the keys of a class of settings as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from levada.sim.errors import SettingError
from levada.sim.settings.base import Settings

__all__ = ["read_settings"]

T = TypeVar("T", bound=Settings)


def read_settings(kind: type[T], file: Path | None, given: Mapping[str, object] = {}) -> T:
    """Settings of a file, or the defaults; what is `given` wins, by its dotted key, unless None.

    Raises SettingError if the file cannot be read or a value is not permitted.
    """
    data: dict[str, Any] = {}
    if file is not None:
        try:
            data = tomllib.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise SettingError(f"{file}: {error}") from None
    for key, value in given.items():
        if value is not None:
            *tables, last = key.split(".")
            place = data
            for table in tables:
                place = place.setdefault(table, {})
            place[last] = value
    try:
        return kind(**data)
    except SettingError as error:
        where = f"{file}: " if file is not None else ""
        raise SettingError(f"{where}{error}") from None
