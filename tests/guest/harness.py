"""The shipped guest on a bench: every reading is a knob, and there is no host but this file.

Deliberately not `levada.guest.wasm.fleet`: what the guest does is tested on the plain engine.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import wasmtime

from levada.guest.abi import KEEP_SLOTS, WHY
from levada.guest.module.inspect import inspect

MODULE = Path(__file__).parents[2] / "levada/guest" / "irrigation" / "irrigation.wasm"
START_S = 1_700_000_000 // 86_400 * 86_400
"""Midnight of a day in November 2023."""
VALVE = 23
DRY, WET = 3000, 1000
"""Counts of the bench's probe: 20 counts are one percent."""


@cache
def compiled(module: Path = MODULE) -> tuple[wasmtime.Engine, wasmtime.Module]:
    """A shipped guest, compiled once for all tests."""
    engine = wasmtime.Engine()
    return engine, wasmtime.Module(engine, module.read_bytes())


@cache
def ids(module: Path = MODULE) -> dict[str, int]:
    """Parameter ids by name."""
    return {p.name: p.id for p in inspect(module.read_bytes()).parameters}


class Bench:
    """One guest, started; `parameters` by name are set before `init`.

    `now` is the clock, which may jump; `uptime` does not, and counts with it in `step`.  `kept` may
    be that of a bench before: then this one is that bench's guest after a restart.
    """

    def __init__(
        self, *, now: int = START_S, kept: list[int] | None = None, **parameters: int
    ) -> None:
        engine, module = compiled()
        self.now = now
        self.uptime = 0
        self.kept = [0] * KEEP_SLOTS if kept is None else kept
        self.writes = 0
        self.raw = 2000
        self.flow = 0
        self.config = [DRY, WET, 2000]
        self.pins: list[tuple[int, int]] = []
        self.published: list[tuple[str, str]] = []
        self._store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        calls = {
            "read_sensor": lambda kind: {0: self.raw, 3: self.flow}.get(kind, -2),
            "set_output": lambda pin, state: self.pins.append((pin, state)),
            "get_config": lambda key: self.config[key],
            "mqtt_publish": self._publish,
            "now_s": lambda: (self.now + 2**31) % 2**32 - 2**31,
            "uptime_s": lambda: self.uptime,
            "keep_get": lambda slot: self.kept[slot],
            "keep_set": self._keep,
        }
        for item in module.imports:
            assert item.name is not None
            linker.define_func(item.module, item.name, item.type, calls[item.name])
        self._exports = linker.instantiate(self._store, module).exports(self._store)
        for name, value in parameters.items():
            self.set(name, value)
        self.wait_ms = self.call("init")

    def call(self, name: str, *arguments: int) -> int:
        """An exported function."""
        result: int = self._exports[name](self._store, *arguments)  # type: ignore[operator]
        return result

    def set(self, name: str, value: int) -> None:
        """A parameter that must be accepted."""
        assert self.call("param_set", ids()[name], value) == 0, f"{name} = {value} refused"

    def step(self, raw: int | None = None, *, after_s: int | None = None, flow: int = 0) -> WHY:
        """Let time pass (as long as the guest asked for, by default), step, say why."""
        if raw is not None:
            self.raw = raw
        self.flow = flow
        passed_s = self.wait_ms // 1000 if after_s is None else after_s
        self.now += passed_s
        self.uptime += passed_s
        self.wait_ms = self.call("step")
        return WHY(self.telemetry["why"])

    def close(self) -> None:
        """Give its memory back at once: an instance reserves gigabytes of addresses."""
        self._store.close()

    @property
    def open(self) -> bool:
        """Commanded state of the valve."""
        pin, state = self.pins[-1]
        assert pin == VALVE
        return bool(state)

    @property
    def telemetry(self) -> dict[str, Any]:
        """The last message."""
        found: dict[str, Any] = json.loads(self.published[-1][1])
        return found

    def _publish(self, topic: int, message: int) -> int:
        self.published.append((self._text(topic), self._text(message)))
        return 0

    def _keep(self, slot: int, value: int) -> int:
        self.kept[slot] = value
        self.writes += 1
        return 0

    def _text(self, pointer: int) -> str:
        memory: Any = self._exports["memory"]
        raw = bytes(memory.read(self._store, pointer, pointer + 600))
        return raw[: raw.index(0)].decode()


def quick(*, now: int = START_S, kept: list[int] | None = None, **parameters: int) -> Bench:
    """A guest that opens below 40 %, closes from 60 % on, filters nothing, and needs no pause."""
    chosen = {"on_pct": 40, "off_pct": 60, "ema_shift": 0, "min_pause_s": 0} | parameters
    return Bench(now=now, kept=kept, **chosen)
