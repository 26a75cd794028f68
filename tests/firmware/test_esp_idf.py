"""The ESP-IDF project, as far as it can be checked without ESP-IDF.

Types are checked by hand against real headers (docs/hardware.md); here is what a later change
breaks most easily: partitions, pinned versions, Kconfig names, the core's config, credentials, and
the rules of the valve's timer, whose source is compiled for this computer with a timer and pins
made of paper.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.abi import DEFAULT_PINS, IMPORTS
from guest.limits import EDGE, Budget
from guest.module import inspect

FIRMWARE = Path(__file__).parents[2] / "firmware"
PROJECT = FIRMWARE / "port" / "esp-idf"
MAIN = PROJECT / "main"
GUEST = Path(__file__).parents[2] / "guest" / "irrigation" / "irrigation.wasm"
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
    for moved in ("espressif/mqtt", "espressif/cjson"):  # inside IDF before version 6
        assert entries[moved].endswith('    rules:\n      - if: "idf_version >=6.0"\n')


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
        for match in re.finditer(r"\(\*(\w+)\)\(|(\w+)(?:\[\d*\])?;", struct[1])
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
    "esp_system.h": "int esp_register_shutdown_handler(void (*handler)(void));",
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
        int esp_register_shutdown_handler(void (*handler)(void)) { (void)handler; return 0; }
        void esp_panic_handler(void *info);
        void paper_panic(void) { esp_panic_handler(0); }
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
