"""Guests whose calls show whether a step was lost, or executed twice."""

from __future__ import annotations

import wasmtime

IMPORTS = """
    (import "env" "set_output" (func $set_output (param i32 i32)))
    (import "env" "log_int" (func $log_int (param i32)))
    (import "env" "read_sensor" (func $read_sensor (param i32) (result i32)))
    (import "env" "delay_ms" (func $delay_ms (param i32)))
    (import "env" "wasm_log" (func $wasm_log (param i32)))
"""


def module(body: str) -> bytes:
    return bytes(
        wasmtime.wat2wasm(
            f'(module {IMPORTS} (memory (export "memory") 1)'
            ' (data (i32.const 16) "a line of the log that is some forty bytes\\00")'
            f" {body})"
        )
    )


def reactor(step: str, more: str = "") -> bytes:
    return module(
        '(func (export "abi_version") (result i32) (i32.const 1))'
        ' (func (export "init") (result i32) (i32.const 600000))'
        f' (func (export "step") (result i32) {step} (i32.const 600000)) {more}'
    )


TOGGLER = reactor(
    "(global.set $n (i32.add (global.get $n) (i32.const 1))) (call $log_int (global.get $n))"
    "(drop (call $read_sensor (i32.const 0)))"
    "(call $set_output (i32.const 23) (i32.and (global.get $n) (i32.const 1)))",
    "(global $n (mut i32) (i32.const 0))",
)
"""Counts its steps; the valve opens at every odd one and closes at every even one."""

OPENER = reactor("(call $set_output (i32.const 23) (i32.const 1))")

TALKER = reactor("(call $wasm_log (i32.const 16))" * 24)
"""Has a tape that does not fit one answer (24 times 45 bytes)."""

FOREVER = reactor("(loop (br 0))")

SETTABLE = reactor(
    "(call $log_int (global.get $p))",
    """
    (global $p (mut i32) (i32.const 10))
    (func (export "param_get") (param i32) (result i32)
      (if (result i32) (i32.eqz (local.get 0)) (then (global.get $p)) (else (i32.const -1))))
    (func (export "param_set") (param i32 i32) (result i32)
      (if (i32.or (local.get 0) (i32.gt_u (local.get 1) (i32.const 100)))
        (then (return (i32.const -1))))
      (global.set $p (local.get 1)) (i32.const 0))
    """,
)
"""Parameter 0, from 0 to 100."""

LOOPER = module(
    '(func (export "main") (loop'
    " (call $log_int (call $read_sensor (i32.const 0)))"
    " (call $set_output (i32.const 23)"
    "   (i32.gt_s (call $read_sensor (i32.const 0)) (i32.const 2000)))"
    " (call $delay_ms (i32.const 61000)) (br 0)))"
)
"""A command guest: loops in `main` and waits with `delay_ms`."""
