"""The shipped attacks, row by row, on the host and on every board: rows S1 to S20."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from time import monotonic

import pytest
from device_bench import BUILD, CONFIGURE, START_MS, WAMR, Bench, build
from device_guests import ABI, guest
from proof_log import Prove

from levada.guest.attacks.cases import ROWS, suite
from levada.guest.attacks.mutants import SEED
from levada.guest.attacks.outcome import AttackOutcome, judge
from levada.guest.attacks.report import CRASHES, Target, alike
from levada.hil import attacks
from levada.hil.attacks import HOSTS, TARGETS, attack
from levada.hil.virtual import ENGINES
from levada.hil.wire.messages import Birth, Configure, ResetReason, Step, StepResult

pytestmark = pytest.mark.usefixtures("boards")

HERE = tuple(name for name in TARGETS if name != "wamr" or WAMR)
BOARDS = tuple(name for name in HERE if name in ENGINES)
SLOW_CASES = ("costliest",)
"""Half a second of compiling, three times."""
Tried = Callable[[str], list[AttackOutcome]]


@pytest.fixture(scope="module")
def targets() -> Iterator[Callable[[str], Target]]:
    """Each target that a test asks for, once for all tests."""
    with ExitStack() as stack:

        @cache
        def made(name: str) -> Target:
            target = attacks._target(name)()
            stack.callback(target.close)
            return target

        yield made


@pytest.fixture(params=HERE)
def tried(request: pytest.FixtureRequest, targets: Callable[[str], Target]) -> Tried:
    """Tries the cases of a row on a target: the outcomes, all as the table says."""
    name = str(request.param)

    def row(of: str) -> list[AttackOutcome]:
        target = targets(name)
        outcomes = []
        for case in suite().chosen((of,)):
            if case.name in SLOW_CASES and name not in ("python", "wasm3"):
                continue
            outcome = target.attack(case)
            assert judge(suite(), case, outcome, name, board=target.board).faults == (), case.name
            outcomes.append(outcome)
        assert outcomes
        return outcomes

    return row


def test_s01_a_loop_without_an_end_is_cut_or_refused(tried: Tried) -> None:
    assert "contained" not in {outcome.kind for outcome in tried("S1")}


def test_s02_recursion_without_an_end_is_stopped(tried: Tried) -> None:
    assert {outcome.kind for outcome in tried("S2")} <= {"stopped", "refused"}


def test_s03_memory_ends_at_the_same_page(tried: Tried) -> None:
    tried("S3")


def test_s04_one_instruction_does_not_do_the_work_of_many(tried: Tried) -> None:
    tried("S4")


def test_s05_what_is_outside_the_profile_is_refused_and_named(tried: Tried) -> None:
    assert {outcome.kind for outcome in tried("S5")} == {"refused"}


def test_s06_a_pointer_outside_memory_reads_nothing(tried: Tried) -> None:
    tried("S6")


def test_s07_alignment_does_not_matter(tried: Tried) -> None:
    tried("S7")


def test_s08_what_is_no_text_is_refused(tried: Tried) -> None:
    tried("S8")


def test_s09_no_host_call_leads_back_into_a_guest(tried: Tried) -> None:
    tried("S9")


def test_s10_an_output_is_on_or_off(tried: Tried) -> None:
    tried("S10")


def test_s11_a_flood_of_host_calls_is_cut(tried: Tried) -> None:
    tried("S11")


def test_s12_floods_of_logs_and_publications_are_cut(tried: Tried) -> None:
    tried("S12")


def test_s13_foreign_topics_are_refused(tried: Tried, proof: Prove) -> None:
    calls = [call for outcome in tried("S13") for call in outcome.calls]
    published = [call for call in calls if call.startswith("mqtt_publish")]
    taken = [call for call in published if not call.endswith("-> refused")]
    if published:  # a native guest is no module, so none of these is one
        proof("forbidden publications", tried=len(published), found=len(taken))


def test_s14_imports_outside_the_abi_are_refused(tried: Tried) -> None:
    assert {outcome.kind for outcome in tried("S14")} == {"refused"}


def test_s15_what_is_costly_to_load_is_refused(tried: Tried) -> None:
    tried("S15")


def test_s16_bytes_that_are_no_module_are_refused(tried: Tried) -> None:
    assert {outcome.kind for outcome in tried("S16")} == {"refused"}


def test_s17_a_trap_closes_the_valve_and_the_next_life_is_clean(tried: Tried) -> None:
    for outcome in tried("S17"):
        assert outcome.outputs == (0, 0, 0, 0)
        assert outcome.repeats


def test_s18_two_lives_are_equal_bit_by_bit(tried: Tried) -> None:
    assert all(outcome.repeats for outcome in tried("S18"))


def test_s19_delays_take_no_time(tried: Tried) -> None:
    tried("S19")


def test_s20_nine_neighbours_miss_no_step(tried: Tried) -> None:
    for outcome in tried("S20"):
        assert outcome.neighbours == outcome.of_neighbours >= 9


# S1 and S2 of code that nothing counts


NATIVE = """
#include "levada.h"
LEVADA_GUEST({"name": "native", "version": "1.0.0", "abi": 1,
    "outputs": [{"pin": 23, "name": "valve"}]})
int levada_param_get(int id) { return LEVADA_INVALID + 0 * id; }
int levada_param_set(int id, int value) { return LEVADA_INVALID + 0 * id * value; }
int levada_init(void) { return 1000; }
static volatile int deep;
static int down(int n) { volatile char room[4096]; room[n & 4095] = 1; deep++;
    return down(n + 1) + room[n & 4095]; }
int levada_step(void)
{
    set_output(LEVADA_PIN_VALVE, 1);
    if (read_sensor(LEVADA_SENSOR_MOISTURE) > 0)
        for (;;)
            deep++;
    return down(0);
}
"""


@pytest.mark.parametrize(
    ("moisture", "reason"), [(1, ResetReason.WATCHDOG), (0, ResetReason.PANIC)]
)
def test_s01_and_s02_a_native_guest_ends_its_board_which_starts_again_with_its_valve_closed(
    moisture: int, reason: ResetReason, tmp_path: Path
) -> None:
    (tmp_path / "native.c").write_text(NATIVE)
    (tmp_path / "native.wasm").write_bytes(wasm := guest("(i32.const 1)"))
    build(
        "NATIVE=native-attack", f"GUEST={tmp_path / 'native'}", "build/levada-board-native-attack"
    )
    values = {name: getattr(CONFIGURE, name) for name, _ in CONFIGURE.FORMS}
    with Bench("native-attack", "--pins", tmp_path / "pins") as bench:
        bench.start(wasm, configure=Configure(**values | {"deadline_ms": 200}))
        step = Step(time_ms=START_MS, flags=1, readings=(moisture, 0, 0, 0), uptime_ms=0)
        begin_s = monotonic()
        assert bench.answer_or_death(step) is None
        print(f"the board has ended after {1000.0 * (monotonic() - begin_s):.0f} ms")
        birth = bench.hello()
        assert isinstance(birth, Birth)
        assert birth.reset_reason == reason
        pins = (tmp_path / "pins").read_text().splitlines()
        assert pins == ["boot", "23 1", "off", "boot"]


def test_every_row_has_a_case_here_and_every_module_is_in_the_table() -> None:
    cases = suite().cases
    assert {case.row for case in cases} == set(ROWS)
    written = {case.name for case in cases if not case.hex and not case.made_by}
    folder = Path(str(attacks.__file__)).parents[1] / "guest" / "attacks"
    assert {path.stem for path in folder.glob("*.wat")} == written | {"honest"}


# S19: what a host call may do while a guest waits for it


MEMORY_AND_TEXT = {"memchr", "memcmp", "memcpy", "memmove", "memset"} | {
    "strchr",
    "strcmp",
    "strlen",
    "strncpy",
}
CHECKS = {"__assert_fail", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


def test_s19_the_core_calls_nothing_that_could_block() -> None:
    """Host calls end in the core; beside it there is the port, which has the pins alone."""
    objects = sorted((BUILD / "posix").glob("*.o"))
    core = {path.stem for path in (BUILD.parent / "core").glob("*.c")}
    called = set()
    for path in objects:
        if path.stem in core:
            listed = subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True)
            called |= {line.split()[-1] for line in listed.stdout.splitlines()}
    assert "memcpy" in called
    assert {name for name in called if not name.startswith("lv_")} <= MEMORY_AND_TEXT | CHECKS


def call_of(name: str, ty: str) -> str:
    """A call of an import with arguments that it takes, its result thrown away."""
    arguments = {
        "mqtt_publish": "(i32.const 16) (i32.const 21)",
        "delay_ms": "(i32.const 2147483647)",
    }.get(name, "(i32.const 0)" * ty.partition("(result")[0].count("i32"))
    call = f"(call ${name} {arguments})"
    return f"(drop {call})" if "result" in ty else call


EACH = 20


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            name, marks=[pytest.mark.slow] if name in ("aarch64", "esp32", "xtensa") else []
        )
        for name in BOARDS
        if name != "native"
    ],
)
def test_s19_no_host_call_of_a_board_makes_its_process_wait(engine: str) -> None:
    """A process that blocks gives the processor away by itself, and Linux counts how often."""
    calls = "".join(call_of(name, ty) for name, ty in ABI.items())
    wasm = guest(f"{calls * EACH} (i32.const 60000)")
    with Bench(engine) as bench:
        started = bench.start(wasm)
        before = switches(bench.board)
        step = Step(time_ms=started.wake_ms, flags=1, readings=(0, 0, 0, 0), uptime_ms=0)
        result = bench.ask(step)
        assert isinstance(result, StepResult)
        assert (result.trap, result.host_calls) == (0, EACH * len(ABI))
        assert switches(bench.board) - before < EACH, "one for each call of one kind, or more"


def switches(process: int) -> int:
    """How often a process has waited for something, in its whole life."""
    status = Path(f"/proc/{process}/status").read_text("ascii")
    [line] = (line for line in status.splitlines() if line.startswith("voluntary_ctxt"))
    return int(line.split()[1])


# S16: modules that are changed by chance


@pytest.mark.slow
def test_s16_mutants_do_no_harm_and_make_the_same_calls_on_host_and_board(
    targets: Callable[[str], Target],
) -> None:
    host = list(targets("python").mutants(SEED, 300))
    board = list(targets("wasm3").mutants(SEED, 300))
    for outcomes in (host, board):
        kinds = [outcome.kind for outcome in outcomes]
        assert len(kinds) == 300
        assert not set(kinds) & set(CRASHES)
        assert {"refused", "stopped", "contained"} <= set(kinds)
    assert all(alike(*pair) for pair in zip(host, board, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTS)
def test_s16_twenty_thousand_mutants_do_no_harm_to_the_host(name: str) -> None:
    print(f"seed {SEED}")
    [target] = attack([name], ["of-tomorrow"], mutants=20_000).targets
    assert (target.mutants.tried, target.mutants.crashed) == (20_000, [])
    assert target.mutants.kinds["stopped"] > 500


@pytest.mark.slow
def test_s16_five_hundred_mutants_do_no_harm_to_any_board_and_make_the_same_calls() -> None:
    print(f"seed {SEED}")
    report = attack(["python", *BOARDS], ["of-tomorrow"], mutants=500)
    for target in report.targets:
        assert (target.mutants.crashed, target.mutants.differ) == ([], []), target.name


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_everything_at_once(name: str) -> None:
    report = attack([name])
    assert [v.faults for target in report.targets for v in target.verdicts if v.faults] == []
    assert report.failed == 0
    assert report.tried == len(suite().cases)
