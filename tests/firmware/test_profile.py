"""One feature profile: the host names what is outside it, and every board refuses the same."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime
from device_bench import BUILD, CONFIGURE, FIRMWARE, START_MS, Bench, build
from device_guests import GUESTS, guest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_engines import WASM_ENGINES

from levada.guest.abi import IMPORTS, TrapKind
from levada.guest.errors import AbiError, ModuleError
from levada.guest.module.inspect import inspect
from levada.guest.module.refusal import refusal
from levada.guest.module.state import state_in_globals
from levada.guest.wasm.fleet import SimNodes
from levada.hil.link import _reason
from levada.hil.wire.messages import Ack, Configure, Nak, NakError, Start, Step, StepResult

IRRIGATION = Path(__file__).parents[2] / "levada/guest" / "irrigation" / "irrigation.wasm"
END = "(i32.const 60000)"


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {text})"))


def reactor(*fields: str, step: str = "") -> bytes:
    """A guest without imports; the fields come first, so that a section of theirs may."""
    return wat(
        " ".join(fields) + '(func (export "abi_version") (result i32) i32.const 1)'
        f'(func (export "init") (result i32) {END})'
        f'(func (export "step") (result i32) {step} {END})'
    )


def with_section(wasm: bytes, kind: int, payload: bytes = b"\0") -> bytes:
    """The module with one more section at its end."""
    return wasm + bytes((kind, len(payload))) + payload


def padded_call() -> bytes:
    """A `call_indirect` with the table index in five bytes, as clang writes it by default."""
    types, functions = b"\x01\x05\x01\x60\x00\x01\x7f", b"\x03\x04\x03\x00\x00\x00"
    table = b"\x04\x04\x01\x70\x00\x04"
    names = (b"abi_version", b"init", b"step")
    listed = b"".join(bytes((len(n),)) + n + bytes((0, k)) for k, n in enumerate(names))
    exports = bytes((7, len(listed) + 1, 3)) + listed
    plain, call = b"\x04\x00\x41\x01\x0b", b"\x0b\x00\x41\x01\x11\x00\x80\x80\x80\x80\x00\x0b"
    bodies = plain + plain + call
    code = bytes((10, len(bodies) + 1, 3)) + bodies
    return b"\0asm\1\0\0\0" + types + functions + table + exports + code


# what it is called by the host, its module, section and code as firmware and docs/wire.md have them
OUTSIDE: dict[str, tuple[str, bytes, int]] = {
    "memory.fill": (
        "bulk memory",
        guest(f"(memory.fill (i32.const 0) (i32.const 1) (i32.const 8)) {END}"),
        10 << 16 | 0xFC0B,
    ),
    "memory.copy": (
        "bulk memory",
        guest(f"(memory.copy (i32.const 0) (i32.const 1) (i32.const 8)) {END}"),
        10 << 16 | 0xFC0A,
    ),
    "a passive segment": (
        "bulk memory",
        reactor("(memory 1)", '(data "abcd")'),
        11 << 16 | 0x1001,
    ),
    "a data count": (
        "bulk memory",
        with_section(reactor(), 12),
        12 << 16,
    ),
    "elements that are declared": (
        "bulk memory",
        reactor("(table 1 funcref)", "(elem declare func 0)"),
        9 << 16 | 0x1003,
    ),
    "elements as expressions": (
        "reference types",
        reactor("(table 1 funcref)", "(elem (i32.const 0) funcref (ref.func 0))"),
        9 << 16 | 0x1004,
    ),
    "ref.null": (
        "reference types",
        reactor(step="(drop (ref.is_null (ref.null func)))"),
        10 << 16 | 0xD0,
    ),
    "table.grow": (
        "reference types",
        reactor("(table 1 funcref)", step="(drop (table.size 0))"),
        10 << 16 | 0xFC10,
    ),
    "two tables": (
        "reference types",
        reactor("(table 1 funcref) (table 1 funcref)"),
        4 << 16 | 0x1002,
    ),
    "a table of externref": ("reference types", reactor("(table 1 externref)"), 4 << 16 | 0x6F),
    "a padded table index": ("reference types", padded_call(), 10 << 16 | 0x2002),
    "select with a type": (
        "reference types",
        reactor(step="(drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 0)))"),
        10 << 16 | 0x1C,
    ),
    "two results": (
        "multi-value",
        reactor("(func (result i32 i32) (i32.const 1) (i32.const 2))"),
        1 << 16 | 0x2001,
    ),
    "a block that takes a value": (
        "multi-value",
        reactor(step="(i32.const 1) (block (param i32) (drop))"),
        10 << 16 | 0x2001,
    ),
    "saturating truncation": (
        "saturating truncation",
        reactor(step="(drop (i32.trunc_sat_f32_s (f32.const 1.5)))"),
        10 << 16 | 0x43,  # the constant comes first, and is outside as well
    ),
    "floating point": (
        "floating point",
        reactor(step="(drop (f64.add (f64.const 1) (f64.const 2)))"),
        10 << 16 | 0x44,
    ),
    "a function of floats": (
        "floating point",
        reactor("(func (param f32))"),
        1 << 16 | 0x7D,
    ),
    "a global of floats": (
        "floating point",
        reactor("(global f64 (f64.const 1))"),
        6 << 16 | 0x7C,
    ),
    "a local of floats": (
        "floating point",
        reactor("(func (local f32))"),
        10 << 16 | 0x307D,
    ),
    "SIMD": (
        "SIMD",
        reactor(step="(drop (v128.const i32x4 1 2 3 4))"),
        10 << 16 | 0xFD0C,
    ),
    "tail calls": ("tail calls", reactor(step="(return_call 0)"), 10 << 16 | 0x12),
    "atomics": (
        "threads",
        reactor("(memory 1)", step="(drop (i32.atomic.load (i32.const 0)))"),
        10 << 16 | 0xFE10,
    ),
    "shared memory": ("threads", reactor("(memory 1 1 shared)"), 5 << 16 | 3),
    "memory64": ("memory64", reactor("(memory i64 1)"), 5 << 16 | 4),
    "two memories": ("multiple memories", reactor("(memory 1) (memory 1)"), 5 << 16 | 0x1002),
    "custom page sizes": ("custom page sizes", reactor("(memory 1 (pagesize 1))"), 5 << 16 | 8),
    "extended constants": (
        "extended constant expressions",
        reactor("(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
        6 << 16 | 0x41,  # a second instruction where the end should be
    ),
    "a tag": ("exceptions", reactor("(tag)"), 13 << 16),
    "wide arithmetic": (
        "wide arithmetic",
        reactor(
            "(func (param i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)) drop drop)",
        ),
        10 << 16 | 0xFC15,
    ),
    "GC": ("GC", reactor("(type (struct))"), 1 << 16 | 0x5F),
    "function references": (
        "function references",
        reactor("(type $t (func)) (func (param (ref $t)))"),
        1 << 16 | 0x64,
    ),
    "a section of tomorrow": ("section 14", with_section(reactor(), 14), 14 << 16),
    "an opcode of tomorrow": (
        "0x27",
        reactor("(memory 1)", step="(drop (i32.load8_s (i32.const 4660)))").replace(
            b"\x2c\x00\x00", b"\x27\x00\x00"
        ),
        10 << 16 | 0x27,
    ),
    "many locals": (
        "129 locals",
        reactor(f"(func (local {'i32 ' * 129}))"),
        10 << 16 | 0x2004,
    ),
    "many parameters": (
        "65 parameters",
        reactor(f"(func (param {'i32 ' * 65}))"),
        1 << 16 | 0x2004,
    ),
    "deep blocks": (
        "129 deep",
        reactor(step="(block " * 129 + ")" * 129),
        10 << 16 | 0x2005,
    ),
    "many functions": ("1025 functions", reactor("(func)" * 1022), 10 << 16 | 0x2004),
    "many blocks": (
        "more blocks than allowed: at most 4096",
        reactor(step="(block)" * 4097),
        10 << 16 | 0x2004,
    ),
    "a large table": ("1025 elements", reactor("(table 1025 funcref)"), 4 << 16 | 0x2004),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_the_profile_is_named_by_the_host(name: str) -> None:
    feature, wasm, _ = OUTSIDE[name]
    with pytest.raises(ModuleError, match=feature) as caught:
        inspect(wasm).require()
    with pytest.raises(type(caught.value), match=feature):
        SimNodes(wasm)


@pytest.mark.parametrize("name", OUTSIDE)
def test_and_the_core_says_in_which_section_and_what(
    name: str, check: Callable[[bytes], int]
) -> None:
    _, wasm, code = OUTSIDE[name]
    found = check(wasm)
    assert -found == code, f"{-found >> 16} {-found & 0xFFFF:#x}"
    assert f"section {code >> 16} (" in refusal(found)
    assert not refusal(found).endswith("reason")


@pytest.fixture(scope="session")
def core() -> ctypes.CDLL:
    """The core as a shared library of this computer."""
    build("lib")
    return ctypes.CDLL(str(BUILD / "liblevada.so"))


@pytest.fixture(scope="session")
def check(core: ctypes.CDLL) -> Callable[[bytes], int]:
    """What a board says of a module, with four pages allowed."""
    limits = (ctypes.c_uint32 * 2)(1_000_000, 4)

    def checked(wasm: bytes) -> int:
        return int(core.lv_module_check(wasm, len(wasm), limits))

    return checked


@pytest.fixture(scope="session")
def keeps(core: ctypes.CDLL) -> Callable[[bytes], bool]:
    core.lv_module_keeps_globals.restype = ctypes.c_bool
    return lambda wasm: bool(core.lv_module_keeps_globals(wasm, len(wasm)))


def test_a_refusal_is_told_in_words() -> None:
    nak = Nak(error=NakError.LOAD, request=0x0A, detail=-(10 << 16 | 0xFC0B))
    assert _reason(nak) == (
        "load (section 10 (code): memory.fill (0xfc0b), bulk memory; detail -719883)"
    )


@pytest.mark.parametrize("name", ["memory.fill", "ref.null", "a padded table index"])
@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_every_board_refuses_it_and_keeps_the_old_guest(engine: str, name: str) -> None:
    _, wasm, code = OUTSIDE[name]
    with Bench(engine) as bench:
        assert bench.start(IRRIGATION.read_bytes()).trap == 0
        assert bench.install(wasm) == Nak(error=NakError.LOAD, request=0x0A, detail=-code)
        step = bench.ask(
            Step(time_ms=START_MS, uptime_ms=0, flags=1, readings=(2000, 1500, 3700, 0))
        )
        assert isinstance(step, StepResult)


@pytest.mark.parametrize("name", IMPORTS)
def test_the_firmware_has_the_imports_of_the_abi(name: str, check: Callable[[bytes], int]) -> None:
    parameters, results = ("i32 " * len(kinds) for kinds in IMPORTS[name])
    imported = f'(import "env" "{name}" (func (param {parameters}) (result {results})))'
    assert check(reactor(imported, '(memory (export "memory") 1)')) == 0


FOREIGN = {
    "another module's name": '(import "wasi_snapshot_preview1" "log_int" (func (param i32)))',
    "a function of a C library": '(import "env" "puts" (func (param i32) (result i32)))',
    "a function of WAMR's framework": '(import "env" "wasm_create_timer" '
    "(func (param i32 i32 i32) (result i32)))",
    "another type": '(import "env" "now_s" (func (result i64)))',
    "one argument more": '(import "env" "log_int" (func (param i32 i32)))',
    "a result too many": '(import "env" "log_int" (func (param i32) (result i32)))',
    "a name that begins like one": '(import "env" "log_int2" (func (param i32)))',
    "the beginning of a name": '(import "env" "log" (func (param i32)))',
    "no name": '(import "env" "" (func (param i32)))',
    "a memory": '(import "env" "memory" (memory 1))',
    "a table": '(import "env" "table" (table 1 funcref))',
    "a global": '(import "env" "now_s" (global i32))',
    "very many": '(import "env" "now_s" (func (result i32)))' * 65,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_imports_are_checked_by_the_table_of_the_abi(
    name: str, check: Callable[[bytes], int]
) -> None:
    wasm = reactor(FOREIGN[name])
    with pytest.raises(AbiError, match="import"):
        inspect(wasm).require()
    assert check(wasm) == -2


@pytest.mark.parametrize(
    "name", ["a function of a C library", "a function of WAMR's framework", "another type"]
)
@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_no_engine_links_what_somebody_else_has_registered(engine: str, name: str) -> None:
    with Bench(engine) as bench:
        refused = bench.install(reactor(FOREIGN[name]))
        assert refused == Nak(error=NakError.LOAD, request=0x0A, detail=-2)


LOG = '(import "env" "wasm_log" (func $log (param i32)))'


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ('(import "env" "now_s" (func $now (result i32))) (export "now" (func $now))',
         "export now is a host call"),
        (f'{LOG} (memory 1)', "export memory: missing, wasm_log read"),
        (f'{LOG} (memory (export "store") 1)', "export memory: missing, wasm_log read"),
        (f'{LOG} (memory 1) (func (export "memory"))', "export memory: missing, wasm_log read"),
    ],
)  # fmt: skip
def test_exports_that_some_engines_take_otherwise_are_refused_by_all(
    fields: str, said: str, check: Callable[[bytes], int]
) -> None:
    """wasm3 reads texts from a memory that is not exported, and finds no function of the host."""
    wasm = reactor(fields)
    with pytest.raises(AbiError, match=said):
        inspect(wasm).require()
    assert check(wasm) == -5


def test_a_memory_is_exported_where_texts_are_read_and_functions_are_the_guests_own(
    check: Callable[[bytes], int],
) -> None:
    wasm = reactor(LOG, '(memory (export "memory") 1)')
    assert inspect(wasm).fits
    assert check(wasm) == 0
    assert check(reactor('(import "env" "now_s" (func (result i32))) (memory 1)')) == 0


def test_an_export_that_is_there_twice_is_refused(check: Callable[[bytes], int]) -> None:
    wasm = reactor('(func (export "stop") (result i32) (i32.const 1))').replace(b"stop", b"step")
    with pytest.raises(ModuleError, match="duplicate export"):
        inspect(wasm)
    assert check(wasm) == -5


def test_the_esp32_builds_the_profile_and_nothing_of_wamr_beside_the_interpreter() -> None:
    port = FIRMWARE / "port" / "esp-idf"
    assert "${firmware}/engine/profile.c" in (port / "main" / "CMakeLists.txt").read_text()
    lines = (port / "sdkconfig.defaults").read_text().splitlines()
    off = ("APP_FRAMEWORK", "LIBC_BUILTIN", "LIBC_WASI", "LIB_PTHREAD", "AOT", "REF_TYPES")
    assert {f"CONFIG_WAMR_ENABLE_{name}=n" for name in off} <= set(lines)


@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize(
    ("allowed", "pages", "loads"), [(1, 1, 1), (1, 2, 0), (2, 2, 1), (4, 5, 0)]
)
@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_pages_are_limited_whether_or_not_the_guest_grows(
    engine: str, allowed: int, pages: int, loads: bool, grows: bool
) -> None:
    growth = "(drop (memory.grow (i32.const 0)))" if grows else ""
    wasm = guest(f"{growth} {END}", memory=str(pages))
    with Bench(engine) as bench:
        bench.hello()
        values = {name: getattr(CONFIGURE, name) for name, _ in CONFIGURE.FORMS}
        bench.ask(Configure(**values | {"memory_pages": allowed}))
        installed = bench.install(wasm)
        if not loads:
            assert installed == Nak(error=NakError.LOAD, request=0x0A, detail=-3)
            return
        assert isinstance(installed, Ack)
        assert isinstance(bench.ask(Start(time_ms=START_MS, flags=0, parameters=())), StepResult)


@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_a_limit_that_is_lowered_after_the_installation_holds_at_the_start(engine: str) -> None:
    values = {name: getattr(CONFIGURE, name) for name, _ in CONFIGURE.FORMS}
    with Bench(engine) as bench:
        assert isinstance(bench.install(guest(END, memory="3")), Ack)
        bench.ask(Configure(**values | {"memory_pages": 2}))
        refused = bench.ask(Start(time_ms=START_MS, flags=0, parameters=()))
        assert refused == Nak(error=NakError.LOAD, request=3, detail=-3)


# --- work, not instructions -----------------------------------------------------------------------

COUNT = "(br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))"
MIX = "(i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (local.get 0)))"


def rounds(number: int, body: str, more: str = "") -> bytes:
    """A guest whose step makes so many rounds of a loop."""
    step = f"(local i32) (local.set 0 (i32.const {number})) (loop $l {body} {COUNT}) {END}"
    return guest(step, more=more)


WORK: dict[str, tuple[int, str, str]] = {
    "a short body": (5, "", ""),
    "a body of 400 stores": (2_405, MIX * 400, ""),
    "calls": (7, "(call $f)", "(func $f)"),
    "calls by table": (
        8,
        "(drop (call_indirect (type $t) (i32.const 0)))",
        "(type $t (func (result i32))) (table 4 funcref) (elem (i32.const 0) $o)"
        " (func $o (result i32) (i32.const 1))",
    ),
    "branches forward": (505, "(block (br 0))" * 500, ""),
    "growth of nothing": (8, "(drop (memory.grow (i32.const 0)))", ""),
}
"""Instructions of a round, counted by hand as the specification of Wasmtime's fuel has them: one
each, none for `block`, `loop`, `end`, `drop`, and one for each function that is entered."""
BUDGET = 200_000


@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("engine", ("sim", *WASM_ENGINES))
def test_every_engine_ends_what_does_too_much_and_nothing_that_uses_a_third(
    engine: str, name: str
) -> None:
    each, body, more = WORK[name]
    values = {field: getattr(CONFIGURE, field) for field, _ in CONFIGURE.FORMS}
    for share, trap in ((1 / 3, TrapKind.NONE), (3.0, TrapKind.OUT_OF_FUEL)):
        wasm = rounds(round(share * BUDGET / each), body, more)
        assert run_once(engine, wasm, Configure(**values | {"instructions": BUDGET})) == trap


def run_once(engine: str, wasm: bytes, configure: Configure) -> int:
    """The trap of the first step."""
    import numpy as np

    from levada.guest.limits import Budget

    if engine == "sim":
        with SimNodes(wasm, budget=Budget(instructions=configure.instructions)) as nodes:
            nodes.boot(START_MS)
            nodes.step(int(nodes.wake_ms[0]), np.zeros((1, 4), dtype=np.int32))
            return int(nodes.trap[0])
    with Bench(engine) as bench:
        started = bench.start(wasm, configure=configure)
        result = bench.ask(
            Step(time_ms=started.wake_ms, uptime_ms=0, flags=1, readings=(0, 0, 0, 0))
        )
        assert isinstance(result, StepResult)
        return result.trap


# --- any bytes ------------------------------------------------------------------------------------

MODULES = (IRRIGATION.read_bytes(), *GUESTS.values())


@pytest.mark.parametrize("name", GUESTS)
def test_the_guests_that_every_engine_runs_are_within_the_profile(
    name: str, check: Callable[[bytes], int], keeps: Callable[[bytes], bool]
) -> None:
    wasm = GUESTS[name]
    assert inspect(wasm).fits
    assert check(wasm) == 0
    assert keeps(wasm) == state_in_globals(wasm)


def damaged(wasm: bytes, seed: int) -> bytes:
    """The module with one to three bytes changed, or cut."""
    chance = random.Random(seed)
    changed = bytearray(wasm)
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(8, len(changed))] = chance.choice(
            (chance.randrange(256), 0xFC, 0x80, 0x7D, 0x23, 0x24, 0x0B)
        )
    return bytes(changed[: chance.choice((None, None, chance.randrange(len(changed)))) or None])


@settings(deadline=None, max_examples=150)
@given(which=st.integers(0, len(MODULES) - 1), seed=st.integers(0, 2**32 - 1))
def test_host_and_board_agree_on_any_module(
    which: int, seed: int, check: Callable[[bytes], int], keeps: Callable[[bytes], bool]
) -> None:
    """What the host finds fit the board takes, and both know alike what a deep sleep would lose."""
    wasm = damaged(MODULES[which], seed)
    try:
        info = inspect(wasm)
    except ModuleError:
        check(wasm)  # may find nothing wrong: types are the engine's business
        keeps(wasm)
        return
    if info.kind != "pure" or info.fits:
        assert (check(wasm) == 0) or not info.fits, refusal(check(wasm))
    assert keeps(wasm) == info.keeps_globals


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=300))
@example(data=b"\x0a\x0a\x01\x08\x00\x0e\xff\xff\xff\xff\x0f\x0b")
def test_any_bytes_are_refused_or_taken_and_harm_nobody(
    data: bytes, check: Callable[[bytes], int], keeps: Callable[[bytes], bool]
) -> None:
    for wasm in (data, b"\0asm\1\0\0\0" + data):
        assert check(wasm) <= 0
        keeps(wasm)
