"""Guests that mean harm: rows S1 to S20 of the acceptance matrix, each on both paths."""

from __future__ import annotations

import ast
import os
import random
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from guest_modules import IMPORTS, all_paths, data, lines, module, reactor, readings, run, wasm
from proof_log import Prove

from levada.guest.abi import ErrorCode, TrapKind
from levada.guest.errors import AbiError, FeatureError, GuestError, LimitError, ModuleError, Trap
from levada.guest.fast import hostcalls, strings
from levada.guest.limits import Budget
from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.wasm import engine
from levada.guest.wasm.compiler import Compiler, compiler
from levada.guest.wasm.engine import compile_module
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.pure import PureGuest
from levada.guest.wasm.watchdog import watchdog

LOOP = "(loop $for_ever (br $for_ever)) "


@pytest.fixture(params=all_paths())
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stopped(guest: bytes, path: str, budget: Budget | None = None) -> Trap:
    """The error of a guest that does not survive its first step, with its valve closed."""
    with SimNodes(guest, budget=budget or Budget(), path=path) as nodes:
        tape = run(nodes, 3)
        error = nodes.trap_error(0)
        assert error is not None
        assert nodes.trap[0] == error.kind
        assert nodes.outputs.tolist() == [[0, 0, 0, 0]]
        kind = error.kind.name.lower().replace("_", " ")
        assert lines(tape)[-1] == f"trap: {kind}"
        return error


OPEN = "(call $set_output (i32.const 23) (i32.const 1)) "


# S1: endless loops


def test_s1_a_loop_in_step_or_init_is_cut_by_fuel(path: str) -> None:
    step = stopped(reactor(OPEN + LOOP + "i32.const 1"), path)
    init = stopped(reactor("i32.const 1", init=OPEN + LOOP + "i32.const 1"), path)
    for error, function in ((step, "step"), (init, "init")):
        assert (error.kind, error.function) == (TrapKind.OUT_OF_FUEL, function)
        assert error.detail == "more than 1000000 instructions"


def test_s1_a_loop_in_a_constructor_is_cut_by_fuel(path: str) -> None:
    error = stopped(reactor("i32.const 1", f'(func (export "_initialize") {LOOP})'), path)
    assert (error.kind, error.function) == (TrapKind.OUT_OF_FUEL, "_initialize")


def test_s1_fuel_cuts_at_the_same_instruction_every_time(path: str) -> None:
    guest = reactor(
        "(loop (call $log_int (global.get $n)) "
        "(global.set $n (i32.add (global.get $n) (i32.const 1))) (br 0)) i32.const 1",
        "(global $n (mut i32) (i32.const 0))",
    )
    tapes = set()
    for _ in range(3):
        with SimNodes(guest, budget=Budget(instructions=500), path=path) as nodes:
            tapes.add(run(nodes))
    assert len(tapes) == 1


def test_s1_the_watchdog_cuts_what_has_fuel_enough(path: str) -> None:
    budget = Budget(instructions=2**62, deadline_ms=30)
    error = stopped(reactor(OPEN + LOOP + "i32.const 1"), path, budget)
    assert (error.kind, error.detail) == (TrapKind.DEADLINE, "longer than 30 ms")


def test_s1_start_functions_are_refused_as_a_board_cannot_stop_them() -> None:
    guest = reactor("i32.const 1", f"(func $begin {LOOP})", "(start $begin)")
    with pytest.raises(AbiError, match="start function"):
        SimNodes(guest)


# S2 to S4: resources


def test_s2_deep_recursion_overflows_the_stack(path: str) -> None:
    guest = reactor(
        OPEN + "(call $deep (i32.const 0))",
        "(func $deep (param i32) (result i32) (i32.add (i32.const 1) "
        "(call $deep (i32.add (local.get 0) (i32.const 1)))))",
    )
    assert stopped(guest, path).kind == TrapKind.STACK_OVERFLOW


def test_s3_memory_grows_to_its_limit_and_no_further(path: str) -> None:
    guest = reactor(
        "(loop $more (call $log_int (memory.grow (i32.const 1))) "
        "(br_if $more (i32.lt_s (memory.size) (i32.const 3)))) "
        "(call $log_int (memory.grow (i32.const 1))) i32.const 1000"
    )
    with SimNodes(guest, budget=Budget(memory_pages=3), path=path) as nodes:
        logs = [line for line in lines(run(nodes)) if "log_int" in line]
    assert logs == ["log_int(1)", "log_int(2)", "log_int(-1)"]


def test_s3_more_memory_than_allowed_from_the_start_is_refused() -> None:
    with pytest.raises((LimitError, AbiError), match="5"):
        SimNodes(reactor("i32.const 1", memory="5"))


def test_s3_strings_are_found_in_memory_that_has_grown(path: str) -> None:
    guest = reactor(
        "(drop (memory.grow (i32.const 2))) (i32.store8 (i32.const 196606) (i32.const 0x41)) "
        "(call $wasm_log (i32.const 196606)) i32.const 1000",
    )
    with SimNodes(guest, path=path) as nodes:
        assert 'wasm_log("A")' in lines(run(nodes))


@pytest.mark.parametrize(
    "bulk",
    [
        "(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))",
        "(memory.copy (i32.const 0) (i32.const 1) (i32.const 65535))",
        "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))",
    ],
)
def test_s4_instructions_that_do_the_work_of_many_are_refused(path: str, bulk: str) -> None:
    guest = reactor(f"(loop $for_ever {bulk} (br $for_ever)) i32.const 1", "(table 2 funcref)")
    with pytest.raises(FeatureError, match=r"bulk memory: .*-mno-bulk-memory"):
        SimNodes(guest, path=path)


# S5: features


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("(?i)simd", "(func (drop (v128.const i32x4 0 0 0 0)))"),
        ("threads|shared", "(memory 1 1 shared)"),
        ("multiple memories|multi-memory", "(memory 1) (memory 1)"),
        ("memory64", "(memory i64 1)"),
        ("tail calls", "(func (return_call 0))"),
        ("exceptions", "(tag)"),
        ("(?i)gc", "(type (struct))"),
        ("function references", "(type $t (func)) (func (param (ref $t)))"),
        ("wide arithmetic", "(func (param i64 i64) (drop (i64.mul_wide_s (local.get 0) "
         "(local.get 1))) drop)"),
        ("custom page sizes", "(memory 1 (pagesize 1))"),
        ("multi-value", "(func (result i32 i32) unreachable)"),
        ("saturating truncation", "(func (drop (i32.trunc_sat_f32_s (f32.const 1))))"),
        ("reference types", "(func (drop (ref.null func)))"),
        ("bulk memory", '(memory 1) (data "passive")'),
        ("extended constant", "(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
    ],
)  # fmt: skip
def test_s5_features_that_boards_lack_are_refused_by_name(feature: str, text: str) -> None:
    with pytest.raises(ModuleError, match=feature):
        compile_module(wasm(f"(module {text})"), Budget())


@pytest.mark.parametrize(
    "tables", ["(table 1 funcref) (table 1 funcref)", "(table 2000 funcref)", "(memory 5)"]
)
def test_s5_more_than_a_store_may_hold_is_refused(tables: str, path: str) -> None:
    guest = module(
        '(func (export "init") (result i32) i32.const 0)',
        '(func (export "step") (result i32) i32.const 1)',
        tables,
        memory="",
    )
    with pytest.raises(ModuleError), SimNodes(guest, path=path) as nodes:
        nodes.boot(0)


def test_s5_a_table_does_not_grow(path: str) -> None:
    guest = reactor(
        "(call $log_int (table.grow 0 (ref.null func) (i32.const 1000))) i32.const 1000",
        "(table 1 funcref)",
    )
    with pytest.raises(FeatureError, match="reference types"):
        SimNodes(guest, path=path)


# S6 to S8: pointers and strings


@pytest.mark.parametrize(
    ("topic", "message"),
    [(-1, 0), (0, -1), (65536, 0), (2**31 - 1, 0), (-(2**31), 0), (65533, 0), (0, 65533)],
)
def test_s6_strings_outside_memory_stop_the_guest(path: str, topic: int, message: int) -> None:
    guest = reactor(
        f"{OPEN}(drop (call $mqtt_publish (i32.const {topic}) (i32.const {message}))) i32.const 1",
        data(65533, b"xyz"),  # ends with memory, without a NUL
    )
    error = stopped(guest, path)
    assert error.kind == TrapKind.POINTER
    assert error.detail == "mqtt_publish: string outside memory or without an end"


def test_s6_an_empty_string_may_lie_in_the_last_byte(path: str) -> None:
    with SimNodes(reactor("(call $wasm_log (i32.const 65535)) i32.const 1"), path=path) as nodes:
        assert 'wasm_log("")' in lines(run(nodes))


def test_s6_a_guest_without_memory_cannot_have_strings() -> None:
    guest = module('(func (export "f") (call $wasm_log (i32.const 0)))', memory="")
    with pytest.raises(AbiError, match="export memory: missing"):
        PureGuest(guest)


def test_s7_strings_need_no_alignment(path: str) -> None:
    guest = reactor(
        "(call $wasm_log (i32.const 1)) (call $wasm_log (i32.const 3)) i32.const 1",
        data(1, b"abcd\0"),
    )
    with SimNodes(guest, path=path) as nodes:
        text = lines(run(nodes))
    assert 'wasm_log("abcd")' in text
    assert 'wasm_log("cd")' in text


ODD: dict[str, bytes] = {
    "not UTF-8": b"a\xff\xfe",
    "UTF-8 longer than needed": b"a\xc0\xaf",
    "half of a character": b"a\xc3",
    "a surrogate": b"a\xed\xa0\x80",
    "one byte too long": b"a" * 65,
    "64 KiB": b"a" * 65_000,
    "empty": b"",
}


@pytest.mark.parametrize("odd", ODD)
def test_s8_each_odd_topic_is_refused_by_itself(path: str, odd: str) -> None:
    guest = reactor(
        "(drop (call $mqtt_publish (i32.const 64) (i32.const 0)))"
        "(drop (call $mqtt_publish (i32.const 8) (i32.const 0))) i32.const 1",
        data(0, b"fine\0"),
        data(8, b"data\0"),
        data(64, ODD[odd] + b"\0"),
    )
    with SimNodes(guest, path=path) as nodes:
        first, second = (line for line in lines(run(nodes)) if "publish" in line)
        assert nodes.trap[0] == 0
    assert first.endswith("-> refused")
    assert second.endswith("-> 0"), "all else about the two is the same"


def test_s8_an_embedded_nul_ends_a_topic(path: str) -> None:
    guest = reactor(
        "(drop (call $mqtt_publish (i32.const 64) (i32.const 0))) i32.const 1",
        data(0, b"fine\0"),
        data(64, b"da\0ta/#\0"),
    )
    with SimNodes(guest, path=path) as nodes:
        [published] = (line for line in lines(run(nodes)) if "publish" in line)
    assert published == 'mqtt_publish("da", "fine") -> 0'


@pytest.mark.parametrize("message", [b"\xff", b"\xc3", b"a" * 65_000])
def test_s8_each_odd_message_is_refused_by_itself(path: str, message: bytes) -> None:
    guest = reactor(
        "(drop (call $mqtt_publish (i32.const 0) (i32.const 64))) i32.const 1",
        data(0, b"data\0"),
        data(64, message + b"\0"),
    )
    with SimNodes(guest, path=path) as nodes:
        [published] = (line for line in lines(run(nodes)) if "publish" in line)
    assert published.endswith("-> refused")


def test_s8_odd_strings_are_refused_or_cut(path: str) -> None:
    guest = reactor(
        "(drop (call $mqtt_publish (i32.const 1024) (i32.const 0))) "
        "(call $wasm_log (i32.const 1024)) (call $wasm_log (i32.const 0)) i32.const 1",
        data(0, b"\xff\xfe\0"),
        data(1024, b"a" * 64_000 + b"\0"),
    )
    with SimNodes(guest, path=path) as nodes:
        text = lines(run(nodes))
        assert nodes.trap[0] == 0
    published = next(line for line in text if "publish" in line)
    assert published.endswith("-> refused")
    assert f'"{"a" * 64}"' in published
    assert f'wasm_log("{"a" * 256}")' in text
    assert r'wasm_log("\ufffd\ufffd")' in text


# S9 to S13: calls


def test_s9_a_host_call_cannot_run_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def nasty(*_: object) -> int:
        for attempt in (
            lambda: nodes.step(0, readings()),
            lambda: nodes.boot(0),
            lambda: nodes.param_get(0, 0),
            lambda: nodes.calibrate(0, {0: 0}),
        ):
            with pytest.raises(GuestError, match="not re-entrant"):
                attempt()
            seen.append("refused")
        return 7

    monkeypatch.setattr(hostcalls, "now_s", nasty)
    guest = reactor("(call $log_int (call $now_s)) i32.const 1")
    with SimNodes(guest, path="ordinary") as nodes:
        assert "log_int(7)" in lines(run(nodes))
    assert seen == ["refused"] * 4


def test_s10_outputs_are_on_or_off_whatever_the_guest_says(path: str) -> None:
    guest = reactor(
        "(call $set_output (i32.const 23) (i32.const -2147483648)) "
        "(call $set_output (i32.const 18) (i32.const 256)) "
        "(call $set_output (i32.const -1) (i32.const 1)) "
        "(call $set_output (i32.const 65559) (i32.const 0)) i32.const 1"
    )
    with SimNodes(guest, path=path) as nodes:
        run(nodes)
        assert nodes.outputs.tolist() == [[1, 1, 0, 0]]


def test_s11_a_flood_of_calls_is_cut(path: str) -> None:
    flood = "(loop $for_ever (drop (call $now_s)) (br $for_ever)) i32.const 1"
    error = stopped(reactor(OPEN + flood), path, Budget(host_calls=100))
    assert error.kind == TrapKind.HOST_CALLS
    assert error.detail == "more than 100 host calls, the last one now_s"
    with SimNodes(reactor(OPEN + flood), budget=Budget(host_calls=100), path=path) as nodes:
        assert sum("now_s" in line for line in lines(run(nodes))) == 99  # and set_output


@pytest.mark.parametrize(
    ("call", "budget", "kind", "kept"),
    [
        ("(call $wasm_log (i32.const 0))", Budget(log_bytes=35), TrapKind.LOG_BYTES, 3),
        ("(call $log_int (i32.const 0))", Budget(log_bytes=35), TrapKind.LOG_BYTES, 8),
        (
            "(drop (call $mqtt_publish (i32.const 6) (i32.const 0)))",
            Budget(publish_bytes=35),
            TrapKind.PUBLISH_BYTES,
            2,
        ),
    ],
)
def test_s12_floods_of_bytes_are_cut(
    path: str, call: str, budget: Budget, kind: TrapKind, kept: int
) -> None:
    guest = reactor(f"{OPEN}(loop {call} (br 0)) i32.const 1", data(0, b"0123456789\0"))
    assert stopped(guest, path, budget).kind == kind
    with SimNodes(guest, budget=budget, path=path) as nodes:
        written = lines(run(nodes))
    assert len(written) == 3 + 2 + kept + 1  # boot, init, return; step, output; calls; trap


def test_s13_what_is_refused_is_not_published(path: str, proof: Prove) -> None:
    topics = (b"ic/#", b"ic/esp32/+", b"$SYS/x", b"ic/esp32/../x", b"ic//x", b"ic/south/x")
    guest = reactor(
        "".join(
            f"(drop (call $mqtt_publish (i32.const {32 * k}) (i32.const 0)))"
            for k in range(len(topics))
        )
        + "i32.const 1",
        data(0, b"".join(topic.ljust(32, b"\0") for topic in topics)),
    )
    with SimNodes(guest, path=path) as nodes:
        answers = [line.split()[-1] for line in lines(run(nodes)) if "publish" in line]
    assert len(answers) == len(topics)
    found = len(topics) - answers.count("refused")
    proof("forbidden publications", tried=len(topics), found=found)


# S14 to S16: modules


def test_s14_an_undeclared_import_is_named() -> None:
    guest = wasm(
        '(module (import "env" "system" (func (param i32) (result i32))) '
        '(func (export "init") (result i32) i32.const 0) '
        '(func (export "step") (result i32) i32.const 0))'
    )
    with pytest.raises(AbiError, match="system"):
        SimNodes(guest)


def test_s15_a_giant_module_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LimitError, match="65537 bytes"):
        compile_module(b"\0" * 65_537, Budget())


def leb(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes((low | 0x80,)) + leb(rest) if rest else bytes((low,))


def functions(count: int, locals_: int, code: bytes = b"") -> bytes:
    """A module of functions with many locals: 12 bytes each if empty, expensive to compile."""

    def section(kind: int, payload: bytes) -> bytes:
        return bytes((kind,)) + leb(len(payload)) + payload

    declared = b"\1" + leb(locals_) + b"\x7f" if locals_ else b"\0"
    body = declared + code + b"\x0b"
    return (
        b"\0asm\1\0\0\0"
        + section(1, b"\1\x60\0\0")
        + section(3, leb(count) + b"\0" * count)
        + section(10, leb(count) + (leb(len(body)) + body) * count)
    )


@pytest.mark.parametrize("code", [b"", b"\x02\x40" * 129 + b"\x0b" * 129])
def test_s15_what_is_costly_to_compile_is_refused_before_it_is_compiled(code: bytes) -> None:
    guest = functions(150, 50_000, b"") if not code else functions(100, 0, code)
    before = compiler.compiled
    with pytest.raises(LimitError, match=r"50000 locals: at most 128|129 deep: at most 128"):
        compile_module(guest, Budget())
    assert compiler.compiled == before


def test_s15_compiling_is_cut_by_the_limits_of_the_child_and_the_next_module_has_another() -> None:
    with Compiler(seconds=1) as cut:
        with pytest.raises(LimitError, match="longer than 1 s"):
            cut.compile(functions(5_000, 50_000))  # nobody has looked at it before
        assert cut.compile(reactor("i32.const 1"))


def test_s15_the_limits_of_the_child_hold_without_its_parent() -> None:
    costly = functions(5_000, 50_000)
    done = subprocess.run(
        [sys.executable, "-m", "levada.guest.wasm.compiler", "1"],
        input=len(costly).to_bytes(4, "little") + costly,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        capture_output=True,
        check=False,
    )
    assert done.returncode < 0  # killed
    assert done.stdout == b""


def test_s15_no_module_but_the_shipped_one_is_compiled_in_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("compiled here")

    monkeypatch.setattr(engine, "compiled_here", refuse)
    assert compile_module(reactor("i32.const 1516"), Budget()).exports
    with pytest.raises(ModuleError, match="type mismatch"):
        compile_module(
            reactor("i32.const 1517").replace(b"\x41\xed\x0b", b"\x42\xed\x0b"), Budget()
        )
    engine._compiled.cache_clear()
    with pytest.raises(AssertionError, match="compiled here"):
        compile_module(DEFAULT_GUEST.read_bytes(), Budget())


def test_s15_only_the_child_and_the_reader_of_its_answer_make_modules_of_bytes() -> None:
    makers = re.compile(r"wasmtime\.Module(\.deserialize\w*|\.validate|\.from_file)?\(")
    found = {
        (path.name, match[0])
        for floor in ("guest", "sim", "hil", "twin")
        for path in (Path(engine.__file__).parents[2] / floor).rglob("*.py")
        for match in makers.finditer(path.read_text("utf-8"))
    }
    assert found == {
        ("engine.py", "wasmtime.Module("),
        ("engine.py", "wasmtime.Module.validate("),
        ("engine.py", "wasmtime.Module.deserialize("),
    }


def test_s15_a_compiler_that_is_killed_or_idle_is_started_again() -> None:
    with Compiler() as restarted:
        assert restarted.compile(reactor("i32.const 1"))
        child = restarted._child
        assert child is not None and child.stdin is not None
        child.stdin.close()  # as if nothing had come for a while
        child.wait()
        child.stdin = Path(os.devnull).open("wb")  # noqa: SIM115 - it is closed as the child's
        assert restarted.compile(reactor("i32.const 1"))
        child = restarted._child
        assert child is not None
        child.kill()
        child.wait()
        with pytest.raises(LimitError):
            restarted.compile(reactor("i32.const 1"))
        assert restarted.compile(reactor("i32.const 1"))


def test_s15_a_copy_of_the_process_does_not_share_the_compiler() -> None:
    with Compiler() as ours:
        assert ours.compile(reactor("i32.const 1"))
        child = ours._child
        assert child is not None
        ours.forget()  # as after fork
        assert ours.compile(reactor("i32.const 2"))
        assert ours._child is not child
        assert os.waitpid(child.pid, 0)[1] == 0, "ours alone holds its line"


def test_s15_a_large_but_honest_module_compiles_in_the_child() -> None:
    guest = large(3_000)
    with SimNodes(guest) as nodes:
        assert lines(run(nodes))[-1] == "return 1000"


def large(calls: int) -> bytes:
    """A module that is too large to be compiled in this process."""
    padding = b"".join(f"(call $log_int (i32.const {k}))".encode() for k in range(calls)).decode()
    return reactor(f"(if (i32.const 0) (then {padding})) i32.const 1000")


def test_s15_a_busy_computer_refuses_no_honest_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child gets the processor only after more time than it may use of it."""
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\nsleep 3\nexec {sys.executable} "$@"\n')
    slow.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(slow))
    with Compiler(seconds=2) as busy:
        assert busy.compile(large(3_001))


def test_s15_a_module_is_compiled_once_whatever_the_budgets() -> None:
    before = compiler.compiled
    guest = large(3_002)
    inspect(guest, budget=Budget(memory_pages=2))
    compile_module(guest, Budget(memory_pages=1))
    compile_module(guest, Budget(host_calls=7))
    assert compiler.compiled == before + 1


def test_s15_an_invalid_module_is_never_compiled() -> None:
    costly = functions(5_000, 50_000)
    broken = costly[:-1] + b"\x6a"  # an addition instead of the end
    with pytest.raises(ModuleError, match="not a module that levada can run") as caught:
        compiler.compile(broken)
    assert not isinstance(caught.value, LimitError)


def test_s16_mutated_modules_are_refused_or_run() -> None:
    rng = random.Random(20230415)
    original = reactor(
        "(call $wasm_log (i32.const 0)) (drop (call $read_sensor (i32.const 0))) i32.const 1000",
        data(0, b"hello\0"),
    )
    outcomes = {"refused": 0, "ran": 0}
    for _ in range(300):
        mutant = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        try:
            with SimNodes(bytes(mutant), path="ordinary") as nodes:
                run(nodes)
            outcomes["ran"] += 1
        except GuestError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100
    assert outcomes["ran"] > 5


@pytest.mark.parametrize("junk", [b"", b"\0asm", b"(module)", b"\0asm\2\0\0\0", b"\x7fELF" * 10])
def test_s16_other_files_are_no_modules(junk: bytes) -> None:
    with pytest.raises(ModuleError):
        SimNodes(junk)


# S17 to S20: what others notice


FRAGILE = reactor(
    f"""{OPEN} (call $log_int (i32.load (i32.const 0)))
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (if (i32.lt_s (call $read_sensor (i32.const 0)) (i32.const 0)) (then unreachable))
    i32.const 1000"""
)


def test_s17_after_a_trap_the_next_life_is_clean_and_the_valve_safe(path: str) -> None:
    with SimNodes(FRAGILE, path=path) as nodes:
        nodes.boot(0)
        nodes.step(0, readings())
        nodes.step(1_000, readings(values=(-2, 0, 0, 0)))
        assert nodes.outputs[0, 0] == 0
        assert nodes.trap[0] == TrapKind.UNREACHABLE
        assert nodes.step(2_000, readings()) == 0
        nodes.drain_tape(0)
        nodes.boot(2_000)
        assert nodes.trap_error(0) is None
        nodes.step(2_000, readings())
        assert lines(nodes.drain_tape(0))[-2:] != []
        assert nodes.outputs[0, 0] == 1
        nodes.step(3_000, readings())
        assert "log_int(1)" in lines(nodes.drain_tape(0))  # counts from 0 again


def test_s18_runs_repeat_bit_for_bit(path: str) -> None:
    guest = reactor("(call $log_int (call $now_s)) (call $delay_ms (call $now_s)) i32.const 1")
    tapes = set()
    for _ in range(2):
        with SimNodes(guest, path=path) as nodes:
            tapes.add(run(nodes, 5, time_ms=1_700_000_000_123))
    assert len(tapes) == 1


def test_s19_host_calls_know_nothing_that_could_block() -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for module in (hostcalls, strings)
        for node in ast.walk(ast.parse(Path(module.__file__).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported == {
        "__future__", "typing", "numpy", "numpy.typing", "levada.guest.abi",
        "levada.guest.fast.jit", "levada.guest.fast.strings", "levada.guest.topic",
    }  # fmt: skip


EACH = 20


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="Linux counts by thread")
def test_s19_no_host_call_waits_or_takes_five_milliseconds_of_the_processor(path: str) -> None:
    """Who blocks gives the processor away by itself, which is counted: once for each such call.

    Of several runs the best counts, since the interpreter's own lock is waited for now and then.
    """
    calls = (
        "(drop (call $read_sensor (i32.const 3)))",
        "(call $set_output (i32.const 23) (i32.const 1))",
        "(drop (call $get_config (i32.const 2)))",
        "(drop (call $mqtt_publish (i32.const 0) (i32.const 5)))",
        "(call $wasm_log (i32.const 5))",
        "(call $log_int (i32.const -1))",
        "(call $delay_ms (i32.const 2147483647))",
        "(drop (call $now_s))",
        "(drop (call $uptime_s))",
        "(drop (call $keep_get (i32.const 1)))",
        "(drop (call $keep_set (i32.const 1) (i32.const 2)))",
    )
    assert len(calls) == len(IMPORTS)
    texts = data(0, b"data\0message\0")
    waits, used_s = [], []
    with SimNodes(reactor("".join(calls) * EACH + "i32.const 1", texts), path=path) as nodes:
        for _ in range(10):
            nodes.boot(0)
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
            begin_s = time.thread_time()
            assert nodes.step(1_000, readings()) == 1
            used_s.append(time.thread_time() - begin_s)
            waits.append(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before)
            assert nodes.trap[0] == 0
    assert min(waits) < EACH
    assert min(used_s) / (EACH * len(calls)) < 0.005


def test_s20_nine_neighbours_of_a_bad_guest_miss_no_step(path: str) -> None:
    with SimNodes(FRAGILE, 10, path=path) as nodes:
        nodes.boot(0)
        values = readings(10)
        values[4, 0] = ErrorCode.UNAVAILABLE
        ran = [nodes.step(1_000 * k, values) for k in range(20)]
        assert ran == [10] + [9] * 19
        assert nodes.trap.tolist() == [0] * 4 + [TrapKind.UNREACHABLE] + [0] * 5
        assert nodes.outputs[:, 0].tolist() == [1] * 4 + [0] + [1] * 5
        tapes = {nodes.drain_tape(z) for z in range(10) if z != 4}
    assert len(tapes) == 1


def test_a_negative_result_is_a_fault_of_the_guest(path: str) -> None:
    for init, step in (("i32.const -7", "i32.const 1"), ("i32.const 0", "i32.const -7")):
        error = stopped(reactor(OPEN + step, init=init), path)
        assert error.kind == TrapKind.GUEST_FAULT
        assert error.detail.endswith("returned -7")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unreachable", TrapKind.UNREACHABLE),
        ("(i32.div_s (i32.const 1) (i32.const 0))", TrapKind.INTEGER_DIVIDE),
        ("(i32.div_s (i32.const 0x80000000) (i32.const -1))", TrapKind.INTEGER_DIVIDE),
        ("(i32.load (i32.const 65533))", TrapKind.MEMORY_OUT_OF_BOUNDS),
        ("(call_indirect (result i32) (i32.const 0))", TrapKind.BAD_INDIRECT_CALL),
        ("(call_indirect (result i32) (i32.const 9))", TrapKind.BAD_INDIRECT_CALL),
        ("(call_indirect (param i32) (result i32) (i32.const 0) (i32.const 1))",
         TrapKind.BAD_INDIRECT_CALL),
    ],
)  # fmt: skip
def test_traps_of_the_engine_have_their_class(path: str, code: str, kind: TrapKind) -> None:
    guest = reactor(OPEN + code, "(table 2 funcref) (elem (i32.const 1) $f) (func $f)")
    error = stopped(guest, path)
    assert error.kind == kind
    assert error.function == "step"
    assert error.backtrace


def test_the_watchdog_rests_when_nothing_runs() -> None:
    with SimNodes(reactor("i32.const 1")) as nodes:
        run(nodes)
        assert watchdog.awake
    watchdog.close()
    assert not watchdog.awake
    assert "levada watchdog" not in {t.name for t in threading.enumerate()}
    with SimNodes(reactor("i32.const 1")) as nodes:  # and wakes again
        run(nodes)
        assert watchdog.awake
