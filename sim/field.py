"""The field: SimPy processes that let a scenario happen.

The plant goes on by itself between two events of the clock; a process that changes something at an
instant brings the zone concerned there first.  At one instant faults come before nodes, nodes
before the recorder, as SimPy's order of creation has it.  The clock paces nodes outside the plant
(devices, or guests that need the ordinary path): each is called when its time has come.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from simpy import Environment, Event

from sim.faults import FaultEvent
from sim.plant import Plant

__all__ = ["Field", "Recorder"]

DAY_S: Final = 86_400

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
        self._changed = clock.event()
        clock.process(self._faults(faults))
        if plant.nodes:
            clock.process(self._nodes())
        self._end = clock.process(self._slices())

    def run(self) -> None:
        """Let everything happen up to the end of the period."""
        self.clock.run(until=self._end)

    @property
    def now_ms(self) -> int:
        """Present time [ms since 1970]."""
        return self.plant.start_ms + round(self.clock.now * 1000)

    def _until(self, time_ms: int) -> Event:
        return self.clock.timeout(max(0.0, (time_ms - self.now_ms) / 1000))

    def _faults(self, events: Sequence[FaultEvent]) -> Generator[Event, Any, None]:
        for event in events:
            if event.time_ms > self.now_ms:
                yield self._until(event.time_ms)
            self.plant.advance_to(self.now_ms, event.zone_index)
            self.plant.apply(event)
            self._look_again()

    def _nodes(self) -> Generator[Event, Any, None]:
        plant = self.plant
        while self.now_ms < plant.end_ms:
            plant.attend(self.now_ms)
            yield self._until(min(plant.due_ms(), plant.end_ms)) | self._changed

    def _slices(self) -> Generator[Event, Any, None]:
        plant = self.plant
        while self.now_ms < plant.end_ms:
            yield self._until(min(self.now_ms + self._slice_s * 1000, plant.end_ms))
            plant.advance_to(self.now_ms)
            if self.now_ms >= plant.end_ms:
                plant.finish()
            self._recorder(self.now_ms)
            self._look_again()

    def _look_again(self) -> None:
        """A fault, or a battery, may have changed when a node is due."""
        self._changed.succeed()
        self._changed = self.clock.event()
