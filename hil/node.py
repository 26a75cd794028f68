"""A device as a node: the same contract as the guest in Wasmtime, over a link.

A device that starts again in the middle of a run has closed its outputs and forgotten its guest.
The node then opens a new session (`levada.hil.session`), starts the guest at the present time, as
after a power cut, and goes on; the tape shows the new BOOT, and `quality` counts and explains it.
So it does if another host has taken the device, but then the run is void.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from levada.guest.abi import Call, TrapKind
from levada.guest.errors import ParameterError
from levada.guest.limits import EDGE, Budget, Profile
from levada.guest.module.inspect import ModuleInfo
from levada.guest.node import Birth, Readings, StepResult
from levada.guest.tape import encode, stop_text
from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError
from levada.hil.link import Link, Patience
from levada.hil.session import GuestRanForEver, Session
from levada.hil.update.carried import carried_parameters
from levada.hil.wire import messages
from levada.hil.wire.message import MessageError
from levada.hil.wire.messages import NakError, StartFlag, StepFlag

__all__ = ["DeviceNode"]

BRIEF: Final = Patience(tries=2, reopen_s=0.0)
"""For a last word to a device that may be gone."""
RECORD_BYTES: Final = 16
"""A record of the tape has 13 bytes at most, without the texts in it."""
TAPE_SPARE_BYTES: Final = 1 << 16
"""For what no host call writes, and for one text that is refused as too long."""
KEEP: Final = 1
"""Flag of `Calibrate`."""
INIT, STEP, MAIN = 0, 1, 2
ONLINE, OFFLINE = int(StepFlag.ONLINE), 0
LEASE_EXPIRED_BIT: Final = int(StepFlag.LEASE_EXPIRED).bit_length() - 1
"""As numbers: arithmetic with flags of Python's `enum` takes longer than all the rest of a step."""

PACK_STEP: Final = messages.Step.layout.pack
UNPACK_RESULT: Final = messages.StepResult.layout.unpack_from
RESULT_BYTES: Final = messages.StepResult.layout.size


class DeviceNode:
    """One guest on a device.

    The first request opens the session, brings the module over if the device has another one, and
    configures it.  The device closes its outputs after `lease_ms` without a host; None: as long as
    its firmware allows for (`levada.hil.lease`), 0: it never does.  `speed` is that of the run,
    None for max.  A device that trusts keys takes the module with its signed `envelope` alone.
    If it has one of `others` already, each with its envelope, that is the guest.
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
        envelope: bytes = b"",
        others: Sequence[tuple[bytes, bytes]] = (),
        lease_ms: int | None = None,
        speed: float | None = None,
    ) -> None:
        self.link = link
        self._session = Session(
            link,
            module,
            envelope=envelope,
            others=others,
            name=name,
            budget=budget,
            profile=profile,
            config=config,
            lease_ms=lease_ms,
            speed=speed,
        )
        self._session.on_back = self._went_back
        self._budget = budget
        self._pins = profile.pins
        self._known_outputs: dict[tuple[int, int], dict[int, int]] = {}
        """Outputs by state, as they have been before."""
        self._parameters = dict(parameters or {})
        self._session.info.check_rules(self._parameters)
        self._time_ms = 0
        self._skew_ms = 0
        self._booted_ms = 0
        """True time at which the guest was started."""
        self._forget = True
        """The next start is the first, or one after a loss of what the guest kept."""
        self._retries = 0
        """Of the link, when the present request began."""
        self._before_trial: tuple[dict[int, int], bool] | None = None
        """Parameters of the former module, and whether it was started, while another is tried."""
        self.on_trial = False
        """Whether the last run was one of a module on trial, whose outputs are held closed."""
        self.rolled_back = False
        """Whether the last run that told anything told that the former module runs again."""
        self._closed = False
        self._before = b""
        """Records that belong before those of the next result."""

    # The contract of levada.guest.node.Node

    def birth(self) -> Birth:
        """Who the device is; its guest is the wanted one afterwards."""
        device = self._session.surely(self._session.open)
        metadata = self._session.info.metadata
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
        session = self._begin(time_ms, skew_ms)
        self._forget |= forget
        let_go = session.heart.silent  # of a node without power, say, whose valve is closed anyway

        def start() -> StepResult:
            answer = self._start()
            if not let_go:
                session.note_lease(answer.flags >> LEASE_EXPIRED_BIT & 1)
            return self._result(answer)

        try:
            return session.surely(start)
        except GuestRanForEver:
            return self._ran_for_ever(INIT)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Inject readings and run the guest once."""
        session = self._begin(time_ms, skew_ms)
        flags = ONLINE if online else OFFLINE
        if session.started:  # as nearly always
            try:
                return self._stepped(flags, readings)
            except DeviceRestarted:
                session.lose()

        def step() -> StepResult:
            stopped = self._start_again()
            if stopped is not None:
                return stopped
            return self._stepped(flags, readings)

        try:
            return session.surely(step)
        except GuestRanForEver:
            exports = {export.name for export in session.info.exports}
            return self._ran_for_ever(STEP if {"init", "step"} <= exports else MAIN)

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Set parameters by id, all or none; values read back from the guest."""
        return self._calibrate(values, 0)

    def keep(self, values: Mapping[int, int]) -> None:
        """The same, and the device keeps them in flash."""
        if values:
            self._calibrate(dict(values), KEEP)

    def _calibrate(self, values: dict[int, int], flags: int) -> dict[int, int]:
        for parameter, value in values.items():
            if self._session.info.parameters:
                self._session.info.parameter(parameter).check(value)
        self._session.info.check_rules(self._parameters | values)
        request = messages.Calibrate(flags=flags, parameters=tuple(values.items()))

        def calibrate() -> dict[int, int]:
            self._start_again()
            answer = self.link.ask(request, messages.Calibrated)
            self._before += self._rest(b"", answer.tape_bytes)
            return dict(answer.parameters)

        try:
            found = self._session.surely(calibrate)
        except DeviceError as error:
            if error.error != NakError.PARAMETER:
                raise
            self._before += self._refused_tape()
            raise self._refused(error.detail, values) from None
        self._parameters |= values
        return found

    def install(self, module: bytes) -> Birth:
        """Replace the guest; it runs from the next `boot`."""
        self._session.take_module(module)
        self._parameters = {}
        return self.birth()

    @property
    def session(self) -> Session:
        """The session with the device."""
        return self._session

    def try_next(self, parameters: Mapping[int, int]) -> None:
        """Start the guest afresh at the next step: a module waits there for its trial.

        `parameters` are the values in force that it knows, by id.
        """
        self._before_trial = self._parameters, self._session.started
        self._parameters = dict(parameters)
        self._session.started = False
        self.on_trial = True

    def end_trial(self, *, committed: bool) -> None:
        """Go on with the module on trial, or with the former one and its parameters."""
        before, self._before_trial = self._before_trial, None
        if committed:
            self.on_trial = False
        if before is None or committed:
            return
        began = self._session.started or self._session.device is None
        self._parameters, started = before
        if not began:  # it was not started: the former one never stopped
            self._session.started, self.on_trial = started, False

    def quality(self) -> dict[str, Any]:
        """What the link has seen, with who is at its other end."""
        session, device = self._session, self._session.device
        void = self.link.quality.void()
        if session.lapses and void is None:
            void = (
                f"the device closed its outputs {len(session.lapses)} times: no host was heard for "
                f"{session.lease_ms / 1000:g} s, first told at {session.lapses[0]}"
            )
        return {
            "url": self.link.url,
            "engine": device.engine if device else "",
            "firmware": device.firmware if device else "",
            **self.link.quality.summary(),
            "lease_ms": session.lease_ms,
            "restarts": list(session.restarts),
            "silences": list(session.silences),
            "void": void,
        }

    def close(self) -> None:
        """Close the outputs, then the line."""
        self._session.heart.close()
        try:
            if self._session.device is not None and not self._closed:
                self.link.patience = BRIEF
                self._session.close_outputs()
        except HilError:
            pass  # a device that does not answer closes its outputs by itself (lease, restart)
        finally:
            self._closed = True
            self.link.close()

    @property
    def silent_s(self) -> float:
        """How long the device has not been heard though it should have been [wall-clock s]; 0.0
        while all is well.  To be read from any thread, while a request waits."""
        return self.link.silent_s

    @property
    def lapses(self) -> list[str]:
        """When the device told that it had closed its outputs because no host was heard."""
        return self._session.lapses

    def set_lease(self, lease_ms: int | None) -> None:
        """Another lease from now on, as `lease_ms` of the node."""
        self._session.set_lease(lease_ms)

    # Runs of the guest

    def _begin(self, time_ms: int, skew_ms: int) -> Session:
        """A request begins at that virtual time."""
        self._time_ms = self._session.time_ms = time_ms
        self._skew_ms = skew_ms
        self._retries = self.link.quality.retries
        return self._session

    def _went_back(self, given_up: ModuleInfo) -> None:
        """The device runs the module before again: what both declare alike keeps its value."""
        carried = carried_parameters(given_up, self._session.info)
        self._parameters = {p: v for p, v in self._parameters.items() if p in carried}

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
        self._session.started = True
        self._forget = False
        self._booted_ms = self._time_ms - self._skew_ms
        self._session.heart.expect(answer.wake_ms - self._time_ms)
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
        self._session.heart.expect(wake_ms - self._time_ms)
        if trap or flags or size != len(tape) or self._before or self.on_trial:
            self._session.note_lease(flags >> LEASE_EXPIRED_BIT & 1)
            return self._result(messages.StepResult.decode(body))
        return StepResult(
            outputs=self._outputs(outputs, ever_set), tape=tape, wake_ms=self._wait_ms(wake_ms)
        )

    def _start_again(self) -> StepResult | None:
        """Start the guest unless it is; its result if it was stopped on the way."""
        if self._session.started:
            return None
        answer = self._start()
        if answer.trap != TrapKind.NONE:
            return self._result(answer)
        self._before += self._rest(answer.tape, answer.tape_bytes)
        return None

    def _result(self, answer: messages.StepResult) -> StepResult:
        if (
            answer.flags & StepFlag.ROLLED_BACK
            and not self.on_trial
            and self._session.former is not None
        ):
            self._session.go_back()
        self.on_trial = bool(answer.flags & StepFlag.TRIAL)
        self.rolled_back = bool(answer.flags & StepFlag.ROLLED_BACK)
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

    def _outputs(self, states: int, ever_set: int) -> dict[int, int]:
        known = self._known_outputs.get((states, ever_set))
        if known is None:
            known = self._known_outputs[states, ever_set] = {
                pin: states >> bit & 1 for bit, pin in enumerate(self._pins) if ever_set >> bit & 1
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
        self._session.excuse_watchdog()
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
