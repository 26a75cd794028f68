"""The ESP-IDF project, as far as it can be checked without ESP-IDF.

Types are checked by hand against real headers (docs/hardware.md); here is what a later change
breaks most easily: partitions, pinned versions, Kconfig names, the core's config, credentials, and
the rules of the valve's timer, whose source is compiled for this computer with a timer and pins
made of paper.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from levada.guest.abi import DEFAULT_PINS, IMPORTS
from levada.guest.limits import EDGE, Budget
from levada.guest.module.inspect import inspect

FIRMWARE = Path(__file__).parents[2] / "levada/firmware"
PROJECT = FIRMWARE / "port" / "esp-idf"
MAIN = PROJECT / "main"
GUEST = Path(__file__).parents[2] / "levada/guest" / "irrigation" / "irrigation.wasm"
SECTOR = 4096
FLASH_BYTES = 4 << 20


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def sources() -> list[Path]:
    return sorted([*MAIN.glob("*.c"), *MAIN.glob("*.h")])


def without_comments(code: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", code, flags=re.DOTALL)


def partitions() -> dict[str, tuple[str, str, int, int]]:
    """Name: type, subtype, offset, size [bytes]."""
    found = {}
    for line in text(PROJECT / "partitions.csv").splitlines():
        if line.strip() and not line.startswith("#"):
            name, kind, subtype, offset, size = (part.strip() for part in line.split(",")[:5])
            found[name] = (kind, subtype, int(offset, 0), int(size, 0))
    return found


def kconfig() -> dict[str, str]:
    """Symbols of the project, each with the text that follows up to the next one."""
    parts = re.split(r"^\s*config (LEVADA_\w+)$", text(MAIN / "Kconfig.projbuild"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# --- flash ----------------------------------------------------------------------------------------


def test_partitions_do_not_overlap_and_fit_flash() -> None:
    end = 0x9000  # behind bootloader (0x1000) and table (0x8000, one sector)
    for name, (kind, _, offset, size) in partitions().items():
        assert offset >= end, name
        assert size > 0 and size % SECTOR == 0, name
        assert offset % (0x10000 if kind == "app" else SECTOR) == 0, name
        end = offset + size
    assert end <= FLASH_BYTES
    assert "CONFIG_ESPTOOLPY_FLASHSIZE_4MB=y" in text(PROJECT / "sdkconfig.defaults")


def test_both_guest_slots_hold_a_module_and_the_sector_that_names_it() -> None:
    default = re.search(r"default (0x\w+)", kconfig()["LEVADA_SLOT_BYTES"])
    assert default
    slot = int(default[1], 0)
    assert slot >= Budget().module_bytes
    names = re.search(r"slot_names\[LV_SLOTS\] = \{([^}]*)\}", text(MAIN / "flash.c"))
    assert names
    for name in re.findall(r'"(\w+)"', names[1]):
        kind, subtype, _, size = partitions()[name]
        assert (kind, size) == ("data", slot + SECTOR)
        assert 0x40 <= int(subtype, 0) <= 0xFE  # free for applications


def test_the_table_has_settings_radio_data_and_an_application() -> None:
    found = {(kind, subtype) for kind, subtype, _, _ in partitions().values()}
    assert found >= {("data", "nvs"), ("data", "phy"), ("app", "factory")}


# --- what it is built from ------------------------------------------------------------------------


def test_every_component_is_pinned_to_one_version() -> None:
    manifest = re.sub(r"^ *#.*\n", "", text(MAIN / "idf_component.yml"), flags=re.M)
    parts = re.split(r"^  (\S+):\n", manifest, flags=re.M)
    assert parts[0] == "dependencies:\n"
    entries = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert entries.pop("idf") == '    version: ">=5.3,<7.0"\n'
    for name, entry in entries.items():
        assert re.match(r'    version: "==\d+\.\d+\.\d+(~\d+)?"\n', entry), name
    assert '"==2.4.0~1"' in entries["espressif/wasm-micro-runtime"]
    # 1.0.21 verifies by another equation (docs/updates.md)
    assert '"==1.0.20~5"' in entries["espressif/libsodium"]
    # inside IDF before version 6
    assert entries["espressif/mqtt"].endswith('    rules:\n      - if: "idf_version >=6.0"\n')


def test_every_header_of_a_component_that_moved_has_its_component_required() -> None:
    lists = text(MAIN / "CMakeLists.txt")
    required = set(re.search(r"set\(requires ([^)]*)\)", lists)[1].split())  # type: ignore[index]
    owners = {"esp_sntp.h": "lwip", "esp_netif_sntp.h": "esp_netif", "esp_timer.h": "esp_timer"}
    owners |= {"nvs.h": "nvs_flash", "esp_partition.h": "esp_partition", "esp_wifi.h": "esp_wifi"}
    used = "".join(map(text, sources()))
    for header, component in owners.items():
        assert f'#include "{header}"' in used, header
        assert component in required, header
    assert "cJSON" not in used  # recurses as deep as a message is nested


def test_every_source_is_in_the_build() -> None:
    lists = text(MAIN / "CMakeLists.txt")
    named = re.findall(r"(?:\$\{firmware\}/)?(?:core/|engine/)?\w+\.c\b", lists)
    paths = {(FIRMWARE / n[12:]) if n.startswith("${firmware}/") else MAIN / n for n in named}
    assert all(path.is_file() for path in paths)
    assert paths >= {*MAIN.glob("*.c"), *(FIRMWARE / "core").glob("*.c")}


def test_instructions_are_metered() -> None:
    assert "set(WAMR_BUILD_INSTRUCTION_METERING 1)" in text(PROJECT / "CMakeLists.txt")


# --- Kconfig --------------------------------------------------------------------------------------


def test_kconfig_symbols_and_their_uses_agree() -> None:
    used = set()
    for path in [*sources(), MAIN / "CMakeLists.txt", *PROJECT.glob("sdkconfig.*")]:
        used |= set(re.findall(r"CONFIG_(LEVADA_\w+)", text(path)))
    declared = set(kconfig())
    assert used <= declared
    # alternatives of a choice that are what is left if no other is chosen
    implied = {"LEVADA_MODE_BENCH", "LEVADA_LINE_UART", "LEVADA_SLEEP_LIGHT", "LEVADA_TLS_OWN"}
    assert declared - used == implied


def test_defaults_satisfy_what_the_valve_asks_of_the_build() -> None:
    set_to = dict(re.findall(r"^(CONFIG_\w+)=(\S+)$", text(PROJECT / "sdkconfig.defaults"), re.M))
    conditions = re.findall(r"^#if (!CONFIG_.*)\n#error", text(MAIN / "valve.c"), re.M)
    assert len(conditions) == 5
    for condition in conditions:
        one_of = " && " in condition
        symbols = re.findall(r"!(CONFIG_\w+)", condition)
        given = [set_to.get(symbol) == "y" for symbol in symbols]
        assert any(given) if one_of else all(given), condition


# --- agreement with the rest ----------------------------------------------------------------------


def test_every_callback_of_the_core_is_filled() -> None:
    struct = re.search(
        r"typedef struct \{((?:(?!typedef struct).)*)\} lv_config;",
        without_comments(text(FIRMWARE / "core" / "config.h")),
        re.DOTALL,
    )
    assert struct
    fields = {
        match[1] or match[2]
        for match in re.finditer(r"\(\*(\w+)\)[(\[]|(\w+)(?:\[\d*\])?;", struct[1])
    }
    assert {"guest_call", "output", "record_write", "ring_bytes"} <= fields
    board = without_comments(text(MAIN / "board.c"))
    filled = set(re.findall(r"^\s*\.(\w+) =", board, re.M))
    filled |= set(re.findall(r"^\s*config\.(\w+) =", board, re.M))
    assert filled == fields - {"context"}  # there is one board
    empty = set(re.findall(r"^\s*\.(\w+) = NULL", board, re.M))
    assert empty == {"at", "fault"}  # faults are for the virtual board


def test_names_of_board_and_engine_fit_a_birth_message() -> None:
    firmware = re.search(r'\.firmware = "([^"]*)" CONFIG_IDF_TARGET', text(MAIN / "board.c"))
    assert firmware and len(firmware[1] + "esp32c6") <= 23


def test_pins_budgets_and_imports_are_those_of_the_simulator() -> None:
    code = text(MAIN / "calibration.c")
    numbers = dict(re.findall(r"\.(\w+) = (0x\w+|\d+),", code))
    budget = Budget()
    for name in ("instructions", "deadline_ms", "memory_pages", "host_calls", "log_bytes"):
        assert int(numbers[name], 0) == getattr(budget, name)
    assert int(numbers["publish_bytes"], 0) == budget.publish_bytes
    assert int(numbers["imports"], 0) == sum(2 << k for k in range(len(IMPORTS)))
    assert f".pins = {{{', '.join(map(str, DEFAULT_PINS))}}}" in code
    assert f'.prefix = "{EDGE.topic_prefix}"' in code
    table = re.search(r"outputs\[OUTPUTS\] = \{(.*?)\n\};", text(MAIN / "valve.c"), re.DOTALL)
    assert table
    assert re.findall(r"\{(\w+), ", table[1]) == ["GUEST_VALVE", "18", "19", "21"]
    assert f"GUEST_VALVE = {DEFAULT_PINS[0]}" in text(MAIN / "valve.c")


def test_old_names_of_counts_stand_for_parameters_of_the_shipped_guest() -> None:
    pairs = re.findall(r'\{"(\w+)", "(\w+)"\}', text(MAIN / "calibration.c"))
    assert [old for old, _ in pairs] == ["seco", "molhado", "limiar"]
    assert {new for _, new in pairs} <= {p.name for p in inspect(GUEST.read_bytes()).parameters}


# --- credentials ----------------------------------------------------------------------------------

CREDENTIALS = (
    r'(?i)(ssid|passw\w*|secret|token|api_?key)\w*"?\s*[=,]\s*"[^"\n]+"',
    r"\w+://[^/\s\"']+:[^/\s\"']+@",  # user and password in an address
    r"BEGIN (CERTIFICATE|[A-Z ]*PRIVATE KEY)",
    r"\b(?:\d{1,3}\.){3}\d{1,3}\b",  # somebody's broker
)


@pytest.mark.parametrize(
    "line",
    [
        '#define WIFI_SSID "home"',
        '.password = "hunter2",',
        'uri = "mqtt://me:word@host"',
        "-----BEGIN RSA PRIVATE KEY-----",
        '"mqtt://192.168.0.122"',
    ],
)
def test_credentials_would_be_found(line: str) -> None:
    if line.startswith("#define"):
        line = line.replace(' "', ' = "')
    assert any(re.search(pattern, line) for pattern in CREDENTIALS)


def test_no_credentials_are_in_the_project() -> None:
    for path in (p for p in PROJECT.rglob("*") if p.is_file()):
        content = re.sub(r"#define (\w+) +\"", r'\1 = "', text(path))
        for pattern in CREDENTIALS:
            assert not re.search(pattern, content), path
    assert re.search(r'default ""\n', kconfig()["LEVADA_MQTT_URI"])


# --- the timer of the valve -----------------------------------------------------------------------

PAPER = {
    "sdkconfig.h": """
        #define CONFIG_ESP_SYSTEM_PANIC_PRINT_REBOOT 1
        #define CONFIG_ESP_BROWNOUT_DET 1
        #define CONFIG_ESP_INT_WDT 1
        #define CONFIG_ESP_TASK_WDT_EN 1
        #define CONFIG_GPTIMER_ISR_CACHE_SAFE 1
        #define CONFIG_GPIO_CTRL_FUNC_IN_IRAM 1
        #define CONFIG_LEVADA_GPIO_VALVE 23
        #define CONFIG_LEVADA_GPIO_LED1 18
        #define CONFIG_LEVADA_GPIO_LED2 19
        #define CONFIG_LEVADA_GPIO_LED3 -1
        #define CONFIG_LEVADA_MAX_OPEN_S 100
        #define CONFIG_LEVADA_VALVE_CLOSING_MS 2000
    """,
    "esp_attr.h": "#define IRAM_ATTR",
    "esp_check.h": "#define ESP_ERROR_CHECK(x) do { if (x) __builtin_trap(); } while (0)",
    "esp_timer.h": "#include <stdint.h>\nint64_t esp_timer_get_time(void);",
    "freertos/FreeRTOS.h": """
        typedef int portMUX_TYPE;
        #define portMUX_INITIALIZER_UNLOCKED 0
        #define portENTER_CRITICAL(lock) (void)(lock)
        #define portEXIT_CRITICAL(lock) (void)(lock)
        #define portENTER_CRITICAL_ISR(lock) (void)(lock)
        #define portEXIT_CRITICAL_ISR(lock) (void)(lock)
    """,
    "driver/gpio.h": """
        #include <stdint.h>
        typedef struct {
            uint64_t pin_bit_mask; int mode, pull_up_en, pull_down_en, intr_type;
        } gpio_config_t;
        enum { GPIO_MODE_OUTPUT, GPIO_PULLUP_DISABLE, GPIO_PULLDOWN_DISABLE, GPIO_INTR_DISABLE };
        int gpio_config(const gpio_config_t *config);
        int gpio_set_level(int gpio, uint32_t level);
    """,
    "driver/gptimer.h": """
        #include <stdbool.h>
        #include <stdint.h>
        typedef void *gptimer_handle_t;
        typedef struct { int clk_src, direction; uint32_t resolution_hz; } gptimer_config_t;
        typedef struct { uint64_t alarm_count; } gptimer_alarm_config_t;
        typedef struct { uint64_t count_value; } gptimer_alarm_event_data_t;
        typedef struct {
            bool (*on_alarm)(gptimer_handle_t, const gptimer_alarm_event_data_t *, void *);
        } gptimer_event_callbacks_t;
        enum { GPTIMER_CLK_SRC_DEFAULT, GPTIMER_COUNT_UP };
        int gptimer_new_timer(const gptimer_config_t *config, gptimer_handle_t *timer);
        int gptimer_register_event_callbacks(gptimer_handle_t timer,
            const gptimer_event_callbacks_t *callbacks, void *context);
        int gptimer_enable(gptimer_handle_t timer);
        int gptimer_start(gptimer_handle_t timer);
        int gptimer_set_raw_count(gptimer_handle_t timer, uint64_t count);
        int gptimer_set_alarm_action(gptimer_handle_t timer, const gptimer_alarm_config_t *alarm);
    """,
    "panic.c": """
        extern int paper_levels[64];
        int paper_level_at_panic = -1;
        void esp_panic_handler(void *info);
        void esp_panic_handler(void *info) { (void)info; paper_level_at_panic = paper_levels[23]; }
        int paper_level_at_restart = -1;
        void esp_restart(void);
        void esp_restart(void) { paper_level_at_restart = paper_levels[23]; }
    """,
    "paper.c": """
        #include "driver/gpio.h"
        #include "driver/gptimer.h"
        #include "esp_timer.h"
        static gptimer_event_callbacks_t armed_callbacks;
        static int64_t now_us, zero_us;
        static uint64_t alarm_us;
        static bool armed;
        int paper_levels[64];
        int64_t esp_timer_get_time(void) { return now_us; }
        void esp_panic_handler(void *info);
        void paper_panic(void) { esp_panic_handler(0); }
        void esp_restart(void);
        void paper_restart(void) { esp_restart(); }
        int gpio_config(const gpio_config_t *config) { (void)config; return 0; }
        int gpio_set_level(int gpio, uint32_t level)
        { paper_levels[gpio] = (int)level; return 0; }
        int gptimer_new_timer(const gptimer_config_t *c, gptimer_handle_t *t)
        { *t = 0; return c->resolution_hz != 1000000; }
        int gptimer_register_event_callbacks(gptimer_handle_t t,
            const gptimer_event_callbacks_t *callbacks, void *context)
        { (void)t; (void)context; armed_callbacks = *callbacks; return 0; }
        int gptimer_enable(gptimer_handle_t t) { (void)t; return 0; }
        int gptimer_start(gptimer_handle_t t) { (void)t; zero_us = now_us; return 0; }
        int gptimer_set_raw_count(gptimer_handle_t t, uint64_t count)
        { (void)t; zero_us = now_us - (int64_t)count; return 0; }
        int gptimer_set_alarm_action(gptimer_handle_t t, const gptimer_alarm_config_t *a)
        { (void)t; alarm_us = a->alarm_count; armed = true; return 0; }
        void paper_go_to(int64_t us)
        {
            if (armed && zero_us + (int64_t)alarm_us <= us) {
                now_us = zero_us + (int64_t)alarm_us;
                armed = false; /* one alarm, unless set again */
                armed_callbacks.on_alarm(0, 0, 0);
            }
            now_us = us;
        }
    """,
}
MAX_OPEN_S = 100
CLOSING_S = 2


class PaperBoard:
    """The valve's source, with pins and a timer that a test moves."""

    def __init__(self, library: Path) -> None:
        self._code = ctypes.CDLL(str(library))
        self._code.paper_go_to.argtypes = [ctypes.c_int64]
        self._code.output_any.restype = ctypes.c_bool
        self._levels = (ctypes.c_int * 64).in_dll(self._code, "paper_levels")
        self._code.valve_begin()

    def at(self, seconds: float, command: int | None = None, pin: int = 23) -> int:
        """Level of the pin at that time, after the command if there is one."""
        self._code.paper_go_to(round(seconds * 1e6))
        if command is not None:
            self._code.output_set(pin, command)
        return self._levels[pin]

    def level_as_it_panics(self) -> int:
        """Level of the valve's pin when the message of a panic begins."""
        self._code.paper_panic()
        return ctypes.c_int.in_dll(self._code, "paper_level_at_panic").value

    def level_as_it_restarts(self) -> int:
        """Level of the valve's pin when the first of those registered for a restart is called."""
        self._code.paper_restart()
        return ctypes.c_int.in_dll(self._code, "paper_level_at_restart").value

    def anything_on(self) -> bool:
        return bool(self._code.output_any())

    def close_all(self) -> None:
        self._code.output_close_all()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PaperBoard]:
    for name, content in PAPER.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    library = tmp_path / "valve.so"
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    flags += re.findall(r'"(-Wl,\S+)"', text(MAIN / "CMakeLists.txt"))
    files = [MAIN / "valve.c", tmp_path / "paper.c", tmp_path / "panic.c"]
    subprocess.run(["cc", *flags, "-I", tmp_path, "-o", library, *files], check=True)
    yield PaperBoard(library)


def test_an_opening_ends_after_its_longest_time_whatever_is_commanded(board: PaperBoard) -> None:
    assert board.at(7, 1) == 1
    assert board.at(7 + MAX_OPEN_S - 0.001, 1) == 1
    assert board.at(7 + MAX_OPEN_S) == 0
    assert board.at(7 + MAX_OPEN_S + 1, 1) == 0  # still commanded open: stays closed
    assert board.at(7 + MAX_OPEN_S + 2, 0) == 0
    assert board.at(7 + MAX_OPEN_S + 2 + CLOSING_S, 1) == 1  # a new opening


def test_toggling_within_the_closing_time_does_not_restart_the_timer(board: PaperBoard) -> None:
    assert board.at(0, 1) == 1
    for second in range(1, MAX_OPEN_S):
        board.at(second, 0)
        assert board.at(second + 0.5, 1) == 1
    assert board.at(MAX_OPEN_S) == 0
    board.at(MAX_OPEN_S + 0.25, 0)
    assert board.at(MAX_OPEN_S + 0.75, 1) == 0


def test_time_that_is_up_while_closed_counts_for_an_opening_that_goes_on(board: PaperBoard) -> None:
    board.at(0, 1)
    board.at(MAX_OPEN_S - 1, 0)
    assert board.at(MAX_OPEN_S + 0.5, 1) == 0  # reopened before the valve can have closed


def test_openings_apart_have_the_whole_time_each(board: PaperBoard) -> None:
    for start in (0, 300, 600):
        assert board.at(start, 1) == 1
        assert board.at(start + MAX_OPEN_S - 1) == 1
        assert board.at(start + MAX_OPEN_S - 1, 0) == 0
    board.at(900, 1)
    assert board.at(900 + MAX_OPEN_S) == 0


def test_pins_that_the_board_does_not_have_are_ignored(board: PaperBoard) -> None:
    assert board.at(1, 1, pin=21) == 0  # no third LED on this one
    assert board.at(1, 1, pin=5) == 0
    assert not board.anything_on()
    assert board.at(1, 1, pin=18) == 1
    assert board.anything_on()
    board.close_all()
    assert board.at(1, pin=18) == 0
    assert not board.anything_on()


def test_a_panic_closes_the_valve_before_it_prints(board: PaperBoard) -> None:
    assert board.at(1, 1) == 1
    assert board.level_as_it_panics() == 0
    assert board.at(1) == 0


def test_a_restart_closes_the_valve_before_anything_that_is_registered_for_it(
    board: PaperBoard,
) -> None:
    assert board.at(1, 1) == 1
    assert board.level_as_it_restarts() == 0
    assert not board.anything_on()


# --- stacks, pins ---------------------------------------------------------------------------------


def test_the_end_of_every_stack_is_watched() -> None:
    set_to = dict(re.findall(r"^(CONFIG_\w+)=(\S+)$", text(PROJECT / "sdkconfig.defaults"), re.M))
    assert set_to["CONFIG_FREERTOS_WATCHPOINT_END_OF_STACK"] == "y"
    assert set_to["CONFIG_FREERTOS_CHECK_STACKOVERFLOW_CANARY"] == "y"
    assert "#if !CONFIG_FREERTOS_WATCHPOINT_END_OF_STACK ||" in text(MAIN / "app.c")


USABLE = {
    # ESP-IDF's GPIO summaries: without strapping, flash and USB pins, and those that some package
    # of the chip does not lead out (GPIO 10, 11 and 14 of the C6)
    "ESP32": {4, 13, 14, 16, 17, 18, 19, 21, 22, 23, 25, 26, 27, 32, 33},
    "ESP32S2": {*range(1, 19), 21} - {0},
    "ESP32S3": {1, 2, *range(4, 19), 21},
    "ESP32C3": {0, 1, 3, 4, 5, 6, 7, 10},
    "ESP32C5": {0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 23, 24, 26},
    "ESP32C6": {0, 1, 2, 3, 6, 7, 18, 19, 20, 21, 22, 23},
}


ANALOG = {  # ADC1
    "ESP32": {32, 33, 34, 35, 36, 39},
    "ESP32S2": {*range(1, 11)},
    "ESP32S3": {*range(1, 11)},
    "ESP32C3": {*range(5)},
    "ESP32C5": {*range(1, 7)},
    "ESP32C6": {*range(7)},
}


def pin_of(symbol: str, target: str) -> int:
    """The default of a pin, as Kconfig picks it: the first that holds."""
    for pin, _, condition in re.findall(r"default (-?\d+)( if (.*))?", kconfig()[symbol]):
        if not condition or f"IDF_TARGET_{target}" in condition.split(" || "):
            return int(pin)
    raise AssertionError(target)


@pytest.mark.parametrize("target", USABLE)
def test_the_default_pins_are_led_out_and_free_and_each_has_one_use(target: str) -> None:
    symbols = ("LEVADA_GPIO_VALVE", "LEVADA_GPIO_MOISTURE", "LEVADA_LINK_TX", "LEVADA_LINK_RX")
    pins = [pin_of(symbol, target) for symbol in symbols]
    assert set(pins) <= USABLE[target]
    assert len(set(pins)) == len(pins)
    assert pins[1] in ANALOG[target]


def test_a_chip_without_a_known_pin_for_the_valve_is_not_built_by_mistake() -> None:
    assert pin_of("LEVADA_GPIO_VALVE", "ESP32P4") == -1
    assert pin_of("LEVADA_GPIO_MOISTURE", "ESP32P4") == -1
    assert re.search(r"#if CONFIG_LEVADA_GPIO_VALVE < 0\n#error", text(MAIN / "valve.c"))


# --- flash that encrypts --------------------------------------------------------------------------


def test_partitions_that_are_mapped_or_hold_keys_have_the_flag_of_encryption() -> None:
    flags = {
        parts[0].strip(): parts[5].strip()
        for line in text(PROJECT / "partitions.csv").splitlines()
        if len(parts := line.split(",")) == 6 and not line.startswith("#")
    }
    assert flags == {"guest0": "encrypted", "guest1": "encrypted", "nvs_keys": "encrypted"}
    assert partitions()["nvs_keys"][:2] == ("data", "nvs_keys")


PAPER_FLASH = {
    "sdkconfig.h": """
        #define CONFIG_LEVADA_SLOT_BYTES 8192
        #define CONFIG_SECURE_FLASH_ENC_ENABLED 1
    """,
    "esp_check.h": "#define ESP_ERROR_CHECK(x) do { if (x) __builtin_trap(); } while (0)",
    "esp_log.h": """
        #define ESP_LOGI(tag, ...) (void)(tag)
        #define ESP_LOGE(tag, ...) (void)(tag)
    """,
    "nvs_flash.h": "int nvs_flash_init(void);\nint nvs_flash_erase(void);",
    "nvs.h": """
        #include <stddef.h>
        #include <stdint.h>
        typedef uint32_t nvs_handle_t;
        enum { NVS_READWRITE };
        int nvs_open(const char *space, int mode, nvs_handle_t *handle);
        int nvs_get_blob(nvs_handle_t handle, const char *key, void *out, size_t *size);
        int nvs_set_blob(nvs_handle_t handle, const char *key, const void *bytes, size_t size);
        int nvs_commit(nvs_handle_t handle);
    """,
    "esp_partition.h": """
        #include <stdbool.h>
        #include <stddef.h>
        #include <stdint.h>
        typedef int esp_err_t;
        enum { ESP_OK, ESP_ERR_NVS_NO_FREE_PAGES, ESP_ERR_NVS_NEW_VERSION_FOUND,
               ESP_ERR_INVALID_SIZE, ESP_ERR_INVALID_STATE };
        enum { ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, ESP_PARTITION_MMAP_DATA };
        typedef struct { uint32_t size; bool encrypted; int number; } esp_partition_t;
        typedef int esp_partition_mmap_handle_t;
        const esp_partition_t *esp_partition_find_first(int type, int subtype, const char *label);
        int esp_partition_mmap(const esp_partition_t *p, size_t offset, size_t size, int memory,
                               const void **out, esp_partition_mmap_handle_t *handle);
        int esp_partition_erase_range(const esp_partition_t *p, size_t offset, size_t size);
        int esp_partition_write(const esp_partition_t *p, size_t at, const void *from, size_t n);
    """,
    "paper_flash.c": """
        #include <string.h>
        #include "esp_partition.h"
        #include "nvs.h"
        #include "nvs_flash.h"
        #include "../../../core/store.h"
        #include "flash.h"
        enum { SIZE = 8192 + 4096 };
        static esp_partition_t parts[2] = {{SIZE, true, 0}, {SIZE, true, 1}};
        uint8_t paper_flash[2][SIZE]; /* as it reads, decrypted */
        static bool erased[2][SIZE / 16];
        static uint8_t blob[448];
        static size_t blob_bytes;
        void watchdog_feed(void);
        void watchdog_feed(void) {}
        int nvs_flash_init(void) { return 0; }
        int nvs_flash_erase(void) { return 0; }
        int nvs_open(const char *s, int m, nvs_handle_t *h) { (void)s; (void)m; *h = 1; return 0; }
        int nvs_commit(nvs_handle_t h) { (void)h; return 0; }
        int nvs_get_blob(nvs_handle_t h, const char *key, void *out, size_t *size)
        { (void)h; (void)key; if (*size < blob_bytes || !blob_bytes) return -1;
          memcpy(out, blob, blob_bytes); *size = blob_bytes; return 0; }
        int nvs_set_blob(nvs_handle_t h, const char *key, const void *bytes, size_t size)
        { (void)h; (void)key; memcpy(blob, bytes, size); blob_bytes = size; return 0; }
        const esp_partition_t *esp_partition_find_first(int t, int s, const char *label)
        { (void)t; (void)s; return &parts[label[5] - '0']; }
        int esp_partition_mmap(const esp_partition_t *p, size_t offset, size_t size, int memory,
                               const void **out, esp_partition_mmap_handle_t *handle)
        { (void)size; (void)memory; *handle = 0; *out = paper_flash[p->number] + offset; return 0; }
        int esp_partition_erase_range(const esp_partition_t *p, size_t offset, size_t size)
        { if (offset % 4096 || size % 4096) return -1;
          /* what is erased decrypts into anything */
          for (size_t k = 0; k < size; k++)
              paper_flash[p->number][offset + k] = (uint8_t)(k * 31 + 7);
          for (size_t k = 0; k < size / 16; k++) erased[p->number][offset / 16 + k] = true;
          return 0; }
        int esp_partition_write(const esp_partition_t *p, size_t at, const void *from, size_t n)
        { if (at % 16 || n % 16) return -1;
          for (size_t k = 0; k < n / 16; k++) {
              if (!erased[p->number][at / 16 + k]) return -1; /* it would be nonsense */
              erased[p->number][at / 16 + k] = false;
          }
          memcpy(paper_flash[p->number] + at, from, n); return 0; }
        static lv_store store;
        static int read_record(void *c, int k, uint8_t *b)
        { (void)c; return flash_record_read(k, b); }
        static int write_record(void *c, int k, const uint8_t *b)
        { (void)c; return flash_record_write(k, b); }
        static int erase(void *c, int k) { (void)c; return flash_slot_erase(k); }
        static int write(void *c, int k, uint32_t at, const uint8_t *d, uint32_t n)
        { (void)c; return flash_slot_write(k, at, d, n); }
        static const uint8_t *map(void *c, int k) { (void)c; return flash_slot_map(k); }
        static const lv_config config = {.record_read = read_record, .record_write = write_record,
            .slot_erase = erase, .slot_write = write, .slot_map = map, .slot_bytes = 8192};
        int paper_begin(void) { flash_begin(); return lv_store_open(&store, &config); }
        int paper_install(const uint8_t *module, uint32_t size, const uint8_t *sha, uint32_t piece)
        {
            const uint8_t *found;
            uint32_t length;
            lv_status error = lv_store_begin(&store, size, sha);
            for (uint32_t at = 0; at < size && !error; at += piece)
                error = lv_store_chunk(&store, at, module + at,
                                       size - at < piece ? size - at : piece);
            if (!error) error = lv_store_received(&store, &found, &length);
            return error ? error : lv_store_commit(&store);
        }
        uint32_t paper_adopt(void) { flash_adopt(&store); return store.size[store.active]; }
    """,
}


@pytest.fixture
def flash(tmp_path: Path) -> ctypes.CDLL:
    """The port's flash.c and the core's store on flash that encrypts, made of paper."""
    for name, content in PAPER_FLASH.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    library = tmp_path / "flash.so"
    names = ("store", "sha256", "frame", "manifest", "host", "kept", "ring", "tape")
    core = [FIRMWARE / "core" / f"{name}.c" for name in names]
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{tmp_path}"]
    files = [MAIN / "flash.c", tmp_path / "paper_flash.c", *core]
    subprocess.run(["cc", *flags, f"-I{MAIN}", "-o", library, *files], check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("piece", [1, 3, 15, 16, 17, 33, 1000])
def test_a_guest_is_installed_in_flash_that_encrypts(flash: ctypes.CDLL, piece: int) -> None:
    module = GUEST.read_bytes()[:5001]
    assert flash.paper_begin() == 0
    for _ in range(2):  # both slots
        digest = hashlib.sha256(module).digest()
        assert flash.paper_install(module, len(module), digest, piece) == 0


def test_a_flashed_slot_is_adopted_once_in_flash_that_encrypts(flash: ctypes.CDLL) -> None:
    assert flash.paper_begin() == 0
    module = b"\0asm\1\0\0\0" * 100
    label = b"lvsl" + struct.pack("<I", len(module)) + hashlib.sha256(module).digest()
    label += struct.pack("<I", zlib.crc32(label))
    slots = (ctypes.c_uint8 * (2 * 12_288)).in_dll(flash, "paper_flash")
    slots[: len(module)] = module
    slots[8192 : 8192 + len(label)] = label
    assert flash.paper_adopt() == len(module)
    assert bytes(slots[8192:8196]) != b"lvsl"
    other = b"another"
    digest = hashlib.sha256(other).digest()
    assert flash.paper_install(other, len(other), digest, 5) == 0
    assert flash.paper_adopt() == len(other)  # the label is struck out
