"""A node for one guest, in Wasmtime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from levada.guest.abi import ABI_VERSION, ErrorCode, TrapKind
from levada.guest.fast import hostcalls
from levada.guest.fast.fastpath import PathName
from levada.guest.lifecycle import Closing
from levada.guest.limits import EDGE, Budget, Profile
from levada.guest.node import Birth, Readings, StepResult
from levada.guest.wasm.engine import ENGINE_VERSION
from levada.guest.wasm.fleet import DEFAULT_CONFIG, SimNodes

__all__ = ["WasmtimeNode"]


class WasmtimeNode(Closing):
    """One guest behind `levada.guest.node.Node`."""

    def __init__(
        self,
        module: bytes,
        *,
        name: str = "esp32",
        budget: Budget = Budget(),  # noqa: B008 - immutable
        profile: Profile = EDGE,
        config: tuple[int, int, int] = DEFAULT_CONFIG,
        parameters: Mapping[int, int] | None = None,
        path: PathName | None = None,
    ) -> None:
        self._name = name
        self._budget = budget
        self._profile = profile
        self._config = config
        self._path = path
        self._boot_id = 0
        self._readings = np.zeros((1, hostcalls.SENSORS), dtype=np.int32)
        self.nodes = self._load(module, parameters or {})

    def _load(self, module: bytes, parameters: Mapping[int, int]) -> SimNodes:
        return SimNodes(
            module,
            names=[self._name],
            budget=self._budget,
            profile=self._profile,
            config=self._config,
            parameters=parameters,
            path=self._path,
        )

    def birth(self) -> Birth:
        """Who the node is."""
        info = self.nodes.info
        return Birth(
            guest_sha256=info.sha256,
            guest_name=info.metadata.name if info.metadata else "",
            guest_version=info.metadata.version if info.metadata else "",
            abi_version=ABI_VERSION,
            engine=f"wasmtime {ENGINE_VERSION}",
            firmware="levada simulated node",
            boot_id=self._boot_id,
        )

    @property
    def kept(self) -> tuple[int, ...]:
        """What the guest keeps over a boot, by slot."""
        return tuple(self.nodes.kept[0].tolist())

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Start the guest afresh."""
        self._boot_id += 1
        self.nodes.skew_ms[0] = skew_ms
        if forget:
            self.nodes.kept[0] = 0
        self.nodes.boot(time_ms)
        return self._result(time_ms)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Inject readings and run the guest once."""
        nodes = self.nodes
        nodes.skew_ms[0] = skew_ms
        if nodes.trap[0] == 0 and nodes.wake_ms[0] < hostcalls.NEVER_MS:
            nodes.wake_ms[0] = time_ms
        nodes.online[0] = online
        self._readings[:] = int(ErrorCode.UNAVAILABLE)
        self._readings[0, : len(readings)] = readings
        nodes.step(time_ms, self._readings)
        return self._result(time_ms, instructions=int(nodes.rows[0, hostcalls.USED]))

    def _result(self, time_ms: int, instructions: int = 0) -> StepResult:
        nodes = self.nodes
        records = nodes.drain_tape(0)
        trap = nodes.trap_error(0)
        return StepResult(
            outputs=nodes.ever_set(0),
            tape=records,
            wake_ms=0 if trap else int(nodes.wake_ms[0]) - time_ms,
            trap=trap.kind if trap else TrapKind.NONE,
            trap_detail=str(trap) if trap else "",
            trap_backtrace=trap.backtrace if trap else (),
            instructions=instructions,
        )

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Set parameters by id, all or none; the values the guest has afterwards."""
        return self.nodes.calibrate(0, values)

    def install(self, module: bytes) -> Birth:
        """Replace the guest, once the new module is known to load and link."""
        new = self._load(module, {})
        if new.info.sha256 == self.nodes.info.sha256:
            new.kept[:] = self.nodes.kept
        self.nodes.close()
        self.nodes = new
        return self.birth()

    def quality(self) -> None:
        """There is no link."""

    def close(self) -> None:
        """Release the guest; its outputs are 0."""
        self.nodes.close()
