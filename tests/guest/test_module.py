"""Inspection of guest modules: what they are, what they declare, and what keeps them out."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from levada.guest.abi import IMPORTS
from levada.guest.errors import AbiError, LimitError, ModuleError, ParameterError
from levada.guest.limits import FOG, Budget
from levada.guest.module.arithmetic import wide_arithmetic
from levada.guest.module.inspect import Export, Import, inspect, render
from levada.guest.module.metadata import Output, Parameter
from levada.guest.module.sections import CUSTOM, keep_custom, sections, unsigned

SHIPPED = (Path(__file__).parents[2] / "levada/guest/irrigation/irrigation.wasm").read_bytes()
WAT_TYPES = {
    name: f"(func {'(param' + ' i32' * len(takes) + ')' if takes else ''} "
    f"{'(result i32)' if gives else ''})"
    for name, (takes, gives) in IMPORTS.items()
}
REACTOR = """
    (func (export "abi_version") (result i32) i32.const 1)
    (func (export "init") (result i32) i32.const 1)
    (func (export "step") (result i32) i32.const 1)
"""


def wat(body: str) -> bytes:
    """A module from text."""
    return bytes(wasmtime.wat2wasm(f"(module {body})"))


def with_metadata(payload: bytes, module: bytes | None = None, name: bytes = b"levada") -> bytes:
    """The module with a custom section appended."""
    content = leb(len(name)) + name + payload
    return (module or wat(REACTOR)) + b"\0" + leb(len(content)) + content


def leb(number: int) -> bytes:
    """Unsigned LEB128."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + leb(rest) if rest else bytes([low])


def metadata(**changes: object) -> bytes:
    """Metadata of one parameter, changed."""
    parameter = {
        "id": 0, "name": "on_pct", "unit": "%", "minimum": 0, "maximum": 100, "default": 40,
    }  # fmt: skip
    parameter |= changes
    parameter = {key: value for key, value in parameter.items() if value is not None}
    return json.dumps({"name": "x", "version": "1", "parameters": [parameter]}).encode()


# --- what a module is -----------------------------------------------------------------------------


def test_the_shipped_guest_is_described_in_full() -> None:
    info = inspect(SHIPPED)
    assert info.sha256 == hashlib.sha256(SHIPPED).hexdigest()
    assert info.size == len(SHIPPED)
    assert info.kind == "reactor"
    assert info.fits
    assert (info.memory_pages, info.memory_pages_max) == (1, 1)
    assert Import(module="env", name="mqtt_publish", type="(i32, i32) -> i32") in info.imports
    assert Import(module="env", name="set_output", type="(i32, i32) -> ()") in info.imports
    assert Export(name="memory", type="memory") in info.exports
    assert info.functions["process"] == "(i32, i32, i32, i32) -> i32"
    assert info.metadata is not None
    assert (info.metadata.name, info.metadata.version, info.metadata.abi) == (
        "irrigation", "1.2.0", 1,
    )  # fmt: skip
    assert info.metadata.outputs == (Output(pin=23, name="valve"),)
    assert info.parameter("max_open_s") == Parameter(
        id=2, name="max_open_s", unit="s", minimum=1, maximum=43_200, default=1200
    )
    assert info.parameter(2) is info.parameter("max_open_s")
    assert info.require() is info


def test_a_guest_made_for_boards_loops_in_main_and_has_two_growing_pages() -> None:
    """The shape of C guests built without flags: main(argc, argv) that never returns."""
    info = inspect(
        wat("""
        (import "env" "delay_ms" (func $delay (param i32)))
        (import "env" "log_int" (func (param i32)))
        (memory (export "memory") 2)
        (global (export "__heap_base") i32 (i32.const 66560))
        (func (export "__wasm_call_ctors"))
        (func (export "main") (param i32 i32) (result i32)
            (loop (call $delay (i32.const 1000)) (br 0)) (unreachable))
        """)
    )
    assert (info.kind, info.problems) == ("command", ())
    assert (info.memory_pages, info.memory_pages_max) == (2, None)
    assert info.metadata is None
    assert "2 pages" in info.notes[0]
    assert "without a maximum" in info.notes[1]


def test_a_module_of_pure_functions_may_return_floats() -> None:
    info = inspect(
        wat("""(memory (export "memory") 1 1)
        (func (export "filter_value") (param i32) (result f32) (f32.const 0.5))""")
    )
    assert (info.kind, info.problems) == ("pure", ())
    assert info.functions == {"filter_value": "(i32) -> f32"}
    assert info.notes == ("computes with f32: a guest of the ABI needs i32 only",)


# --- what does not fit ----------------------------------------------------------------------------


def test_every_import_outside_the_abi_is_listed() -> None:
    info = inspect(
        wat(f"""
        (import "env" "read_sensor" {WAT_TYPES["read_sensor"]})
        (import "env" "fopen" (func (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (import "env" "now_s" (func (result i64)))
        (import "env" "memory" (memory 1))
        {REACTOR}""")
    )
    assert [problem.split(":")[0] for problem in info.problems] == [
        "import env.fopen (i32) -> i32",
        "import wasi_snapshot_preview1.proc_exit (i32) -> ()",
        "import env.now_s () -> i64",
        "import env.memory memory",
    ]
    with pytest.raises(AbiError, match=r"(?s)fopen.*proc_exit.*now_s.*memory"):
        info.require()


@pytest.mark.parametrize("name", IMPORTS)
def test_each_import_of_the_abi_is_accepted_with_its_type_and_no_other(name: str) -> None:
    memory = '(memory (export "memory") 1 1)'
    right = inspect(wat(f'(import "env" "{name}" {WAT_TYPES[name]}) {memory} {REACTOR}'))
    wrong = inspect(wat(f'(import "env" "{name}" (func (param f32))) {memory} {REACTOR}'))
    assert right.problems == ()
    assert wrong.problems[0].startswith(f"import env.{name} (f32) -> (): the ABI says")


@pytest.mark.parametrize("missing", ["abi_version", "init"])
def test_a_reactor_without_an_export_is_told_which(missing: str) -> None:
    info = inspect(wat(REACTOR.replace(f'"{missing}"', '"other"')))
    assert info.problems == (f"export {missing}: missing, a reactor guest has it",)


def test_parameters_need_the_exports_that_set_them() -> None:
    info = inspect(with_metadata(metadata()))
    assert [problem.split(":")[0] for problem in info.problems] == [
        "export param_get",
        "export param_set",
    ]


def test_an_export_of_the_abi_with_another_type_is_a_problem() -> None:
    info = inspect(wat(REACTOR + '(func (export "process") (param i32) (result i32) i32.const 0)'))
    assert info.problems == (
        "export process (i32) -> i32: the ABI says (i32, i32, i32, i32) -> i32",
    )


def test_a_main_with_other_arguments_than_i32_is_a_problem() -> None:
    info = inspect(wat('(func (export "main") (param f64))'))
    assert info.problems == ("export main (f64) -> (): only i32 arguments and result",)


def test_strings_need_an_exported_memory() -> None:
    info = inspect(wat(f'(import "env" "wasm_log" {WAT_TYPES["wasm_log"]}) (memory 1) {REACTOR}'))
    assert info.problems == ("export memory: missing, wasm_log read strings from it",)


def test_a_module_without_functions_is_nothing_to_run() -> None:
    assert inspect(wat("")).problems == ("exports: no function, so there is nothing to run",)


def test_more_memory_than_the_budget_is_a_problem() -> None:
    data = wat(REACTOR + '(memory (export "memory") 5)')
    assert inspect(data).problems == ("memory of 5 pages at the start: at most 4 allowed",)
    assert inspect(data, budget=Budget(memory_pages=5)).fits


def test_a_start_function_is_a_problem_because_small_engines_cannot_stop_it() -> None:
    info = inspect(wat(REACTOR + "(func $s) (start $s)"))
    assert info.problems == ("start function: not allowed, an ESP32 could not stop it",)


def test_a_guest_of_another_abi_is_a_problem() -> None:
    info = inspect(with_metadata(b'{"name": "x", "version": "1", "abi": 2}'))
    assert info.problems == ("written for ABI 2: this is ABI 1",)


def test_all_problems_are_listed_at_once() -> None:
    info = inspect(
        wat('(import "env" "x" (func)) (memory (export "memory") 9) (func (export "step"))')
    )
    assert [problem.split(":")[0] for problem in info.problems] == [
        "import env.x () -> ()",
        "export abi_version",
        "export init",
        "export step () -> ()",
        "memory of 9 pages at the start",
    ]


# --- not a module ---------------------------------------------------------------------------------


def test_a_module_over_the_budget_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LimitError, match=r"101 bytes.*at most 100"):
        inspect(b"x" * 101, budget=Budget(module_bytes=100))


@pytest.mark.parametrize(
    "data", [b"", b"\0asm", b"(module)", b"\x7fELF\0\0\0\0", b"\0asm\x02\0\0\0"]
)
def test_what_is_no_module_is_refused(data: bytes) -> None:
    with pytest.raises(ModuleError):
        inspect(data)


@given(cut=st.integers(0, len(SHIPPED) - 1))
def test_a_module_cut_anywhere_is_refused_or_described(cut: int) -> None:
    """A cut between two custom sections leaves a valid module."""
    try:
        info = inspect(SHIPPED[:cut])
    except ModuleError:
        return
    assert cut in boundaries()
    assert info.size == cut


def boundaries() -> set[int]:
    """Offsets between sections of the shipped module."""
    at, found = 8, {8}
    for section in sections(SHIPPED):
        at += len(section.raw)
        found.add(at)
    return found


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_module_errors(data: bytes) -> None:
    for candidate in (data, b"\0asm\x01\0\0\0" + data, with_metadata(data)):
        with contextlib.suppress(ModuleError):
            inspect(candidate)


# --- metadata -------------------------------------------------------------------------------------


def test_metadata_may_be_short_and_may_hold_unknown_keys() -> None:
    info = inspect(with_metadata(b'{"name": "x", "version": "1", "colour": "green"}\0'))
    assert info.metadata is not None
    assert (info.metadata.abi, info.parameters, info.metadata.outputs) == (None, (), ())


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[1]", r"\[1\]: must be an object"),
        (b"{}", "name: missing.*version: missing"),
        (b'{"name": "a b", "version": "1"}', "name 'a b': must be text like"),
        (b'{"name": "x", "version": ""}', "version '': must be text like"),
        (b'{"name": "x", "version": 1}', "version 1: must be text like"),
        (b'{"name": "x", "version": "1", "abi": "1"}', "abi '1': must be an integer"),
        (b'{"name": "x", "version": "1", "abi": null}', "abi None: must be an integer"),
        (b'{"name": "x\\n", "version": "1"}', r"name 'x\\n': must be text like"),
        (b'{"name": "x", "version": "1", "rules": "a < b"}', "rules: must be a list of at most 64"),
        (
            b'{"name": "x", "version": "1", "outputs": [%s]}'
            % b", ".join([b'{"pin": 1, "name": "a"}'] * 65),
            "outputs: must be a list of at most 64 objects$",
        ),
        (b'{"name": "x", "version": "1", "parameters": 3}', "parameters: must be a list"),
        (b'{"name": "x", "version": "1", "parameters": [3]}', r"parameters\[0\] 3: must be an obj"),
        (b'{"name": "x", "version": "1", "outputs": [{}]}', r"outputs\[0\].pin: missing"),
        (metadata(default=101), r"parameters\[0\].default 101: must be within minimum 0 and max"),
        (metadata(minimum=None), r"parameters\[0\].minimum: missing, must be an integer"),
        (metadata(maximum=2**31), r"maximum 2147483648: must be an integer within -2147483648"),
        (metadata(id=True), r"parameters\[0\].id True: must be an integer"),
        (metadata(default=1.5), r"parameters\[0\].default 1.5: must be an integer"),
        (metadata(unit=7), r"parameters\[0\].unit 7: must be text"),
        (metadata(name="1st"), r"parameters\[0\].name '1st': must be text like"),
    ],
)
def test_malformed_metadata_are_refused_with_place_value_and_what_is_allowed(
    payload: bytes, message: str
) -> None:
    with pytest.raises(ModuleError, match=f"custom section levada: .*{message}"):
        inspect(with_metadata(payload))


def test_ids_and_names_of_parameters_must_be_unique() -> None:
    one = json.loads(metadata())
    one["parameters"] *= 2
    with pytest.raises(ModuleError, match=r"id 0 appears 2 .*name 'on_pct' appears 2 times"):
        inspect(with_metadata(json.dumps(one).encode()))


def test_two_sections_of_metadata_are_refused() -> None:
    twice = with_metadata(metadata(), with_metadata(metadata()))
    with pytest.raises(ModuleError, match="there are 2"):
        inspect(twice)


def test_an_unknown_parameter_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        ParameterError, match=r"parameter 'on': the guest has on_pct \(0\), off_pct"
    ):
        inspect(SHIPPED).parameter("on")
    with pytest.raises(ParameterError, match="the guest has none"):
        inspect(wat(REACTOR)).parameter(0)


@pytest.mark.parametrize("value", [-1, 101])
def test_a_value_outside_the_range_is_refused_with_unit_and_range(value: int) -> None:
    with pytest.raises(ParameterError, match=rf"`on_pct` = {value} %: permitted 0 to 100 %"):
        inspect(SHIPPED).parameter("on_pct").check(value)


def test_the_ends_of_a_range_are_inside() -> None:
    on_pct = inspect(SHIPPED).parameter("on_pct")
    assert (on_pct.check(0), on_pct.check(100)) == (0, 100)


# --- sections and arithmetic ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "value", "end"),
    [(b"\x00", 0, 1), (b"\xe5\x8e\x26", 624_485, 3), (b"\xff\xff\xff\xff\x0f", 2**32 - 1, 5)],
)
def test_leb128_numbers_are_read(data: bytes, value: int, end: int) -> None:
    """624485 is the usual example of the encoding (DWARF 4, appendix C, and elsewhere)."""
    assert unsigned(data, 0, "x") == (value, end)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff\xff\xff\xff\x1f", b"\x80" * 6])
def test_leb128_numbers_without_end_or_over_32_bits_are_refused(data: bytes) -> None:
    with pytest.raises(ModuleError):
        unsigned(data, 0, "x")


def test_custom_sections_can_be_dropped_without_touching_the_rest() -> None:
    data = with_metadata(b"toolchain", wat(REACTOR), b"producers")
    assert keep_custom(data, frozenset()) == wat(REACTOR)
    assert keep_custom(data, frozenset({"producers"})) == data
    assert [s.name for s in sections(data) if s.kind == CUSTOM] == ["producers"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("i32.const -1 drop", set()),
        ("i32.const 4096 i32.load offset=70000 drop", set()),
        ("i32.const 0 i64.load drop", {"i64"}),
        ("i32.const 0 i32.const 0 i64.extend_i32_s i64.store", {"i64"}),
        ("f32.const 1 drop", {"f32"}),
        ("f64.const 1 drop", {"f64"}),
        ("f32.const 0x1p-149 drop i32.const 1 drop", {"f32"}),
        ("i32.const 1 f64.convert_i32_s drop", {"f64"}),
        ("f64.const 1 f32.demote_f64 drop", {"f32", "f64"}),
        ("f32.const 1 i64.trunc_sat_f32_u drop", {"i64", "f32"}),
        ("i32.const 1 i32.extend8_s drop", set()),
        ("(block (br_table 0 0 0 (i32.const 1)))", set()),
        ("i32.const 0 i32.const 1 i32.const 2 select drop", set()),
        ("(select (result i32) (i32.const 0) (i32.const 0) (i32.const 0)) drop", set()),
        ("i32.const 0 i32.const 0 i32.const 0 memory.fill", set()),
        ("i32.const 0 i32.const 0 i32.const 0 memory.copy", set()),
        ("i32.const 1 memory.grow drop memory.size drop", set()),
        ("(call_indirect (i32.const 0))", set()),
        ("ref.null func drop", set()),
        ("(block (result i32) (i32.const 66) (br 0)) drop", set()),
    ],
)
def test_arithmetic_wider_than_32_bits_is_found_and_nothing_else(
    code: str, found: set[str]
) -> None:
    """Immediates that look like other opcodes (66 is i64.const) must not be taken for them."""
    data = wat(f"(memory 1) (table 1 funcref) (func (local i64) {code})")
    assert wide_arithmetic(data) == found


# --- the view -------------------------------------------------------------------------------------


def shown(data: bytes, width: int = 100, **options: object) -> str:
    """The view as text."""
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(render(inspect(data), "mine.wasm", **options))  # type: ignore[arg-type]
    return capture.get()


def test_the_view_says_what_the_command_promises() -> None:
    text = shown(SHIPPED)
    info = inspect(SHIPPED)
    assert "fits ABI 1" in text
    assert info.sha256 in text
    assert f"{len(SHIPPED):,} of 65,536 bytes" in text
    for item in info.imports:
        assert f"env.{item.name}" in text
    for parameter in info.parameters:
        assert parameter.name in text


def test_the_view_says_what_the_tier_refuses() -> None:
    line = next(line for line in shown(SHIPPED, profile=FOG).splitlines() if "set_output" in line)
    assert "traps when called" in line


def test_the_view_says_what_keeps_a_module_from_a_tier() -> None:
    lines = shown(wat(REACTOR)).splitlines()
    assert next(line.split() for line in lines if line.startswith("tiers")) == ["tiers", "edge"]
    assert any("not fog and cloud: it exports none of process, filter" in line for line in lines)


def test_the_view_lists_problems() -> None:
    text = shown(wat('(import "env" "fopen" (func)) ' + REACTOR))
    assert "does not fit ABI 1" in text
    assert "import env.fopen" in text
    assert "not in the ABI" in text


def test_names_in_a_module_are_shown_as_text_never_as_markup() -> None:
    text = shown(wat('(func (export "[bold red]x[/]")) ' + REACTOR))
    assert "[bold red]x[/]" in text
