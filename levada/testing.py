"""What levada tests itself with, for the tests of those who build on it.

`small_field` is a scenario that is watered within its first hour, `ScriptedNode` a node without a
guest, `FaultyLine` a line that damages what it carries.  All three do the same at every run.

    from levada.testing import ScriptedNode, alternating, small_field

    (folder / "small.toml").write_text(small_field(days=1))
    node = ScriptedNode(alternating(open_ms=3_600_000, closed_ms=3_600_000))
    run = levada.run(folder / "small.toml", folder / "run", node=lambda settings: node)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from levada.guest.abi import ABI_VERSION, DEFAULT_PINS, TrapKind
from levada.guest.node import Birth, Readings, StepResult
from levada.hil.link import Line
from levada.sim.scenario.shipped import SHIPPED

__all__ = [
    "WEATHER",
    "Damage",
    "FaultyLine",
    "ScriptedNode",
    "alternating",
    "bit_errors",
    "clean",
    "lost_and_inserted",
    "lost_answers",
    "small_field",
]

WEATHER: Final = SHIPPED / "weather" / "greeley_co_2023_daily.csv"
"""The weather of the small field: Greeley, Colorado, the days of 2023."""

_ZONE: Final = """\
area_m2 = 100
[zone.soil]
model = "{model}"
theta_fc = 0.184
theta_wp = 0.092
initial.available_pct = 60
[zone.crop]
name = "maize"
planting = 2023-05-02
zr_max_m = 1.05
[zone.probe]
depth_m = 0.2
[zone.valve]
flow_l_min = 10
[zone.parameters]
on_pct = 70
off_pct = 90
max_open_s = 3600
min_pause_s = 7200
"""
"""Dry enough for the guest to irrigate within the first hour: 6 mm in an hour."""


def small_field(
    *,
    start: str = "2023-07-06",
    days: int = 2,
    model: str = "bucket",
    zone: str = "",
    zones: Sequence[str] = ("a",),
    extra: str = "",
    period: str = "",
) -> str:
    """A scenario (TOML) of `days` in July with zones of that name, each of 100 m2 of maize.

    `model` is that of the soil.  Further lines go behind the keys of `[period]` (`period`), of each
    `[[zone]]` (`zone`), and to the end (`extra`).
    """
    end = date.fromisoformat(start) + timedelta(days=days - 1)
    head = f"""\
version = 1
name = "small"
[site]
latitude_deg = 40.4487
longitude_deg = -104.6368
elevation_m = 1427
utc_offset_h = -7
[period]
start = {start}
end = {end}
{period}
[weather]
file = "{WEATHER}"
"""
    tables = [f'[[zone]]\nname = "{name}"\n{_ZONE.format(model=model)}{zone}\n' for name in zones]
    return "\n".join([head, *tables, extra])


@dataclass
class ScriptedNode:
    """A node without a guest: opens and closes its valve as the script says, then keeps it closed.

    It is a `levada.Node`.  What the plant did to it stands in its lists afterwards.
    """

    script: Iterator[tuple[int, int]]
    """For each step the state of the valve, and the time to the next step [ms]."""
    wake_ms: int = 600_000
    """Time between steps when the script has ended [ms]."""
    boot_wake_ms: int = 600_000
    """Time from a boot to the first step [ms]."""
    readings: list[Readings] = field(default_factory=list)
    """What was read, step by step."""
    times_ms: list[int] = field(default_factory=list)
    """When each step was."""
    boots_ms: list[int] = field(default_factory=list)
    """When each boot was."""
    online: list[bool] = field(default_factory=list)
    """Whether it could publish, step by step."""
    trap_at: frozenset[int] = frozenset()
    """Numbers of the steps, from 0, that end in a trap."""

    def birth(self) -> Birth:
        """Who it is: nobody's guest."""
        return Birth(
            guest_sha256="",
            guest_name="script",
            guest_version="",
            abi_version=ABI_VERSION,
            engine="script",
            firmware="levada.testing",
            boot_id=len(self.boots_ms),
        )

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Start; the valve is closed.  The script goes on where it was."""
        self.boots_ms.append(time_ms)
        return StepResult(outputs={}, wake_ms=self.boot_wake_ms)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """The next line of the script, or a trap."""
        self.times_ms.append(time_ms)
        self.readings.append(readings)
        self.online.append(online)
        if len(self.times_ms) - 1 in self.trap_at:
            return StepResult(outputs={}, trap=TrapKind.GUEST_FAULT)
        state, wake_ms = next(self.script, (0, self.wake_ms))
        return StepResult(outputs={DEFAULT_PINS[0]: state}, wake_ms=wake_ms)

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Takes whatever it is given."""
        return values

    def install(self, module: bytes) -> Birth:
        """Runs no guest: it is who it was."""
        return self.birth()

    def quality(self) -> None:
        """None: there is no link."""

    def close(self) -> None:
        """Nothing is held."""


def alternating(open_ms: int, closed_ms: int) -> Iterator[tuple[int, int]]:
    """A script that opens and closes the valve for ever, so long each time."""
    while True:
        yield 1, open_ms
        yield 0, closed_ms


Damage = Callable[[random.Random, bytes], bytes]
"""What happens to a piece of bytes on the way; draws from the generator it is given."""


def clean(_random: random.Random, data: bytes) -> bytes:
    """No damage."""
    return data


def bit_errors(rate: float) -> Damage:
    """Every bit is flipped with that probability."""

    def damage(source: random.Random, data: bytes) -> bytes:
        flipped = bytearray(data)
        for k in range(8 * len(data)):
            if source.random() < rate:
                flipped[k // 8] ^= 1 << k % 8
        return bytes(flipped)

    return damage


def lost_and_inserted(rate: float) -> Damage:
    """Every byte is lost, or followed by another, with that probability each."""

    def damage(source: random.Random, data: bytes) -> bytes:
        changed = bytearray()
        for byte in data:
            if source.random() >= rate:
                changed.append(byte)
            if source.random() < rate:
                changed.append(source.randrange(256))
        return bytes(changed)

    return damage


def lost_answers(share: float) -> Damage:
    """So many of the pieces read are lost whole."""

    def damage(source: random.Random, data: bytes) -> bytes:
        return b"" if source.random() < share else data

    return damage


class FaultyLine:
    """A line in front of another: what is written and what is read goes through damage.

    Equal seeds damage equally.  It is a `levada.hil.link.Line`, to be given to
    `levada.hil.link.Link` in place of a port.
    """

    def __init__(
        self, line: Line, seed: int, *, written: Damage = clean, read: Damage = clean
    ) -> None:
        self.url = line.url
        self.seed = seed
        self._line = line
        self._random = random.Random(seed)
        self._written = written
        self._read = read
        self.frames = 0
        """Writes, that is sendings of a request."""

    def open(self) -> None:
        """Open again."""
        self._line.open()

    def write(self, data: bytes) -> None:
        """Send, damaged; LinkError if the line is gone."""
        self.frames += 1
        self._line.write(self._written(self._random, data))

    def read(self, timeout_s: float) -> bytes:
        """Receive, damaged; empty after the timeout."""
        return self._read(self._random, self._line.read(timeout_s))

    def close(self) -> None:
        """Release the line."""
        self._line.close()
