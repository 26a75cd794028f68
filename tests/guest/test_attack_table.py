"""How attacks are judged, and that a host which does not survive one is noticed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from levada.guest.attacks import made
from levada.guest.attacks.cases import AllowedDifference, Case, Suite, suite
from levada.guest.attacks.mutants import SEED, mutant
from levada.guest.attacks.outcome import AttackOutcome, judge
from levada.guest.attacks.page import expected, markdown
from levada.guest.attacks.report import AttackReport, TargetReport, run_attacks
from levada.guest.attacks.worker import HostTarget, MutantOutcome
from levada.guest.errors import GuestError, ModuleError
from levada.guest.module.inspect import inspect

CALLS = ("set_output(23, 1)", "now_s() -> 5", "now_s() -> 5")
STOPPED = Case(
    row="S11",
    name="flood",
    tries="floods",
    outcome="stopped",
    trap="host calls",
    calls=CALLS[:2],
    repeat_calls=2,
)
REFUSED = Case(row="S5", name="simd", tries="is wide", outcome="refused", says="SIMD")
GOOD = AttackOutcome(
    kind="stopped", detail="host calls", calls=CALLS, neighbours=9, of_neighbours=9
)
ALLOWED = AllowedDifference(
    engines=("boards",), cases=("flood",), outcome="restarted", because="it has a watchdog"
)
TABLE = Suite(cases=(STOPPED, REFUSED), differences=(ALLOWED,))


def test_what_is_as_the_table_says_has_no_fault() -> None:
    assert judge(TABLE, STOPPED, GOOD, "python", board=False).passed
    refused = AttackOutcome(kind="refused", detail="opcode 0xfd0c, SIMD")
    assert judge(TABLE, REFUSED, refused, "python", board=False).passed


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (replace(GOOD, kind="contained", detail=""), r"contained \(\), expected stopped"),
        (replace(GOOD, kind="died", detail="exit code -11"), r"died \(exit code -11\)"),
        (replace(GOOD, kind="restarted"), r"restarted \(host calls\), expected stopped"),
        (replace(GOOD, detail="unreachable"), "stopped by unreachable, expected host calls"),
        (replace(GOOD, calls=CALLS[:2]), "calls 2: .*, expected 3: "),
        (replace(GOOD, outputs=(1, 0, 0, 0)), r"outputs \(1, 0, 0, 0\), expected \(0, 0, 0, 0\)"),
        (replace(GOOD, repeats=False), "second life"),
        (replace(GOOD, neighbours=8), "1 neighbours missed a step"),
    ],
)
def test_whatever_is_not_as_the_table_says_is_a_fault(outcome: AttackOutcome, fault: str) -> None:
    verdict = judge(TABLE, STOPPED, outcome, "python", board=False)
    assert not verdict.passed
    [found] = verdict.faults
    assert re.search(fault, found), found


def test_a_refusal_for_another_reason_is_a_fault() -> None:
    outcome = AttackOutcome(kind="refused", detail="malformed")
    assert judge(TABLE, REFUSED, outcome, "python", board=False).faults == (
        "says 'malformed', expected 'SIMD'",
    )


def test_an_engine_may_differ_where_the_table_says_why_and_must_then() -> None:
    restarted = replace(GOOD, kind="restarted", detail="watchdog", calls=())
    on_a_board = judge(TABLE, STOPPED, restarted, "wasm3", board=True)
    assert (on_a_board.passed, on_a_board.because) == (True, "it has a watchdog")
    assert not judge(TABLE, STOPPED, GOOD, "wasm3", board=True).passed
    assert not judge(TABLE, STOPPED, restarted, "fast", board=False).passed
    missed = replace(restarted, neighbours=0)
    assert not judge(TABLE, STOPPED, missed, "wasm3", board=True).passed


def test_cases_are_chosen_by_row_or_name() -> None:
    found = suite()
    assert {case.row for case in found.chosen(("S2",))} == {"S2"}
    assert [case.name for case in found.chosen(("recursion", "outputs"))] == [
        "recursion",
        "outputs",
    ]
    assert found.chosen(()) == found.cases
    with pytest.raises(GuestError, match=r"attack 'S21': did you mean S2 .*rows S1 to S20"):
        found.chosen(("S21",))


def test_every_refusal_has_its_reason_and_everything_else_is_a_guest() -> None:
    for case in suite().cases:
        if case.outcome == "refused":
            assert case.says or case.row == "S16", case.name
        else:
            assert inspect(case.module, budget=case.limits).fits, case.name


def test_mutants_depend_on_seed_and_number_alone() -> None:
    def digest(seed: int) -> str:
        return hashlib.sha256(b"".join(mutant(seed, k) for k in range(50))).hexdigest()

    assert digest(SEED) == digest(SEED)
    assert digest(SEED) != digest(SEED + 1)
    assert len({mutant(SEED, k) for k in range(200)}) > 190


def test_a_host_that_dies_is_told_of_and_the_next_has_another() -> None:
    def kill() -> None:
        assert host._process is not None
        host._process.kill()
        host._process.wait()

    [case] = suite().chosen(("recursion",))
    with HostTarget("python", "ordinary") as host:
        assert host.attack(case).kind == "stopped"
        kill()
        outcomes = list(host.mutants(SEED, 20))
        assert [outcome.number for outcome in outcomes] == list(range(20))
        kinds = [outcome.kind for outcome in outcomes]
        assert (kinds[0], kinds.count("died")) == ("died", 1)
        assert host.attack(case).kind == "stopped"
        kill()
        outcome = host.attack(case)
        assert (outcome.kind, outcome.detail) == ("died", "exit code -9")


class Fragile:
    """A target that survives little, and does something else now and then."""

    name = "fragile"
    engine = "none"
    board = False

    def attack(self, case: Case) -> AttackOutcome:
        return GOOD if case is STOPPED else replace(GOOD, kind="died", detail="exit code -11")

    def mutants(self, seed: int, count: int) -> Iterator[MutantOutcome]:
        yield MutantOutcome(0, "died", "", "")
        yield MutantOutcome(1, "stopped", "unreachable", "tape")
        yield MutantOutcome(2, "stopped", "out of fuel", "tape")
        yield MutantOutcome(3, "contained", "", "tape")

    def close(self) -> None:
        pass


class Sound(Fragile):
    """A target that is as it must be."""

    name = "sound"

    def attack(self, case: Case) -> AttackOutcome:
        return GOOD if case is STOPPED else AttackOutcome(kind="refused", detail="SIMD")

    def mutants(self, seed: int, count: int) -> Iterator[MutantOutcome]:
        yield MutantOutcome(0, "refused", "", "")
        yield MutantOutcome(1, "stopped", "unreachable", "other tape")
        yield MutantOutcome(2, "contained", "", "other tape")
        yield MutantOutcome(3, "refused", "", "")


def test_a_report_counts_what_failed_and_says_all_of_it_as_json_and_markdown() -> None:
    report = run_attacks(
        TABLE, TABLE.cases, [Sound, Fragile], mutants=4, not_tried={"wamr": "not here"}
    )
    assert [target.failed for target in report.targets] == [0, 3]
    assert (report.tried, report.failed) == (2 * (2 + 4), 3)
    found = report.to_dict()
    assert (found["tried"], found["failed"]) == (12, 3)
    fragile = found["targets"]["fragile"]["mutants"]
    assert (fragile["crashed"], fragile["different"]) == ([0], [1]), "counting instructions differs"
    assert found["cases"][1]["results"]["fragile"]["passed"] is False
    assert found["not_tried"] == {"wamr": "not here"}
    page = markdown(report)
    assert "| S5 | `simd` | is wide | refused | 0.0 | **died** |" in page
    assert "Not tried: wamr. not here" in page
    assert report.allowed == []


def test_what_an_engine_may_do_otherwise_is_said_with_its_name() -> None:
    restarted = replace(GOOD, kind="restarted", detail="watchdog", calls=())
    verdict = judge(TABLE, STOPPED, restarted, "wasm3", board=True)
    target = TargetReport(name="wasm3", engine="3", board=True, verdicts=[verdict])
    report = AttackReport(cases=(STOPPED,), targets=[target], not_tried={}, seed=1, date="")
    assert report.allowed == ["wasm3: it has a watchdog"]
    assert "\\* wasm3: it has a watchdog." in markdown(report)


def test_a_function_more_than_the_profile_allows_is_refused() -> None:
    plain = b"\0" + made.END
    assert inspect(made._reactor([plain] * 1021)).fits
    with pytest.raises(ModuleError, match="1025 functions: at most 1024"):
        inspect(made._reactor([plain] * 1022))
    block = made.BLOCK + made.END
    assert inspect(made._reactor([b"\0" + block * 4096 + made.END])).fits
    with pytest.raises(ModuleError, match="more blocks than allowed: at most 4096"):
        inspect(made._reactor([b"\0" + block * 4097 + made.END]))


def test_the_page_has_every_case_with_what_must_come_of_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")
    listed = re.findall(r"^\| (S\d+) \| `([\w-]+)` \| ([^|]+) \| ([^|]+) \|", page, re.MULTILINE)
    assert listed == [(c.row, c.name, c.tries, expected(c)) for c in suite().cases]
    assert f"all {len(suite().cases)} modules" in page
