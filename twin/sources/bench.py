"""Devices on a bench: they are given the readings of a simulated plant, in step with the twin.

The plant suffers the scenario's faults; the twin's has none.  The mirror is given what the device
read, so the two must make the same calls.
"""

from __future__ import annotations

from typing import Final

from levada.guest.node import Node
from levada.guest.tape import first_difference
from levada.hil.node import DeviceNode
from levada.sim.run import build
from levada.sim.run.field import Field
from levada.sim.run.plant import Plant
from levada.sim.run.stops import GuestStop
from levada.sim.run.zone_columns import NodeCol
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import FloatArray
from levada.twin import signals as values_of
from levada.twin.clock import PacedClock
from levada.twin.field import TwinField
from levada.twin.observer import ObservedNode, StepObservation, boots, has_forgotten
from levada.twin.sources.source import Mode
from levada.twin.zone import guest_node

__all__ = ["Bench"]

FORGOTTEN: Final = (
    "The device has started again and found nothing of what its guest had kept: another board, or "
    "its flash was erased.  Limits of volume begin anew."
)


class Bench:
    """Devices made by `make_node`, or simulated where the zone's node is `sim`.

    Time up to `skip_to_ms` is passed at full speed, then `speed` holds (None: full speed all the
    way).  It is a `levada.twin.sources.source.Source`.
    """

    mode: Mode = "hil"
    independent = False

    def __init__(
        self,
        make_node: build.NodeMaker | None = None,
        *,
        speed: float | None = 600.0,
        skip_to_ms: int | None = None,
    ) -> None:
        self._make_node = make_node
        self._speed = speed
        self._skip_to_ms = skip_to_ms
        self._plant: Plant | None = None
        self._lines: dict[int, DeviceNode] = {}
        """Devices at the end of a line, by zone."""

    def clock(self, scenario: Scenario) -> PacedClock:
        """A clock that skips what is to be skipped."""
        return PacedClock.skipping(self._speed, scenario.period.start_ms, self._skip_to_ms)

    def counts(self, zone: str) -> None:
        """A device believes what the scenario says."""

    def device(self, settings: build.NodeSettings) -> Node:
        """A simulated node, or what `make_node` makes."""
        config = settings.zone
        if config.node.simulated:
            return guest_node(settings)
        if self._make_node is None:
            raise ValueError(f"zone {config.name}: node {config.node} needs `make_node`")
        return self._make_node(settings)

    def connect(self, field: TwinField) -> list[Node]:
        """Put the devices into a plant of their own, and a guest into each zone of the twin's.

        At equal times the devices' plant comes before the twin's.
        """
        self._field = field
        self._lines = {i: d for i, d in enumerate(field.devices) if isinstance(d, DeviceNode)}
        for device in self._lines.values():
            device.link.on_wait = self.attend
        nodes: dict[int, Node] = {
            i: ObservedNode(device, lambda seen, i=i: self._device_ran(i, seen))  # type: ignore[misc]
            for i, device in enumerate(field.devices)
        }
        scenario, configs = field.scenario, [zone.config for zone in field.zones]
        self._plant = Plant(scenario, configs, field.weather, None, [], nodes)
        Field(
            field.clock,
            self._plant,
            faults=timeline(scenario, configs),
            recorder=lambda _now: None,
            slice_s=scenario.period.trace_s,
        )
        return [
            ObservedNode(guest_node(zone.settings), lambda seen, i=i: self._twin_ran(i, seen))  # type: ignore[misc]
            for i, zone in enumerate(field.zones)
        ]

    def attend(self) -> None:
        """Look for lines that are silent; also while one of them is waited for."""
        for i, device in self._lines.items():
            self._field.listen(i, device.silent_s)

    def rows(self) -> list[FloatArray]:
        """What the devices' plant has recorded since, by zone."""
        assert self._plant is not None
        return values_of.by_zone(self._plant.take_rows(), self._plant.n)

    def stops(self) -> list[tuple[int, GuestStop | None]]:
        """How often the guest of each device was stopped, and why at first."""
        assert self._plant is not None
        counts = self._plant.zones[:, NodeCol.TRAPS].tolist()
        return [(count, self._plant.stops.get(i)) for i, count in enumerate(counts)]

    def close(self) -> None:
        """Close the devices' plant; whose line is silent now is told to nobody any more."""
        self._lines.clear()
        if self._plant is not None:
            self._plant.close()

    def _device_ran(self, i: int, seen: StepObservation) -> None:
        assert self._plant is not None
        now_ms = int(self._plant.zones[i, NodeCol.NOW_MS])
        difference = None
        if not seen.lost:
            difference = first_difference(self._mirrored(i, now_ms, seen), seen.result.tape)
        self._field.observe(i, now_ms, seen, difference)
        if i in self._lines:
            self._field.listen(i, self._lines[i].silent_s)

    def _twin_ran(self, i: int, seen: StepObservation) -> None:
        self._field.observe_twin(i, self._field.zone_ms(i), seen)

    def _mirrored(self, i: int, now_ms: int, seen: StepObservation) -> bytes:
        """Let the mirror boot and step as the device did; its tape."""
        mirror = self._field.zones[i].mirror
        tape = b""
        for time_ms, found in boots(seen.result.tape):
            forget = seen.forget
            if not forget and has_forgotten(found, mirror.kept):
                forget = True
                self._field.journal.event(
                    i, "forgotten", FORGOTTEN, {}, severity="warning", time_ms=now_ms
                )
            tape += mirror.boot(time_ms, skew_ms=seen.skew_ms, forget=forget).tape
        if seen.readings is not None:
            tape += mirror.step(
                seen.time_ms, seen.readings, online=seen.online, skew_ms=seen.skew_ms
            ).tape
        return tape
