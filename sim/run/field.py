"""The field: the SimPy process that lets a scenario happen.

The plant goes on by itself between two events; whatever changes something at an instant brings the
zone concerned there first.  One process does all that falls on one millisecond: first faults, then
nodes, then the recorder, since the order at equal times must not hang on when each was scheduled.
The clock paces nodes outside the plant (devices, or guests that need the ordinary path): each is
called when its time has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

from simpy import Environment, Event

from levada.sim.run.plant import Plant
from levada.sim.scenario.fault import FaultEvent
from levada.sim.units import DAY_S

__all__ = ["Field", "Recorder"]


Recorder = Callable[[int], None]
"""Called at the end of every slice of time, with the time [ms since 1970]."""


class Field:
    """A plant on a clock.

    The clock starts at 0 s, which is `plant.start_ms`; `slice_s` is how often `recorder` is called,
    a multiple of the plant's step.
    """

    def __init__(
        self,
        clock: Environment,
        plant: Plant,
        *,
        faults: Sequence[FaultEvent],
        recorder: Recorder,
        slice_s: int = DAY_S,
    ) -> None:
        self.clock = clock
        self.plant = plant
        self._recorder = recorder
        self._slice_s = slice_s
        self._faults = deque(sorted(faults, key=lambda event: event.time_ms))
        self._end = clock.process(self._live())

    def run(self) -> None:
        """Let everything happen up to the end of the period."""
        self.clock.run(until=self._end)

    @property
    def now_ms(self) -> int:
        """Present time [ms since 1970]."""
        return self.plant.start_ms + round(self.clock.now * 1000)

    def _live(self) -> Generator[Event, Any, None]:
        plant, faults, slice_ms = self.plant, self._faults, self._slice_s * 1000
        record_ms = min(self.now_ms + slice_ms, plant.end_ms)
        while True:
            now_ms = self.now_ms
            while faults and faults[0].time_ms <= now_ms:
                fault = faults.popleft()
                plant.advance_to(now_ms, fault.zone_index)
                plant.apply(fault)
            plant.attend(now_ms)
            if now_ms >= record_ms:
                plant.advance_to(now_ms)
                if now_ms >= plant.end_ms:
                    plant.finish()
                self._recorder(now_ms)
                if now_ms >= plant.end_ms:
                    return
                record_ms = min(now_ms + slice_ms, plant.end_ms)
            # asked again after every event: a fault or a battery may change when a node is due
            next_ms = min(plant.due_ms(), faults[0].time_ms if faults else record_ms, record_ms)
            yield self.clock.timeout(max(0.0, (next_ms - now_ms) / 1000))
