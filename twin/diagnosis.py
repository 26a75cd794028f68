"""Where a device and its twin differ, and what is to blame.

Three guests run: that of the device, that of the twin on the twin's own plant, and a *mirror*, the
twin's engine fed with the device's readings.

- Mirror and device were given equal readings.  If they make different calls, firmware or engine is
  to blame.
- Device and twin live in two worlds that should be one.  If their readings differ, plant, probe or
  weather is to blame; the flow meter and the probe's history say which.
- If the device did not answer, came late or started again, it is the link, or its supply.

No tape is read here: the source of a report knows what can be compared, and tells where the calls
differ.  Passing time and thresholds are the business of `levada.twin.alerts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from levada.guest.abi import DEFAULT_PINS, ErrorCode
from levada.guest.node import StepResult
from levada.guest.tape import Difference
from levada.twin.observer import StepObservation

__all__ = ["CODES", "STUCK_STEPS", "Cause", "Diagnoser", "Verdict", "valve"]

STUCK_STEPS: Final = 6
"""So many equal probe readings in a row look stuck, if the twin's have moved meanwhile."""

AGREEING_STEPS: Final = 144
"""After so many steps in a row with equal readings a former fault explains nothing any more; water
that a broken valve left out may take most of a day to be missed at the probe."""


FLOW_STEPS: Final = 3
"""Over so many steps in a row both valves are open before their water is compared."""
FLOW_SHARE: Final = 0.2
"""Share by which it may differ: twice the 10 % that makers of small turbine meters state."""


class Cause(StrEnum):
    """What a difference is put down to."""

    NONE = "none"
    FIRMWARE = "firmware or engine"
    VALVE = "valve"
    PROBE = "probe"
    PLANT = "plant, probe or weather"
    LINK = "link"


CODES: Final = {cause: code for code, cause in enumerate(Cause)}
"""As stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one step of the device says about it."""

    time_ms: int
    cause: Cause
    text: str
    """One sentence, with the numbers."""
    compared: bool = True
    """False: there was nothing to compare."""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Diagnoser:
    """Judges the steps of one zone, one after the other.

    `tolerance_counts` is what two probes of one kind may differ by from noise alone.
    """

    tolerance_counts: float
    late_s: float = 1.0
    """Wall-clock time of a round trip from which it counts as late."""
    different_calls: int = 0
    """Steps in a row with equal readings and different calls."""
    still_steps: int = 0
    """Device readings in a row that did not move."""
    still_twin_counts: int = 0
    """How far the twin's reading has moved meanwhile."""
    starved: bool = False
    """Whether the valve was commanded open and no water has flowed since."""
    leaks: bool = False
    """Whether water flowed in the last interval through a valve that was commanded closed."""
    flow_steps: int = 0
    """Steps in a row over which the valves of device and twin were open."""
    flow_pulses: tuple[int, int] = (0, 0)
    """What their meters have counted in these, the device's first."""
    broken: str = ""
    """The last fault of valve or probe since device and twin agreed; its effects last for days."""
    agreeing: int = 0
    """Steps in a row in which the readings agreed."""
    _broken: Cause = Cause.PLANT
    _last: StepObservation | None = None
    _twin_then: int | None = None
    """What the twin read when the device's reading last moved."""
    _was_open: tuple[int, int] = (0, 0)
    """Valve as commanded after the step before, and the one before that."""
    _twin_was_open: tuple[int, int] = (0, 0)

    def judge(
        self,
        device: StepObservation,
        twin: StepObservation | None,
        difference: Difference | None,
    ) -> Verdict:
        """What the device's step says, beside the twin's of the same time.

        `difference` is where the device's calls part from the mirror's, which was given the same
        readings; None: they are equal, or the device did not answer.
        """
        if difference is None:
            self.different_calls = 0
        else:
            self.different_calls += 1
        verdict = self._judge(device, twin, difference)
        self._was_open = (valve(device.result), self._was_open[0])
        if twin is not None:
            self._twin_was_open = (valve(twin.result), self._twin_was_open[0])
        self._last = device
        return verdict

    def _judge(
        self,
        device: StepObservation,
        twin: StepObservation | None,
        difference: Difference | None,
    ) -> Verdict:
        def found(cause: Cause, text: str, **evidence: Any) -> Verdict:
            readings = {
                "device": device.readings,
                "twin": twin.readings if twin is not None else None,
                "valve_device": valve(device.result),
                "valve_twin": valve(twin.result) if twin is not None else None,
            }
            return Verdict(
                time_ms=device.time_ms, cause=cause, text=text, evidence=readings | evidence
            )

        def broken(cause: Cause, text: str) -> Verdict:
            self.broken, self._broken, self.agreeing = text, cause, 0
            return found(cause, text)

        def since(differ: str, cause: Cause, why: str) -> Verdict:
            """Put down to what was found broken before, else to `cause`."""
            if self.broken:
                return found(self._broken, f"{differ}, since this was seen: {self.broken}")
            return found(cause, f"{differ}: {why}.")

        self._look_at_flow(device)
        self._compare_flow(device, twin)
        self._look_at_probe(device, twin)
        if difference is not None:
            return found(
                Cause.FIRMWARE,
                "Equal readings, different calls: firmware or engine of the device.",
                difference=str(difference),
            )
        if device.lost:
            return found(Cause.LINK, f"The device did not answer: {device.lost}", lost=device.lost)
        if device.took_s > self.late_s:
            return found(
                Cause.LINK,
                f"The device answered after {device.took_s:.1f} s.",
                took_s=device.took_s,
            )
        if self.leaks and device.readings is not None:
            pulses = device.readings[3]
            return broken(
                Cause.VALVE,
                f"Commanded closed, but {pulses} pulses of water flowed: the valve leaks, or has "
                "not got the command to close.",
            )
        if self.starved:
            return broken(
                Cause.VALVE,
                "Commanded open, but no water flowed: valve, supply, flow meter, or a command that "
                "was lost.",
            )
        if twin is None or device.readings is None or twin.readings is None:
            return replace(found(Cause.NONE, "Nothing to compare yet."), compared=False)
        counted, expected = self.flow_pulses
        if self.flow_steps >= FLOW_STEPS and abs(counted - expected) > FLOW_SHARE * expected:
            return broken(
                Cause.VALVE,
                "With both valves open the flow meter has counted "
                f"{100 * counted / expected:.0f} % of what the twin's has: flow meter, clogging or "
                "pressure.",
            )
        mine, other = device.readings[0], twin.readings[0]
        if mine < 0:
            code = ErrorCode(mine).name.lower() if mine >= -4 else str(mine)
            return broken(Cause.PROBE, f"The probe did not answer ({code}).")
        if self.still_steps >= STUCK_STEPS and self.still_twin_counts > self.tolerance_counts:
            return broken(
                Cause.PROBE,
                f"The probe has read {mine} counts for {self.still_steps} steps while the twin's "
                f"moved by {self.still_twin_counts} counts.",
            )
        if abs(mine - other) > self.tolerance_counts:
            self.agreeing = 0
            differ = f"Different readings, {mine} and {other} counts"
            return since(differ, Cause.PLANT, "plant, probe or weather")
        if (mine_open := valve(device.result)) != (other_open := valve(twin.result)):
            differ = (
                "The readings agree within noise, but the device's valve is "
                f"{_word(mine_open)} and the twin's {_word(other_open)}"
            )
            return since(differ, Cause.NONE, "near a threshold, or by what their guests remember")
        self.agreeing += 1
        if self.agreeing >= AGREEING_STEPS:
            self.broken = ""
        text = "Equal readings" if mine == other else "Readings that agree within noise"
        return found(Cause.NONE, f"{text}, equal calls.")

    def _look_at_flow(self, device: StepObservation) -> None:
        """Water against command over the interval that ends with this step."""
        if device.readings is None:
            return
        pulses = device.readings[3]
        opened, before = self._was_open
        self.leaks = not opened and not before and pulses > 0 and self._last is not None
        if pulses < 0 or self._last is None:
            return
        if opened:
            self.starved = pulses == 0
        elif pulses > 0:
            self.starved = False

    def _compare_flow(self, device: StepObservation, twin: StepObservation | None) -> None:
        """Water against water of the twin, while both valves are open."""
        mine = device.readings[3] if device.readings is not None else -1
        other = twin.readings[3] if twin is not None and twin.readings is not None else -1
        both_open = self._was_open == self._twin_was_open == (1, 1)
        if not both_open or mine < 0 or other <= 0:
            self.flow_steps, self.flow_pulses = 0, (0, 0)
            return
        self.flow_steps += 1
        self.flow_pulses = self.flow_pulses[0] + mine, self.flow_pulses[1] + other

    def _look_at_probe(self, device: StepObservation, twin: StepObservation | None) -> None:
        if device.readings is None or twin is None or twin.readings is None:
            return
        last = self._last.readings if self._last is not None else None
        then = self._twin_then
        if last is not None and last[0] == device.readings[0] and then is not None:
            self.still_steps += 1
            moved = abs(twin.readings[0] - then)
            self.still_twin_counts = max(self.still_twin_counts, moved)
        else:
            self.still_steps = self.still_twin_counts = 0
            self._twin_then = twin.readings[0]


def _word(state: int) -> str:
    return "open" if state else "closed"


def valve(result: StepResult) -> int:
    """The valve as commanded by a step."""
    return result.outputs.get(DEFAULT_PINS[0], 0)
