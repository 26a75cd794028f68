"""A fleet of guests in Wasmtime: all simulated nodes of one module.

`SimNodes` keeps every guest of a fleet in arrays and steps those whose time has come; a step of
the fast path runs no Python.  Each guest has a store of its own, so one that is stopped does not
touch the others: its outputs are 0, `trap` says why, and `boot` makes a clean instance again.
`levada.guest.wasm.node` has one such guest behind the protocol of `levada.guest.node`,
`levada.guest.wasm.pure` calls functions of modules that have no step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import KEEP_SLOTS, ErrorCode, TrapKind
from levada.guest.errors import AbiError, GuestError, ParameterError, Trap
from levada.guest.fast import fastpath, hostcalls
from levada.guest.fast.fastpath import PathName
from levada.guest.lifecycle import Closing
from levada.guest.limits import EDGE, Budget, Profile
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.wasm.command import CommandThread
from levada.guest.wasm.engine import exported_functions
from levada.guest.wasm.instances import Inside, Instances
from levada.guest.wasm.parameters import check_values, set_values

__all__ = ["SimNodes"]

DEFAULT_CONFIG: Final = (2500, 1000, 2000)
"""Counts of a capacitive probe in air and in water, and a limit between."""

MAINS: Final = ("main", "__main_void", "_start", "__original_main")
"""Entry points of command guests, the first found is taken."""

INIT, STEP, MAIN = 0, 1, 2

_COLUMNS: Final = range(hostcalls.LEAST_SENSORS, hostcalls.SENSORS + 1)
"""So many readings a node may have."""


class SimNodes(Closing):
    """`n` nodes that run the same module.

    Attributes, all indexed by zone and to be written only where it says so:

    `outputs` [n, pins] commanded state of each pin of the profile, 0 or 1;
    `wake_ms` [n] virtual time of the next run;
    `trap` [n] TrapKind of a stopped guest, 0 while it runs;
    `online` [n] 0: `mqtt_publish` answers OFFLINE (write);
    `skew_ms` [n] what the node's clock is ahead of the true time, which `uptime_s` counts (write);
    `rows` [n, ROW] everything above, with the columns of `levada.guest.fast.hostcalls`;
    `config` [n, 3] dry, wet and limit counts for `get_config` (write);
    `kept` [n, KEEP_SLOTS] what the guest keeps over a boot (write).
    """

    def __init__(
        self,
        module: bytes,
        n: int = 1,
        *,
        names: Sequence[str] | None = None,
        budget: Budget = Budget(),  # noqa: B008 - immutable
        profile: Profile = EDGE,
        config: npt.ArrayLike = DEFAULT_CONFIG,
        parameters: Mapping[int, int] | Sequence[Mapping[int, int]] = (),
        tape: bool = True,
        path: PathName | None = None,
    ) -> None:
        if names is None:
            names = ["esp32"] if n == 1 else [f"zone{i}" for i in range(n)]
        if n < 1 or len(names) != n:
            raise GuestError(f"{n} nodes with {len(names)} names: need one name for each, n >= 1")
        self.n = n
        exports = exported_functions(module, budget)
        self.info: ModuleInfo = inspect(bytes(module), budget=budget).require()
        self.is_command = not {"init", "step"} <= exports.keys()
        mains = [name for name in MAINS if name in exports]
        if self.is_command and not mains:
            raise AbiError(
                "exports neither `init` and `step` nor `main`; functions: "
                + (", ".join(sorted(exports)) or "none")
            )
        self._main = mains[0] if mains else ""
        self._main_arguments = (0,) * len(exports[self._main].params) if mains else ()
        if path is None:
            path = "ordinary" if self.is_command else fastpath.chosen()
        elif path == "fast" and self.is_command:
            raise GuestError("command guests take the ordinary path")
        self._host = Instances(module, names, budget=budget, profile=profile, tape=tape, path=path)
        self.path: PathName = path
        self._profile = profile
        self._threads: dict[int, CommandThread] = {}
        if self.is_command:
            self._host.on_delay = self._pause
        if isinstance(parameters, Mapping):
            parameters = [parameters] * n
        self._parameters = [dict(p) for p in parameters] or [{} for _ in range(n)]
        if len(self._parameters) != n:
            raise ParameterError(f"parameters for {len(self._parameters)} nodes, {n} nodes")
        for values in self._parameters:
            check_values(self.info, values, {})
        rows = self._host.rows
        self.rows = rows
        self.outputs = rows[:, hostcalls.OUTPUTS : hostcalls.OUTPUTS + len(profile.pins)]
        self.wake_ms = rows[:, hostcalls.WAKE]
        self.trap = rows[:, hostcalls.TRAP]
        self.online = rows[:, hostcalls.ONLINE]
        self.skew_ms = rows[:, hostcalls.SKEW]
        self.kept = rows[:, hostcalls.KEPT : hostcalls.KEPT + KEEP_SLOTS]
        self.config = rows[:, hostcalls.CONFIG : hostcalls.CONFIG + 3]
        self.config[:] = config
        rows[:, hostcalls.READINGS : hostcalls.CONFIG] = int(ErrorCode.UNAVAILABLE)
        self._native_step = fastpath.require().step if path == "fast" else None
        self.address = self._host.address

    @property
    def names(self) -> tuple[str, ...]:
        """Node names, as in topics."""
        return self._host.names

    def boot(self, time_ms: int, zones: Iterable[int] | None = None) -> None:
        """Start guests afresh: new instance, `init`, then the parameters in force.

        All of them by default.  A guest that is stopped on the way is in `trap` afterwards; what
        is wrong with the module itself is raised (LimitError, ParameterError).
        """
        self._host.enter()
        try:
            for zone in range(self.n) if zones is None else zones:
                self._boot(time_ms, zone)
        finally:
            self._host.busy = False

    def _boot(self, time_ms: int, zone: int) -> None:
        self._end_thread(zone)
        host, row = self._host, self.rows[zone]
        hostcalls.put_boot(row, host.tape_for_run(zone), time_ms)
        row[hostcalls.TIME] = time_ms
        row[hostcalls.DELAYED] = 0
        hostcalls.renew_budget(row)
        try:
            host.instantiate(zone)
            if self.is_command:  # starts in its first step, when there are readings
                row[hostcalls.WAKE] = time_ms
                return
            hostcalls.begin(row, host.tape_for_run(zone), time_ms, INIT)
            self._finish(zone, "init", host.call(zone, "init"))
            if not row[hostcalls.TRAP]:
                self._set_all(zone, self._parameters[zone])
        except Trap:
            pass  # kept by the host, shown in `trap`

    def step(self, time_ms: int, readings: npt.NDArray[np.int32]) -> int:
        """Run every guest whose time has come, with `readings` (int32).

        They have a row a guest and four to seven columns in the order of Sensor; what is left out
        is unavailable.
        Returns the number of guests that ran.
        """
        host = self._host
        host.enter()
        try:
            if self._native_step is None:
                return self._step_ordinary(time_ms, readings)
            packed = self._native_step(self.address, self.rows, time_ms, readings)
        finally:
            host.busy = False
        if packed >> 24:
            if packed < 0:
                raise _wrong_shape(readings, self.n)
            if (packed >> 24) & 0xFFFFFF:
                self.collect_traps()
            if packed >> 48:
                host.grow_tapes()
        return packed & 0xFFFFFF

    def _step_ordinary(self, time_ms: int, readings: npt.NDArray[np.int32]) -> int:
        fits = readings.shape in [(self.n, columns) for columns in _COLUMNS]
        if not fits or readings.dtype != np.int32:
            raise _wrong_shape(readings, self.n)
        host, stepped = self._host, 0
        for zone in range(self.n):
            row = self.rows[zone]
            if row[hostcalls.TRAP] or row[hostcalls.WAKE] > time_ms:
                continue
            stepped += 1
            buffer = host.tape_for_run(zone)
            hostcalls.inject(row, readings[zone])
            hostcalls.begin(row, buffer, time_ms, MAIN if self.is_command else STEP)
            try:
                if self.is_command:
                    self._resume(zone)
                else:
                    self._finish(zone, "step", host.call(zone, "step"))
            except Trap:
                pass  # kept by the host, shown in `trap`
        return stepped

    def _finish(self, zone: int, function: str, result: int) -> None:
        row = self.rows[zone]
        hostcalls.finish(row, self._host.tapes[zone], result, 0 if function == "init" else 1)
        if row[hostcalls.TRAP]:
            self._host.keep_trap(zone, function, TrapKind.GUEST_FAULT, None)

    # For a loop of its own around the native step

    @contextmanager
    def running(self) -> Iterator[None]:
        """While native code steps guests from elsewhere (`rows`, `address`): deadlines are kept."""
        self._host.enter()
        try:
            yield
        finally:
            self._host.busy = False

    def grow_tapes(self) -> None:
        """Make room for more records in every tape buffer."""
        self._host.grow_tapes()

    def collect_traps(self) -> None:
        """Turn what stopped guests in native code into errors, see `trap_error`."""
        for zone in np.flatnonzero(self.trap):
            if int(zone) not in self._host.traps:
                error = self._host.take_native_error(int(zone))
                self._host.keep_trap(int(zone), "step", TrapKind(int(self.trap[zone])), error)

    # Command guests

    def _resume(self, zone: int) -> None:
        """Run `main` until it delays, returns or is stopped."""
        host, row = self._host, self.rows[zone]
        thread = self._threads.get(zone)
        if thread is None:

            def main() -> None:
                result = host.call(zone, self._main, *self._main_arguments)
                hostcalls.put_return(row, host.tapes[zone], 0 if result is None else int(result))

            thread = CommandThread(main, f"guest {host.names[zone]}")
            self._threads[zone] = thread
        else:
            host.select(zone)
            host.renew(zone)
        try:
            thread.resume()
        finally:
            if thread.finished:
                row[hostcalls.WAKE] = hostcalls.NEVER_MS
                self._end_thread(zone)
            else:
                host.count_instructions(zone)
                row[hostcalls.WAKE] = row[hostcalls.TIME] + max(row[hostcalls.DELAYED], 1)

    def _pause(self) -> None:
        self._threads[self._host._current].pause()

    def _end_thread(self, zone: int) -> None:
        thread = self._threads.pop(zone, None)
        if thread is not None:
            thread.close()

    # Parameters

    def param_get(self, zone: int, parameter: int) -> int:
        """Value of a parameter, as the guest has it."""
        self._host.enter()
        try:
            return self._get(zone, parameter)
        finally:
            self._host.busy = False

    def param_set(self, zone: int, parameter: int, value: int) -> int:
        """Set one parameter; the guest's answer, 0 or an ErrorCode.  Recorded on the tape."""
        self._host.enter()
        try:
            result = self._set(zone, parameter, value)
        finally:
            self._host.busy = False
        if result == 0:
            self._parameters[zone][parameter] = value
        return result

    def calibrate(self, zone: int, values: Mapping[int, int]) -> dict[int, int]:
        """Set parameters, all or none; the values the guest has afterwards.

        ParameterError says name, value and range of the first that is refused, or the rule that
        would be broken.  What is in force survives a later `boot`.
        """
        check_values(self.info, values, self._parameters[zone])
        self._host.enter()
        try:
            before = {parameter: self._get(zone, parameter) for parameter in reversed(values)}
            try:
                self._set_all(zone, values)
            except ParameterError:
                changed = {p: v for p, v in before.items() if self._get(zone, p) != v}
                self._set_all(zone, changed)
                raise
            self._parameters[zone].update(values)
            return {parameter: self._get(zone, parameter) for parameter in values}
        finally:
            self._host.busy = False

    def _get(self, zone: int, parameter: int) -> int:
        if "param_get" not in self._host.exports(zone):
            raise ParameterError(f"parameter {parameter}: the guest has none")
        self._host.tape_for_run(zone)
        return int(self._host.call(zone, "param_get", parameter))

    def _set(self, zone: int, parameter: int, value: int) -> int:
        if "param_set" not in self._host.exports(zone):
            raise ParameterError(f"parameter {parameter}: the guest has none")
        self._host.tape_for_run(zone)
        result = int(self._host.call(zone, "param_set", parameter, value))
        hostcalls.put_param_set(self.rows[zone], self._host.tapes[zone], parameter, value, result)
        return result

    def _set_all(self, zone: int, values: Mapping[int, int]) -> None:
        set_values(self.info, partial(self._set, zone), values)

    # What happened

    def drain_tape(self, zone: int) -> bytes:
        """The records since the last call."""
        used = int(self.rows[zone, hostcalls.POSITION])
        self.rows[zone, hostcalls.POSITION] = 0
        return self._host.tapes[zone, :used].tobytes()

    def look_inside(self) -> None:
        """From now on keep, for `inside`, what a guest held when it was stopped."""
        self._host.looks = True

    def inside(self, zone: int) -> Inside | None:
        """Memory and exported globals of a guest; None if it was stopped before `look_inside`."""
        return self._host.inside(zone)

    def trap_error(self, zone: int) -> Trap | None:
        """Why a guest was stopped, with the wasm backtrace; None while it runs."""
        return self._host.traps.get(zone)

    def ever_set(self, zone: int) -> dict[int, int]:
        """State of every pin the guest ever set since it booted, by pin."""
        mask = int(self.rows[zone, hostcalls.EVER_SET])
        return {
            pin: int(self.outputs[zone, k])
            for k, pin in enumerate(self._profile.pins)
            if mask >> k & 1
        }

    def close(self) -> None:
        """Release every guest; outputs are 0 and no thread is left."""
        for zone in list(self._threads):
            self._end_thread(zone)
        self._host.close()


def _wrong_shape(readings: npt.NDArray[Any], n: int) -> GuestError:
    return GuestError(
        f"readings of shape {readings.shape}, {readings.dtype}: must be int32 of shape ({n}, "
        f"{_COLUMNS[0]}) to ({n}, {_COLUMNS[-1]})"
    )
