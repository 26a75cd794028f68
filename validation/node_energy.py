"""The energy model beside published measurements of ESP32 boards; see `validation.comparison`.

Every published number is a citation, none is a measurement of a board of ours.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from levada.sim.devices.energy import EnergyWork, NodePower, NodePowers, Range, esp32
from levada.sim.devices.energy_constants import constant
from levada.sim.devices.kernels import advance_power
from levada.sim.units import DAY_S, HOUR_S
from validation.cited import VERDICTS, Cited, beside, by_key, compared, table, tally
from validation.comparison import Comparison, figure

ENERGY = "[energy](models/energy.md)"

MOLONEY = "G. Moloney, github.com/glenn20/upy-esp32-experiments"
EICKEN = "T. von Eicken, blog.voneicken.com, lp-wifi-esp32-2"
EICKEN_PUSH = "T. von Eicken, blog.voneicken.com, lp-wifi-esp32-pushed"
EICKEN_TLS = "T. von Eicken, blog.voneicken.com, lp-wifi-esp32-mqtt"
EICKEN_LIGHT = "T. von Eicken, blog.voneicken.com, lp-wifi-esp32-light"
PHSETE = "github.com/phsete/PPK2forESP"
GRILLBAER = "github.com/grillbaer/esp32-power-consumption-test"
BOARDS = "T. von Eicken; lucidar.me; github.com/espressif/esp-idf issue 482"
WASM3 = "github.com/wasm3/wasm3, docs/Performance.md"
TLS = "github.com/micropython/micropython-esp32 issue 131; espressif/esp-idf issue 630"
HACKADAY = "hackaday.io/project/165551"


MEAN_MA: Final = ((20.0, 6.15), (60.0, 2.04), (600.0, 0.21), (3600.0, 0.04))
"""Time between two secure messages [s] and mean current [mA], by T. von Eicken."""


def spent_mc(board: dict[str, Any], dt_s: float, **work: float) -> Range:
    """Charge [mC] of a node on mains in a time and by its work, as the model counts it."""
    of_node = {key: board.pop(key) for key in ("probe_ma", "probe_on_ms") if key in board}
    profile = esp32(**board)
    powers = NodePowers([NodePower(profile=profile, battery="none", **of_node)])
    for name, amount in work.items():
        powers.work[0, EnergyWork[name.upper()]] = amount
    advance_power(0, dt_s, 0.0, 0, powers.parameters, powers.state, powers.work)
    return powers.report().total.scaled(1_000.0 / profile.supply_v)


def cycle_ma(period_s: float, **board: Any) -> Range:
    """Mean current [mA] of a node with one step and one message in each period."""
    return spent_mc(board, period_s, wakes=1, bursts=1).scaled(1.0 / period_s)


def life_d(capacity_mah: float, period_s: float, **board: Any) -> float:
    """Days until the battery of such a node is empty, self-discharge left out."""
    of_node = {key: board.pop(key) for key in ("probe_ma",) if key in board}
    node = NodePower(
        profile=esp32(**board),
        capacity_mah=capacity_mah,
        self_discharge_per_month=0.0,
        cutoff_mv=2_500.0,
        restart_mv=2_600.0,
        **of_node,
    )
    powers = NodePowers([node])
    steps = 0
    empty = False
    while not empty:
        powers.work[0, EnergyWork.WAKES] = 1.0
        powers.work[0, EnergyWork.BURSTS] = 1.0
        empty = advance_power(0, period_s, 0.0, 0, powers.parameters, powers.state, powers.work)
        steps += 1
    return steps * period_s / DAY_S


def messages() -> list[Cited]:
    """Wakes, messages and the current that they make on average."""
    wake = spent_mc({}, 0.0, wakes=1)
    burst = spent_mc({}, 0.0, bursts=1)
    dhcp = spent_mc({"address": "dhcp"}, 0.0, bursts=1)
    active_ma = constant("active_240_ma").nominal
    rows = [
        beside("start from deep sleep", 264.0, "ms", constant("wake_ms").nominal, MOLONEY),
        beside("charge of the start", 15.9, "mC", wake, f"{MOLONEY}, ESP32-S3"),
        beside("charge of the start, 270 ms at 50 mA [d]", 13.5, "mC", wake, EICKEN),
        beside(
            "charge of a start tuned to 70 ms", 3.32, "mC", 0.070 * active_ma, MOLONEY,
            is_source=True,
        ),
        beside(
            "static address and MQTT, less boot and background [d]", 94.7, "mC", burst, MOLONEY,
            is_source=True,
        ),
        beside(
            "DHCP and MQTT, less background [d]", 185.0, "mC", dhcp, MOLONEY, is_source=True
        ),
        beside(
            "DHCP and HTTP", 341.0, "mC", dhcp, MOLONEY, is_source=True
        ),
        beside("slowest connections, 4.9 s", 490.0, "mC", dhcp, MOLONEY),
        beside(
            "mounting a file system, 350 ms", 23.6, "mC",
            Range(0.35 * constant("active_240_ma").low, 0.35 * active_ma,
                  0.35 * constant("active_240_ma").high),
            MOLONEY, is_source=True,
        ),
        beside(
            "start and secure connection (WPA2), 200 ms to 900 ms at 120 mA [d]", 121.5, "mC",
            spent_mc({}, 0.0, wakes=1, bursts=1), EICKEN,
        ),
        beside(
            "start and open connection [d]", 37.5, "mC",
            spent_mc({}, 0.0, wakes=1, bursts=1), EICKEN,
        ),
        beside(
            "connection by hints, 163 to 798 ms at 120 mA [d]", (19.6, 95.8), "mC", burst, EICKEN
        ),
        beside(
            "DHCP and MQTT each 14.0 to 14.5 s, ESP32-C6 [d]", (234.0, 347.0), "mC",
            spent_mc({"address": "dhcp"}, 14.25, wakes=1, bursts=1), PHSETE,
        ),
    ]  # fmt: skip
    for period_s, published_ma in MEAN_MA:
        every = f"{period_s / 60:g} min" if period_s >= 60 else f"{period_s:g} s"
        rows.append(
            beside(
                f"mean current, one secure message in {every}", published_ma, "mA",
                cycle_ma(period_s), EICKEN,
            )
        )  # fmt: skip
    rows += [
        beside("days from 1,000 mAh at 60 min", 952.0, "d", life_d(1_000.0, 3_600.0), EICKEN),
        beside("days from 1,000 mAh at 10 min", 196.0, "d", life_d(1_000.0, 600.0), EICKEN),
        beside("days from 1,000 mAh at 1 min", 20.5, "d", life_d(1_000.0, 60.0), EICKEN),
        beside("days from 1,000 mAh at 20 s", 6.8, "d", life_d(1_000.0, 20.0), EICKEN),
        beside(
            "days from 2,500 mAh, 1 message in 10 min, a probe of 5.3 mA always powered [d]", 18.9,
            "d", life_d(2_500.0, 600.0, probe_ma=5.3), f"{EICKEN}; {HACKADAY}",
        ),
        beside(
            "a probe of 5.3 mA for 150 ms a step [d]", 0.795, "mC",
            spent_mc({"probe_ma": 5.3, "probe_on_ms": 150.0}, 0.0, wakes=1).nominal
            - wake.nominal, HACKADAY, is_source=True,
        ),
        by_key(
            "current of a YF-S201", "up to 15 mA at 5 V", "`meter_ma`, 0", "YF-S201 data sheet"
        ),
        beside(
            "TLS by shared key, at most 100 ms at 120 mA [d]", (0.0, 12.0), "mC",
            constant("tls_psk_mc").nominal, EICKEN_TLS, is_source=True,
        ),
        beside(
            "TLS by certificates, 1.2 to 2 s [d]", (60.0, 240.0), "mC",
            constant("tls_certificate_mc").nominal, TLS, is_source=True,
        ),
        beside(
            "joined in automatic light sleep, MQTT over TLS each 23 s", 3.8, "mA",
            cycle_ma(23.0, sleep="connected-light"), EICKEN_PUSH,
        ),
        beside(
            "joined in modem sleep, between beacons (Arduino)", 40.0, "mA",
            esp32(sleep="connected-modem").sleep_ma, EICKEN_LIGHT, is_source=True,
        ),
    ]  # fmt: skip
    return rows


ASLEEP: Final[tuple[tuple[str, float | tuple[float, float], str, bool], ...]] = (
    ("module", (0.005, 0.007), BOARDS, False),
    ("ezsbc", 0.012, GRILLBAER, True),
    ("firebeetle", 0.010, BOARDS, True),
    ("huzzah32", (0.20, 6.5), BOARDS, True),
    ("lilygo-oled", 9.4, GRILLBAER, True),
    ("lolin32", (0.13, 1.2), GRILLBAER, True),
    ("nodemcu-32s", 4.7, GRILLBAER, True),
    ("thing", (0.063, 2.0), BOARDS, True),
    ("devkit", 15.0, MOLONEY, True),
)


def boards() -> list[Cited]:
    """What boards draw in deep and light sleep and awake, and how fast they interpret."""
    rows = [
        beside(
            f"deep sleep, {board}", published, "mA", esp32(board=board).sleep_ma, source,  # type: ignore[arg-type]
            is_source=its,
        )
        for board, published, source, its in ASLEEP
    ]  # fmt: skip
    rows.append(
        beside(
            "light sleep, board not told", (1.1, 2.0), "mA", esp32(sleep="light").sleep_ma,
            f"{GRILLBAER}; T. von Eicken; LilyGO",
        )
    )  # fmt: skip
    for board, light in (("ezsbc", 1.6), ("lilygo-oled", 10.8), ("lolin32", 2.0),
                         ("nodemcu-32s", 13.8)):  # fmt: skip
        own = esp32(board=board, sleep="light").sleep_ma  # type: ignore[arg-type]
        rows.append(beside(f"light sleep, {board}", light, "mA", own, GRILLBAER, is_source=True))
    rows.append(
        beside(
            "awake, radio off", (28.9, 64.6), "mA", esp32().active_ma, f"{GRILLBAER}; lucidar.me"
        )
    )
    for board, awake in (("ezsbc", 52.6), ("lilygo-oled", 64.5), ("lolin32", 55.7),
                         ("nodemcu-32s", 64.6)):  # fmt: skip
        rows.append(
            beside(f"awake, radio off, {board}", awake, "mA",
                   esp32(board=board).active_ma, GRILLBAER)  # type: ignore[arg-type]
        )  # fmt: skip
    instruction_ms = esp32().instruction_ms
    rows += [
        beside(
            "fib(24) by wasm3, 1,500,486 instructions", 297.0, "ms",
            instruction_ms.scaled(1_500_486.0), WASM3,
        ),
        beside(
            "the same in an older text", 410.0, "ms", instruction_ms.scaled(1_500_486.0), WASM3
        ),
        beside(
            "CoreMark by wasm3 [d]", 6_536.0, "instructions/ms",
            constant("instructions_per_ms").nominal, WASM3,
        ),
    ]  # fmt: skip
    return rows


def season() -> list[Cited]:
    """A growing season of 169 days with one step and one message in ten minutes."""
    days, volts = 169.0, constant("supply_v").nominal
    steps = days * DAY_S / 600.0
    ours = spent_mc({}, days * DAY_S, wakes=steps, bursts=steps).scaled(volts / 1_000.0)
    published = 0.21 * days * 24.0 * HOUR_S / 1_000.0 * volts
    return [
        beside(
            "season of 169 d at 10 min, from 0.21 mA on average at 3.3 V [d]",
            round(published, -1), "J", ours, EICKEN,
        )
    ]  # fmt: skip


def validate_node_energy() -> Comparison:
    """Messages, boards, interpreter and a season."""
    of_season = season()
    rows = [*messages(), *boards(), *of_season]

    def draw(axes: Any) -> None:
        periods = np.geomspace(10.0, 7_200.0, 60)
        ours = [cycle_ma(float(period_s)) for period_s in periods]
        axes.loglog(periods, [found.nominal for found in ours], "r", lw=1, label="levada")
        axes.fill_between(
            periods, [x.low for x in ours], [x.high for x in ours], color="r", alpha=0.2, lw=0
        )
        axes.plot(*zip(*MEAN_MA, strict=True), "ko", ms=4, label="T. von Eicken")
        axes.set(xlabel="time between messages [s]", ylabel="mean current [mA]")
        axes.legend()

    whole = of_season[0]
    return compared(
        rows,
        model=ENERGY,
        name="published measurements of nodes",
        data=f"{len(rows)} quantities of ESP32 boards, by citation; not of a board of ours",
        error=f"{tally(rows)}; season of 169 d: {whole.ours}, published {whole.published}",
        limit=1.5,
        figure=figure("node_current", draw),
        note=f"{VERDICTS}\n\n{table(rows)}\n\nNot compared, for the model lacks it: what a native "
        "program needs instead of an interpreted one (about 20 times less, wasm3-arduino).",
    )
