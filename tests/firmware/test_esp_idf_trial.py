"""The ESP-IDF project's loop in the field (`field.c`) when a module comes and is tried."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from device_bench import CORE, FIRMWARE

HERE = Path(__file__).parent
MAIN = FIRMWARE / "port" / "esp-idf" / "main"
PAPER = {
    "esp_attr.h": "#define RTC_DATA_ATTR\n",
    "esp_check.h": "#define ESP_ERROR_CHECK(x) (void)(x)\n",
    "esp_log.h": """
        #include <stdio.h>
        #define ESP_LOGE(tag, ...) ((void)(tag), fprintf(stderr, __VA_ARGS__))
        #define ESP_LOGW ESP_LOGE
    """,
    "esp_sleep.h": """
        #include <stdint.h>
        int esp_sleep_enable_timer_wakeup(uint64_t us);
        void esp_deep_sleep_start(void);
        int esp_light_sleep_start(void);
    """,
    "esp_timer.h": "#include <stdint.h>\nint64_t esp_timer_get_time(void);\n",
    "freertos/FreeRTOS.h": "#define pdMS_TO_TICKS(ms) (ms)\n",
    "freertos/task.h": "void vTaskDelay(unsigned ticks);\n",
    "sdkconfig.h": """
        #define CONFIG_LEVADA_REPORT_EVERY 6
        #define CONFIG_LEVADA_RADIO_S 20
        #define CONFIG_LEVADA_RING_BYTES 700
        #define CONFIG_LEVADA_RESTART_S 60
        #define CONFIG_LEVADA_HOLD_S 60
    """,
}
SLEEPS = ("NONE", "LIGHT", "DEEP")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """trial_field.c by the kind of sleep that the project is configured for."""
    folder = tmp_path_factory.mktemp("trial")
    for name, content in PAPER.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    made = {}
    for sleep in SLEEPS:
        made[sleep] = folder / sleep
        sources = [HERE / "trial_field.c", HERE / "fake.c", HERE / "signer.c", MAIN / "field.c"]
        flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", f"-DCONFIG_LEVADA_SLEEP_{sleep}=1"]
        flags += [f"-I{path}" for path in (folder, HERE, MAIN, FIRMWARE / "core")]
        subprocess.run(["cc", *flags, "-o", made[sleep], *sources, *CORE], check=True)
    return made


def events(program: Path, *arguments: int) -> list[list[str]]:
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("sleep", SLEEPS)
def test_no_step_is_missed_when_a_module_is_tried_and_taken(
    programs: dict[str, Path], sleep: str
) -> None:
    steps = [e for e in events(programs[sleep], 1000) if len(e) == 3]
    assert [int(ms) for ms, _, _ in steps] == [1000 * k for k in range(1, 16)]
    assert [(module, how) for _, module, how in steps] == (
        [("1", "use")] * 4 + [("2", "trial")] * 3 + [("2", "use")] * 8
    )


@pytest.mark.parametrize("bad_step", [1, 2, 3])
def test_no_step_is_missed_when_it_traps(programs: dict[str, Path], bad_step: int) -> None:
    steps = [e for e in events(programs["NONE"], 1000, bad_step) if len(e) == 3]
    assert [int(ms) for ms, _, _ in steps] == [1000 * k for k in range(1, 16)]
    tried = bad_step - 1
    assert [(module, how) for _, module, how in steps] == (
        [("1", "use")] * 4 + [("2", "trial")] * tried + [("1", "use")] * (11 - tried)
    )


def test_a_board_does_not_sleep_deeply_in_a_trial(programs: dict[str, Path]) -> None:
    told = [event[-1] for event in events(programs["DEEP"], 60_000)]
    first, last = told.index("trial"), len(told) - told[::-1].index("trial")
    assert set(told[:first]) == set(told[last:]) == {"deep", "use"}
    assert set(told[first:last]) == {"light", "trial"}


def test_a_module_that_asks_for_longer_is_run_once_an_hour_while_it_is_tried(
    programs: dict[str, Path],
) -> None:
    hour_ms = 3_600_000
    steps = [e for e in events(programs["NONE"], 6 * hour_ms) if len(e) == 3]
    tried = [int(ms) for ms, _, how in steps if how == "trial"]
    assert len(tried) == 3
    assert [b - a for a, b in pairwise(tried)] == [hour_ms] * 2
    taken = [int(ms) for ms, module, how in steps if (module, how) == ("2", "use")]
    assert taken[0] - tried[-1] == 6 * hour_ms  # as it asks for, once it is in use
