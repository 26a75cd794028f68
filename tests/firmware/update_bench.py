"""Modules that are signed and installed message by message, over any line."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from device_bench import CONFIGURE, START_MS, Bench
from device_guests import guest

from levada.guest.signing.envelope import raw_public, sign
from levada.guest.signing.manifest import Manifest
from levada.hil.errors import DeviceError
from levada.hil.link import Link
from levada.hil.wire.message import Message
from levada.hil.wire.messages import (
    Ack,
    GetTelemetry,
    GetUpdateStatus,
    Hello,
    InstallBegin,
    InstallChunk,
    InstallTrial,
    Nak,
    Start,
    Step,
    StepFlag,
    StepResult,
    Telemetry,
    UpdateStatus,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
TRUST = ("--trust", raw_public(KEY).hex())

OPEN = "(call $set_output (i32.const 23) (i32.const 1))"
PUBLISH = "(drop (call $mqtt_publish (i32.const 16) (i32.const 21)))"
KEEP = "(drop (call $keep_set (i32.const 0) (i32.const {n})))"
COUNT = "(global.set $n (i32.add (global.get $n) (i32.const 1)))"
COUNTER = "(global $n (mut i32) (i32.const 0))"
SECOND = "(i32.const 1000)"


def module(number: int, step: str = "", init: str = SECOND, more: str = "") -> bytes:
    """Opens the valve, publishes, and keeps its number at each step, one a second."""
    body = f"{OPEN} {PUBLISH} {KEEP.format(n=number)} {COUNT} {step} {SECOND}"
    return guest(body, init, COUNTER + more)


def failing(number: int, at_step: int) -> bytes:
    """That traps in its so-manieth step."""
    test = f"(i32.eq (global.get $n) (i32.const {at_step}))"
    return module(number, f"(if {test} (then (unreachable)))")


OLD = module(1)
NEW = module(2)
MANIFEST = Manifest(counter=1, name="m", version="1.0", size=1, sha256=bytes(32), schema=bytes(8))


def envelope(wasm: bytes, counter: int, key: Ed25519PrivateKey = KEY, **changes: Any) -> bytes:
    """Of a module, by that key; `changes` are fields of its manifest."""
    fields = {
        "counter": counter,
        "version": f"{counter}.0",
        "size": len(wasm),
        "sha256": hashlib.sha256(wasm).digest(),
    }
    return sign(replace(MANIFEST, **(fields | changes)), key).encode()  # type: ignore[arg-type]


ANSWERS: dict[type[Message], type[Message]] = {
    Start: StepResult,
    Step: StepResult,
    GetUpdateStatus: UpdateStatus,
    GetTelemetry: Telemetry,
}


class Device:
    """A board that is asked; a refusal is an answer like any other."""

    def __init__(self, line: Bench | Link) -> None:
        self._line = line
        self.time_ms = START_MS

    def ask(self, request: Message) -> Message:
        if isinstance(self._line, Bench):
            return self._line.ask(request)
        try:
            return self._line.ask(request, ANSWERS.get(type(request), Ack))
        except DeviceError as error:
            return Nak(error=error.error, request=request.TYPE, detail=error.detail)

    def hello(self, session: int = 1) -> None:
        if isinstance(self._line, Bench):
            birth = None
            while birth is None:  # what a dying board has read is gone
                birth = self._line.receive(self._line.send(Hello(session=session)), timeout_s=0.5)
        else:
            self._line.hello()
        assert isinstance(self.ask(CONFIGURE), Ack)

    def begin(self, wasm: bytes, sealed: bytes = b"") -> Message:
        digest = hashlib.sha256(wasm).digest()
        return self.ask(InstallBegin(size=len(wasm), sha256=digest, envelope=sealed))

    def send(
        self,
        wasm: bytes,
        sealed: bytes = b"",
        piece: int = 200,
        between: Callable[[], object] = lambda: None,
    ) -> Message:
        """Bring it over; the last answer."""
        answer = self.begin(wasm, sealed)
        while isinstance(answer, Ack) and answer.value < len(wasm):
            at = answer.value
            answer = self.ask(InstallChunk(offset=at, data=wasm[at : at + piece]))
            between()
        return answer

    def try_(
        self,
        wasm: bytes,
        sealed: bytes = b"",
        *,
        steps: int = 3,
        flags: int = 0,
        within_ms: int = 0,
        carried: Sequence[int] = (),
    ) -> Message:
        answer = self.send(wasm, sealed)
        if isinstance(answer, Nak):
            return answer
        ids = struct.pack(f"<{len(carried)}i", *carried)
        return self.ask(InstallTrial(steps=steps, flags=flags, within_ms=within_ms, carried=ids))

    def start(self, flags: int = 1) -> StepResult:
        result = self.ask(Start(time_ms=self.time_ms, flags=flags, parameters=()))
        assert isinstance(result, StepResult), result
        return result

    def step(self) -> StepResult:
        """The next one, a second later."""
        self.time_ms += 1000
        result = self.ask(
            Step(
                time_ms=self.time_ms,
                flags=StepFlag.ONLINE,
                readings=(2000, 1500, 3700, 0),
                uptime_ms=self.time_ms - START_MS,
            )
        )
        assert isinstance(result, StepResult), result
        return result

    @property
    def status(self) -> UpdateStatus:
        found = self.ask(GetUpdateStatus())
        assert isinstance(found, UpdateStatus)
        return found

    @property
    def waiting(self) -> int:
        """Publications that a host may fetch."""
        found = self.ask(GetTelemetry())
        assert isinstance(found, Telemetry)
        return found.waiting


def kept(result: StepResult) -> int | None:
    """The number that the module which has run keeps: by its record on the tape."""
    record = bytes([11]) + struct.pack("<i", 0)
    at = result.tape.rfind(record)
    return None if at < 0 else struct.unpack_from("<i", result.tape, at + len(record))[0]
