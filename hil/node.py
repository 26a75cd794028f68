"""A device as a node: the same contract as the guest in Wasmtime, over a link.

A device that starts again in the middle of a run has closed its outputs and forgotten its guest.
The node then opens a new session, starts the guest at the present time, as after a power cut, and
goes on; the tape shows the new BOOT, and `quality` counts and explains it.  So it does if another
host has taken the device, but then the run is void.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from levada.guest.abi import Call, TrapKind
from levada.guest.errors import ParameterError
from levada.guest.limits import EDGE, Budget, Profile
from levada.guest.module.inspect import inspect
from levada.guest.node import Birth, Readings, StepResult
from levada.guest.tape import encode, stop_text, time_text
from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError
from levada.hil.lease import LEASE_MS, Heart, old_lease_ms
from levada.hil.link import Link, Patience
from levada.hil.wire import messages
from levada.hil.wire.message import MessageError
from levada.hil.wire.messages import BirthFlag, NakError, ResetReason, StartFlag, StepFlag

__all__ = ["DeviceNode"]

_log = logging.getLogger(__name__)

CHUNK: Final = 1000
"""Bytes of a module in one message."""
RESTARTS_IN_A_ROW: Final = 3
"""So often may a device start again within one request before it is given up."""
BRIEF: Final = Patience(tries=2, reopen_s=0.0)
"""For a last word to a device that may be gone."""
FOR_EVER: Final = " (the guest ran for ever)"
"""Why a watchdog bit that bites again at once: no fault of the device."""
RECORD_BYTES: Final = 16
"""A record of the tape has 13 bytes at most, without the texts in it."""
TAPE_SPARE_BYTES: Final = 1 << 16
"""For what no host call writes, and for one text that is refused as too long."""
INIT, STEP, MAIN = 0, 1, 2
ONLINE, OFFLINE = int(StepFlag.ONLINE), 0
LEASE_EXPIRED_BIT: Final = int(StepFlag.LEASE_EXPIRED).bit_length() - 1
"""As numbers: arithmetic with flags of Python's `enum` takes longer than all the rest of a step."""

PACK_STEP: Final = messages.Step.layout.pack
UNPACK_RESULT: Final = messages.StepResult.layout.unpack_from
RESULT_BYTES: Final = messages.StepResult.layout.size

_DoneT = TypeVar("_DoneT")


class DeviceNode:
    """One guest on a device.

    The first request opens the session, brings the module over if the device has another one, and
    configures it.  The device closes its outputs after `lease_ms` without a host; None: as long as
    its firmware allows for (`levada.hil.lease`), 0: it never does.  `speed` is that of the run,
    None for max.
    """

    def __init__(
        self,
        link: Link,
        module: bytes,
        *,
        name: str = "esp32",
        budget: Budget = Budget(),  # noqa: B008 - immutable
        profile: Profile = EDGE,
        config: tuple[int, int, int] = (2500, 1000, 2000),
        parameters: Mapping[int, int] | None = None,
        lease_ms: int | None = None,
        speed: float | None = None,
    ) -> None:
        self.link = link
        self._seen: dict[tuple[int, int], dict[int, int]] = {}
        """Outputs by state, as they have been before."""
        self.device: messages.Birth | None = None
        """What the device said when the present session began."""
        self._name = name
        self._budget = budget
        self._profile = profile
        self._config = config
        self._parameters = dict(parameters or {})
        self._lease_ms = lease_ms
        self._speed = speed
        self._heart = Heart(link, speed)
        self.lapses: list[str] = []
        """When the device told that it had closed its outputs because no host was heard."""
        self._told_of_old_lease = False
        self._restarts: list[str] = []
        self._boot_id: int | None = None
        self._taken = 0
        self._time_ms = 0
        self._skew_ms = 0
        self._booted_ms = 0
        """True time at which the guest was started."""
        self._forget = True
        """The next start is the first, or one after a loss of what the guest kept."""
        self._retries = 0
        """Of the link, when the present request began."""
        self._started = False
        self._closed = False
        self._before = b""
        """Records that belong before those of the next result."""
        self._take_module(module)
        self._info.check_rules(self._parameters)

    def _take_module(self, module: bytes) -> None:
        self._info = inspect(module, budget=self._budget).require()
        self._module = module
        self._sha256 = hashlib.sha256(module).digest()
        exports = {export.name for export in self._info.exports}
        self._is_command = not {"init", "step"} <= exports

    # The contract of levada.guest.node.Node

    def birth(self) -> Birth:
        """Who the device is; its guest is the wanted one afterwards."""
        device = self._surely(self._session)
        metadata = self._info.metadata
        return Birth(
            guest_sha256=device.guest_sha256.hex(),
            guest_name=metadata.name if metadata else "",
            guest_version=metadata.version if metadata else "",
            abi_version=device.abi_version,
            engine=device.engine,
            firmware=device.firmware,
            boot_id=device.boot_id,
        )

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Start the guest afresh."""
        self._time_ms = time_ms
        self._skew_ms = skew_ms
        self._forget |= forget
        self._retries = self.link.quality.retries
        let_go = self._heart.silent  # of a node without power, say, whose valve is closed anyway

        def start() -> StepResult:
            answer = self._start()
            if not let_go:
                self._note_lease(answer.flags >> LEASE_EXPIRED_BIT & 1)
            return self._result(answer)

        try:
            return self._surely(start)
        except _Watchdog:
            return self._ran_for_ever(INIT)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Inject readings and run the guest once."""
        self._time_ms = time_ms
        self._skew_ms = skew_ms
        self._retries = self.link.quality.retries
        flags = ONLINE if online else OFFLINE
        if self._started:  # as nearly always
            try:
                return self._stepped(flags, readings)
            except DeviceRestarted:
                self.device = None
                self._started = False

        def step() -> StepResult:
            stopped = self._start_again()
            if stopped is not None:
                return stopped
            return self._stepped(flags, readings)

        try:
            return self._surely(step)
        except _Watchdog:
            return self._ran_for_ever(MAIN if self._is_command else STEP)

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Set parameters by id, all or none; values read back from the guest."""
        for parameter, value in values.items():
            if self._info.parameters:
                self._info.parameter(parameter).check(value)
        self._info.check_rules(self._parameters | values)
        request = messages.Calibrate(flags=0, parameters=tuple(values.items()))

        def calibrate() -> dict[int, int]:
            self._start_again()
            answer = self.link.ask(request, messages.Calibrated)
            self._before += self._rest(b"", answer.tape_bytes)
            return dict(answer.parameters)

        try:
            found = self._surely(calibrate)
        except DeviceError as error:
            if error.error != NakError.PARAMETER:
                raise
            self._before += self._refused_tape()
            raise self._refused(error.detail, values) from None
        self._parameters |= values
        return found

    def install(self, module: bytes) -> Birth:
        """Replace the guest; it runs from the next `boot`."""
        self._take_module(module)
        self._parameters = {}
        self.device = None
        self._started = False
        return self.birth()

    def quality(self) -> dict[str, Any]:
        """What the link has seen, with who is at its other end."""
        device = self.device
        void = self.link.quality.void()
        if self.lapses and void is None:
            void = (
                f"the device closed its outputs {len(self.lapses)} times: no host was heard for "
                f"{self.lease_ms / 1000:g} s, first told at {self.lapses[0]}"
            )
        return {
            "url": self.link.url,
            "engine": device.engine if device else "",
            "firmware": device.firmware if device else "",
            **self.link.quality.summary(),
            "lease_ms": self.lease_ms,
            "restarts": list(self._restarts),
            "void": void,
        }

    def close(self) -> None:
        """Close the outputs, then the line."""
        self._heart.close()
        try:
            if self.device is not None and not self._closed:
                self.link.patience = BRIEF
                self._close_outputs()
        except HilError:
            pass  # a device that does not answer closes its outputs by itself (lease, restart)
        finally:
            self._closed = True
            self.link.close()

    def _close_outputs(self) -> None:
        try:
            self._note_lease(self.link.ask(messages.Close(), messages.Ack).value)
        except DeviceRestarted:  # or Ctrl-C kept the request before from being sent
            self.link.hello()
            self.link.ask(messages.Close(), messages.Ack)

    @property
    def lease_ms(self) -> int:
        """Silence of ours after which the device closes its outputs [wall-clock ms]; 0: never."""
        if self._lease_ms is not None:
            return self._lease_ms
        if self.device is None or self.device.flags & BirthFlag.HEARTBEAT:
            return LEASE_MS
        return old_lease_ms(self._speed)

    def set_lease(self, lease_ms: int | None) -> None:
        """Another lease from now on, as `lease_ms` of the node."""
        self._lease_ms = lease_ms
        if self.device is not None:
            self.link.ask(self._configuration(), messages.Ack)

    # Sessions

    def _surely(self, action: Callable[[], _DoneT]) -> _DoneT:
        """Do it in a session, in a new one if the device starts again."""
        bites = 0
        for attempt in range(RESTARTS_IN_A_ROW + 1):
            try:
                device = self._session()
                if attempt and device.reset_reason == ResetReason.WATCHDOG:
                    bites += 1
                    if bites > 1:
                        raise _Watchdog
                return action()
            except DeviceRestarted:
                self.device = None
                self._started = False
        raise LinkError(
            f"{self.link.url}: had to be started again {RESTARTS_IN_A_ROW + 1} times within one "
            f"request ({'; '.join(self._restarts[-RESTARTS_IN_A_ROW:])}); "
            f"last console line: {self.link.last_console_line}"
        )

    def _session(self) -> messages.Birth:
        if self.device is not None:
            return self.device
        device = self._hello()
        if device.guest_sha256 != self._sha256:
            # the device judges the module by the limits that it will run with
            self.link.ask(self._configuration(), messages.Ack)
            self._install(device)
            device = self._hello()
            if device.guest_sha256 != self._sha256:
                raise LinkError(
                    f"{self.link.url}: has guest {device.guest_sha256.hex()[:16]} after "
                    f"{self._sha256.hex()[:16]} was installed"
                )
        self.device = device
        try:
            self.link.ask(self._configuration(), messages.Ack)
        except BaseException:
            self.device = None
            raise
        self._begin_to_beat(device)
        return device

    def _begin_to_beat(self, device: messages.Birth) -> None:
        if device.flags & BirthFlag.HEARTBEAT:
            self._heart.begin()
        elif not self._told_of_old_lease:
            self._told_of_old_lease = True
            _log.warning(
                "%s: firmware %s takes no heartbeat: without a host its outputs close after %.0f s",
                self.link.url,
                device.firmware,
                self.lease_ms / 1000.0,
            )

    def _hello(self) -> messages.Birth:
        device = self.link.hello()
        reason = None
        if self._boot_id not in (None, device.boot_id):
            try:
                reason = ResetReason(device.reset_reason).name.lower().replace("_", " ")
            except ValueError:
                reason = f"reason {device.reset_reason}"
        elif self.link.quality.taken > self._taken:
            reason = "taken by another host"
        if reason:
            self._restarts.append(f"{time_text(self._time_ms)}: {reason}")
        self._boot_id = device.boot_id
        self._taken = self.link.quality.taken
        return device

    def _install(self, device: messages.Birth) -> None:
        if len(self._module) > device.slot_bytes:
            raise LinkError(
                f"{self.link.url}: the guest has {len(self._module)} bytes, the device takes "
                f"{device.slot_bytes}"
            )
        ask = self.link.ask
        ask(messages.InstallBegin(size=len(self._module), sha256=self._sha256), messages.Ack)
        for offset in range(0, len(self._module), CHUNK):
            data = self._module[offset : offset + CHUNK]
            ask(messages.InstallChunk(offset=offset, data=data), messages.Ack)
        ask(messages.InstallEnd(), messages.Ack)

    def _configuration(self) -> messages.Configure:
        pins, budget = self._profile.pins, self._budget
        return messages.Configure(
            node=self._name,
            prefix=self._profile.topic_prefix,
            counts=self._config,
            imports=sum(1 << Call[name.upper()] for name in self._profile.imports),
            pin_count=len(pins),
            pins=(*pins, *(0,) * (16 - len(pins))),
            instructions=budget.instructions,
            deadline_ms=budget.deadline_ms,
            memory_pages=budget.memory_pages,
            host_calls=budget.host_calls,
            log_bytes=budget.log_bytes,
            publish_bytes=budget.publish_bytes,
            lease_ms=self.lease_ms,
        )

    # Runs of the guest

    def _start(self) -> messages.StepResult:
        request = messages.Start(
            time_ms=self._time_ms,
            flags=StartFlag.FORGET if self._forget else StartFlag(0),
            parameters=tuple(self._parameters.items()),
        )
        try:
            answer = self.link.ask(request, messages.StepResult)
        except DeviceError as error:
            if error.error != NakError.PARAMETER:
                raise
            raise self._refused(error.detail, self._parameters) from None
        self._started = True
        self._forget = False
        self._booted_ms = self._time_ms - self._skew_ms
        self._heart.expect(answer.wake_ms - self._time_ms)
        return answer

    def _stepped(self, flags: int, readings: Readings) -> StepResult:
        """What a step did; by the ten thousand, so no message becomes an object here."""
        uptime_ms = self._time_ms - self._skew_ms - self._booted_ms
        try:
            request = PACK_STEP(self._time_ms, flags, *readings, uptime_ms)
        except struct.error as error:
            raise MessageError(f"Step({self._time_ms}, {readings}): {error}") from None
        body = self.link.exchange(messages.Step, request, messages.StepResult)
        tape = body[RESULT_BYTES:]
        try:
            trap, _, flags, outputs, ever_set, wake_ms, _, _, size = UNPACK_RESULT(body)
        except struct.error as error:
            raise LinkError(f"{self.link.url}: answered Step with nonsense: {error}") from None
        self._heart.expect(wake_ms - self._time_ms)
        if trap or flags or size != len(tape) or self._before:
            self._note_lease(flags >> LEASE_EXPIRED_BIT & 1)
            return self._result(messages.StepResult.decode(body))
        return StepResult(
            outputs=self._outputs(outputs, ever_set), tape=tape, wake_ms=self._wait_ms(wake_ms)
        )

    def _start_again(self) -> StepResult | None:
        """Start the guest unless it is; its result if it was stopped on the way."""
        if self._started:
            return None
        answer = self._start()
        if answer.trap != TrapKind.NONE:
            return self._result(answer)
        self._before += self._rest(answer.tape, answer.tape_bytes)
        return None

    def _result(self, answer: messages.StepResult) -> StepResult:
        tape = self._rest(answer.tape, answer.tape_bytes)
        if self._before:
            tape, self._before = self._before + tape, b""
        if answer.trap != TrapKind.NONE:
            return self._stopped(TrapKind(answer.trap), tape)
        return StepResult(
            outputs=self._outputs(answer.outputs, answer.ever_set),
            tape=tape,
            wake_ms=self._wait_ms(answer.wake_ms),
        )

    def _note_lease(self, ended: int) -> None:
        if ended:
            self.lapses.append(time_text(self._time_ms))
            _log.warning(
                "%s: it had closed its outputs, as no host was heard for %g s",
                self.link.url,
                self.lease_ms / 1000.0,
            )

    def _outputs(self, states: int, ever_set: int) -> dict[int, int]:
        known = self._seen.get((states, ever_set))
        if known is None:
            known = self._seen[states, ever_set] = {
                pin: states >> bit & 1
                for bit, pin in enumerate(self._profile.pins)
                if ever_set >> bit & 1
            }
        return known.copy()

    def _stopped(self, trap: TrapKind, tape: bytes) -> StepResult:
        return StepResult(
            outputs={},
            tape=tape,
            trap=trap,
            trap_detail=f"{stop_text(tape, trap)} on {self.link.url}",
        )

    def _ran_for_ever(self, entry: int) -> StepResult:
        """The watchdog has bitten twice: what is left is that the guest was stopped."""
        quality = self.link.quality
        quality.excused += quality.retries - self._retries
        tape = self._before
        self._before = b""
        bite = f"{time_text(self._time_ms)}: watchdog"
        self._restarts = [r + FOR_EVER if r == bite else r for r in self._restarts]
        if entry == INIT:
            tape += encode(Call.BOOT, self._time_ms)
        tape += encode(Call.STEP, self._time_ms, entry)
        return self._stopped(TrapKind.OUT_OF_FUEL, tape + encode(Call.TRAP, TrapKind.OUT_OF_FUEL))

    def _rest(self, tape: bytes, size: int) -> bytes:
        self._check_tape(size)
        while len(tape) < size:
            part = self.link.ask(messages.ReadTape(offset=len(tape)), messages.Tape)
            if not part.tape:
                raise LinkError(f"{self.link.url}: the tape ends at {len(tape)} of {size} bytes")
            tape += part.tape
        return tape

    def _refused_tape(self) -> bytes:
        """Records of a calibration that was undone; no answer says how long they are."""
        tape = b""
        while part := self.link.ask(messages.ReadTape(offset=len(tape)), messages.Tape).tape:
            tape += part
            self._check_tape(len(tape))
        return tape

    def _check_tape(self, size: int) -> None:
        """A run has no longer tape than its budget permits; a device may say what it likes."""
        budget = self._budget
        most = TAPE_SPARE_BYTES + budget.log_bytes + budget.publish_bytes
        most += RECORD_BYTES * budget.host_calls
        if size > most:
            raise LinkError(
                f"{self.link.url}: tells of a tape of {size} bytes: at most {most} in this budget"
            )

    def _wait_ms(self, wake_ms: int) -> int:
        """Time until the guest wants to run again, which is not in the past."""
        if wake_ms < self._time_ms:
            raise LinkError(
                f"{self.link.url}: wants to run again at {wake_ms} ms, but it is {self._time_ms} ms"
            )
        return wake_ms - self._time_ms

    @staticmethod
    def _refused(parameter: int, values: Mapping[int, int]) -> ParameterError:
        return ParameterError(
            f"parameter {parameter} = {values.get(parameter)}: the guest refuses it"
        )


class _Watchdog(HilError):  # noqa: N818 - an event rather than a fault
    """The watchdog has bitten twice in one request."""
