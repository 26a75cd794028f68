"""Every constant of the energy model: value, range, unit, source.

`low` and `high` bound what a board may need, not a confidence interval.  Where the source gives a
single number or only a type of device was measured, the range says how far boards differ, and the
text says so.  None of these was measured by this project; a power meter's recording replaces them
(`levada.sim.devices.power_recording`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["CONSTANTS", "Constant", "constant"]

DATASHEET: Final = "ESP32 Series Datasheet v5.2 (Espressif), 3.3 V, 25 degC"
SLEEP_GUIDE: Final = (
    "ESP-IDF programming guide, Low Power Mode in Wi-Fi Scenarios (Espressif), ESP32 summary"
)
BOOT_STUDY: Final = (
    "T. von Eicken (2018), ESP32 Deep-Sleep with Periodic Wake-up, blog.voneicken.com"
)
CHARGE_STUDY: Final = (
    "G. Moloney, upy-esp32-experiments, ESPNowvsWifiEnergyUsage, github.com/glenn20, charge per "
    "cycle of an ESP32 board at 5 V"
)
BOARD_STUDY: Final = "github.com/grillbaer/esp32-power-consumption-test, by multimeter at 5 V"
BOARDS_ASLEEP: Final = (
    "published currents of this board in deep sleep, less the chip's 10 uA (T. von Eicken, "
    "blog.voneicken.com; lucidar.me; github.com/espressif/esp-idf issue 482)"
)
PUSH_STUDY: Final = "T. von Eicken (2018), lp-wifi-esp32-mqtt, blog.voneicken.com"
CELL_MODEL: Final = (
    "M. Chen and G. A. Rincon-Mora (2006), IEEE Trans. Energy Convers. 21(2), 504-511, "
    "doi:10.1109/TEC.2006.874229, polymer Li-ion cell of 850 mAh"
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number with its range and where it comes from."""

    name: str
    low: float
    nominal: float
    high: float
    unit: str
    source: str

    def __post_init__(self) -> None:
        if not self.low <= self.nominal <= self.high:
            raise ValueError(f"{self.name}: {self.low} <= {self.nominal} <= {self.high} must hold")


CONSTANTS: Final = (
    Constant("supply_v", 3.0, 3.3, 3.6, "V", f"{DATASHEET}, recommended operating conditions"),
    # --- the processor runs, radio off ("modem sleep" of the datasheet, two cores)
    Constant("active_240_ma", 30.0, 49.0, 68.0, "mA", f"{DATASHEET}; nominal: middle of the range"),
    Constant("active_160_ma", 27.0, 35.5, 44.0, "mA", f"{DATASHEET}; nominal: middle of the range"),
    Constant("active_80_ma", 20.0, 25.5, 31.0, "mA", f"{DATASHEET}; nominal: middle of the range"),
    # --- between the steps
    Constant(
        "deep_sleep_ma", 0.005, 0.010, 0.150, "mA",
        f"{DATASHEET}: 10 uA with RTC timer and memory; low: hibernation, high: ULP runs",
    ),
    Constant(
        "light_sleep_ma", 0.8, 0.8, 2.0, "mA",
        f"{DATASHEET}: 0.8 mA; high: our allowance for peripherals left on",
    ),
    Constant(
        "connected_light_sleep_ma", 2.2, 2.3, 3.3, "mA",
        f"{SLEEP_GUIDE}: automatic light sleep, DTIM 10, 3, 1",
    ),
    Constant(
        "connected_modem_sleep_ma", 28.8, 29.7, 40.0, "mA",
        f"{SLEEP_GUIDE}: modem sleep, DTIM 3 and 10; high: about 40 mA between beacons under "
        "Arduino (T. von Eicken, lp-wifi-esp32-light, blog.voneicken.com)",
    ),
    # --- the rest of the board, at all times
    Constant(
        "board_module_ma", 0.0006, 0.0016, 0.004, "mA",
        "MCP1700 data sheet DS21826B (Microchip): 1.6 uA typical, 4 uA maximum; low: MCP1711",
    ),
    Constant(
        "board_devkit_ma", 5.0, 10.0, 15.0, "mA",
        "Development boards never let regulator and USB bridge sleep: AMS1117 data sheet, 5 mA "
        f"typical; high: {CHARGE_STUDY}, 15 mA in deep sleep",
    ),
    Constant(
        "board_ezsbc_ma", 0.0, 0.002, 0.006, "mA",
        f"{BOARD_STUDY}: 0.012 mA in deep sleep, high 0.016 mA at 12 V; less the chip's 10 uA",
    ),
    Constant(
        "board_firebeetle_ma", 0.0, 0.0, 0.004, "mA",
        f"FireBeetle: {BOARDS_ASLEEP}, 0.010 mA in all; high: that of the module's regulator",
    ),
    Constant(
        "board_huzzah32_ma", 0.19, 1.1, 6.49, "mA",
        f"Huzzah32: {BOARDS_ASLEEP}, 0.20 to 6.5 mA in all; nominal: geometric mean",
    ),
    Constant(
        "board_lilygo_oled_ma", 8.4, 9.39, 10.4, "mA",
        f"{BOARD_STUDY}: 9.4 mA in deep sleep, less the chip's 10 uA; range: our allowance",
    ),
    Constant(
        "board_lolin32_ma", 0.12, 0.12, 1.19, "mA",
        f"{BOARD_STUDY}: 1.2 mA, and 0.13 mA at 3.7 V from a battery; less the chip's 10 uA",
    ),
    Constant(
        "board_nodemcu_32s_ma", 4.2, 4.69, 5.2, "mA",
        f"{BOARD_STUDY}: 4.7 mA in deep sleep, less the chip's 10 uA; range: our allowance",
    ),
    Constant(
        "board_thing_ma", 0.053, 0.32, 1.99, "mA",
        f"ESP32 Thing: {BOARDS_ASLEEP}, 0.063 to 2 mA in all; nominal: geometric mean",
    ),
    # --- light sleep of a whole board
    Constant(
        "light_ezsbc_ma", 1.4, 1.6, 1.8, "mA", f"{BOARD_STUDY}: 1.6 mA; high: at 12 V",
    ),
    Constant(
        "light_lilygo_oled_ma", 9.7, 10.8, 11.9, "mA", f"{BOARD_STUDY}; range: our allowance",
    ),
    Constant(
        "light_lolin32_ma", 1.8, 2.0, 3.1, "mA", f"{BOARD_STUDY}: 3.1 mA, and 2.0 mA at 3.7 V",
    ),
    Constant(
        "light_nodemcu_32s_ma", 12.4, 13.8, 15.2, "mA", f"{BOARD_STUDY}; range: our allowance",
    ),
    # --- a step
    Constant(
        "wake_ms", 70.0, 270.0, 420.0, "ms",
        f"{BOOT_STUDY}: 270 ms from deep sleep to user code; low and high: {CHARGE_STUDY}, 70 ms "
        "tuned, 350 ms more to mount a file system",
    ),
    Constant(
        "wake_awake_ms", 1.0, 5.0, 50.0, "ms",
        "Our estimate for a node that keeps its memory (light or modem sleep): wake-up below 1 ms "
        "by the datasheet, then ADC and logging",
    ),
    Constant(
        "instructions_per_ms", 2_000.0, 6_000.0, 16_000.0, "1/ms",
        "Our estimate: 240 MHz and 120, 40, 15 cycles an interpreted instruction (classic and fast "
        "interpreters); scaled with the clock. Between wasm3's 5,052 (fib(24) in 297 ms) and 6,536 "
        "(CoreMark), derived from docs/Performance.md of github.com/wasm3",
    ),
    # --- a radio burst
    Constant(
        "connect_static_mc", 30.0, 105.0, 160.0, "mC",
        f"{CHARGE_STUDY}: connect with static address and send MQTT 108.6 mC, less 3.3 mC boot; "
        f"low: {BOOT_STUDY}, 200 ms at 150 mA; high: our allowance for weak signal",
    ),
    Constant(
        "connect_dhcp_mc", 105.0, 209.0, 341.0, "mC",
        f"{CHARGE_STUDY}: connect with DHCP 204.3 mC, MQTT 8.4, less 3.3 boot; high: HTTP post",
    ),
    Constant(
        "send_connected_mc", 2.0, 8.4, 20.0, "mC",
        f"{CHARGE_STUDY}: MQTT message once connected, 108.6 - 100.2 mC; range: our allowance",
    ),
    Constant(
        "byte_mc", 2.8e-5, 2.5e-4, 1.9e-3, "mC",
        f"{DATASHEET}: 190 mA at 54 and 6 Mbit/s, 240 mA at 1 Mbit/s (802.11g, g, b), 8 bits",
    ),
    Constant(
        "tls_psk_mc", 0.0, 6.0, 12.0, "mC",
        f"{PUSH_STUDY}: a shared key takes at most 100 ms more, here at 120 mA; nominal: the "
        "middle",
    ),
    Constant(
        "tls_certificate_mc", 60.0, 150.0, 240.0, "mC",
        "Handshakes of 1.2 to 2 s: github.com/micropython/micropython-esp32 issue 131, "
        "github.com/espressif/esp-idf issue 630; 50 to 120 mA; nominal: the middle",
    ),
    # --- battery and panel
    Constant(
        "self_discharge_per_month", 0.01, 0.03, 0.05, "1/month",
        "Battery University BU-802b: Li-ion 1 to 2 % a month, protection circuit 3 % more",
    ),
    Constant(
        "cell_ohm", 0.1, 0.171, 0.4, "ohm",
        f"{CELL_MODEL}, Eq. 3, 4, 6: constant terms 0.07446 + 0.04669 + 0.04984; range: our "
        "allowance for size, age and cold",
    ),
    Constant(
        "cutoff_mv", 3_000.0, 3_200.0, 3_300.0, "mV",
        "Module needs 3.0 V (ESP32-WROOM-32E datasheet v1.2, Table 5) and the regulator 178 mV "
        "(MCP1700, 250 mA)",
    ),
    Constant(
        "solar_derating", 0.5, 0.7, 0.85, "",
        "Our estimate: heat, dirt, angle of incidence, and a linear charger that wastes the "
        "difference between panel and cell voltage",
    ),
)  # fmt: skip

_BY_NAME: Final = {c.name: c for c in CONSTANTS}


def constant(name: str) -> Constant:
    """The constant of that name; KeyError if there is none."""
    return _BY_NAME[name]
