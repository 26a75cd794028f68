"""What a guest keeps in globals is not lost by a board's deep sleep: it sleeps lightly then."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from device_bench import BUILD, CORE, FIRMWARE, build
from device_guests import guest

from levada.guest.build import build as build_guest
from levada.guest.module.inspect import inspect, render
from levada.guest.module.state import state_in_globals

TESTS = Path(__file__).parent
IRRIGATION = TESTS.parents[1] / "levada/guest" / "irrigation" / "irrigation.wasm"
EXAMPLES = TESTS.parents[1] / "levada/guest" / "examples"
STUBS = {
    "esp_attr.h": "#define RTC_DATA_ATTR\n",
    "esp_log.h": "#include <stdio.h>\n#define ESP_LOGW(tag, ...) fprintf(stderr, __VA_ARGS__)\n",
    "sdkconfig.h": "#define CONFIG_LEVADA_RING_BYTES 700\n#define CONFIG_LEVADA_KEPT_BYTES 4096\n",
}
"""In place of ESP-IDF's: RTC memory is a variable, as the process goes on."""
STEPS = 40
MINUTE = "(i32.const 60000)"


@pytest.fixture(scope="session")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program sleeper.c, with wasm3 and the port's keep.c."""
    build("build/levada-board-wasm3")
    folder = tmp_path_factory.mktemp("sleeper")
    for name, text in STUBS.items():
        (folder / name).write_text(text)
    objects = [*(BUILD / "posix").glob("*.o"), *(BUILD / "posix" / "wasm3").glob("*.o")]
    wanted = {*(path.stem for path in CORE), "exports", "profile", "engine_wasm3"}
    linked = [o for o in objects if o.parent.name == "wasm3" or o.stem in wanted]
    port = FIRMWARE / "port" / "esp-idf" / "main"
    done = subprocess.run(
        ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-g"]
        + [f"-I{path}" for path in (folder, TESTS, port, FIRMWARE / "core")]
        + ["-o", folder / "sleeper", TESTS / "sleeper.c", TESTS / "fake.c", port / "keep.c"]
        + [*linked, "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "sleeper"


def nights(sleeper: Path, wasm: bytes, how: str) -> tuple[list[str], list[str], str]:
    """Kinds of sleep, tapes, and what the log says."""
    module = sleeper.parent / "guest.wasm"
    module.write_bytes(wasm)
    done = subprocess.run(
        [sleeper, module, str(STEPS), how], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    pairs = [line.split(" ") for line in done.stdout.splitlines()]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs], done.stderr


COUNTER = "(global.set $n (i32.add (global.get $n) (i32.const 1)))"
IN_GLOBALS = {
    "three openings in a global": guest(
        f"(if (i32.lt_s (global.get $n) (i32.const 3)) (then {COUNTER}"
        f" (call $set_output (i32.const 18) (i32.const 1)) (call $set_output (i32.const 18)"
        f" (i32.const 0)))) {MINUTE}",
        more="(global $n (mut i32) (i32.const 0))",
    ),
    "an exported global": guest(
        f"{COUNTER} (call $log_int (global.get $n)) {MINUTE}",
        more='(global $n (export "n") (mut i32) (i32.const 0))',
    ),
    "one of two globals": guest(
        f"{COUNTER} (call $log_int (global.get $n)) (global.set $m (global.get $m)) {MINUTE}",
        more="(global $m (mut i32) (i32.const 9)) (global $n (mut i32) (i32.const 0))",
    ),
    "a global of 64 bits": guest(
        "(global.set $n (i64.add (global.get $n) (i64.const 1)))"
        f" (call $log_int (i32.wrap_i64 (global.get $n))) {MINUTE}",
        more="(global $n (mut i64) (i64.const 0))",
    ),
    "a counter that is called a stack pointer": guest(
        "(global.set $__stack_pointer (i32.sub (global.get $__stack_pointer) (i32.const 16)))"
        f" (call $log_int (global.get $__stack_pointer)) {MINUTE}",
        more="(global $__stack_pointer (mut i32) (i32.const 2048))",
    ),
    "a pointer that is put back on one way only": guest(
        "(local i32) (global.set $sp (local.tee 0 (i32.sub (global.get $sp) (i32.const 16))))"
        f" (if (i32.and (call $now_s) (i32.const 1)) (then (return {MINUTE})))"
        f" (call $log_int (global.get $sp)) (global.set $sp (i32.add (local.get 0)"
        f" (i32.const 16))) {MINUTE}",
        more="(global $sp (mut i32) (i32.const 2048))",
    ),
    "a pointer that is put back elsewhere": guest(
        "(local i32) (global.set $sp (local.tee 0 (i32.sub (global.get $sp) (i32.const 16))))"
        " (call $log_int (global.get $sp)) (local.set 0 (i32.const 1024))"
        f" (global.set $sp (i32.add (local.get 0) (i32.const 16))) {MINUTE}",
        more="(global $sp (mut i32) (i32.const 2048))",
    ),
    "a pointer from a round before": guest(
        "(local i32) (loop (global.set $sp (i32.sub (global.get $sp) (i32.const 16)))"
        f" (br_if 0 (i32.rem_u (global.get $sp) (i32.const 64)))) {MINUTE}",
        more="(global $sp (mut i32) (i32.const 2048))",
    ),
    "a pointer set in a branch that is not taken": guest(
        "(local i32) (if (i32.const 0) (then (local.set 0 (global.get $sp))))"
        f" (global.set $sp (local.get 0)) (call $log_int (global.get $sp)) {MINUTE}",
        more="(global $sp (mut i32) (i32.const 2048))",
    ),
}
STATELESS = {
    "nothing set": guest(
        f"(call $log_int (global.get $n)) {MINUTE}", more="(global $n (mut i32) (i32.const 3))"
    ),
    "a stack pointer with two ways out": guest(
        "(local i32) (global.set $sp (local.tee 0 (i32.sub (global.get $sp) (i32.const 16))))"
        " (i32.store (local.get 0) (call $now_s)) (block (br_if 0 (i32.and (call $now_s)"
        " (i32.const 1))) (global.set $sp (i32.add (local.get 0) (i32.const 16)))"
        f" (return {MINUTE})) (call $log_int (i32.load (local.get 0)))"
        f" (global.set $sp (i32.add (local.get 0) (i32.const 16))) {MINUTE}",
        more="(global $sp (mut i32) (i32.const 2048))",
    ),
    "a stack pointer in a loop": guest(
        "(local i32 i32) (local.set 1 (i32.const 3)) (global.set $sp (local.tee 0 (i32.sub"
        " (global.get $sp) (i32.const 32)))) (loop (i32.store (local.get 0) (local.get 1))"
        " (call $log_int (i32.load (local.get 0))) (br_if 0 (local.tee 1 (i32.sub (local.get 1)"
        " (i32.const 1))))) (global.set $sp (i32.add (local.get 0) (i32.const 32)))"
        f" {MINUTE}",
        more="(global $sp (mut i32) (i32.const 2048))",
    ),
}


@pytest.mark.parametrize("name", IN_GLOBALS)
def test_a_guest_with_state_in_globals_sleeps_lightly_and_forgets_nothing(
    name: str, sleeper: Path
) -> None:
    wasm = IN_GLOBALS[name]
    assert state_in_globals(wasm)
    assert inspect(wasm).keeps_globals
    kinds, tapes, said = nights(sleeper, wasm, "sleep")
    assert set(kinds) == {"light"}
    assert said.count("light sleep instead") == 1
    assert tapes == nights(sleeper, wasm, "wake")[1]


@pytest.mark.parametrize("name", STATELESS)
def test_a_guest_that_puts_its_stack_pointer_back_sleeps_deeply(name: str, sleeper: Path) -> None:
    wasm = STATELESS[name]
    assert not inspect(wasm).keeps_globals
    kinds, tapes, said = nights(sleeper, wasm, "sleep")
    assert set(kinds) == {"deep"}
    assert said == ""
    assert tapes == nights(sleeper, wasm, "wake")[1]


def test_the_shipped_guest_sleeps_deeply_and_forgets_nothing(sleeper: Path) -> None:
    wasm = IRRIGATION.read_bytes()
    kinds, tapes, _ = nights(sleeper, wasm, "sleep")
    assert set(kinds) == {"deep"}
    assert tapes == nights(sleeper, wasm, "wake")[1]


STACKED = r"""
#include "levada.h"
static int total;
__attribute__((noinline)) static int sum(volatile const int *values, int count)
{
    int found = 0;
    for (int k = 0; k < count; k++) {
        if (values[k] < 0)
            return -1;
        found += values[k];
    }
    return found;
}
LEVADA_EXPORT(abi_version) int abi_version(void) { return 1; }
LEVADA_EXPORT(init) int init(void) { return 1000; }
LEVADA_EXPORT(step) int step(void)
{
    volatile int values[8];
    for (int k = 0; k < 8; k++)
        values[k] = read_sensor(k & 3);
    if (values[0] < 0)
        return 5000;
    total += sum(values, 8);
    log_int(total);
    return 60000;
}
"""


@pytest.mark.parametrize("source", ["stacked", "loop", "threshold"])
def test_clangs_stack_pointer_is_no_state(source: str, tmp_path: Path) -> None:
    path = EXAMPLES / f"{source}.c"
    if source == "stacked":
        path = tmp_path / "stacked.c"
        path.write_text(STACKED)
    wasm = build_guest([path]).module
    assert not state_in_globals(wasm)
    assert source != "stacked" or b"\x24\x80\x80\x80\x80\x00" in wasm  # it does set one


@pytest.mark.parametrize(
    ("wasm", "said"),
    [(IN_GLOBALS["an exported global"], "light sleep instead"), (STATELESS["nothing set"], "fits")],
)
def test_inspect_says_which(wasm: bytes, said: str) -> None:
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as capture:
        console.print(render(inspect(wasm)))
    line = next(line for line in capture.get().splitlines() if line.startswith("deep sleep"))
    assert said in line
