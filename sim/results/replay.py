"""Feeds the readings of a tape to a guest again, without a plant.

The tape of the run says when the guest ran and what each host call answered; the same module must
make the same calls.  Another module may be given: the first call in which it differs is named, and
from then on what it reads is what the first guest read, whatever it would have done to the soil.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from levada.guest.abi import KEEP_SLOTS, Call, ErrorCode
from levada.guest.fast import hostcalls
from levada.guest.limits import PROFILES
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import (
    Difference,
    Record,
    TapeReader,
    first_difference,
    iter_records,
)
from levada.guest.wasm.fleet import SimNodes
from levada.sim.results.compare import count_calls, tape_flaws
from levada.sim.run import build, runner
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.scenario import load as scenario
from levada.sim.scenario.expand import expand

__all__ = ["Replay", "Replayer", "replay_run", "up_to"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """What came out of a replay."""

    zones: int
    steps: int
    calls: int
    zone: str | None
    """Zone of the first difference."""
    difference: Difference | None
    notes: tuple[str, ...] = ()
    """What is wrong with the recording, or was left out for another guest."""
    complete: bool = True
    """Whether the recording is whole."""

    @property
    def exact(self) -> bool:
        """Whether the whole recording was made again, call by call, with the same arguments."""
        return self.difference is None and self.complete


def replay_run(run: RunDir, guest: Path | None = None, *, until_ms: int | None = None) -> Replay:
    """Replay all zones of a run with its own guest, or with another, up to `until_ms`.

    Raises RunDirError if the run's own guest is no longer to be found, ScenarioError or GuestError
    if scenario or module cannot be used.
    """
    guests = Replayer(run, guest)
    tape = guests.tape
    tapes = tape.tapes()
    flaws = tape_flaws(run, tape, tapes)
    notes = list(flaws)
    steps = calls = 0
    found: Difference | None = None
    where: str | None = None
    for name, whole in zip(tape.zones, tapes, strict=True):
        records = whole if until_ms is None else up_to(whole, until_ms)
        nodes, left_out = guests.nodes(name)
        notes += left_out
        with nodes:
            again = b"".join(part for _, part in guests.play(name, nodes, records))
        difference = first_difference(records, again)
        if difference is not None and (
            found is None or (difference.time_ms or 0) < (found.time_ms or 0)
        ):
            found, where = difference, name
        calls += count_calls(records)
        steps += sum(record.call == Call.STEP for record in iter_records(records))
    return Replay(
        zones=len(tape.zones),
        steps=steps,
        calls=calls,
        zone=where,
        difference=found,
        notes=tuple(notes),
        complete=not flaws,
    )


class Replayer:
    """Feeds the tapes of a run to its guest or to another one.

    Raises what `replay_run` does.
    """

    def __init__(self, run: RunDir, guest: Path | None = None) -> None:
        self._scenario = scenario.load(run.scenario_path)
        loaded = self._scenario
        self.module = guest.read_bytes() if guest is not None else runner.read_guest(loaded)
        self.info = runner.inspect_guest(loaded, self.module, guest)
        self.tape = TapeReader(run.tape_path)
        if guest is None and self.info.sha256 != self.tape.guest_sha256:
            raise RunDirError(
                f"{run.path}: {loaded.guest.file or DEFAULT_GUEST} is no longer the guest of "
                f"this run ({self.info.sha256[:16]} instead of {self.tape.guest_sha256[:16]}); "
                "name the right one with --guest"
            )
        self._zones = {zone.name: zone for zone in expand(loaded)}

    def nodes(self, name: str, *, module: bytes | None = None) -> tuple[SimNodes, list[str]]:
        """A node for a zone's guest, and what is left out because this guest does not have it.

        `module` is run instead: the same code, changed so that one can look into it.
        """
        zone, loaded = self._zones[name], self._scenario
        known = {parameter.name for parameter in self.info.parameters}
        notes = []
        unknown = sorted(zone.parameters.keys() - known)
        if unknown:  # only another guest can lack them
            notes.append(f"zone {name}: this guest has no {', '.join(unknown)}; left out")
            given = {key: value for key, value in zone.parameters.items() if key in known}
            zone = replace(zone, parameters=given)
        settings = build.node_settings(zone, self.module, self.info, loaded)
        nodes = SimNodes(
            module or self.module,
            names=[name],
            budget=loaded.guest.limits(),
            profile=PROFILES[loaded.guest.profile],
            config=settings.config,
            parameters=settings.parameters,
        )
        return nodes, notes

    def play(
        self, name: str, nodes: SimNodes, records: bytes
    ) -> Iterator[tuple[list[Record], bytes]]:
        """For each run of the guest: what the tape has of it, and what this guest has now done."""
        return _replay(nodes, records, len(self._zones[name].parameters))


def _replay(
    nodes: SimNodes, records: bytes, parameters: int
) -> Iterator[tuple[list[Record], bytes]]:
    readings = np.full((1, hostcalls.SENSORS), int(ErrorCode.UNAVAILABLE), dtype=np.int32)
    for run in runs_of(records):
        head = run[0]
        _remember(nodes, run)
        if head.call == Call.BOOT:
            nodes.boot(head.values[0])
            # what boot itself sets is on the tape right behind it
            set_later = [r for r in run if r.call == Call.PARAM_SET][parameters:]
            for record in set_later:
                _set(nodes, record)
        elif head.call == Call.PARAM_SET:
            _set(nodes, head)
        else:
            time_ms = head.values[0]
            nodes.online[0] = int(
                not any(
                    r.call == Call.MQTT_PUBLISH and r.values[2] == ErrorCode.OFFLINE for r in run
                )
            )
            readings[:] = int(ErrorCode.UNAVAILABLE)
            seen = set()
            for record in run:
                if record.call == Call.READ_SENSOR and record.values[0] not in seen:
                    kind, value = record.values
                    seen.add(kind)
                    if 0 <= kind < hostcalls.SENSORS:
                        readings[0, kind] = value
            _tell_uptime(nodes, time_ms, run)
            if nodes.trap[0] == 0:
                nodes.wake_ms[0] = time_ms
            nodes.step(time_ms, readings)
        yield run, nodes.drain_tape(0)


def _remember(nodes: SimNodes, run: Sequence[Record]) -> None:
    """Let the guest find what it found in the recording, as after a loss of what it kept."""
    seen = set()
    for record in run:
        if record.call in (Call.KEEP_GET, Call.KEEP_SET) and 0 <= record.values[0] < KEEP_SLOTS:
            slot, value = record.values[:2]
            if record.call == Call.KEEP_GET and slot not in seen:
                nodes.kept[0, slot] = value
            seen.add(slot)


def _tell_uptime(nodes: SimNodes, time_ms: int, run: Sequence[Record]) -> None:
    """Set the clock wrong by as much as it was in the recording, if the guest asked for uptime."""
    told = next((record.values[0] for record in run if record.call == Call.UPTIME_S), None)
    if told is not None:
        uptime_ms = time_ms - nodes.skew_ms[0] - nodes.rows[0, hostcalls.BOOTED]
        nodes.skew_ms[0] += 1000 * (uptime_ms // 1000 - told)


def _set(nodes: SimNodes, record: Record) -> None:
    """A calibration of the recording; another guest may not have the parameter."""
    parameter, value, _ = record.values
    if any(parameter == known.id for known in nodes.info.parameters):
        nodes.param_set(0, parameter, value)


def up_to(records: bytes, until_ms: int) -> bytes:
    """The part of a tape with the runs of the guest that began at `until_ms` or before."""
    for run in runs_of(records):
        head = run[0]
        if head.call in (Call.BOOT, Call.STEP) and head.values[0] > until_ms:
            return records[: head.offset]
    return records


def runs_of(records: bytes) -> Iterator[list[Record]]:
    """The records from one run of the guest to the next; a boot keeps its `init`'s parameters."""
    run: list[Record] = []
    booting = False
    for record in iter_records(records):
        starts = record.call in (Call.BOOT, Call.STEP, Call.PARAM_SET)
        if booting and (
            record.call == Call.PARAM_SET or (record.call == Call.STEP and record.values[1] == 0)
        ):
            starts = False
        if starts and run:
            yield run
            run = []
        if record.call == Call.BOOT:
            booting = True
        elif starts:
            booting = False
        run.append(record)
    if run:
        yield run
