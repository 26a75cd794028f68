"""The twin's side of a field: what its devices reported is judged here, stored and alerted on.

A source (`levada.twin.sources.source`) tells what every device did and what the twin's guest did
beside it.  At the end of each slice of time the steps are judged one after the other, and the
signals of device and twin are stored beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from levada.guest.module.inspect import ModuleInfo
from levada.guest.node import Node
from levada.guest.tape import Difference
from levada.hil.link import SILENCE_S
from levada.sim.results.decisions import sentence, title
from levada.sim.run import runner
from levada.sim.run.build import NodeSettings
from levada.sim.run.plant import Plant
from levada.sim.run.trace import INDEX
from levada.sim.run.zone_columns import NodeCol
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import FloatArray
from levada.sim.units import HOUR_MS
from levada.twin import signals as values_of
from levada.twin.alerts import Alerts, Change
from levada.twin.clock import PacedClock
from levada.twin.diagnosis import CODES, Cause, valve
from levada.twin.journal import Journal
from levada.twin.observer import StepObservation
from levada.twin.snapshot import ZoneView, zone_view
from levada.twin.sources.resume import NEW
from levada.twin.zone import ZoneState, new_zone

__all__ = ["TwinField"]

PROFILE_MS: Final = HOUR_MS
"""Between two profiles of the soil."""

OF_DEVICE: Final = ("counts", "temp_c", "battery_mv", "valve_open", "flow_l", "energy_j")
OF_TWIN: Final = (
    *OF_DEVICE,
    "theta_root",
    "theta_fc_root",
    "theta_stress_root",
    "dr_mm",
    "raw_mm",
    "ks",
    "rain_mm",
    "irrigation_mm",
    "et0_mm",
)


class TwinField:
    """The zones of a field, each with its device, its mirror and its part of the twin's plant.

    `publish` is given every alert, `deliver` what devices publish: zone, topic, time [ms], message.
    `changed` is called when something is to be seen that cannot wait for the end of the slice, and
    `attend` lets other threads have their turn while a source waits.
    """

    def __init__(
        self,
        scenario: Scenario,
        info: ModuleInfo,
        clock: PacedClock,
        journal: Journal,
        *,
        publish: Callable[[str, Change], None],
        deliver: Callable[[str, str, int, str], None],
        changed: Callable[[], None],
        attend: Callable[[], None],
    ) -> None:
        self.scenario = scenario
        self.info = info
        self.clock = clock
        self.journal = journal
        self.weather = runner.read_weather(scenario)
        self.changed = changed
        self.attend = attend
        self._publish = publish
        self._deliver = deliver
        configs = expand(scenario)
        self.names = [config.name for config in configs]
        self.alerts = Alerts(scenario.alert, configs)
        self.zones: list[ZoneState] = []
        self.devices: list[Node] = []
        self._twins: Sequence[Node] = ()
        self._nodes: list[Node] = []
        """Devices, mirrors and the nodes of the twin's plant, to be closed."""
        self._profile_ms = 0

    # Building

    def add_zone(self, settings: NodeSettings, device: Node) -> None:
        """The next zone; TwinMismatchError if its device runs another guest."""
        self.devices.append(device)
        self._nodes.append(device)
        zone = new_zone(settings, device, self.info)
        self._nodes.append(zone.mirror)
        zone.heard_ms = self.scenario.period.start_ms
        self.zones.append(zone)

    def build_plant(self, nodes: Sequence[Node]) -> None:
        """Make the twin's plant, whose valves `nodes` command, zone by zone."""
        self._twins = nodes
        self._nodes.extend(nodes)
        configs = [zone.config for zone in self.zones]
        self.plant = Plant(self.scenario, configs, self.weather, None, [], dict(enumerate(nodes)))

    def close(self) -> None:
        """Close plant and nodes; valves are closed."""
        if self._twins:
            self.plant.close()
        for node in self._nodes:
            node.close()
        self._nodes.clear()

    # Time

    @property
    def now_ms(self) -> int:
        """Present virtual time [ms since 1970]."""
        return self.scenario.period.start_ms + round(self.clock.now * 1000)

    def zone_ms(self, i: int) -> int:
        """Where a zone of the twin's plant is in time [ms since 1970]."""
        return int(self.plant.zones[i, NodeCol.NOW_MS])

    # What the source tells

    def observe(
        self, i: int, now_ms: int, seen: StepObservation, difference: Difference | None
    ) -> None:
        """A device ran at the true time `now_ms`; `difference` is where its calls part from those
        of its mirror.
        """
        zone = self.zones[i]
        before = zone.device[-1][1] if zone.device else zone.last
        zone.device.append((now_ms, seen, difference))
        if bool(seen.lost) != bool(before is not None and before.lost):
            self.changed()  # /health does not wait for a verdict

    def observe_twin(self, i: int, now_ms: int, seen: StepObservation) -> None:
        """The twin's guest ran, or would have."""
        self.zones[i].twin.append((now_ms, seen))

    def listen(self, i: int, silent_s: float) -> None:
        """Note how long the line to a zone's device has been silent [wall-clock s]; it is told at
        once, also while the request is still waited for."""
        zone = self.zones[i]
        whole_s = int(silent_s) if silent_s > SILENCE_S else 0
        if whole_s != zone.silent_s:
            zone.silent_s = whole_s
            self._alert(i, zone, self.now_ms)
            self.changed()

    def take_over(self, i: int, values: dict[int, int]) -> None:
        """Let mirror and twin have the parameters that the device has now, by id."""
        self.zones[i].mirror.calibrate(values)
        self._twins[i].calibrate(values)

    # Judging

    def judge_until(self, now_ms: int) -> None:
        """Judge the steps that were made before `now_ms`."""
        for i, zone in enumerate(self.zones):
            while zone.device and zone.device[0][0] < now_ms:
                self._judge(i, zone, *zone.device.popleft())

    def _judge(
        self,
        i: int,
        zone: ZoneState,
        now_ms: int,
        seen: StepObservation,
        difference: Difference | None,
    ) -> None:
        while zone.twin and zone.twin[0][0] <= now_ms:
            _, zone.last_twin = zone.twin.popleft()
            self._note_decision(i, zone, "twin", now_ms, zone.last_twin)
        twin = zone.last_twin
        if twin is not None and (twin.readings is None) != (seen.readings is None):
            twin = None  # one of them has just started
        pulses = seen.readings[3] if seen.readings is not None else 0
        opened = valve(zone.last.result) if zone.last is not None else 0
        zone.judged = zone.diagnoser.judge(seen, twin, difference)
        if zone.last is not None:
            zone.measure_flow(now_ms, opened, pulses, self.scenario.period.step_s * 1000)
        zone.flowed = pulses > 0
        if zone.diagnoser.still_steps == 0 or zone.still_since_ms is None:
            zone.still_since_ms = now_ms
        zone.last = seen
        zone.steps += 1
        if seen.result.publications or (not seen.lost and seen.readings is None):
            zone.heard_ms = now_ms
        self._note_decision(i, zone, "device", now_ms, seen)
        for line in seen.result.logs:
            zone.logs.append(line)
        for topic, message in seen.result.publications:
            self._deliver(self.names[i], topic, seen.time_ms, message)

    def _note_decision(
        self, i: int, zone: ZoneState, who: str, now_ms: int, seen: StepObservation
    ) -> None:
        decision = values_of.decision(i, now_ms, seen)
        if decision is None:
            return
        if who == "device":
            zone.pct = decision.pct
            zone.decision = sentence(decision)
        key = (decision.irrigar, decision.why, decision.trap)
        if zone.decided.get(who) == key:
            return
        before = zone.decided.get(who)
        changed = before is not None and before[0] != decision.irrigar
        zone.decided[who] = key
        if now_ms <= zone.resume.upto_ms:
            return
        reason = sentence(replace(decision, changed=changed))
        self.journal.event(
            i,
            "decision",
            f"{title(decision)}. {reason}",
            {
                "who": who,
                "step_ms": seen.time_ms,
                "valve": decision.irrigar,
                "why": decision.why,
                "counts": decision.raw,
                "pct": decision.pct,
                "on": decision.on,
                "off": decision.off,
            },
            time_ms=now_ms,
        )

    # At the end of a slice

    def record(self, now_ms: int, of_device: Sequence[FloatArray] | None) -> None:
        """Judge and store a slice that ends at `now_ms`.

        `of_device` are the rows of the devices' plant by zone; None: it is not simulated here.
        """
        of_twin = values_of.by_zone(self.plant.take_rows(), len(self.names))
        self.judge_until(now_ms)
        for i, zone in enumerate(self.zones):
            if of_device is None:  # values of the device are stored as they come
                for row in of_twin[i]:
                    self._store_row(i, zone, row, {})
            else:
                for mine, other in zip(of_device[i], of_twin[i], strict=False):
                    self._store_row(i, zone, other, self._of_device(i, zone, mine))
            self._alert(i, zone, now_ms)
        if now_ms >= self._profile_ms:
            self._profile_ms = now_ms + PROFILE_MS
            for i, depths_m, theta in [*self.plant.profile(), *self._layers()]:
                self.journal.profile(i, now_ms, depths_m, theta)

    def _layers(self) -> Iterator[tuple[int, FloatArray, FloatArray]]:
        """(zone, depths [m], theta) of every zone with a bucket soil."""
        if self.plant.bucket is None:
            return
        for i, zone in enumerate(self.plant.zones):
            if i not in self.plant.richards_zones:
                yield i, *self.plant.bucket.layers(int(zone[NodeCol.SOIL_ROW]))

    def _of_device(self, i: int, zone: ZoneState, row: FloatArray) -> dict[str, float]:
        """Store a row of the devices' plant; its signals."""
        time_ms = int(row[INDEX["time_ms"]])
        zone.count_water(time_ms, float(row[INDEX["flow_l"]]))
        zone.energy_j = (zone.energy_j or 0.0) + float(row[INDEX["energy_j"]])
        signals = values_of.signals(row, OF_DEVICE, zone.curve)
        self.journal.points(i, time_ms, "raw", signals)
        return signals

    def _store_row(
        self, i: int, zone: ZoneState, row: FloatArray, of_device: Mapping[str, float]
    ) -> None:
        """Store a row of the twin's plant, and how far the device is from it."""
        time_ms = int(row[INDEX["time_ms"]])
        et_mm = float(row[INDEX["evaporation_mm"]] + row[INDEX["transpiration_mm"]])
        zone.use(time_ms, et_mm)
        signals = values_of.signals(row, OF_TWIN, zone.curve)
        signals |= {"et_mm": et_mm, "cause": CODES[zone.verdict.cause]}
        if "theta" in of_device and "theta" in signals:
            signals["residual"] = of_device["theta"] - signals["theta"]
        self.journal.points(i, time_ms, "twin", signals)

    def alert_all(self, now_ms: int) -> None:
        """Raise and clear alerts by what is known now."""
        for i, zone in enumerate(self.zones):
            self._alert(i, zone, now_ms)

    def _alert(self, i: int, zone: ZoneState, now_ms: int) -> None:
        values = zone.alert_values(
            now_ms, self.plant.observed[i], self.scenario.guest.budget.instructions
        )
        if zone.resume is not NEW and now_ms > zone.resume.upto_ms:
            self.alerts.resume(i, zone.resume.standing)
            zone.resume = NEW
        verdict = zone.verdict
        evidence = {"said": verdict.text, "parameters": zone.parameters, **verdict.evidence}
        cause = verdict.cause.value if verdict.cause is not Cause.NONE else ""
        for change in self.alerts.update(i, now_ms, values, cause=cause, evidence=evidence):
            if now_ms <= zone.resume.upto_ms:
                continue
            self.journal.event(
                i,
                "alert",
                change.text,
                change.evidence,
                severity=change.severity,
                time_ms=now_ms,
            )
            self._publish(self.names[i], change)

    def views(self) -> tuple[ZoneView, ...]:
        """What is to be seen of every zone."""
        return tuple(self._view(i, zone) for i, zone in enumerate(self.zones))

    def _view(self, i: int, zone: ZoneState) -> ZoneView:
        return zone_view(
            zone,
            self.plant.observed[i],
            start_ms=self.scenario.period.start_ms,
            alerts=tuple(self.alerts.active(i)),
            link=self.devices[i].quality(),
        )
