"""The ABI is written down three times, for hosts, guests and people: all three say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from levada.guest import abi
from levada.guest.abi import (
    ABI_VERSION,
    DEFAULT_PINS,
    IMPORT_MODULE,
    IMPORTS,
    REACTOR_EXPORTS,
    WHY,
    Anomaly,
    Call,
    ConfigKey,
    ErrorCode,
    Sensor,
    TrapKind,
    Window,
)
from levada.guest.build import FLAGS, TOOLCHAIN
from levada.guest.limits import PROFILES, Budget
from levada.guest.module.inspect import inspect

ROOT = Path(__file__).parents[2]
HEADER = (ROOT / "levada/guest" / "include" / "levada.h").read_text()
SOURCE = (ROOT / "levada/guest" / "irrigation" / "irrigation.c").read_text()
PAGE = (ROOT / "docs" / "abi.md").read_text()
SHIPPED = inspect((ROOT / "levada/guest" / "irrigation" / "irrigation.wasm").read_bytes())


def constants(prefix: str) -> dict[str, int]:
    """`#define LEVADA_<prefix><name> <number>` of the header."""
    found = re.findall(rf"^#define LEVADA_{prefix}(\w+) (-?\d+)\b", HEADER, re.MULTILINE)
    return {name: int(number) for name, number in found}


def prototypes(macro: str) -> dict[str, tuple[str, str]]:
    """Functions declared with a macro of the header: parameter and result letters."""
    letters = {"int": "i", "void": "", "const char *": "i"}
    found = {}
    pattern = rf"^LEVADA_{macro}\((\w+)\) (int|void) \w+\((.*)\);"
    for name, result, arguments in re.findall(pattern, HEADER, re.MULTILINE):
        kinds = [re.sub(r"\w+$", "", a).strip() or a for a in arguments.split(", ")]
        found[name] = ("".join(letters[kind] for kind in kinds), letters[result])
    return found


def table(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading of docs/abi.md, without code marks."""
    body = PAGE.split(f"\n{heading}\n", 1)[1]
    rows = []
    for line in body.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def signature(text: str) -> tuple[str, str]:
    """`(pin, state) -> i32` as parameter and result letters."""
    arguments, result = re.fullmatch(r"\((.*)\)(?: -> (i32))?", text).groups()  # type: ignore[union-attr]
    return ("i" * len(arguments.split(",")) if arguments else "", "i" if result else "")


# --- the header -----------------------------------------------------------------------------------


def test_the_header_declares_exactly_the_imports() -> None:
    assert prototypes("IMPORT") == IMPORTS
    assert f'import_module("{IMPORT_MODULE}")' in HEADER


def test_the_header_declares_exactly_the_exports() -> None:
    assert prototypes("EXPORT") == REACTOR_EXPORTS | {"main": ("", "i")}


def test_the_header_has_the_numbers_of_sensors_and_keys() -> None:
    assert constants("SENSOR_") == {sensor.name: sensor.value for sensor in Sensor}
    assert constants("CONFIG_") == {key.name: key.value for key in ConfigKey}
    assert constants("ANOMALY_") == {bit.name: bit.value for bit in Anomaly}
    assert constants("WINDOW_") == {kind.name: kind.value for kind in Window}


def test_the_header_has_the_error_codes() -> None:
    assert {name: constants("")[name] for name in ErrorCode.__members__} == {
        code.name: code.value for code in ErrorCode
    }


def test_the_header_has_version_and_pins() -> None:
    assert constants("")["ABI_VERSION"] == ABI_VERSION
    assert tuple(constants("PIN_").values()) == DEFAULT_PINS


def test_the_imports_have_the_record_types_of_the_tape_in_order() -> None:
    assert [Call[name.upper()].value for name in IMPORTS] == list(range(1, 12))


def test_the_reasons_of_the_guest_have_their_numbers() -> None:
    body = re.search(r"enum why \{([^}]*)\}", SOURCE)
    assert body is not None
    assert re.findall(r"\w+", body[1]) == [why.name for why in sorted(WHY) if why < WHY.WAIT_RAIN]
    assert sorted(WHY) == list(range(len(WHY)))


def test_the_reasons_of_the_et_guest_have_the_same_numbers() -> None:
    source = (ROOT / "levada/guest/et/et.c").read_text()
    body = re.search(r"enum why \{([^}]*)\}", source)
    assert body is not None
    stated = dict(re.findall(r"(\w+) = (\d+)", body[1]))
    assert stated == {name: str(WHY[name].value) for name in stated}
    assert "WAIT_RAIN" in stated


# --- the page -------------------------------------------------------------------------------------


def test_the_page_lists_exactly_the_imports() -> None:
    assert {row[0]: signature(row[1]) for row in table("## Imports")} == IMPORTS


def test_the_page_lists_exactly_the_exports() -> None:
    assert {row[0]: signature(row[1]) for row in table("## Exports of a reactor guest")} == (
        REACTOR_EXPORTS
    )


@pytest.mark.parametrize(
    ("heading", "members"),
    [
        ("### Sensors", Sensor),
        ("### Configuration keys", ConfigKey),
        ("### Error codes", ErrorCode),
        ("### Anomaly", Anomaly),
        ("### Windows", Window),
        ("## Traps", [kind for kind in TrapKind if kind]),
        ("### Reasons", WHY),
    ],
)
def test_the_page_has_the_numbers_below(heading: str, members: type[abi.Sensor]) -> None:
    assert [(int(row[0]), row[1]) for row in table(heading)] == [
        (member.value, member.name) for member in members
    ]


def test_the_page_has_the_record_types() -> None:
    assert {row[1]: int(row[0]) for row in table("## The tape")} == {
        call.name: call.value for call in Call
    }


def test_the_page_has_the_budget() -> None:
    budget = Budget()
    stated = {row[0]: int(row[1].replace(",", "")) for row in table("## Budgets")}
    assert stated == {name: getattr(budget, name) for name in Budget.__slots__}


def test_the_page_has_the_profiles() -> None:
    stated = {row[0]: frozenset(row[1].split(", ")) - {"none"} for row in table("## Profiles")}
    assert stated == {name: profile.imports for name, profile in PROFILES.items()}


def test_the_page_has_the_parameters_of_the_shipped_guest() -> None:
    stated = [
        (int(row[0]), row[1], row[2], *(int(cell.replace(",", "")) for cell in row[3:6]))
        for row in table("### Parameters")
    ]
    assert stated == [
        (p.id, p.name, p.unit, p.minimum, p.maximum, p.default) for p in SHIPPED.parameters
    ]


def test_the_page_shows_the_example_as_it_is() -> None:
    shown = PAGE.split("<!-- threshold.c -->\n```c\n", 1)[1].split("```", 1)[0]
    assert shown == (ROOT / "levada/guest" / "examples" / "threshold.c").read_text()


def test_the_page_shows_flags_and_toolchain_of_the_build() -> None:
    command = re.search(r"python -m ziglang cc (.*?)-I guest/include", PAGE, re.DOTALL)
    assert command is not None
    assert set(command[1].replace("\\", "").split()) <= set(FLAGS)
    assert f"ziglang=={TOOLCHAIN}" in PAGE
