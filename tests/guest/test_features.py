"""The feature profile on the host: named in every command, with what to tell the compiler."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from guest_modules import module, reactor, wasm
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.guest.build import FLAGS, INCLUDE
from levada.guest.errors import AbiError, FeatureError, LimitError, ModuleError
from levada.guest.module.features import LOCALS_MOST, survey
from levada.guest.module.inspect import inspect
from levada.guest.module.proposals import AVOID, BULK, REFERENCES
from levada.guest.module.refusal import refusal
from levada.guest.module.state import state_in_globals
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.pure import PureGuest
from levada.sim.run import runner
from levada.sim.scenario import load as scenarios
from levada.testing import small_field
from levada.twin.cli.main import main

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "levada/guest" / "irrigation" / "irrigation.wasm").read_bytes()
REFERENCE = reactor("(drop (ref.is_null (ref.null func))) i32.const 1000")

COPYING = r"""
#include "levada.h"
typedef int (*function)(int);
static int once(int x) { return x + 1; }
static int thrice(int x) { return x * 3; }
static const function volatile table[2] = {once, thrice};
struct day { int hours[64]; } volatile kept, today;
LEVADA_EXPORT(abi_version) int abi_version(void) { return 1; }
LEVADA_EXPORT(init) int init(void) { return 1000; }
LEVADA_EXPORT(step) int step(void)
{
    __builtin_memcpy((void *)&kept, (const void *)&today, sizeof kept);
    return table[read_sensor(3) & 1]((signed char)read_sensor(0));
}
void *memcpy(void *to, const void *from, unsigned long count)
{
    volatile char *at = to;
    for (const char *byte = from; count--; byte++)
        *at++ = *byte;
    return to;
}
"""


def compiled(folder: Path, *flags: str) -> bytes:
    """COPYING as clang compiles it without -mcpu=mvp."""
    (folder / "copying.c").write_text(COPYING)
    kept = [flag for flag in FLAGS if flag not in ("-mcpu=mvp", "-Wall", "-Wextra")]
    files = ["-o", folder / "out.wasm", folder / "copying.c"]
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *kept, *flags, f"-I{INCLUDE}", *files],
        check=True,
        cwd=folder,
        capture_output=True,
    )
    return (folder / "out.wasm").read_bytes()


def test_what_todays_clang_emits_is_refused_and_the_flags_named_avoid_it(tmp_path: Path) -> None:
    with pytest.raises(FeatureError) as caught:
        inspect(compiled(tmp_path))
    assert f"{BULK}: memory.copy" in str(caught.value)
    assert f"{REFERENCES}: call_indirect with a padded table index" in str(caught.value)
    assert "-mcpu=mvp" in str(caught.value)
    flags = re.findall(r"-mno[\w-]+", f"{AVOID[BULK]} {AVOID[REFERENCES]}")
    assert flags
    info = inspect(compiled(tmp_path, *flags))
    assert info.fits
    assert info.proposals == ("sign extension",)


def test_inspect_lint_and_run_name_the_feature_and_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "guest.wasm").write_bytes(REFERENCE)
    story = (ROOT / "levada/scenarios" / "quickstart.toml").read_text()
    story = story.replace('file = "weather/', f'file = "{ROOT}/levada/scenarios/weather/')
    (tmp_path / "case.toml").write_text(story + '\n[guest]\nfile = "guest.wasm"\n')
    for command in (
        ["guest", "inspect", str(tmp_path / "guest.wasm")],
        ["lint", str(tmp_path / "case.toml")],
        ["run", str(tmp_path / "case.toml"), "--out", str(tmp_path / "run")],
        ["run", str(tmp_path / "case.toml"), "--out", str(tmp_path / "run"), "--node", "virtual"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 2, command
        said = " ".join(capsys.readouterr().err.split())
        assert "reference types: ref.null" in said, command
        assert "-mno-reference-types" in said, command


@pytest.mark.parametrize(
    ("fields", "memory", "message"),
    [
        ("", "5", "memory of 5 pages at the start: at most 4"),
        ("(table 2000 funcref)", "1", "table of 2000 elements: at most 1024"),
        ('(data (i32.const 65533) "abcd")', "1", "4 bytes.*from 65533 on: there is room for 65536"),
        ('(data (i32.const -1) "a")', "1", "from 4294967295 on: there is room for 65536"),
        ("(table 2 funcref) (elem (i32.const 2) 0)", "1", "1 elements.*from 2 on: .*room for 2"),
    ],
)
def test_what_no_node_runs_is_refused_by_inspect_lint_and_run_alike(
    tmp_path: Path, fields: str, memory: str, message: str
) -> None:
    """An engine may load a segment that lies outside and trap at the start; another refuses it."""
    wasm = reactor("i32.const 1", fields, memory=memory)
    assert re.search(message, "\n".join(inspect(wasm).problems))
    (tmp_path / "guest.wasm").write_bytes(wasm)
    (tmp_path / "case.toml").write_text(small_field(extra='[guest]\nfile = "guest.wasm"\n'))
    document = scenarios.read(tmp_path / "case.toml")
    with pytest.raises(AbiError, match=rf"guest\.wasm: [\s\S]*{message}"):
        runner.check(document)
    with pytest.raises(AbiError, match=message):
        runner.run_scenario(document.scenario, tmp_path / "run")


def test_lint_refuses_a_module_that_has_nothing_for_a_node_to_run(tmp_path: Path) -> None:
    """It may run on fog and cloud."""
    process = '(func (export "process") (param i32 i32 i32 i32) (result i32) i32.const 5)'
    (tmp_path / "guest.wasm").write_bytes(module(process))
    (tmp_path / "case.toml").write_text(small_field(extra='[guest]\nfile = "guest.wasm"\n'))
    with pytest.raises(AbiError, match=r"guest\.wasm: no `step` and no `main` .*process"):
        runner.check(scenarios.read(tmp_path / "case.toml"))


def test_segments_that_end_with_the_memory_and_the_table_fit() -> None:
    fields = '(data (i32.const 65532) "abcd") (table 2 funcref) (elem (i32.const 1) 0)'
    assert inspect(reactor("i32.const 1", fields)).fits


def test_a_node_has_no_floats_but_fog_and_cloud_may(tmp_path: Path) -> None:
    half = "(f32.mul (f32.convert_i32_s (local.get 0)) (f32.const 0.5))"
    pure = module(f'(func (export "filter") (param i32) (result f32) {half})')
    info = inspect(pure)
    assert (info.fits, info.tiers, info.proposals) == (True, ("fog", "cloud"), ("floating point",))
    with PureGuest(pure) as guest:
        assert guest.call("filter", 3) == 1.5
    node = reactor(
        "(i32.trunc_f32_s (call $half (i32.const 2000)))",
        f"(func $half (param i32) (result f32) {half})",
    )
    assert inspect(node).tiers == ()
    with pytest.raises(AbiError, match=r"floating point: .*scaled integers.*; a node has integers"):
        SimNodes(node)


def test_which_tiers_a_guest_is_fit_for() -> None:
    assert inspect(SHIPPED).tiers == ("edge", "fog", "cloud")
    assert inspect(reactor("i32.const 1")).tiers == ("edge",)
    assert inspect(reactor("i32.const 1", "(table 2000 funcref)")).tiers == ()


def test_functions_that_are_costly_to_compile_are_refused_before() -> None:
    assert inspect(reactor("i32.const 1", f"(func (local {'i32 ' * LOCALS_MOST}))")).fits
    with pytest.raises(LimitError, match="function 11 has 129 locals: at most 128"):
        inspect(reactor("i32.const 1", f"(func (local {'i32 ' * (LOCALS_MOST + 1)}))"))


FILTER = '(func (export "filter") (param i32) (result i32) {})'
CALLS = "(func $calls (result i32) (call $read_sensor (i32.const 0)))"
TABLE = "(type $t (func (result i32))) (table 1 funcref) (elem (i32.const 0) $calls)"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([FILTER.format("(call $read_sensor (i32.const 0))")], "filter may call read_sensor"),
        ([CALLS, FILTER.format("(call $calls)")], "filter may call read_sensor"),
        (
            [TABLE, CALLS, FILTER.format("(call_indirect (type $t) (i32.const 0))")],
            "filter may call delay_ms, get_config, keep_get, keep_set, log_int",
        ),
        (
            [
                FILTER.format("i32.const 1"),
                '(func (export "_initialize") (call $delay_ms (i32.const 1)))',
            ],
            "_initialize may call delay_ms",
        ),
        (
            ['(func (export "filter") (param i32 f32) (result i32) i32.const 1)'],
            r"filter \(i32, f32\) -> i32: must have 1 parameter and one result, each i32, f32",
        ),
        (
            ['(func (export "process") (param i32 i32 i32 i64) (result i32) i32.const 1)'],
            r"process \(i32, i32, i32, i64\) -> i32: must have 4 parameters and one result",
        ),
        (['(func (export "filter") (param i32))'], r"filter \(i32\) -> \(\): must have 1"),
        (['(func (export "mean") (result i32) i32.const 1)'], "it exports none of process, filter"),
    ],
)
def test_what_keeps_a_module_from_fog_and_cloud_is_said(fields: list[str], reason: str) -> None:
    info = inspect(module(*fields))
    assert info.fits
    assert info.tiers == ()
    assert info.unfit["edge"] == "it has neither `step` nor `main`"
    assert re.match(reason, info.unfit["fog"])
    assert info.unfit["cloud"] == info.unfit["fog"]


def test_an_import_that_no_function_of_fog_and_cloud_reaches_keeps_nothing_from_them() -> None:
    recursive = FILTER.format("(call $again (local.get 0))").replace("(func", "(func $again")
    info = inspect(reactor("(call $read_sensor (i32.const 0))", recursive))
    assert info.tiers == ("edge", "fog", "cloud")


def test_pages_count_whether_or_not_the_memory_is_exported() -> None:
    info = inspect(reactor("i32.const 1", "(memory 5)", memory=""))
    assert info.problems[-1] == "memory of 5 pages at the start: at most 4 allowed"


@pytest.mark.parametrize(
    "text",
    [
        "(func (drop (i32.extend8_s (i32.const 1))))",
        '(global (export "g") (mut i32) (i32.const 1))',
        "(table 1 funcref) (elem (i32.const 0) 0) (func)",
        '(memory 1) (data (i32.const 4) "x")',
        "(memory 1 2)",
        "(memory 0)",
        "(func (param i64) (result i64) (local.get 0))",
        "(func (block (result i32) (i32.const 1)) (br_table 0 0 0 0))",
        "(func $f (param i32) (result i32) (if (result i32) (local.get 0) (then (i32.const 1))"
        " (else (call $f (i32.const 1)))))",
    ],
)
def test_what_the_profile_has_is_not_refused(text: str) -> None:
    found = survey(wasm(f"(module {text})"))
    assert (found.refused, found.floats, found.excess) == ((), None, ())


def test_every_feature_is_listed_once_where_it_comes_first() -> None:
    body = "(drop (ref.null func)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))"
    refused = survey(reactor(f"{body} {body} i32.const 1")).refused
    assert [found.feature for found in refused] == [REFERENCES, BULK]
    place = re.search(r"function (\d+), byte (\d+)", refused[0].what)
    assert place
    assert place[1] == "13"  # eleven imports, abi_version and init come before
    assert reactor(f"{body} {body} i32.const 1")[int(place[2])] == 0xD0


@settings(deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_surveyed_or_refused(data: bytes) -> None:
    for candidate in (data, b"\0asm\x01\0\0\0" + data, SHIPPED[:400] + data):
        for read in (survey, state_in_globals):
            with contextlib.suppress(ModuleError):
                read(candidate)


@settings(deadline=None)
@given(at=st.integers(8, len(SHIPPED) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_surveyed_or_refused(at: int, byte: int) -> None:
    changed = SHIPPED[:at] + bytes((byte,)) + SHIPPED[at + 1 :]
    with contextlib.suppress(ModuleError):
        inspect(changed)
    with contextlib.suppress(ModuleError):
        state_in_globals(changed)


@pytest.mark.parametrize("detail", [*range(-8, 1), -(1 << 16), -(1 << 31), -0xA_FC0B, -0xA_2004])
def test_whatever_a_board_says_of_a_module_is_put_into_words(detail: int) -> None:
    assert refusal(detail)


def test_a_boards_refusal_names_section_and_instruction() -> None:
    assert refusal(-(10 << 16 | 0xFC0B)) == "section 10 (code): memory.fill (0xfc0b), bulk memory"
    assert refusal(-(12 << 16)) == "section 12 (data count): bulk memory"
    assert refusal(-(1 << 16 | 0x7D)) == "section 1 (type): type 0x7d, floating point"
    assert refusal(-(11 << 16 | 0x1001)) == (
        "section 11 (data): flags or number 1, outside the profile"
    )
    assert "import outside the ABI" in refusal(-2)
