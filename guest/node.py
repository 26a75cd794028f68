"""What every node can do, whether simulated, virtual or real.

A node runs one guest.  Readings are injected before a step, so a device on a serial line needs one
round trip a step, and the same guest on the same readings must make the same calls.  `guest.host`
implements this with Wasmtime, `hil` for devices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from guest.abi import Sensor, TrapKind

__all__ = ["Birth", "Node", "Readings", "StepResult"]

Readings = tuple[int, int, int, int]
"""Moisture [counts], temperature [0.01 degC], battery [mV], flow [pulses]; negative: ErrorCode."""

assert [s.value for s in Sensor] == [0, 1, 2, 3]


@dataclass(frozen=True, kw_only=True, slots=True)
class Birth:
    """Who a node says it is."""

    guest_sha256: str
    guest_name: str
    guest_version: str
    abi_version: int
    engine: str
    """Name and version, e.g. `wasmtime 50.0.1`."""
    firmware: str
    boot_id: int
    """Changes with every start, so that sequence numbers of two lives are not mixed up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What one step of a node did."""

    outputs: dict[int, int]
    """State of every pin the guest ever set, by pin."""
    publications: list[tuple[str, str]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    tape: bytes = b""
    """Tape records of this step (see `guest.tape`)."""
    wake_ms: int = 0
    """Time until the guest wants to run again [ms]."""
    trap: TrapKind = TrapKind.NONE
    trap_detail: str = ""
    instructions: int = 0
    """Wasm instructions of this step, 0 if the node does not count them."""


class Node(Protocol):
    """One node.  A device that is gone or answers nonsense raises `hil.errors.LinkError`."""

    def birth(self) -> Birth:
        """Who the node is; runs nothing."""

    def boot(self, time_ms: int) -> StepResult:
        """Start the guest afresh at `time_ms` (since 1970, virtual): instance, `init`, parameters.

        The outputs are 0 before it, and stay so if the guest is stopped.
        """

    def step(self, time_ms: int, readings: Readings, *, online: bool = True) -> StepResult:
        """Inject readings and run the guest once; without `online` it cannot publish."""

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Set parameters by id, all or none; values read back from the guest.

        Raises ParameterError if the guest refuses one.
        """

    def install(self, module: bytes) -> Birth:
        """Replace the guest; it runs from the next `boot`."""

    def quality(self) -> dict[str, Any] | None:
        """What the link to the node was like, as in summary.json; None if there is no link.

        `void` says why the run does not count, or is None.
        """

    def close(self) -> None:
        """Release the node; its valve is closed."""
