"""Small guests, each doing one thing that a host has to survive."""

from __future__ import annotations

import wasmtime

ABI = {
    "read_sensor": "(param i32) (result i32)",
    "set_output": "(param i32 i32)",
    "get_config": "(param i32) (result i32)",
    "mqtt_publish": "(param i32 i32) (result i32)",
    "wasm_log": "(param i32)",
    "log_int": "(param i32)",
    "delay_ms": "(param i32)",
    "now_s": "(result i32)",
    "uptime_s": "(result i32)",
    "keep_get": "(param i32) (result i32)",
    "keep_set": "(param i32 i32) (result i32)",
}


def guest(
    step: str,
    init: str = "(i32.const 600000)",
    more: str = "",
    memory: str = "1",
    *,
    first: str = "",
    texts: bool = True,
) -> bytes:
    """A reactor guest with that body of `step`, and all imports; `first` are further ones."""
    return module(
        '(func (export "abi_version") (result i32) (i32.const 1))'
        f'(func (export "init") (result i32) {init})'
        f'(func (export "step") (result i32) {step})' + more,
        memory,
        first,
        TEXTS if texts else "",
    )


def command(body: str, parameters: str = "", result: str = "") -> bytes:
    """A command guest with that body of `main`."""
    return module(f'(func (export "main") {parameters} {result} {body})')


TEXTS = (
    '(data (i32.const 16) "data\\00hello\\00")'
    '(data (i32.const 64) "ic/esp32/data\\00")'
    '(data (i32.const 96) "ic/other/data\\00")'
    '(data (i32.const 128) "bad\\ff\\00")'
    '(data (i32.const 160) "a/#\\00")'
)


def module(functions: str, memory: str = "1", first: str = "", texts: str = TEXTS) -> bytes:
    """A module that imports all of the ABI."""
    imports = "".join(f'(import "env" "{name}" (func ${name} {ty}))' for name, ty in ABI.items())
    return bytes(
        wasmtime.wat2wasm(
            f'(module {imports}{first} (memory (export "memory") {memory}){texts}{functions})'
        )
    )


SLEEP = "(i32.const 1000)"
FILL = (
    "(func $fill (param i32 i32 i32) (loop (i32.store8 (local.get 0) (local.get 1))"
    " (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
    " (br_if 0 (local.tee 2 (i32.sub (local.get 2) (i32.const 1))))))"
)
OPEN_VALVE = "(call $set_output (i32.const 23) (i32.const 1))"

KEEPS = guest(
    # adds one to what slot 7 holds at each step, and asks for slots that are none
    "(drop (call $keep_set (i32.const 7) (i32.add (call $keep_get (i32.const 7)) (i32.const 1))))"
    "(drop (call $keep_set (i32.const 0) (i32.const 0x80000000)))"
    "(drop (call $keep_set (i32.const 8) (i32.const 5)))"
    "(drop (call $keep_set (i32.const -1) (i32.const 5)))"
    "(drop (call $keep_get (i32.const 8))) (drop (call $keep_get (i32.const 0x80000000)))"
    "(drop (call $uptime_s)) (call $delay_ms (i32.const 1500)) (drop (call $uptime_s))"
    f"{SLEEP}",
    init="(drop (call $uptime_s)) (drop (call $keep_get (i32.const 7))) (i32.const 2000)",
)
"""Uses all that ABI 1.1 has added."""

LOOPS_DOWN = f"(func $down {'(loop ' * 100} (call $down) {')' * 100})"
"""Calls itself without end within a hundred loops: little stack of the guest, much of C."""
STRAIGHT = module(
    '(global $n (mut i32) (i32.const 0)) (func (export "main")'
    + "(global.set $n (i32.add (global.get $n) (i32.const 1)))" * 7_500
    + "(call $log_int (global.get $n)) (call $delay_ms (i32.const 1000))"
    "(call $log_int (global.get $n)))"
)
"""A command of 22,500 operations one after another."""

GUESTS: dict[str, bytes] = {
    "what ABI 1.1 has added": KEEPS,
    "unreachable": guest(f"{OPEN_VALVE} unreachable"),
    "divide by zero": guest(f"{OPEN_VALVE} (i32.div_s (call $now_s) (i32.const 0))"),
    "divide overflow": guest(
        "(i32.div_s (i32.const 0x80000000) (i32.sub (i32.const 0) (i32.ne (call $now_s)"
        " (i32.const 0))))"
    ),
    "load beyond memory": guest(f"{OPEN_VALVE} (i32.load (i32.const 65534))"),
    "store far beyond memory": guest("(i32.store (i32.const -4) (i32.const 1)) (i32.const 1)"),
    "endless loop": guest(f"{OPEN_VALVE} (loop (br 0)) (i32.const 1)"),
    "endless loop in init": guest(SLEEP, init=f"{OPEN_VALVE} (loop (br 0)) (i32.const 1)"),
    "endless recursion": guest(
        f"{OPEN_VALVE} (call $down)",
        more="(func $down (result i32) (i32.add (call $down) (i32.const 1)))",
    ),
    "endless recursion through loops": guest(
        f"{OPEN_VALVE} (call $down) (i32.const 1)", more=LOOPS_DOWN
    ),
    "command with an endless recursion": module(
        f'{LOOPS_DOWN} (func (export "main") (call $down))'
    ),
    "call of a null": guest(
        "(call_indirect (type $t) (i32.const 1))",
        more="(type $t (func (result i32))) (table 4 funcref)",
    ),
    "call beyond the table": guest(
        "(call_indirect (type $t) (i32.const 99))",
        more="(type $t (func (result i32))) (table 4 funcref)",
    ),
    "call with another type": guest(
        "(call_indirect (type $t) (i32.const 0))",
        more="(type $t (func (result i32))) (table 4 funcref)"
        " (elem (i32.const 0) $other) (func $other (param i32))",
    ),
    "text outside memory": guest("(call $wasm_log (i32.const 65536)) (i32.const 1)"),
    "text at a negative address": guest("(call $wasm_log (i32.const -1)) (i32.const 1)"),
    "text without an end": guest(
        "(i32.store8 (i32.const 65535) (i32.const 65)) (call $wasm_log (i32.const 65535))"
        " (i32.const 1)"
    ),
    "topic outside memory": guest(
        "(drop (call $mqtt_publish (i32.const 70000) (i32.const 21))) (i32.const 1)"
    ),
    "flood of calls": guest(f"(loop {OPEN_VALVE} (br 0)) (i32.const 1)"),
    "flood of logs": guest("(loop (call $wasm_log (i32.const 21)) (br 0)) (i32.const 1)"),
    "flood of numbers": guest("(loop (call $log_int (i32.const 7)) (br 0)) (i32.const 1)"),
    "flood of publications": guest(
        "(loop (drop (call $mqtt_publish (i32.const 64) (i32.const 21))) (br 0)) (i32.const 1)"
    ),
    "fault of step": guest(f"{OPEN_VALVE} (i32.const -5)"),
    "fault of init": guest(SLEEP, init=f"{OPEN_VALVE} (i32.const -5)"),
    "trap in a constructor": guest(
        SLEEP, more=f'(func (export "_initialize") {OPEN_VALVE} unreachable)'
    ),
    "constructor": guest(
        SLEEP, more='(func (export "_initialize") (call $log_int (i32.const 42)))'
    ),
    "memory grows to its limit": guest(
        "(call $log_int (memory.grow (i32.const 3)))"
        "(call $log_int (memory.grow (i32.const 1)))"
        "(call $log_int (memory.size)) (i32.const 60000)"
    ),
    "text in grown memory": guest(
        "(drop (memory.grow (i32.const 1))) (i32.store (i32.const 131000) (i32.const 0x41424344))"
        "(call $wasm_log (i32.const 131000)) (i32.const 60000)"
    ),
    "empty texts": guest(
        "(call $wasm_log (i32.const 15)) (call $log_int (call $mqtt_publish (i32.const 15)"
        " (i32.const 15))) (i32.const 60000)"
    ),
    "text at the last byte": guest("(call $wasm_log (i32.const 65535)) (i32.const 60000)"),
    "topics": guest(
        "".join(
            f"(call $log_int (call $mqtt_publish (i32.const {topic}) (i32.const {message})))"
            for topic, message in (
                (16, 21),
                (64, 21),
                (96, 21),
                (128, 21),
                (160, 21),
                (64, 128),
                (15, 21),
            )
        )
        + "(i32.const 60000)"
    ),
    "every argument of read_sensor": guest(
        "".join(
            f"(call $log_int (call $read_sensor (i32.const {kind})))"
            for kind in (0, 1, 2, 3, 3, 4, -1, 2147483647, -2147483648)
        )
        + "(i32.const 60000)"
    ),
    "every argument of get_config": guest(
        "".join(
            f"(call $log_int (call $get_config (i32.const {key})))"
            for key in (0, 1, 2, 3, -1, 2147483647, -2147483648)
        )
        + "(i32.const 60000)"
    ),
    "every pin": guest(
        "".join(
            f"(call $set_output (i32.const {pin}) (i32.const {state}))"
            for pin, state in (
                (23, -7),
                (18, 1),
                (18, 0),
                (22, 1),
                (-1, 1),
                (279, 1),
                (2**31 - 1, 1),
            )
        )
        + "(i32.const 60000)"
    ),
    "delays in step": guest(
        "(call $delay_ms (i32.const 1500)) (call $delay_ms (i32.const -9))"
        "(call $log_int (call $now_s)) (i32.const 0)"
    ),
    "wakes at once": guest("(i32.const 0)"),
    "wakes next year": guest("(i32.const 2147483647)"),
    "command": command(
        "(loop (call $log_int (call $read_sensor (i32.const 0)))"
        " (call $set_output (i32.const 23) (i32.and (call $now_s) (i32.const 1)))"
        " (call $delay_ms (i32.const 61000)) (br 0))"
    ),
    "command with arguments": command(
        "(loop (call $log_int (local.get 0)) (call $delay_ms (i32.const 0)) (br 0)) (i32.const 0)",
        "(param i32 i32)",
        "(result i32)",
    ),
    "command that returns": command(
        f"{OPEN_VALVE} (call $delay_ms (i32.const 1000)) (i32.const 7)", "", "(result i32)"
    ),
    "command that returns nothing": command("(call $delay_ms (i32.const 1000))"),
    "command that traps later": command(
        f"{OPEN_VALVE} (call $delay_ms (i32.const 1000)) (call $delay_ms (i32.const 1000))"
        " unreachable"
    ),
    "command that never delays": command("(loop (br 0))"),
    "command with a long loop between delays": command(
        "(local i32) (loop $o (local.set 0 (i32.const 60000)) (loop $i (br_if $i (local.tee 0"
        " (i32.sub (local.get 0) (i32.const 1))))) (call $delay_ms (i32.const 1000)) (br $o))"
    ),
    "long texts": guest(
        "(call $fill (i32.const 1024) (i32.const 65) (i32.const 600))"
        "(call $fill (i32.const 2048) (i32.const 66) (i32.const 64))"
        "(call $fill (i32.const 3072) (i32.const 67) (i32.const 65))"
        "(call $wasm_log (i32.const 1024))"
        "(call $log_int (call $mqtt_publish (i32.const 16) (i32.const 1024)))"
        "(call $log_int (call $mqtt_publish (i32.const 2048) (i32.const 21)))"
        "(call $log_int (call $mqtt_publish (i32.const 3072) (i32.const 21)))"
        "(i32.const 60000)",
        more=FILL,
    ),
    "sign extension": guest(
        "(call $log_int (i32.extend8_s (i32.const 200)))"
        "(call $log_int (i32.extend16_s (i32.const 40000)))"
        "(call $log_int (i32.wrap_i64 (i64.shr_u (i64.extend8_s (i64.const 128)) (i64.const 32))))"
        "(call $log_int (i32.wrap_i64 (i64.extend16_s (i64.const 0x8001))))"
        "(call $log_int (i32.wrap_i64 (i64.shr_u (i64.extend32_s (i64.const 0x80000000))"
        " (i64.const 31)))) (i32.const 60000)"
    ),
    "integers of 64 bits": guest(
        "(i64.store (i32.const 1024) (i64.mul (i64.extend_i32_s (call $now_s))"
        " (i64.const 1000000007)))"
        "(call $log_int (i32.wrap_i64 (i64.rem_s (i64.load (i32.const 1024)) (i64.const 1000003))))"
        "(call $log_int (i32.load (i32.const 1028)))"
        "(call $log_int (i32.wrap_i64 (i64.rotl (i64.load (i32.const 1024)) (i64.const 13))))"
        "(i32.const 60000)"
    ),
    "two pages without growth": guest(
        "(i32.store (i32.const 131068) (i32.const 77))"
        " (call $log_int (i32.load (i32.const 131068))) (i32.load (i32.const 131069))",
        memory="2",
    ),
    "memory without a page": guest(
        "(call $log_int (memory.grow (i32.const 1))) (call $log_int (memory.size))"
        " (call $log_int (i32.load (i32.const 65532))) (i32.const 60000)",
        memory="0",
        texts=False,
    ),
    "memory that may grow beyond the budget": guest(
        "(call $log_int (memory.grow (i32.const 5))) (call $log_int (memory.grow (i32.const 3)))"
        " (call $log_int (memory.size)) (i32.const 60000)",
        memory="1 100",
    ),
    "memory that may not grow": guest(
        "(call $log_int (memory.grow (i32.const 1))) (call $log_int (memory.grow (i32.const 0)))"
        " (call $log_int (memory.size)) (i32.const 60000)",
        memory="1 1",
    ),
    "an exported mutable global": guest(
        "(global.set $n (i32.add (global.get $n) (i32.const 3))) (call $log_int (global.get $n))"
        " (i32.const 60000)",
        more='(global $n (export "n") (mut i32) (i32.const -5))',
    ),
    "as many locals as allowed": guest(
        "(call $log_int (call $f)) (call $log_int (call $f)) (i32.const 60000)",
        more=f"(func $f (result i32) (local {'i32 ' * 128}) (local.set 127 (i32.add (local.get 127)"
        " (i32.const 4))) (i32.add (local.get 127) (local.get 0)))",
    ),
    "blocks as deep as allowed": guest(
        f"{'(block ' * 128}(br_if 100 (call $now_s)) (call $log_int (i32.const 1)){')' * 128}"
        "(call $log_int (i32.const 2)) (i32.const 60000)",
    ),
    "an import that is there twice": guest(
        "(call $log_int (i32.const 1)) (call $again (i32.const 2)) (i32.const 60000)",
        first='(import "env" "log_int" (func $again (param i32)))',
    ),
}
