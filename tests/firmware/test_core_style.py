"""What the sources of the core keep: contracts, assertions, few conditionals, one drawing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from device_bench import FIRMWARE

CORE = FIRMWARE / "core"
HEADERS = sorted(CORE.glob("*.h"))
PROTOTYPE = re.compile(r"^(?:const )?\w+ \**(?:lv_\w+)\((?:.|\n)*?\);", re.M)
"""A function that a header declares, from the beginning of its line."""
CONDITIONALS_PER_1000_LINES = 3.56
"""Guards of headers, and whether a port has an assertion of its own."""
ASSERTIONS_PER_1000_LINES = 10


def undocumented(text: str) -> list[str]:
    """Prototypes that follow neither a comment nor a prototype that follows one."""
    found = []
    documented = 0
    for match in PROTOTYPE.finditer(text):
        before = text[: match.start()].rstrip("\n")
        follows = match.start() == documented and documented > 0
        if not before.endswith("*/") and not follows:
            found.append(match[0])
        else:
            documented = match.end() + 1
    return found


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_every_function_of_the_core_has_its_contract_before_it(header: Path) -> None:
    assert undocumented(header.read_text()) == []


def test_a_function_without_comment_is_found() -> None:
    assert undocumented("/* Says so. */\nint lv_a(int a);\nint lv_b(void);\n") == []
    assert undocumented("#define X\n\nint lv_a(int a,\n         int b);\n") != []
    assert undocumented("/* One. */\nint lv_a(int a);\n\nint lv_b(void);\n") == ["int lv_b(void);"]


def test_headers_declare_what_the_core_defines() -> None:
    declared = {m for h in HEADERS for m in re.findall(r"\b(lv_\w+)\(", h.read_text())}
    assert {"lv_node_start", "lv_store_commit", "lv_msg_hello_unpack"} <= declared
    defined = {
        name
        for source in CORE.glob("*.c")
        for name in re.findall(r"^(?:const )?\w+ \**(lv_\w+)\(", source.read_text(), re.M)
    }
    assert defined <= declared


def test_functions_of_the_core_answer_with_enums_and_not_with_int() -> None:
    for header in HEADERS:
        assert not re.findall(r"^int lv_\w+\(", header.read_text(), re.M), header.name


def test_the_core_has_few_conditionals_and_checks_what_its_callers_owe() -> None:
    lines = [line for p in CORE.glob("*.[ch]") for line in p.read_text().splitlines()]
    conditionals = sum(bool(re.match(r"\s*#\s*if", line)) for line in lines)
    assert 1000 * conditionals / len(lines) <= CONDITIONALS_PER_1000_LINES
    written = [p for p in CORE.glob("*.c") if p.name != "levada_messages.c"]
    lines = [line for p in written for line in p.read_text().splitlines()]
    assertions = sum("LV_ASSERT(" in line for line in lines)
    assert 1000 * assertions / len(lines) >= ASSERTIONS_PER_1000_LINES


def test_the_page_shows_the_states_as_the_header_does() -> None:
    comment = (CORE / "node.h").read_text().split(" */")[0]
    drawing = comment[comment.index(" *            start: the") :]
    shown = [line[2:].strip() for line in drawing.splitlines() if line != " *"]
    page = (Path(__file__).parents[2] / "docs" / "firmware.md").read_text()
    block = page[page.index("start: the module loads") :].split("```")[0]
    assert [line.strip() for line in block.splitlines() if line.strip()] == shown


def test_the_page_shows_the_states_of_an_update_as_the_header_does() -> None:
    comment = (CORE / "update.h").read_text().split(" */")[0]
    lines = comment[comment.index(" *     IDLE, UPDATED") :].splitlines()
    drawing = "\n".join(line[3:] for line in lines[: lines.index(" *")])
    page = (Path(__file__).parents[2] / "docs" / "updates.md").read_text()
    assert drawing in page
