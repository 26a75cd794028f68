"""What a twin asks of the source of its device reports, wherever the devices are.

- `levada.twin.sources.bench`: devices that are given the readings of a simulated plant.
- `levada.twin.sources.recording`: devices of the past, whose messages are in a store.
- `levada.twin.sources.shadow`: devices in real soil, heard over MQTT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from levada.guest.node import Node
from levada.sim.run.build import NodeSettings
from levada.sim.run.stops import GuestStop
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import FloatArray
from levada.twin.clock import PacedClock
from levada.twin.field import TwinField

__all__ = ["Mode", "Source"]

Mode = Literal["hil", "replay", "shadow"]


class Source(Protocol):
    """Where the device reports of one twin come from; it is used for one twin only.

    The twin asks in this order: for its clock, for the device of every zone, then it connects.
    Reports go to `TwinField.observe`, and what the twin would have done to `observe_twin`, in the
    thread that runs the twin.
    """

    @property
    def mode(self) -> Mode:
        """How the twin runs, as it is stored with the run."""

    @property
    def independent(self) -> bool:
        """Whether the devices live without the twin.

        The twin then runs behind them: what they say is in the store already, and a calibration
        holds for the mirror from the device's next report on.
        """

    def clock(self, scenario: Scenario) -> PacedClock:
        """The clock by which the twin lives; it starts at 0 s, the start of the period."""

    def counts(self, zone: str) -> tuple[int, int, int] | None:
        """What a device believes of its probe: dry, wet, limit; None: as the scenario has it."""

    def device(self, settings: NodeSettings) -> Node:
        """The device of a zone; the twin closes it.  Raises what the device raises."""

    def connect(self, field: TwinField) -> Sequence[Node]:
        """Begin to report to `field`.

        Returns a node for every zone, which commands the valve of that zone of the twin's plant.
        """

    def attend(self) -> None:
        """Called several times a second [wall clock], between the steps."""

    def rows(self) -> list[FloatArray] | None:
        """What the devices' plant has recorded since, by zone; None: it is not simulated here."""

    def stops(self) -> list[tuple[int, GuestStop | None]]:
        """How often the guest of each zone's device was stopped, and why at first."""

    def close(self) -> None:
        """Release what the source holds; the devices are not among it."""
