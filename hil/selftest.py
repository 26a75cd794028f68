"""What a device must do, tried on it: the first thing to run with a new board.

Everything is checked against the simulated node, which is what a device has to equal.  The result
is one JSON document, made to be sent to whoever keeps the table of boards (docs/hardware.md).
"""

from __future__ import annotations

import platform
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from time import perf_counter, sleep
from typing import Any, Final

from levada.guest.abi import ABI_VERSION, DEFAULT_PINS
from levada.guest.errors import ParameterError
from levada.guest.node import Readings, StepResult
from levada.guest.tape import first_difference
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.errors import HilError
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.nodes import open_link
from levada.hil.wire import messages
from levada.hil.wire.message import MAX_BODY
from levada.sim.scenario.node_url import parse_node

__all__ = ["Check", "selftest"]

START_MS: Final = 1_681_516_800_000
"""2023-04-15, as the quickstart."""
STEP_MS: Final = 600_000
LEASE_MS: Final = 300
DRY: Final[Readings] = (2300, 1500, 3700, 0)
DRY_STEPS: Final = 600
PINGS: Final = 200
SEED: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that a device must do."""

    name: str
    passed: bool
    detail: str
    seconds: float


def selftest(
    node: str,
    module: bytes,
    *,
    steps: int = 1000,
    pki: str | None = None,
    tell: Callable[[Check], None] = lambda _: None,
) -> dict[str, Any]:
    """Try everything on the device at `node`; what came out, ready for JSON.

    Raises HilError if no device answers at all.
    """
    url = parse_node(node)
    checks: list[Check] = []
    with ExitStack() as stack:
        link = open_link(url, stack, pki=pki)
        birth = link.hello()
        bench = _Bench(link, module, steps)
        stack.callback(bench.close)
        for name, check in bench.checks():
            began_s = perf_counter()
            try:
                detail, passed = check(), True
            except (AssertionError, HilError) as error:
                detail, passed = str(error) or type(error).__name__, False
            found = Check(name=name, passed=passed, detail=detail, seconds=perf_counter() - began_s)
            checks.append(found)
            tell(found)
        return {
            "format": "levada-selftest",
            "version": 1,
            "passed": all(check.passed for check in checks),
            "node": node,
            "device": {
                "engine": birth.engine,
                "firmware": birth.firmware,
                "abi_version": birth.abi_version,
                "slot_bytes": birth.slot_bytes,
                "reset_reason": birth.reset_reason,
            },
            "checks": [asdict(check) for check in checks],
            "link": link.quality.summary(),
            "figures": bench.figures,
            "console": list(link.console)[-20:],
            "seed": SEED,
            "levada_version": version("levada"),
            "host": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        }


class _Bench:
    """The device and its simulated twin, step by step with the same readings."""

    def __init__(self, link: Link, module: bytes, steps: int) -> None:
        self._link = link
        self._steps = steps
        self._random = random.Random(SEED)
        self._device = DeviceNode(link, module)
        self._twin = WasmtimeNode(module)
        self._time_ms = START_MS
        self.figures: dict[str, Any] = {}

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Name and function of every check, in order; a function says what it saw."""
        yield "answers, with the right ABI", self._answers
        yield "echoes frames of every size", self._echoes
        yield "finds its place again after noise", self._noise
        yield "takes the guest", self._takes_guest
        yield "does the same as the simulated node, call by call", self._same_calls
        yield "executes a repeated request once", self._once
        yield "takes a calibration, all or none", self._calibrates
        yield "closes its outputs when the host is silent", self._lease
        yield "goes on after a restart, outputs closed", self._restarts
        yield "closes its outputs at the end", self._ends

    def close(self) -> None:
        """Release both."""
        self._device.close()
        self._twin.close()

    def _answers(self) -> str:
        birth = self._link.hello()
        assert birth.abi_version == ABI_VERSION, f"ABI {birth.abi_version}, expected {ABI_VERSION}"
        return f"{birth.engine}, {birth.firmware}, boot {birth.boot_id}"

    def _echoes(self) -> str:
        for size in [0, 1, 253, 254, 255, 508, MAX_BODY, *[40] * PINGS]:
            data = self._random.randbytes(size)
            answer = self._link.ask(messages.Ping(data=data), messages.Pong)
            assert answer.data == data, f"another echo of {size} bytes"
        quality = self._link.quality.summary()
        return f"median {quality['round_trip_p50_ms']:.3f} ms"

    def _noise(self) -> str:
        before = self._statistics().bad_frames
        self._link.write_raw(self._random.randbytes(2000))
        self._link.ask(messages.Ping(data=b"after noise"), messages.Pong)
        return f"{self._statistics().bad_frames - before} runs of noise counted"

    def _takes_guest(self) -> str:
        birth = self._device.birth()
        twin = self._twin.birth()
        assert birth.guest_sha256 == twin.guest_sha256, f"has guest {birth.guest_sha256[:16]}"
        return f"{birth.guest_name} {birth.guest_version} {birth.guest_sha256[:16]}"

    def _same_calls(self) -> str:
        self._compare(self._device.boot(self._time_ms), self._twin.boot(self._time_ms))
        began_s = perf_counter()
        for number in range(self._steps):
            self._step(self._readings(number))
        rate = self._steps / (perf_counter() - began_s)
        self.figures["steps_per_s"] = rate
        statistics = self._statistics()
        self.figures["guest_us_per_step"] = statistics.active_us / max(statistics.steps, 1)
        self.figures["stack_bytes"] = statistics.stack_bytes
        return f"{self._steps} steps, {statistics.host_calls} calls, {rate:.0f} steps/s"

    def _once(self) -> str:
        self._step(self._readings(0))
        before = self._statistics()
        self._link.repeat()
        self._link.repeat()
        after = self._statistics()
        assert after.steps == before.steps, f"{after.steps - before.steps} steps executed again"
        assert after.repeats - before.repeats >= 2, "the repetition was not recognised"
        return f"{after.repeats - before.repeats} repetitions recognised"

    def _calibrates(self) -> str:
        declared = self._twin.nodes.info.parameters
        if not declared:
            return "the guest has no parameters"
        first = declared[0]
        value = first.maximum if first.default != first.maximum else first.minimum
        found = self._device.calibrate({first.id: value})
        assert found == {first.id: value}, f"{first.name} = {found.get(first.id)}, set to {value}"
        self._twin.calibrate({first.id: value})
        try:
            self._link.ask(
                messages.Calibrate(flags=0, parameters=((first.id, first.maximum + 1),)),
                messages.Calibrated,
            )
        except (HilError, ParameterError):
            pass
        else:
            raise AssertionError(f"{first.name} = {first.maximum + 1} was not refused")
        self._device.calibrate({first.id: first.default})
        self._twin.calibrate({first.id: first.default})
        self._step(self._readings(1))
        return f"{first.name} = {value} and back; {first.maximum + 1} refused"

    def _lease(self) -> str:
        for _ in range(DRY_STEPS):  # until the guest, finding dry soil, opens the valve
            if self._step(DRY).outputs.get(DEFAULT_PINS[0]):
                break
        else:
            return "not tried: the guest opens no valve when readings say dry"
        self._device.set_lease(LEASE_MS)
        sleep(3 * LEASE_MS / 1000.0)
        self._step(DRY, compare=False)
        expired = len(self._device.lapses)
        self._device.set_lease(None)
        assert expired == 1, f"{expired} leases have expired: 1 expected"
        return f"the valve was open, and closed within {3 * LEASE_MS} ms"

    def _restarts(self) -> str:
        before = self._device.birth().boot_id
        self._link.ask(messages.Reset(), messages.Ack)
        result = self._step(self._readings(3), compare=False)
        after = self._device.birth()
        assert after.boot_id != before, "the boot id is the same"
        assert result.outputs.get(DEFAULT_PINS[0], 0) == 0, "the valve is open"
        return f"boot {before}, then {after.boot_id}; guest kept"

    def _ends(self) -> str:
        self._link.ask(messages.Close(), messages.Ack)
        return ""

    def _statistics(self) -> messages.Statistics:
        return self._link.ask(messages.GetStatistics(), messages.Statistics)

    def _step(self, readings: Readings, *, compare: bool = True) -> StepResult:
        self._time_ms += STEP_MS
        result = self._device.step(self._time_ms, readings)
        if compare:
            self._compare(result, self._twin.step(self._time_ms, readings))
        return result

    def _compare(self, device: StepResult, twin: StepResult) -> None:
        difference = first_difference(twin.tape, device.tape)
        assert difference is None, f"simulated node -, device +: {difference}"
        assert device.outputs == twin.outputs, f"outputs {device.outputs}, not {twin.outputs}"
        assert device.wake_ms == twin.wake_ms, f"sleeps {device.wake_ms}, not {twin.wake_ms} ms"

    def _readings(self, number: int) -> Readings:
        """Soil that dries and is wetted again every four days, with noise and faults of probes."""
        noise = self._random.randrange(-15, 16)
        phase = number % 576 / 576
        counts = round(1200 + 1200 * phase) + noise
        if self._random.random() < 0.01:
            counts = self._random.choice((-2, 0, 4095))
        pulses = self._random.randrange(0, 60)
        return counts, 1500 + noise, 3700, pulses


def default_guest() -> bytes:
    """The module that ships with levada."""
    from levada.guest.shipped import DEFAULT_GUEST

    return DEFAULT_GUEST.read_bytes()
