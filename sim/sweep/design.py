"""What is swept: keys of a scenario, the values each takes, and seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from levada.sim.errors import SettingError

__all__ = ["MOST_JOBS", "Parameter", "combinations", "parameter", "seeds_of"]

MOST_JOBS: Final = 1_000_000
"""Runs of one sweep."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key of the scenario, and the values it takes, as `--set` has them."""

    key: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


def parameter(text: str) -> Parameter:
    """`KEY=FIRST:LAST:STEP`, both ends included, or `KEY=VALUE,VALUE,...`; raises SettingError."""
    key, equals, spec = text.partition("=")
    if not key.strip() or not equals or not spec.strip():
        raise SettingError(
            f"--param {text}: wanted is KEY=FIRST:LAST:STEP, such as "
            "zone.parameters.on_pct=60:95:5, or KEY=VALUE,VALUE"
        )
    values = _range(text, spec) if _is_range(spec) else tuple(v.strip() for v in spec.split(","))
    if "" in values:
        raise SettingError(f"--param {text}: a value between two commas is empty")
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise SettingError(f"--param {text}: {twice} stands there twice")
    return Parameter(key.strip(), values)


def _is_range(spec: str) -> bool:
    parts = spec.split(":")
    return len(parts) == 3 and all(_number(part) is not None for part in parts)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _range(text: str, spec: str) -> tuple[str, ...]:
    """Decimal numbers, so that 0.1:0.5:0.1 has five values and no 0.30000000000000004."""
    first, last, step = (
        number for part in spec.split(":") if (number := _number(part)) is not None
    )
    if step == 0 or (last - first) / step < 0:
        raise SettingError(f"--param {text}: no step of {step} leads from {first} to {last}")
    count = math.floor((last - first) / step) + 1
    if count > MOST_JOBS:
        raise SettingError(
            f"--param {text}: {count:,} values; at most {MOST_JOBS:,} runs make a sweep"
        )
    return tuple(f"{(first + k * step).normalize():f}" for k in range(count))


def seeds_of(text: str, scenario_seed: int) -> range:
    """`100`: so many from that of the scenario on; `1:100`: from the first to the last."""
    first, colon, last = text.partition(":")
    try:
        numbers = [int(part) for part in (first, last) if part or colon]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1:
        return range(scenario_seed, scenario_seed + numbers[0])
    if len(numbers) == 2 and 0 <= numbers[0] <= numbers[1]:
        return range(numbers[0], numbers[1] + 1)
    raise SettingError(f"--seeds {text}: wanted is a number from 1, or FIRST:LAST, such as 1:100")


def combinations(parameters: Sequence[Parameter]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Every combination of values, the last parameter changing fastest; raises SettingError."""
    keys = [p.key for p in parameters]
    for key in keys:
        if keys.count(key) > 1:
            raise SettingError(f"--param {key}: given twice; put all its values into one")
    yield from (
        tuple(zip(keys, values, strict=True))
        for values in itertools.product(*(p.values for p in parameters))
    )
