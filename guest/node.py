"""What every node can do, whether simulated, virtual or real.

A node runs one guest.  Readings are injected before a step, so a device on a serial line needs one
round trip a step, and the same guest on the same readings must make the same calls.
`levada.guest.wasm.node` implements this with Wasmtime, `hil` for devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from levada.guest.abi import Sensor, TrapKind
from levada.guest.tape import outcome

__all__ = ["Birth", "Node", "Readings", "StepResult"]

Readings = tuple[int, ...]
"""Moisture [counts], temperature [0.01 degC], battery [mV], flow [pulses], and, where the node has
them, rain [tips], rain expected [0.1 mm], reference ET [0.01 mm]: at least four values in the order
of Sensor.  Negative ones are an ErrorCode; those that are left out are unavailable.
"""

assert [s.value for s in Sensor] == [0, 1, 2, 3, 4, 5, 6]


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


class StepResult:
    """What one step of a node did.

    What was published and logged is read from the tape when it is asked for, unless it is given: a
    season takes ten thousand steps and looks at the tape alone.
    """

    __slots__ = (
        "_logs",
        "_publications",
        "instructions",
        "outputs",
        "tape",
        "trap",
        "trap_backtrace",
        "trap_detail",
        "wake_ms",
    )

    def __init__(
        self,
        *,
        outputs: dict[int, int],
        tape: bytes = b"",
        wake_ms: int = 0,
        trap: TrapKind = TrapKind.NONE,
        trap_detail: str = "",
        trap_backtrace: tuple[str, ...] = (),
        instructions: int = 0,
        publications: list[tuple[str, str]] | None = None,
        logs: list[str] | None = None,
    ) -> None:
        self.outputs = outputs
        """State of every pin the guest ever set, by pin."""
        self.tape = tape
        """Tape records of this step (see `levada.guest.tape`)."""
        self.wake_ms = wake_ms
        """Time until the guest wants to run again [ms]."""
        self.trap = trap
        self.trap_detail = trap_detail
        """Which function was stopped, and why."""
        self.trap_backtrace = trap_backtrace
        """Wasm frames, innermost first; empty if the node gives none."""
        self.instructions = instructions
        """Wasm instructions of this step, 0 if the node does not count them."""
        self._publications = publications
        self._logs = logs

    @property
    def publications(self) -> list[tuple[str, str]]:
        """Topic and message of what was published."""
        if self._publications is None:
            self._publications = outcome(self.tape)[0]
        return self._publications

    @property
    def logs(self) -> list[str]:
        """Lines of text, and numbers as text."""
        if self._logs is None:
            self._logs = outcome(self.tape)[1]
        return self._logs


class Node(Protocol):
    """One node.  A device that is gone or answers nonsense raises `levada.hil.errors.LinkError`."""

    def birth(self) -> Birth:
        """Who the node is; runs nothing."""

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Start the guest afresh at `time_ms` (since 1970, virtual): instance, `init`, parameters.

        The outputs are 0 before it, and stay so if the guest is stopped.  `skew_ms` is what the
        node's clock, and so `time_ms`, is ahead of the true time: `uptime_s` counts that.  With
        `forget` the guest finds nothing of what it kept; so it does at the first boot, whatever
        the device remembers, because a run begins alike on every node.
        """

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
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
