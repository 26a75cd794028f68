"""A node under observation: it does what the node inside does, and reports every run of the guest.

The plant drives nodes without knowing that they are observed, so the twin needs no other plant
than that of an ordinary run.  A device that does not answer is not the end of the twin: its valve
counts as closed (a device without a host closes it), and it is asked again, from a fresh start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from levada.guest.abi import Call
from levada.guest.node import Birth, Node, Readings, StepResult
from levada.guest.tape import iter_records
from levada.hil.errors import HilError

__all__ = ["RETRY_MS", "ObservedNode", "StepObservation"]

RETRY_MS: Final = 600_000
"""Virtual time after which a device that did not answer is asked again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepObservation:
    """One run of a guest."""

    time_ms: int
    readings: Readings | None
    """None: it booted."""
    online: bool
    result: StepResult
    took_s: float
    """Wall-clock time from the request to the answer."""
    skew_ms: int = 0
    """How far the node's clock was ahead of the true time."""
    forget: bool = False
    """Whether it booted without what its guest had kept."""
    lost: str = ""
    """Why there was no answer; `result` is then empty."""


def boots(tape: bytes) -> Iterator[tuple[int, Mapping[int, int]]]:
    """Time of every boot on a tape, and what the guest found kept after it, by slot."""
    time_ms: int | None = None
    found: dict[int, int] = {}
    for record in iter_records(tape):
        if record.call == Call.BOOT:
            if time_ms is not None:
                yield time_ms, found
            time_ms, found = record.values[0], {}
        elif record.call == Call.KEEP_GET:
            slot, value = record.values
            found.setdefault(slot, value)
    if time_ms is not None:
        yield time_ms, found


def has_forgotten(found: Mapping[int, int], kept: Sequence[int]) -> bool:
    """Whether a guest found nothing of what was `kept`: another board, or an erased flash."""
    return not any(found.values()) and any(kept[slot] for slot in found if slot < len(kept))


class ObservedNode:
    """A `levada.guest.node.Node` around another one."""

    def __init__(self, node: Node, report: Callable[[StepObservation], None]) -> None:
        self.inner = node
        self._report = report
        self._lost = False

    def birth(self) -> Birth:
        """Who the node is."""
        return self.inner.birth()

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Start the guest afresh."""
        return self._run(time_ms, None, True, skew_ms, forget)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Inject readings and run the guest once."""
        if self._lost:
            result = self._run(time_ms, None, online, skew_ms)
            if self._lost:
                return result
        return self._run(time_ms, readings, online, skew_ms)

    def _run(
        self,
        time_ms: int,
        readings: Readings | None,
        online: bool,
        skew_ms: int,
        forget: bool = False,
    ) -> StepResult:
        began_s = monotonic()
        lost = ""
        try:
            if readings is None:
                result = self.inner.boot(time_ms, skew_ms=skew_ms, forget=forget)
            else:
                result = self.inner.step(time_ms, readings, online=online, skew_ms=skew_ms)
        except HilError as error:
            lost = str(error)
            result = StepResult(outputs={}, wake_ms=RETRY_MS)
        self._lost = bool(lost)
        self._report(
            StepObservation(
                time_ms=time_ms,
                readings=readings,
                online=online,
                skew_ms=skew_ms,
                forget=forget,
                result=result,
                took_s=monotonic() - began_s,
                lost=lost,
            )
        )
        return result

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Set parameters by id."""
        return self.inner.calibrate(values)

    def install(self, module: bytes) -> Birth:
        """Replace the guest."""
        return self.inner.install(module)

    def quality(self) -> dict[str, Any] | None:
        """What the link was like."""
        return self.inner.quality()

    def close(self) -> None:
        """Release the node."""
        self.inner.close()
