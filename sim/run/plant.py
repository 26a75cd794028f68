"""The plant of a run: weather, soils, probes, valves and supplies of all zones, and their nodes.

Everything is in arrays, which `levada.sim.run.build` makes of a scenario, and goes on in
`levada.sim.run.zone_loop`, together with the guests that run in this process; this class hands the
arrays over, runs the nodes that are elsewhere, and is what faults and the recorder act on.  No zone
knows of another, so each has a time of its own; `advance_to` must be called before anything is
changed at an instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from os import cpu_count
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import DEFAULT_PINS, Call, ErrorCode, Sensor, TrapKind
from levada.guest.fast import fastpath, hostcalls, native
from levada.guest.fast.hostcalls import NEVER_MS
from levada.guest.node import Node, Readings, StepResult
from levada.guest.tape import iter_records
from levada.sim.devices.energy import EnergyProfile, EnergyState, EnergyWork
from levada.sim.devices.kernels import command_valve, cut_valve
from levada.sim.errors import SoilError
from levada.sim.run import zone_loop as loop
from levada.sim.run.build import FieldModels, NodeSettings, build_models, restart_ms
from levada.sim.run.node_faults import PROBE_FAULTS, VALVE_FAULTS, disturb_node
from levada.sim.run.reinstall import reinstall
from levada.sim.run.stops import GuestStop
from levada.sim.run.trace import TYPES
from levada.sim.run.trace_row import write_row
from levada.sim.run.zone_columns import Devices, Forcings, NodeCol, Soils, Stop, TotalsCol, Water
from levada.sim.scenario.fault import FaultEvent
from levada.sim.soil.model import ForcingCol, Observed, new_fluxes, new_forcing, new_observed

if TYPE_CHECKING:
    from levada.guest.wasm.fleet import SimNodes
    from levada.sim.scenario.expand import ZoneConfig
    from levada.sim.scenario.model import Scenario
    from levada.sim.weather import Weather

__all__ = ["Plant"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Keep = Callable[[int, bytes], None]
"""Takes the zone and the tape of every run of a guest that is elsewhere."""

ZONES_A_THREAD: Final = 16
"""Fewer zones than this are not worth a second thread."""

PARTS_A_THREAD: Final = 8


class Plant:
    """The zones of a scenario under one weather.

    `native` are the guests that step inside the loop, that of zone `native_zones[k]` being its
    k-th; `nodes` are those elsewhere, by zone, and `settings` what those of all zones were given.
    """

    def __init__(
        self,
        scenario: Scenario,
        zones: Sequence[ZoneConfig],
        weather: Weather,
        native: SimNodes | None,
        native_zones: Sequence[int],
        nodes: Mapping[int, Node] | None = None,
        keep: Keep = lambda _zone, _tape: None,
        *,
        threads: int | None = None,
        energy_profile: EnergyProfile | None = None,
        count_instructions: bool = True,
        settings: Sequence[NodeSettings] = (),
    ) -> None:
        n = len(zones)
        period = scenario.period
        self.n = n
        self.names = [zone.name for zone in zones]
        self.start_ms = period.start_ms
        self.end_ms = period.end_ms
        self.step_ms = period.step_s * 1000
        self.record_ms = period.trace_s * 1000
        self.nodes = dict(nodes or {})
        self._native = native
        self._native_zones = list(native_zones)
        self._keep = keep
        self._installed = {i: settings[i] for i in self.nodes if i < len(settings)}
        self._calibrate: set[int] = set()
        """Zones whose node gets its parameters after the next boot."""

        models = build_models(
            scenario, zones, weather, energy_profile, count_instructions=count_instructions
        )
        self._tables, self._hours = models.tables, models.hours
        self.bucket, self.richards = models.bucket, models.richards
        self.richards_zones = models.richards_zones
        self.probes, self.valves, self.powers = models.probes, models.valves, models.powers
        self.stations = models.stations
        self._supplies = models.supplies
        self._adjust_ms = self.start_ms
        self.readings = np.full((n, len(Sensor)), int(ErrorCode.UNAVAILABLE), dtype=np.int32)
        self.forcing = new_forcing(n)
        self.fluxes = new_fluxes(n)
        self.observed = new_observed(n)
        self.totals: FloatArray = np.zeros((n, len(TotalsCol)))
        self.zones: IntArray = _new_zones(n, self.start_ms, restart_ms(scenario), models)
        z = self.zones
        for k, zone in enumerate(self._native_zones):
            z[zone, NodeCol.NATIVE] = 1
            z[zone, NodeCol.HOST] = k
        fastpath.load()  # the loop is linked against it, whether a guest here needs it or not
        self._hosts = (
            native.rows if native is not None else np.zeros((1, hostcalls.ROW), dtype=np.int64)
        )
        self._header = native.address if native is not None else 0
        self._rows: FloatArray = np.zeros((n, 2, len(TYPES)))
        self._first_observation(models.zr_m)
        threads = threads or min(cpu_count() or 1, 1 + n // ZONES_A_THREAD)
        # several parts a thread: one that is held up leaves its parts to the others
        parts = max(1, min(PARTS_A_THREAD * threads, n // ZONES_A_THREAD))
        self._bounds = np.linspace(0, n, parts + 1).astype(int).tolist()
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.storage_start_mm: FloatArray = self.observed[:, Observed.STORAGE_MM].copy()
        self.stops: dict[int, GuestStop] = {}
        """By zone, how its guest was stopped first."""

    def _first_observation(self, zr_m: Sequence[float]) -> None:
        """What is to be seen before anything happened.

        A soil knows roots only from forcing, so it is shown one second of it and set back.
        """
        for model, kind in ((self.bucket, 0), (self.richards, 1)):
            if model is None:
                continue
            at = self.zones[:, NodeCol.SOIL] == kind
            n = int(at.sum())
            before, after = new_observed(n), new_observed(n)
            model.observe(before)
            forcing = self._tables[self.zones[at, NodeCol.TABLE], 0]
            forcing[:, : ForcingCol.ZR_M] = 0.0  # all that moves water stands before it
            forcing[:, ForcingCol.ET0_MM_H] = 0.0
            state = model.state()
            model.advance(1.0, forcing, new_fluxes(n), after)
            model.restore(state)
            after[:, Observed.STORAGE_MM] = before[:, Observed.STORAGE_MM]
            self.observed[at] = after
        self.observed[:, Observed.KS] = 1.0
        self.totals[:, TotalsCol.ZR_M] = zr_m

    # Time

    def advance_to(self, until_ms: int, zone: int | None = None) -> None:
        """Bring every zone, or one, to `until_ms`; what happens at that instant is still to come.

        Zones that share a supply wait for each other at every step of the field, where its pressure
        follows their valves.  Raises SoilError if a soil cannot be solved.
        """
        self._share_supplies(until_ms - 1)
        self._advance(until_ms, zone)

    def _share_supplies(self, last_ms: int) -> None:
        """Adjust supplies up to and including `last_ms`, where no node has made its step yet."""
        while self._supplies and self._adjust_ms <= last_ms:
            self._advance(self._adjust_ms, None)
            for supply in self._supplies:
                supply.adjust(self.valves)
            self._adjust_ms += self.step_ms

    def _advance(self, until_ms: int, zone: int | None) -> None:
        room = int((until_ms - self.zones[:, NodeCol.NOW_MS].min()) // self.record_ms) + 3
        used = int(self.zones[:, NodeCol.ROW].max())
        if used + room > self._rows.shape[1]:
            grown = np.zeros((self.n, used + room, len(TYPES)))
            grown[:, :used] = self._rows[:, :used]
            self._rows = grown
        which = slice(None) if zone is None else slice(zone, zone + 1)
        while self._run(until_ms, zone):
            stops = self.zones[which, NodeCol.STOP]
            if self._native is not None and (stops == Stop.TAPE).any():
                self._native.grow_tapes()
            for i in (np.flatnonzero(stops) + (zone or 0)).tolist():
                match Stop(int(self.zones[i, NodeCol.STOP])):
                    case Stop.BOOT:
                        self._boot(i)
                    case Stop.STEP:
                        self._step(i)
                    case Stop.SOIL:
                        self._raise_soil(i)
                    case Stop.ROWS:
                        raise AssertionError(f"zone {self.names[i]}: no room for its rows")
        self._note_stops()

    def due_ms(self) -> int:
        """When the next node outside has something to do, if nothing happens before; or NEVER."""
        due_ms = NEVER_MS
        for i in self.nodes:
            z = self.zones[i]
            if z[NodeCol.POWERED] and not z[NodeCol.DARK]:
                due_ms = min(due_ms, int(z[NodeCol.WAKE_MS]), int(z[NodeCol.BOOT_MS]))
        return due_ms

    def attend(self, now_ms: int) -> None:
        """Let the nodes outside do now what is due now, unless the run ends now."""
        if now_ms >= self.end_ms:
            return
        self._share_supplies(now_ms)
        for i in self.nodes:
            z = self.zones[i]
            if min(z[NodeCol.WAKE_MS], z[NodeCol.BOOT_MS]) > now_ms:
                continue
            self.advance_to(now_ms, i)
            if z[NodeCol.POWERED] and not z[NodeCol.DARK]:
                if z[NodeCol.BOOT_MS] <= now_ms:
                    self._boot(i)
                if z[NodeCol.WAKE_MS] <= now_ms:
                    self._step(i)

    def _run(self, until_ms: int, zone: int | None) -> int:
        arguments = self._arguments(until_ms)
        if self._native is None:
            return self._run_split(arguments, zone)
        with self._native.running():
            return self._run_split(arguments, zone)

    def _run_split(self, arguments: tuple[Any, ...], zone: int | None) -> int:
        if zone is not None:
            return int(loop.run_zones(zone, zone + 1, *arguments))
        if self._pool is None:
            return int(loop.run_zones(0, self.n, *arguments))
        parts = [
            self._pool.submit(loop.run_zones, first, last, *arguments)
            for first, last in pairwise(self._bounds)
        ]
        try:
            wait(parts)
        finally:
            wait(parts)  # an interruption must not find zones on the move
        return sum(int(part.result()) for part in parts)

    def _arguments(self, until_ms: int) -> tuple[Any, ...]:
        return (
            until_ms,
            self.step_ms,
            self.record_ms,
            self.start_ms,
            self.zones,
            self._rows,
            Forcings(self._hours, self._tables, self.forcing),
            self._soils(),
            self._devices(),
            self._water(),
            self._hosts,
            self._header,
        )

    def _soils(self) -> Soils:
        bucket, richards = self.bucket, self.richards
        return Soils(
            *(_NO_BUCKET if bucket is None else (bucket.parameters, bucket.variables)),
            *(_NO_RICHARDS if richards is None else richards.arrays),
        )

    def _devices(self) -> Devices:
        return Devices(
            self.probes.parameters,
            self.probes.state,
            self.probes.keys,
            self.valves.parameters,
            self.valves.state,
            self.powers.parameters,
            self.powers.state,
            self.powers.work,
            self.readings,
            self.stations.parameters,
            self.stations.state,
        )

    def _water(self) -> Water:
        return Water(self.fluxes, self.observed, self.totals)

    def _raise_soil(self, i: int) -> None:
        if self.richards is None:
            raise AssertionError("the bucket always has a solution")
        error = self.richards.error(int(self.zones[i, NodeCol.SOIL_ROW]))
        raise SoilError(error.detail, time_s=error.time_s, zone=i, cell=error.cell)

    def finish(self) -> None:
        """Write the last row, which stands for the end of the run."""
        for i in range(self.n):
            if self.zones[i, NodeCol.NEXT_ROW_MS] == self.zones[i, NodeCol.NOW_MS]:
                write_row(i, self.zones[i], self._water(), self._devices(), self._rows)
        # a run that ended between two rows still counts all its water
        self.totals[:, : self.fluxes.shape[1]] += self.fluxes
        self.totals[:, TotalsCol.ET0_MM] += self.totals[:, TotalsCol.ROW_ET0_MM]
        self.fluxes[:] = 0.0
        self.totals[:, TotalsCol.ROW_ET0_MM] = 0.0

    def take_rows(self) -> FloatArray:
        """Rows since the last call, zone by zone, shape (rows, columns of the trace)."""
        counts = self.zones[:, NodeCol.ROW]
        rows = np.concatenate([self._rows[i, : counts[i]] for i in range(self.n)])
        self.zones[:, NodeCol.ROW] = 0
        return rows

    # Nodes

    def _sample(self, i: int) -> Readings:
        """What the node of zone `i` reads now."""
        z, devices = self.zones[i], self._devices()
        loop.sample_zone(i, int(z[NodeCol.NOW_MS]), devices, self.observed)
        loop.sample_station(i, z, self.start_ms, self._hours, devices)
        return tuple(self.readings[i].tolist())

    def _command(self, i: int, state: int) -> None:
        """The node of zone `i` commands its valve now."""
        z = self.zones[i]
        z[NodeCol.COMMANDED] = state
        if not z[NodeCol.COMMAND_LOST]:
            now_ms = float(z[NodeCol.NOW_MS])
            command_valve(i, now_ms, state, self.valves.parameters, self.valves.state)

    def _boot(self, i: int) -> None:
        """Start the node of zone `i` afresh now; its outputs are 0."""
        z = self.zones[i]
        time_ms = int(z[NodeCol.NOW_MS] + z[NodeCol.SKEW_MS])
        skew_ms, forget = int(z[NodeCol.SKEW_MS]), bool(z[NodeCol.FORGET])
        self._note_stops()  # the boot forgets why
        z[NodeCol.BOOT_MS] = NEVER_MS
        z[NodeCol.FORGET] = 0
        self._command(i, 0)
        self.probes.power_up(int(z[NodeCol.NOW_MS]), [i])
        if z[NodeCol.NATIVE] == 0:
            result = self.nodes[i].boot(time_ms, skew_ms=skew_ms, forget=forget)
            if i in self._calibrate and result.trap == TrapKind.NONE:
                self.nodes[i].calibrate(self._installed[i].parameters)
                self._calibrate.discard(i)
            self._take(i, result)
            return
        if self._native is None:
            raise AssertionError("a native zone without its host")
        k = int(z[NodeCol.HOST])
        row = self._native.rows[k]
        start = int(row[hostcalls.POSITION])
        self._native.skew_ms[k] = skew_ms
        if forget:
            self._native.kept[k] = 0
        self._native.boot(time_ms, [k])
        records = native.tape_of(row)[start : row[hostcalls.POSITION]]
        self._take(
            i,
            StepResult(
                outputs={DEFAULT_PINS[0]: int(row[hostcalls.OUTPUTS])},
                tape=records.tobytes(),
                wake_ms=int(row[hostcalls.WAKE]) - time_ms,
                trap=TrapKind(int(row[hostcalls.TRAP])),
            ),
        )

    def _step(self, i: int) -> None:
        """Run the guest of zone `i`, which is elsewhere, once."""
        z = self.zones[i]
        readings = self._sample(i)
        time_ms = int(z[NodeCol.NOW_MS] + z[NodeCol.SKEW_MS])
        result = self.nodes[i].step(
            time_ms, readings, online=bool(z[NodeCol.ONLINE]), skew_ms=int(z[NodeCol.SKEW_MS])
        )
        z[NodeCol.STEPS] += 1
        self._take(i, result)

    def _take(self, i: int, result: StepResult) -> None:
        """Take over what the node of zone `i` did."""
        z, work = self.zones[i], self.powers.work[i]
        if z[NodeCol.NATIVE] == 0:
            self._keep(i, result.tape)
        work[EnergyWork.WAKES] += 1.0
        work[EnergyWork.INSTRUCTIONS] += result.instructions
        published = sum(
            len(record.values[0]) + len(record.values[1])
            for record in iter_records(result.tape)
            if record.call == Call.MQTT_PUBLISH
        )
        if published:
            work[EnergyWork.BURSTS] += 1.0
            work[EnergyWork.BYTES] += published
            # may be written, as a simulated node's tape may: else numba compiles it once more
            text = np.frombuffer(bytearray(result.tape), dtype=np.uint8)
            loop.note_telemetry(z, text, 0, text.size)
        z[NodeCol.TRAP] = result.trap
        if result.trap != TrapKind.NONE:
            self._command(i, 0)
            loop.note_trap(z)
            if z[NodeCol.NATIVE] == 0:
                self._note_stop(i, result.trap_detail, result.trap_backtrace)
            return
        z[NodeCol.WAKE_MS] = min(int(z[NodeCol.NOW_MS]) + result.wake_ms, NEVER_MS)
        self._command(i, result.outputs.get(DEFAULT_PINS[0], 0))

    def _note_stops(self) -> None:
        """Keep why guests here were stopped."""
        if self._native is None:
            return
        self._native.collect_traps()
        for i in np.flatnonzero(self.zones[:, NodeCol.TRAP]).tolist():
            if self.zones[i, NodeCol.NATIVE] and i not in self.stops:
                trap = self._native.trap_error(int(self.zones[i, NodeCol.HOST]))
                if trap is not None:
                    self._note_stop(i, str(trap), trap.backtrace)

    def _note_stop(self, i: int, reason: str, backtrace: tuple[str, ...]) -> None:
        time_ms = int(self.zones[i, NodeCol.STOPPED_MS])
        self.stops.setdefault(
            i,
            GuestStop(time_ms=time_ms, reason=reason or "guest stopped", backtrace=backtrace),
        )

    # Faults

    def apply(self, event: FaultEvent) -> None:
        """Begin or end a fault now."""
        i, active = event.zone_index, event.active
        now_ms = int(self.zones[i, NodeCol.NOW_MS])
        z = self.zones[i]
        magnitude = event.magnitude or 0.0
        if event.kind in PROBE_FAULTS:
            self.probes.set_fault(now_ms, i, PROBE_FAULTS[event.kind], active, magnitude)
        elif event.kind in VALVE_FAULTS:
            self.valves.set_fault(now_ms, i, VALVE_FAULTS[event.kind], active, magnitude)
        elif event.kind == "reinstall":
            if z[NodeCol.POWERED] and not z[NodeCol.DARK]:
                self._install(i)
        elif event.kind == "brown-out":
            z[NodeCol.POWERED] = int(not active)
            if active:
                z[NodeCol.WAKE_MS] = z[NodeCol.BOOT_MS] = NEVER_MS
                z[NodeCol.COMMANDED] = 0
                cut_valve(i, float(now_ms), self.valves.parameters, self.valves.state)
            else:
                z[NodeCol.BOOT_MS] = now_ms
        else:
            disturb_node(z, event)
        bit = 1 << event.fault_index % 31
        if active:
            z[NodeCol.FAULTS] |= bit
        else:
            z[NodeCol.FAULTS] &= ~bit

    def _install(self, i: int) -> None:
        """Install the guest of zone `i` again; one that runs here is made anew at each boot."""
        if i in self._installed:
            reinstall(self.nodes[i], self._installed[i].module)
            self._calibrate.add(i)  # the parameters have gone with the guest
        self.zones[i, NodeCol.BOOT_MS] = self.zones[i, NodeCol.NOW_MS]
        self.zones[i, NodeCol.FORGET] = 1

    def profile(self) -> list[tuple[int, FloatArray, FloatArray]]:
        """(zone, depths [m], theta) of every zone whose soil has depth."""
        if self.richards is None:
            return []
        depths, theta = self.richards.profile()
        return [(zone, depths, theta[k]) for k, zone in enumerate(self.richards_zones)]

    def close(self) -> None:
        """Release threads and guests."""
        if self._pool is not None:
            self._pool.shutdown()
        if self._native is not None:
            self._native.close()


def _new_zones(n: int, start_ms: int, restart_ms: int, models: FieldModels) -> IntArray:
    """State of the nodes before anything happened: each boots at the start."""
    z: IntArray = np.zeros((n, len(NodeCol)), dtype=np.int64)
    z[:, NodeCol.NOW_MS] = z[:, NodeCol.NEXT_ROW_MS] = start_ms
    z[:, NodeCol.WAKE_MS] = NEVER_MS
    z[:, NodeCol.BOOT_MS] = start_ms
    z[:, NodeCol.POWERED] = z[:, NodeCol.ONLINE] = 1
    z[:, NodeCol.DARK] = models.powers.state[:, EnergyState.EMPTY]
    z[:, NodeCol.RESTART_MS] = restart_ms
    z[:, NodeCol.TABLE] = models.table
    z[:, NodeCol.SOIL] = models.soil_kind
    z[:, NodeCol.SOIL_ROW] = models.soil_row
    z[:, NodeCol.PCT] = z[:, NodeCol.WHY] = -1
    return z


_NO_BUCKET: Final[tuple[FloatArray, FloatArray]] = (np.zeros((0, 1)), np.zeros((0, 1)))
_NO_RICHARDS: Final = (
    np.zeros((0, 1, 1)),
    np.zeros((0, 1)),
    np.zeros((0, 1)),
    np.zeros((0, 1, 16)),
)
