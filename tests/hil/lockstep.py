"""Lockstep with guests whose calls show whether a step was lost, or executed twice."""

from __future__ import annotations

import wasmtime

from levada.guest.abi import Call
from levada.guest.tape import iter_records
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.link import Patience
from levada.hil.node import DeviceNode

START_MS = 1_681_516_800_000
STEP_MS = 600_000
READINGS = (2000, 1500, 3700, 0)
QUICK = Patience(least_s=0.05, most_s=0.4, tries=10)
"""For a pseudo terminal, which answers at once or never."""
PATIENT = Patience(least_s=60.0, most_s=60.0)
"""Only what is lost is asked for again, however busy the machine is."""


def season(node: DeviceNode | WasmtimeNode, steps: int) -> bytes:
    """The tape of so many steps."""
    tape = node.boot(START_MS).tape
    for k in range(1, steps + 1):
        tape += node.step(START_MS + k * STEP_MS, (2000 + k, 1500, 3700, k)).tape
    return tape


def simulated(steps: int) -> bytes:
    """The tape of so many steps of the simulated node."""
    node = WasmtimeNode(TOGGLER)
    try:
        return season(node, steps)
    finally:
        node.close()


def calls(tape: bytes) -> list[Call]:
    return [record.call for record in iter_records(tape)]


def counted(tape: bytes) -> list[int]:
    """What the guest logged as numbers."""
    return [r.values[0] for r in iter_records(tape) if r.call == Call.LOG_INT]


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

TRAPPER = reactor("(unreachable)")

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

SEVERAL = reactor(
    "(call $log_int (global.get $a)) (call $log_int (global.get $b))"
    "(call $set_output (i32.const 23) (i32.const 1))"
    "(call $set_output (i32.const 21) (i32.const 1))"
    "(call $set_output (i32.const 18) (i32.const 0))",
    """
    (global $a (mut i32) (i32.const 1)) (global $b (mut i32) (i32.const 2))
    (func (export "param_get") (param i32) (result i32)
      (if (i32.eq (local.get 0) (i32.const 3)) (then (return (global.get $a))))
      (if (i32.eq (local.get 0) (i32.const 7)) (then (return (global.get $b))))
      (i32.const -1))
    (func (export "param_set") (param i32 i32) (result i32)
      (if (i32.eq (local.get 0) (i32.const 3))
        (then (global.set $a (local.get 1)) (return (i32.const 0))))
      (if (i32.eq (local.get 0) (i32.const 7))
        (then (global.set $b (local.get 1)) (return (i32.const 0))))
      (i32.const -1))
    """,
)
"""Parameters 3 and 7, which it logs in this order; opens pins 23 and 21, closes 18."""
