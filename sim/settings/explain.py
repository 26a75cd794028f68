"""What pydantic found wrong, in the words of the scenario file: value, unit, permitted range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, ValidationError

from levada.guest.text.ranges import between, out_of_range
from levada.sim.settings.issue import Issue, did_you_mean
from levada.sim.settings.toml_value import toml_value

__all__ = ["UNITS", "bounds", "bounds_of", "choices", "explain", "permitted", "table_of", "unit_of"]

UNITS: Final[dict[str, str]] = {
    "_t_ha": "t/ha",
    "_counts_per_day": "counts/d",
    "_counts_per_c": "counts/degC",
    "_per_year": "a year",
    "_per_month": "a month",
    "_counts": "counts",
    "_l_min": "L/min",
    "_per_l": "1/L",
    "_per_m": "1/m",
    "_m_d": "m/d",
    "_mm_h": "mm/h",
    "_mah": "mAh",
    "_mhz": "MHz",
    "_ma": "mA",
    "_mv": "mV",
    "_rows_s": "rows/s",
    "_kbit_s": "kbit/s",
    "_kpa": "kPa",
    "_deg": "deg",
    "_pct": "%",
    "_mm": "mm",
    "_ms": "ms",
    "_m2": "m2",
    "_m": "m",
    "_s": "s",
    "_h": "h",
    "_d": "d",
    "_w": "W",
    "_j": "J",
    "_c": "degC",
}
"""Ending of a key -> unit."""

_EXPECTED: Final[dict[str, str]] = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "date_type": "a date such as 2023-04-15",
    "date_from_datetime_inexact": "a date",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "tuple_type": "an array",
    "list_type": "an array",
}


def unit_of(key: str) -> str:
    """Unit that the ending of a key says, or nothing."""
    if key.startswith("theta_"):  # theta_s is water content at saturation, not seconds
        return ""
    return next((unit for ending, unit in UNITS.items() if key.endswith(ending)), "")


def bounds(field: FieldInfo) -> dict[str, Any]:
    """The bounds of a number, as `between` takes them; empty if the field has none.

    Those of `float | None` stand inside of the annotation if its type was declared elsewhere.
    """
    marks = list(field.metadata)
    for part in get_args(field.annotation):
        marks += getattr(part, "__metadata__", ())
    return _bounds(marks)


def bounds_of(annotated: Any) -> dict[str, Any]:
    """The bounds of a type such as `WettedFraction`, as `check_range` takes them."""
    return _bounds(annotated.__metadata__)


def _bounds(marks: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mark in marks:
        for bound in mark.metadata if isinstance(mark, FieldInfo) else (mark,):
            match bound:
                case annotated_types.Ge(ge=value):
                    found |= {"low": value}
                case annotated_types.Gt(gt=value):
                    found |= {"low": value, "above": True}
                case annotated_types.Le(le=value):
                    found |= {"high": value}
                case annotated_types.Lt(lt=value):
                    found |= {"high": value, "below": True}
    return {"low": None, "high": None, **found} if found else {}


def _broken(context: Mapping[str, Any]) -> dict[str, Any]:
    """The bound that pydantic names, where the value is no field: one in a table of free names."""
    return {
        "low": context.get("ge", context.get("gt")),
        "high": context.get("le", context.get("lt")),
        "above": "gt" in context,
        "below": "lt" in context,
    }


def permitted(field: FieldInfo, key: str) -> str:
    """`0 to 4095 counts`, or nothing if the field has no range."""
    found = bounds(field)
    return f"{between(**found)} {unit_of(key)}".rstrip() if found else ""


def explain(error: ValidationError, root: type[BaseModel]) -> Iterator[Issue]:
    """Every error, its path from the top of `root`."""
    for found in error.errors(include_url=False):
        yield from _one(found, root)


def _one(found: ErrorDetails, root: type[BaseModel]) -> Iterator[Issue]:
    path, kind, value = found["loc"], found["type"], found["input"]
    table, field = _walk(path, root)
    key = next((p for p in reversed(path) if isinstance(p, str)), "")
    context: Mapping[str, Any] = found.get("ctx", {})
    says = f"`{key}`" if isinstance(value, Mapping) else f"`{key}` = {_shown(value)}"
    match kind:
        case "refused":
            for trouble in context["troubles"]:
                of_field = not trouble.path and field is not None and table_of(field) is None
                message = f"{says}: {trouble.message}" if of_field else trouble.message
                yield Issue((*path, *trouble.path), message, trouble.hint)
        case "extra_forbidden":
            known = list(table.model_fields) if table else []
            yield Issue(path, f"unknown key `{key}`", did_you_mean(key, known))
        case "missing":
            yield Issue(path[:-1], f"`{key}` is missing", _hint(field))
        case "literal_error":
            options = choices(field) if field else []
            near = did_you_mean(str(value), [str(o) for o in options], "")
            yield Issue(
                path,
                f"{says}: permitted {', '.join(map(_shown, options))}",
                near if near.startswith("did") else "",
            )
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            permitted_here = between(**(bounds(field) if field else _broken(context)))
            yield Issue(path, out_of_range(key, value, permitted_here, unit_of(key)))
        case _ if kind in _EXPECTED:
            unit = f" [{unit_of(key)}]" if unit_of(key) else ""
            expected = _EXPECTED[kind]
            if kind in ("tuple_type", "list_type") and field and table_of(field):
                expected = f"an array of tables, written [[{'.'.join(_names(path))}]]"
            yield Issue(path, f"{says}: must be {expected}{unit}, this is {_type(value)}")
        case "too_short" if field and table_of(field):
            yield Issue(path, f"at least one [[{'.'.join(_names(path))}]] is needed")
        case "too_short" | "too_long":
            count = context.get("actual_length", "?")
            need = context.get("min_length", context.get("max_length", "?"))
            yield Issue(path, f"`{key}` has {count} values: {need} needed")
        case "string_too_long":
            most = context.get("max_length", "?")
            yield Issue(path, f"{says}: permitted at most {most} characters", _hint(field))
        case "string_pattern_mismatch" | "string_too_short":
            yield Issue(path, f"{says}: not permitted", _hint(field))
        case "finite_number":
            yield Issue(path, f"{says}: must be a finite number")
        case _:
            yield Issue(path, f"{says}: {found['msg']}")


def _walk(
    path: tuple[int | str, ...], root: type[BaseModel]
) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The table that holds the last key of a path, and the key's field if it has one."""
    table: type[BaseModel] | None = root
    field: FieldInfo | None = None
    holder: type[BaseModel] | None = root
    for step in path:
        if isinstance(step, int):
            continue
        holder = table
        field = table.model_fields.get(step) if table else None
        table = table_of(field) if field else None
    return holder, field


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table a field holds, one or many of them."""

    def search(annotation: Any) -> type[BaseModel] | None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        return next(filter(None, map(search, get_args(annotation))), None)

    return search(field.annotation)


def choices(field: FieldInfo) -> list[object]:
    """The values of a field that permits only some."""

    def search(annotation: Any) -> list[object]:
        if get_origin(annotation) is Literal:
            return list(get_args(annotation))
        if get_origin(annotation) in (Union, UnionType, tuple):
            return [option for part in get_args(annotation) for option in search(part)]
        return []

    return search(field.annotation)


def _names(path: tuple[int | str, ...]) -> list[str]:
    return [p for p in path if isinstance(p, str)]


def _hint(field: FieldInfo | None) -> str:
    text = " ".join((field.description or "").split()) if field else ""
    return text.split(". ")[0].removesuffix(".")


def _shown(value: object) -> str:
    try:
        text = toml_value(value)
    except TypeError:
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _type(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case datetime():
            return "a date with a time"
        case date():
            return "a date"
        case Mapping():
            return "a table"
        case _:
            return "an array"
