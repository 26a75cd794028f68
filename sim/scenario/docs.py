"""Writes docs/scenario.md and scenarios/levada.schema.json from the tables themselves.

`python -m levada.sim.scenario.docs` writes both, `--check` only says whether they are current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from levada.guest.abi import WHY, TrapKind
from levada.guest.text.ranges import format_number
from levada.sim import signals as field_signals
from levada.sim.crop.table import TABLE
from levada.sim.quantities import format_duration
from levada.sim.scenario.alert import ALERTS, Alert
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.expect import KINDS, SUMMARY, Expect
from levada.sim.scenario.expression import FLAGS, SIGNALS, SUMS
from levada.sim.scenario.fault import FAULTS, Fault
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.sim.settings.explain import choices, permitted, table_of, unit_of
from levada.sim.settings.toml_value import toml_value

__all__ = ["main", "page", "schema"]

ROOT: Final = Path(str(files("levada"))).parent
PAGE: Final = ROOT / "docs" / "scenario.md"
SCHEMA: Final = ROOT / "levada" / "scenarios" / "levada.schema.json"

_INTRODUCTION: Final = """\
# Scenario files

<!-- Written by `python -m levada.sim.scenario.docs` from the models. Do not edit. -->

A scenario is one TOML file that says everything about a run: where and when, weather, guest, zones,
what goes wrong, and what must hold. `levada lint FILE` checks it, `levada run FILE` runs it. The
shipped ones in `scenarios/` are the best start; copy the nearest.

- **Units.** A key that ends in a unit holds a plain number in it: `flow_l_min`, `depth_m`. Times
  that may be seconds or weeks are texts with their units: `"20 min"`, `"36 h"`, `"12 d 6 h"` (d, h,
  min, s). Water contents are volume by volume, 0 to 1.
- **Times** are local standard time of the site, without daylight saving. A moment is a date
  (`2023-07-12`), a date with a time (`2023-07-12T06:00:00`), or the time since the start of the
  period (`"12 d 6 h"`).
- **Paths** are relative to the scenario file.
- **Everything wrong is reported at once**, with line, column, what is permitted, and a guess at
  what was meant. Nothing is converted or ignored silently: an unknown key is an
  error, and so is one that changes nothing beside the others, such as `range_kpa` of a capacitive
  probe, unless it has its default value. `levada lint` makes every model as a run does, so that
  what it lets pass runs.
- **Change a value for one run** with `--set`: `--set zone.0.crop.name=wheat`,
  `--set zone.maize.valve.flow_l_min=3`, `--set period.end=2023-07-31`. Zones and expectations are
  addressed by position or name, links by what they are between; the value is TOML, and a text that
  is not TOML is taken as it is.
- **Lay a file over the scenario** with `--with FILE.toml`: a part of a scenario whose tables are
  merged into it and whose values replace those that are there. An item of an array of tables, such
  as a `[[zone]]`, changes the item of the same `name` (a `[[link]]` that of the same `between`),
  and is added if there is none. Paths in it are relative to it. With several, the last one counts;
  `--set` counts more. `--strategy A` to `E` lays one of the files of `scenarios/strategies` over it
  (docs/continuum.md).
- **Editors** complete and check a file whose first line is `#:schema ./levada.schema.json`.
- **A run keeps** its scenario with all defaults written out and with the SHA-256 of the weather
  file and the guest; loading that again gives the same run, or refuses if a file has changed.

An error looks like this:

```
@ERROR@
```

"""

_EXAMPLE: Final = """\
version = 1
name = "example"

[site]
latitude_deg = 40.4
longitude_deg = -104.6
elevation_m = 1427
utc_offset_h = -7

[period]
start = 2023-05-01
end = 2023-09-30

[weather]
file = "weather/greeley_co_2023_daily.csv"

[[zone]]
name = "north"
soil.texture = "loamy"
crop.name = "maize"
crop.plantng = 2023-05-02
valve.flow_l_min = 0
"""

_FAULTS: Final = """\
Kinds of fault. The magnitude is a text with one of the units given.

"""

_EXPRESSIONS: Final = """\
### Conditions and quantities

`that` is a condition and `of` a quantity over the signals of the trace. The grammar: numbers,
signals, `+ - * /`, comparisons (also chained: `0.1 < theta_root < 0.3`), `and`, `or`, `not`,
parentheses, `abs(x)`, `min(x, y)`, `max(x, y)`. Signals keep their units: to add or compare
different ones is an error. A row of the trace stands for the time since the row before it; it is
written every `record_s`, and no shorter time can be judged. What is not known does not pass: a
value that is not a number, a time without rows, or a fault that never acted is a failure.

"""


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario, for editors."""
    found = Scenario.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "levada scenario, version 1",
        **{key: value for key, value in found.items() if key != "title"},
    }


def page() -> str:
    """docs/scenario.md."""
    return "".join(_page()).rstrip() + "\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION.replace("@ERROR@", _error())
    yield from _tables(Scenario, "", "the top of the file")
    yield _EXPRESSIONS
    yield "| signal | unit | meaning |\n| --- | --- | --- |\n"
    for name, unit in SIGNALS.items():
        marks = [
            mark
            for mark, names in (("can be added up", SUMS), ("true or false", FLAGS))
            if name in names
        ]
        meaning = field_signals.SIGNALS[name].meaning + (
            f" *({', '.join(marks)})*" if marks else ""
        )
        yield f"| `{name}` | {unit or '-'} | {meaning} |\n"
    yield "\nCodes of `why`, by the shipped guest: " + _list(w.name for w in WHY) + ".\n"
    yield "\nCodes of `trap`: " + _list(t.name for t in TrapKind) + ".\n"
    yield "\nValues of the summary: " + _list(SUMMARY) + ".\n"
    yield "\n## Crops\n\nNames of `[zone.crop]`, after FAO-56: " + _list(TABLE) + ".\n"


def _list(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _tables(model: type[BaseModel], path: str, what: str) -> Iterator[str]:
    """The section of one table, then those inside it."""
    yield f"## {what}\n\n{_prose(model.__doc__)}\n\n"
    yield "| key | default | permitted | meaning |\n| --- | --- | --- | --- |\n"
    inner: list[tuple[str, FieldInfo]] = []
    for key, field in model.model_fields.items():
        if table_of(field) is not None:
            inner.append((key, field))
        default, bounds = _default(field), _permitted(key, field)
        yield f"| `{key}` | {default} | {bounds} | {_prose(field.description)} |\n"
    yield "\n"
    if model is Fault:
        yield _FAULTS + "".join(_fault_kinds())
    if model is Expect:
        yield "Kinds of expectation.\n\n" + "".join(_expect_kinds())
    if model is Alert:
        yield "Kinds of alert, with their defaults.\n\n" + "".join(_alert_kinds())
    for key, field in inner:
        table = table_of(field)
        if table is not None:
            name = f"{path}.{key}".lstrip(".")
            brackets = f"`[[{name}]]`" if _is_many(field) else f"`[{name}]`"
            yield from _tables(table, name, brackets)


def _fault_kinds() -> Iterator[str]:
    yield "| kind | magnitude | what it does |\n| --- | --- | --- |\n"
    for name, kind in FAULTS.items():
        size = "-"
        if kind.units is not None:
            size = kind.permitted
            size += f" (or {', '.join(list(kind.units)[1:])})" if len(kind.units) > 1 else ""
            size += ", may be left out" if kind.optional else ""
        effect = kind.effect + (" Happens at once: no `duration`." if kind.instant else "")
        yield f"| `{name}` | {size} | {effect} |\n"
    yield "\n"


def _expect_kinds() -> Iterator[str]:
    yield "| kind | holds if | keys needed | keys permitted |\n| --- | --- | --- | --- |\n"
    for name, kind in KINDS.items():
        required, optional = _list(kind.required), _list(kind.optional)
        yield f"| `{name}` | {kind.sentence} | {required} | {optional} |\n"
    yield "\n"


def _alert_kinds() -> Iterator[str]:
    yield "| kind | value | raised at | cleared at | after |\n| --- | --- | --- | --- | --- |\n"
    for name, kind in ALERTS.items():
        hold = format_duration(kind.hold) if kind.hold else "at once"
        yield (
            f"| `{name}` | {kind.value} | {format_number(kind.raise_at)} {kind.unit} "
            f"| {format_number(kind.clear_at)} {kind.unit} | {hold} |\n"
        )
    yield "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or isinstance(value, BaseModel) or value in ((), {}, ""):
        return "-"
    if isinstance(value, timedelta):
        value = format_duration(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{toml_value(value)}`"


def _permitted(key: str, field: FieldInfo) -> str:
    if table_of(field) is not None:
        return "tables" if _is_many(field) else "table"
    options = choices(field)
    if options:
        return ", ".join(f"`{toml_value(option)}`" for option in options)
    bounds = permitted(field, key)
    return bounds or unit_of(key) or _type(str(field.annotation))


def _type(annotation: str) -> str:
    """What to write for a value without a range."""
    if "datetime.datetime" in annotation:
        return "moment"
    if "timedelta" in annotation:
        return "duration"
    if "datetime.date" in annotation:
        return "date"
    if annotation.startswith("dict"):
        return "table of texts" if "str, str" in annotation else "table of numbers"
    if "tuple" in annotation:
        return "text or array" if "str" in annotation else "array"
    return "text" if "str" in annotation else "number"


def _is_many(field: FieldInfo) -> bool:
    return "tuple" in str(field.annotation)


def _prose(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _error() -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "example.toml"
        file.write_text(_EXAMPLE, "utf-8")
        try:
            load(file)
        except ScenarioError as error:
            return str(error).replace(str(file), file.name)
    raise AssertionError("the example has errors")


def main(arguments: list[str]) -> int:
    """Write or check both files; exit code 1 if one is not current."""
    wanted = {
        PAGE: page(),
        SCHEMA: json.dumps(schema(), indent=1, ensure_ascii=False) + "\n",
    }
    stale = [p for p, text in wanted.items() if not p.is_file() or p.read_text("utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not current\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], "utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
