"""Durations, moments and magnitudes as people write them: `"12 d 6 h"`, `"-40 counts/d"`.

A key that ends in a unit (`step_s`) holds a plain number in that unit.  Where a natural unit varies
from seconds to days, or with the kind of a fault, the value is a text with its unit, parsed once
here.  Units are the ones SI accepts: s, min, h, d.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from levada.sim.settings.issue import refusal

__all__ = [
    "Duration",
    "ExactDuration",
    "Moment",
    "format_duration",
    "parse_duration",
    "parse_quantity",
    "parse_whole_seconds",
    "say_duration",
]

_SECONDS: Final = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_QUANTITY: Final = re.compile(r"([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(\S.*)?\Z")
_EXAMPLES: Final = 'such as "20 min", "36 h" or "12 d 6 h" (d, h, min, s)'
_LONGEST_S: Final = 100 * 366 * 86_400
_SECOND_US: Final = 1_000_000


def parse_duration(text: str) -> timedelta:
    """`"12 d 6 h"`, `"0.5 s"` -> timedelta, exact, from 0 to 100 years; raises ValueError."""
    at, total_s, seen = 0, Fraction(), set[str]()
    while match := _PART.match(text, at):
        number, unit = match.groups()
        if unit not in _SECONDS:
            raise ValueError(f"unknown unit of time `{unit}`: write a duration {_EXAMPLES}")
        if unit in seen:
            raise ValueError(f"the unit `{unit}` appears twice")
        seen.add(unit)
        total_s += Fraction(number) * _SECONDS[unit]
        at = match.end()
    if not seen or text[at:].strip():
        raise ValueError(f"not a duration: write one {_EXAMPLES}")
    if total_s > _LONGEST_S:
        raise ValueError("longer than 100 years")
    total_us = total_s * _SECOND_US
    if total_us.denominator != 1:
        raise ValueError("finer than a microsecond")
    return timedelta(microseconds=int(total_us))


def parse_whole_seconds(text: str) -> timedelta:
    """The same in whole seconds, as the clock of a run counts them; raises ValueError."""
    found = parse_duration(text)
    if found.microseconds:
        raise ValueError("durations are whole seconds")
    return found


def format_duration(duration: timedelta) -> str:
    """The text that `parse_duration` reads back, equal to the microsecond."""
    left, parts = duration // timedelta(microseconds=1), []
    for unit, seconds in _SECONDS.items():
        count, left = divmod(left, seconds * _SECOND_US)
        if unit == "s" and left:
            parts.append(f"{count}.{left:06}".rstrip("0") + " s")
        elif count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def say_duration(seconds: float) -> str:
    """A duration for people, in its two largest units from d to s: `2 h 10 min`, `45 s`.

    Rounded to whole seconds below ten minutes and to whole minutes below ten hours, beyond that
    to whole hours."""
    sign = "-" if seconds < 0 else ""
    left = abs(seconds)
    grain = 1 if left < 600 else 60 if left < 36_000 else 3600
    whole = math.floor(left / grain + 0.5) * grain
    return (sign if whole else "") + format_duration(timedelta(seconds=whole))


def parse_quantity(text: str, units: dict[str, float]) -> float:
    """`"30 min"` -> 1800 with {"s": 1, "min": 60}; raises ValueError."""
    match = _QUANTITY.match(text.strip())
    allowed = ", ".join(units)
    if match is None:
        raise ValueError(f"not a number with a unit ({allowed})")
    number, unit = match.groups()
    if unit not in units:
        found = f"unknown unit `{unit}`" if unit else "a unit is missing"
        raise ValueError(f"{found}: write the number with one of {allowed}")
    return float(number) * units[unit]


def _duration(value: object) -> timedelta:
    found = _exact_duration(value)
    if found.microseconds:
        raise refusal("durations are whole seconds")
    return found


def _exact_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise refusal(f"must be a text with its unit {_EXAMPLES}")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise refusal(str(error)) from None


def _moment(value: object) -> datetime | timedelta:
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise refusal("times are local standard time of the site: leave the UTC offset out")
        if value.microsecond:
            raise refusal("times are whole seconds")
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    if not isinstance(value, str):
        raise refusal(
            "must be a date, a date and time, or the time since the start of the period "
            + _EXAMPLES
        )
    return _duration(value)


def _written(value: datetime | timedelta | None) -> datetime | str | None:
    return format_duration(value) if isinstance(value, timedelta) else value


_DURATION_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^\s*(\d+(\.\d+)?\s*(d|h|min|s)\s*)+$",
    "examples": ["20 min", "12 d 6 h"],
}

Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_written),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""A length of time in whole seconds, written `"20 min"`, `"36 h"`, `"12 d 6 h"`."""

ExactDuration = Annotated[
    timedelta,
    BeforeValidator(_exact_duration),
    PlainSerializer(_written),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""The same where the time of day is real, and not a clock of whole seconds: `"0.5 s"` as well."""

Moment = Annotated[
    datetime | timedelta,
    BeforeValidator(_moment),
    PlainSerializer(_written),
    WithJsonSchema({"type": "string", "examples": ["2023-07-12T06:00:00", "12 d 6 h"]}),
]
"""A point in time: local date (and time), or the time since the start of the period."""
