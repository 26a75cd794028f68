"""Source lines of traps, from the DWARF that a compiler leaves in the module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from levada.guest.build import build
from levada.guest.module.sections import CUSTOM, HEADER, sections
from levada.guest.module.source_lines import source_line
from levada.guest.wasm.node import WasmtimeNode
from levada.testing import small_field
from levada.twin.cli.main import _run

READINGS = (1000, 200, 3700, 0)
SOURCE = """\
#include <stdint.h>
#include "levada.h"

LEVADA_GUEST({"name": "divides", "version": "1.0.0", "abi": 1})
static volatile int32_t zero;
__attribute__((noinline)) static int32_t divide(int32_t a, int32_t b) {
    return a / b; /* line 7 */
}

int levada_init(void) { return 600000; }

int levada_step(void) {
    int32_t ten = 10;
    zero = divide(ten, zero); /* line 14 */
    return 0;
}
"""


@pytest.fixture(scope="module")
def with_lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lines")
    (directory / "divides.c").write_text(SOURCE, "utf-8")
    build([directory / "divides.c"], directory / "divides.wasm", debug=True)
    return directory / "divides.wasm"


def test_a_trap_is_told_with_the_line_in_every_frame(with_lines: Path) -> None:
    with WasmtimeNode(with_lines.read_bytes()) as node:
        node.boot(0)
        stopped = node.step(600_000, READINGS)
    assert [frame.split("+")[0] for frame in stopped.trap_backtrace] == ["divide", "levada_step"]
    lines = [re.search(r"\((.*)\)$", frame) for frame in stopped.trap_backtrace]
    assert [found and found[1] for found in lines] == ["divides.c:7", "divides.c:14"]


def test_terminal_summary_and_report_of_a_run_name_the_line(
    with_lines: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    body = re.sub(r"\[zone.parameters\]\n(\w+ = \d+\n)+", "", small_field(days=1))
    path = tmp_path / "s.toml"
    path.write_text(f'{body}[guest]\nfile = "{with_lines}"\n', "utf-8")
    assert _run(["run", str(path), "--out", str(tmp_path / "run")]) == 1
    first = capfd.readouterr().out.splitlines()[0]
    told = r"backtrace: divide\+0x\w+ \(divides\.c:7\) < levada_step\+0x\w+ \(divides\.c:14\)"
    assert re.search(told, first)
    assert "divides.c:7" in (tmp_path / "run" / "summary.json").read_text("utf-8")
    assert "divides.c:7" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_the_lines_do_not_change_the_code(with_lines: Path) -> None:
    def content(module: bytes) -> list[bytes]:
        return [part.raw for part in sections(module) if part.kind != CUSTOM]

    plain = build([with_lines.with_suffix(".c")]).module
    assert content(plain) == content(with_lines.read_bytes())
    assert source_line(plain, len(plain) // 2) == ""


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_damaged_lines_are_no_lines_and_no_error(with_lines: Path, cut: int) -> None:
    damaged = HEADER + b"".join(
        _shortened(part.name, part.payload[:-cut]) if part.name == ".debug_line" else part.raw
        for part in sections(with_lines.read_bytes())
    )
    node = WasmtimeNode(damaged)
    with node:
        node.boot(0)
        assert node.step(600_000, READINGS).trap_backtrace[0].startswith("divide+0x")


def _shortened(name: str, payload: bytes) -> bytes:
    content = bytes([len(name)]) + name.encode() + payload
    size = len(content)
    return bytes([CUSTOM, size & 0x7F | 0x80, size >> 7]) + content
