"""Energy of the nodes: charge by state and event, battery, solar panel.

The charge a node draws is linear in seven quantities: time alive, wakes, instructions, radio
bursts, bytes sent, time the valve is held, movements of a latching valve.  The kernel adds up the
quantities and the charge at nominal rates; the report multiplies the same quantities with low and
high rates.  All of it is a *model, not measured*, until the rates come from a power meter's
recording
(`levada.sim.devices.power_recording`).

The battery is a Li-ion cell behind a linear regulator: it gives the charge the node draws, at its
own voltage, and never more than it has.  Open-circuit voltage by state of charge after Chen and
Rincon-Mora (2006).

Left out: temperature of the cell, ageing, inrush, loss of a converter to more than the cell's
voltage.
Constants with sources: `levada.sim.devices.energy_constants`; formulas: docs/models/energy.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, get_args

import numpy as np

from levada.guest.text.ranges import check_range, out_of_range
from levada.sim.devices.energy_constants import constant
from levada.sim.settings.energy import Address, Board, CpuMhz, Sleep, Supply, Tls
from levada.sim.soil.model import FloatArray
from levada.sim.units import DAY_S, HOUR_S

__all__ = [
    "NOT_MEASURED",
    "PROFILES",
    "EnergyParam",
    "EnergyProfile",
    "EnergyReport",
    "EnergyState",
    "EnergyWork",
    "NodePower",
    "NodePowers",
    "Range",
    "esp32",
    "open_circuit_v",
    "profile",
]

NOT_MEASURED: Final = "model, not measured"
DAYS_PER_MONTH: Final = 365.25 / 12


class EnergyWork(IntEnum):
    """Columns of the work a node did since the last call, one row a zone."""

    WAKES = 0
    INSTRUCTIONS = 1
    BURSTS = 2
    """Times the radio was used, also in vain."""
    BYTES = 3


class EnergyParam(IntEnum):
    """Columns of the parameters, one row a zone; the first seven are rates at nominal values."""

    ALIVE_MA = 0
    WAKE_MC = 1
    INSTRUCTION_MC = 2
    BURST_MC = 3
    BYTE_MC = 4
    VALVE_MA = 5
    SWITCH_MC = 6
    SUPPLY_V = 7
    CAPACITY_MC = 8
    """0: no battery, mains."""
    SELF_DISCHARGE_PER_S = 9
    LOAD_DROP_V = 10
    """Voltage lost in the cell while the node measures."""
    SOLAR_MW_M2_W = 11
    """Panel power [mW] at a radiation of 1 W m-2."""
    CUTOFF_MV = 12
    RESTART_MV = 13


class EnergyState(IntEnum):
    """Columns of the state, one row a zone; the first seven are the quantities behind the rates."""

    ALIVE_S = 0
    WAKES = 1
    INSTRUCTIONS = 2
    BURSTS = 3
    BYTES = 4
    VALVE_S = 5
    SWITCHES = 6
    """Movements of the valve."""
    ENERGY_J = 7
    """Since the start, at the supply voltage."""
    CHARGE_MC = 8
    """In the battery."""
    BATTERY_MV = 9
    EMPTY = 10
    """1: brown-out, the node is off."""
    EMPTY_S = 11
    BROWNOUTS = 12
    SOLAR_MC = 13
    """Charge the panel brought into the battery."""
    COMMANDED = 14
    """Output in the last interval."""


PROFILES: Final[dict[str, str]] = {
    "esp32-wifi": "Deep sleep, joins Wi-Fi for each burst with a static address.",
    "esp32-dhcp": "As esp32-wifi, address by DHCP.",
    "esp32-light-sleep": "Stays joined in automatic light sleep.",
    "esp32-modem-sleep": "Stays joined in modem sleep, the processor runs.",
    "esp32-devboard": "As esp32-wifi on a development board, whose regulator never sleeps.",
}
"""Named profiles and what they stand for."""
ALWAYS: Final = ("sleep", "wake", "instructions", "radio bursts", "radio bytes", "valve")
"""Parts that a report has even where nothing was spent on them."""


@dataclass(frozen=True, slots=True)
class Range:
    """A quantity with its bounds."""

    low: float
    nominal: float
    high: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.low <= self.nominal <= self.high:
            raise ValueError(
                f"range {self.low} .. {self.nominal} .. {self.high}: must be ordered, from 0 up"
            )

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def scaled(self, factor: float) -> Range:
        """All three times a factor that is not negative."""
        return Range(self.low * factor, self.nominal * factor, self.high * factor)


NOTHING: Final = Range(0.0, 0.0, 0.0)
MEASURED_LIGHT: Final = ("ezsbc", "lilygo-oled", "lolin32", "nodemcu-32s")
"""Boards whose current in light sleep was published as a whole."""


def _named(name: str) -> Range:
    c = constant(name)
    return Range(c.low, c.nominal, c.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyProfile:
    """What a board draws, with bounds."""

    name: str
    supply_v: float
    sleep_ma: Range
    """Between the steps, regulator included."""
    active_ma: Range
    wake_ms: Range
    """Active time of a step besides the guest's instructions."""
    instruction_ms: Range
    burst_mc: Range
    """Charge of a radio burst, on top of sleep."""
    byte_mc: Range
    tls_mc: Range = NOTHING
    """Charge of securing the link, once a burst."""
    label: str = NOT_MEASURED
    """What a report must say of numbers from this profile."""

    def __post_init__(self) -> None:
        check_range("supply_v", self.supply_v, 1.0, 24.0, "V")


def esp32(
    *,
    cpu_mhz: CpuMhz = 240,
    sleep: Sleep = "deep",
    address: Address = "static",
    tls: Tls = "none",
    board: Board = "module",
    board_ma: Range | None = None,
    name: str = "",
) -> EnergyProfile:
    """The profile of an ESP32 from the sourced constants.

    `board_ma` is what the rest of the board draws at all times; None: that of the kind of board.
    """
    sleeps = {
        "deep": "deep_sleep_ma",
        "light": "light_sleep_ma",
        "connected-light": "connected_light_sleep_ma",
        "connected-modem": "connected_modem_sleep_ma",
    }
    for key, value, choices in (
        ("cpu_mhz", cpu_mhz, (240, 160, 80)),
        ("sleep", sleep, sleeps),
        ("address", address, ("static", "dhcp")),
        ("tls", tls, get_args(Tls)),
        ("board", board, get_args(Board)),
    ):
        if value not in choices:
            raise ValueError(out_of_range(key, value, ", ".join(map(str, choices))))
    rest = board_ma or _named(f"board_{board.replace('-', '_')}_ma")
    connected = sleep.startswith("connected")
    per_ms = _named("instructions_per_ms").scaled(cpu_mhz / 240.0)
    described = f"ESP32, {cpu_mhz} MHz, {sleep} sleep" + (
        "" if connected else f", {address} address"
    )
    if board != "module" and board_ma is None:
        described += f", board {board}"
    if tls != "none" and not connected:
        described += f", TLS by {tls}"
    asleep = _named(sleeps[sleep]) + rest
    if sleep == "light" and board in MEASURED_LIGHT and board_ma is None:
        asleep = _named(f"light_{board.replace('-', '_')}_ma")
    return EnergyProfile(
        name=name or described,
        supply_v=constant("supply_v").nominal,
        sleep_ma=asleep,
        active_ma=_named(f"active_{cpu_mhz}_ma") + rest,
        wake_ms=_named("wake_ms" if sleep == "deep" else "wake_awake_ms"),
        instruction_ms=Range(1.0 / per_ms.high, 1.0 / per_ms.nominal, 1.0 / per_ms.low),
        burst_mc=_named("send_connected_mc" if connected else f"connect_{address}_mc"),
        byte_mc=_named("byte_mc"),
        tls_mc=NOTHING if connected or tls == "none" else _named(f"tls_{tls}_mc"),
    )


def profile(name: str) -> EnergyProfile:
    """The profile of that name (`PROFILES`); ValueError if there is none."""
    if name not in PROFILES:
        raise ValueError(out_of_range("profile", name, ", ".join(PROFILES)))
    sleep: Sleep = "deep"
    if name == "esp32-light-sleep":
        sleep = "connected-light"
    elif name == "esp32-modem-sleep":
        sleep = "connected-modem"
    return esp32(
        name=name,
        sleep=sleep,
        address="dhcp" if name == "esp32-dhcp" else "static",
        board="devkit" if name == "esp32-devboard" else "module",
    )


def open_circuit_v(charge: float) -> float:
    """Open-circuit voltage [V] of a Li-ion cell at a state of charge 0 .. 1.

    Chen and Rincon-Mora (2006), Eq. 2.
    """
    from levada.sim.devices.kernels import cell_voltage

    check_range("charge", charge, 0.0, 1.0)
    return float(cell_voltage(charge))


class NodePower(Supply):
    """The node of one zone as a consumer, and what feeds it."""

    profile: EnergyProfile | None = None
    """None: that of the name `esp32-wifi`."""

    @property
    def first_v(self) -> float:
        """Voltage of the battery at the start, with the node on [V]."""
        board = self.profile or profile("esp32-wifi")
        drop = board.active_ma.nominal / 1_000.0 * constant("cell_ohm").nominal
        return open_circuit_v(self.initial_charge) - drop


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyReport:
    """Energy of a run [J] with bounds."""

    label: str
    """The words that must stand beside the numbers."""
    total: Range
    zones: tuple[Range, ...]
    parts: Mapping[str, Range]
    """Of the total, by what it was spent on."""
    profiles: tuple[str, ...]


class NodePowers:
    """Energy and supply of n nodes.

    `work` has the columns `EnergyWork`: the loop over the zones adds to it what each node did, and
    `levada.sim.devices.kernels.advance_power` takes it off.
    """

    def __init__(self, nodes: Sequence[NodePower]) -> None:
        # numba takes half a second, configuration must not
        from levada.sim.devices.kernels import settle_power

        default = profile("esp32-wifi")
        self._nodes = tuple(nodes)
        self._profiles = tuple(node.profile or default for node in self._nodes)
        self.n = len(self._nodes)
        self.parameters: FloatArray = np.zeros((self.n, len(EnergyParam)))
        self.state: FloatArray = np.zeros((self.n, len(EnergyState)))
        self.work: FloatArray = np.zeros((self.n, len(EnergyWork)))
        for i, (node, board) in enumerate(zip(self._nodes, self._profiles, strict=True)):
            row = self.parameters[i]
            for _, column, rate in _rates(node, board):
                row[column] += rate.nominal
            row[EnergyParam.SUPPLY_V] = board.supply_v
            if node.battery == "li-ion":
                row[EnergyParam.CAPACITY_MC] = node.capacity_mah * HOUR_S
            row[EnergyParam.SELF_DISCHARGE_PER_S] = node.self_discharge_per_month / (
                DAYS_PER_MONTH * DAY_S
            )
            row[EnergyParam.LOAD_DROP_V] = (
                board.active_ma.nominal / 1_000.0 * constant("cell_ohm").nominal
            )
            row[EnergyParam.SOLAR_MW_M2_W] = node.solar_w * constant("solar_derating").nominal
            row[EnergyParam.CUTOFF_MV] = node.cutoff_mv
            row[EnergyParam.RESTART_MV] = node.restart_mv
            self.state[i, EnergyState.CHARGE_MC] = (
                row[EnergyParam.CAPACITY_MC] * node.initial_charge
            )
            settle_power(i, self.parameters, self.state)

    @property
    def energy_j(self) -> FloatArray:
        """Energy since the start at nominal rates, shape (n,) [J]."""
        return self.state[:, EnergyState.ENERGY_J]

    def report(self) -> EnergyReport:
        """Energy by zone and part, with bounds."""
        parts = dict.fromkeys(ALWAYS, NOTHING)
        zones = []
        for i, (node, board) in enumerate(zip(self._nodes, self._profiles, strict=True)):
            zone = NOTHING
            for part, column, rate in _rates(node, board):
                quantity = float(self.state[i, column])
                spent = rate.scaled(quantity * board.supply_v / 1_000.0)
                parts[part] = parts.get(part, NOTHING) + spent
                zone += spent
            zones.append(zone)
        return EnergyReport(
            label="; ".join(sorted({board.label for board in self._profiles})),
            total=sum(zones, NOTHING),
            zones=tuple(zones),
            parts=parts,
            profiles=tuple(sorted({board.name for board in self._profiles})),
        )


def _rates(node: NodePower, board: EnergyProfile) -> list[tuple[str, int, Range]]:
    """Part, column and rate [mA or mC]: the quantity of `EnergyState` in this column times the rate
    is the charge of the part.
    """
    sleep, active = board.sleep_ma, board.active_ma
    # modem sleep may draw what the processor draws: then a wake costs nothing on top
    more = max(0.0, active.nominal - sleep.nominal)
    awake = Range(
        min(max(0.0, active.low - sleep.low), more), more, max(active.high - sleep.high, more)
    )
    on_ms = node.probe_on_ms or 0.0
    wake_ms = board.wake_ms
    wake_ms = Range(max(wake_ms.low, on_ms), max(wake_ms.nominal, on_ms), max(wake_ms.high, on_ms))
    found: list[tuple[str, int, Range]] = [
        ("sleep", EnergyParam.ALIVE_MA, board.sleep_ma),
        ("wake", EnergyParam.WAKE_MC, _product(awake, wake_ms.scaled(1e-3))),
        (
            "instructions",
            EnergyParam.INSTRUCTION_MC,
            _product(awake, board.instruction_ms.scaled(1e-3)),
        ),
        ("radio bursts", EnergyParam.BURST_MC, board.burst_mc),
        ("radio bytes", EnergyParam.BYTE_MC, board.byte_mc),
        ("valve", EnergyParam.VALVE_MA, _exactly(node.valve_ma)),
    ]
    others: list[tuple[str, int, Range]] = [
        ("TLS", EnergyParam.BURST_MC, board.tls_mc),
        (
            ("probe", EnergyParam.ALIVE_MA, _exactly(node.probe_ma))
            if node.probe_on_ms is None
            else ("probe", EnergyParam.WAKE_MC, _exactly(node.probe_ma * on_ms * 1e-3))
        ),
        ("flow meter", EnergyParam.ALIVE_MA, _exactly(node.meter_ma)),
        (
            "valve pulses",
            EnergyParam.SWITCH_MC,
            _exactly(node.valve_pulse_j / board.supply_v * 1_000.0),
        ),
    ]
    return found + [part for part in others if part[2].high > 0.0]


def _exactly(value: float) -> Range:
    return Range(value, value, value)


def _product(a: Range, b: Range) -> Range:
    return Range(a.low * b.low, a.nominal * b.nominal, a.high * b.high)
