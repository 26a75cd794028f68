"""Every way in which a guest can be stopped, provoked once on each path: same error, same tape.

What the fast path does in native code after wasmtime has returned (which kind, which host call,
how much fuel, what the tape says) the ordinary path does in Python; here they are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from guest_modules import all_paths, data, lines, module, reactor, readings

from levada.guest.abi import Call, TrapKind
from levada.guest.errors import Trap
from levada.guest.fast import hostcalls
from levada.guest.limits import EDGE, Budget, Profile
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.pure import PureGuest
from levada.guest.wasm.traps import TRAP_KINDS

OPEN: Final = "(call $set_output (i32.const 23) (i32.const 1)) "
TABLE: Final = "(table 2 funcref) (elem (i32.const 1) $other) (func $other)"
PUBLISH: Final = "(drop (call $mqtt_publish (i32.const 0) (i32.const 8)))"
FOREVER: Final = "(loop $for_ever (br $for_ever)) i32.const 1"
NO_FUEL_IN_SIGHT: Final = Budget(instructions=2**62, deadline_ms=20)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A guest that is stopped in its first step, and what is said of it."""

    step: str
    kind: TrapKind
    detail: str
    fields: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    profile: Profile = EDGE
    call: int = 0
    """The host call that stopped it, if one did."""
    returned: bool = False
    """No wasm code was running any more, so there is no backtrace."""


STOPS: Final = {
    "unreachable": Stop(
        step=OPEN + "unreachable",
        kind=TrapKind.UNREACHABLE,
        detail="wasm `unreachable` instruction executed",
    ),
    "memory out of bounds": Stop(
        step=OPEN + "(i32.load (i32.const 65533))",
        kind=TrapKind.MEMORY_OUT_OF_BOUNDS,
        detail="out of bounds memory access",
    ),
    "table out of bounds": Stop(
        step=OPEN + "(call_indirect (result i32) (i32.const 9))",
        fields=(TABLE,),
        kind=TrapKind.BAD_INDIRECT_CALL,
        detail="undefined element: out of bounds table access",
    ),
    "call of an empty element": Stop(
        step=OPEN + "(call_indirect (result i32) (i32.const 0))",
        fields=(TABLE,),
        kind=TrapKind.BAD_INDIRECT_CALL,
        detail="uninitialized element",
    ),
    "call by a wrong signature": Stop(
        step=OPEN + "(call_indirect (param i32) (result i32) (i32.const 0) (i32.const 1))",
        fields=(TABLE,),
        kind=TrapKind.BAD_INDIRECT_CALL,
        detail="indirect call type mismatch",
    ),
    "integer overflow": Stop(
        step=OPEN + "(i32.div_s (i32.const 0x80000000) (i32.const -1))",
        kind=TrapKind.INTEGER_DIVIDE,
        detail="integer overflow",
    ),
    "division by zero": Stop(
        step=OPEN + "(i32.div_u (i32.const 1) (i32.const 0))",
        kind=TrapKind.INTEGER_DIVIDE,
        detail="integer divide by zero",
    ),
    "stack overflow": Stop(
        step=OPEN + "(call $deeper) i32.const 1",
        fields=("(func $deeper (call $deeper))",),
        kind=TrapKind.STACK_OVERFLOW,
        detail="call stack exhausted",
    ),
    "out of fuel": Stop(
        step=OPEN + FOREVER,
        budget=Budget(instructions=10_000),
        kind=TrapKind.OUT_OF_FUEL,
        detail="more than 10000 instructions",
    ),
    "epoch interruption": Stop(
        step=OPEN + FOREVER,
        budget=NO_FUEL_IN_SIGHT,
        kind=TrapKind.DEADLINE,
        detail="longer than 20 ms",
    ),
    "denied import": Stop(
        step="(call $log_int (i32.const 5)) (call $read_sensor (i32.const 0))",
        profile=Profile(name="no sensors", imports=EDGE.imports - {"read_sensor"}),
        kind=TrapKind.DENIED,
        detail="profile 'no sensors' does not allow read_sensor",
        call=Call.READ_SENSOR,
    ),
    "too many host calls": Stop(
        step="(loop $again (drop (call $now_s)) (br $again)) i32.const 1",
        budget=Budget(host_calls=3),
        kind=TrapKind.HOST_CALLS,
        detail="more than 3 host calls, the last one now_s",
        call=Call.NOW_S,
    ),
    "pointer outside memory": Stop(
        step=OPEN + "(drop (call $mqtt_publish (i32.const 0) (i32.const -1))) i32.const 1",
        fields=(data(0, b"data\0"),),
        kind=TrapKind.POINTER,
        detail="mqtt_publish: string outside memory or without an end",
        call=Call.MQTT_PUBLISH,
    ),
    "text without an end": Stop(
        step="(call $wasm_log (i32.const 65535)) i32.const 1",
        fields=(data(65535, b"A"),),
        kind=TrapKind.POINTER,
        detail="wasm_log: string outside memory or without an end",
        call=Call.WASM_LOG,
    ),
    "too many bytes of log": Stop(
        step="(call $wasm_log (i32.const 0)) (call $log_int (i32.const 1)) i32.const 1",
        fields=(data(0, b"12345\0"),),
        budget=Budget(log_bytes=8),
        kind=TrapKind.LOG_BYTES,
        detail="log_int: more than 8 bytes of log",
        call=Call.LOG_INT,
    ),
    "too many bytes published": Stop(
        step=f"(loop $again {PUBLISH} (br $again)) i32.const 1",
        fields=(data(0, b"data\0"), data(8, b"123456\0")),
        budget=Budget(publish_bytes=25),
        kind=TrapKind.PUBLISH_BYTES,
        detail="mqtt_publish: more than 25 bytes published",
        call=Call.MQTT_PUBLISH,
    ),
    "fault of the guest": Stop(
        step=OPEN + "i32.const -7",
        kind=TrapKind.GUEST_FAULT,
        detail="step returned -7",
        returned=True,
    ),
}
MISALIGNED_ATOMIC: Final = 2
"""Of wasmtime's trap codes."""


def stopped(stop: Stop, path: Any) -> dict[str, Any]:
    """What a host knows of the guest afterwards."""
    guest = reactor(stop.step, *stop.fields)
    with SimNodes(guest, budget=stop.budget, profile=stop.profile, path=path) as nodes:
        nodes.boot(0)
        assert nodes.step(60_000, readings()) == 1
        error = nodes.trap_error(0)
        assert error is not None
        assert nodes.step(120_000, readings()) == 0, "it stays stopped"
        row = nodes.rows[0]
        return {
            "kind": error.kind,
            "text": str(error),
            "function": error.function,
            "detail": error.detail,
            "backtrace": error.backtrace,
            "trap": int(nodes.trap[0]),
            "call": int(row[hostcalls.TRAP_CALL]),
            "outputs": nodes.outputs.tolist(),
            "wake_ms": int(nodes.wake_ms[0]),
            # how far a loop comes within a deadline is nobody's promise
            "used": int(row[hostcalls.USED]) if stop.kind != TrapKind.DEADLINE else None,
            "tape": nodes.drain_tape(0),
        }


@pytest.mark.parametrize("path", all_paths())
@pytest.mark.parametrize("name", STOPS)
def test_a_guest_is_stopped_for_the_reason_there_is(name: str, path: str) -> None:
    stop = STOPS[name]
    found = stopped(stop, path)
    kind = stop.kind.name.lower().replace("_", " ")
    assert (found["kind"], found["trap"], found["call"]) == (stop.kind, stop.kind, stop.call)
    assert found["detail"] == stop.detail
    assert found["function"] == "step"
    assert found["text"] == f"guest stopped in step: {kind} ({stop.detail})"
    # wasmtime-py drops the trap of a Python callback that raises, and the frames with it
    known = not stop.returned and not (stop.call and path == "ordinary")
    assert bool(found["backtrace"]) == known
    assert found["outputs"] == [[0] * len(stop.profile.pins)]
    assert lines(found["tape"])[-1] == f"trap: {kind}"


@pytest.mark.skipif(len(all_paths()) < 2, reason="without numba there is only the ordinary path")
@pytest.mark.parametrize("name", STOPS)
def test_both_paths_say_and_record_the_same(name: str) -> None:
    fast, ordinary = (stopped(STOPS[name], path) for path in ("fast", "ordinary"))
    if STOPS[name].call:
        del fast["backtrace"], ordinary["backtrace"]
    assert fast == ordinary


@pytest.mark.parametrize("path", all_paths())
def test_a_float_that_is_no_integer_stops_a_function(path: Any) -> None:
    """The kind OTHER: only functions of fog and cloud may have floats, and those have no tape."""
    function = '(func (export "whole") (result i32) (i32.trunc_f32_s (f32.const nan)))'
    with (
        PureGuest(module(function, imports=()), path=path) as guest,
        pytest.raises(Trap, match=r"other \(invalid conversion to integer\)$") as raised,
    ):
        guest.call("whole")
    assert raised.value.kind == TrapKind.OTHER
    assert raised.value.backtrace


def test_no_kind_is_left_out() -> None:
    provoked = {stop.kind for stop in STOPS.values()} | {TrapKind.OTHER}
    assert provoked == set(TrapKind) - {TrapKind.NONE}


def test_each_trap_code_of_wasmtime_has_a_guest_here() -> None:
    """But for one of the twelve: the boards' profile has no atomics that could be misaligned."""
    of_engine = [stop.kind for stop in STOPS.values() if not stop.call and not stop.returned]
    codes = list(TRAP_KINDS)
    assert codes.pop(MISALIGNED_ATOMIC) == TrapKind.OTHER
    assert sorted([*of_engine, TrapKind.OTHER]) == sorted(codes)
