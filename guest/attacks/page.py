"""A report of attacks as Markdown: `attack.md`, and the tables of `docs/sandbox.md`."""

from __future__ import annotations

from collections.abc import Iterator

from levada.guest.attacks.cases import Case
from levada.guest.attacks.outcome import AttackVerdict
from levada.guest.attacks.report import AttackReport, TargetReport

__all__ = ["expected", "markdown", "time_text"]


def expected(case: Case) -> str:
    """What must come of a case, in words."""
    return f"stopped: {case.trap}" if case.outcome == "stopped" else case.outcome


def time_text(verdict: AttackVerdict) -> str:
    """How long it took to refuse the module, or how long its guest ran [ms]."""
    outcome = verdict.outcome
    took_ms = outcome.load_ms if outcome.kind == "refused" else outcome.run_ms
    return f"{took_ms:.1f}" if took_ms < 100.0 else f"{took_ms:.0f}"


def markdown(report: AttackReport) -> str:
    """The whole report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: AttackReport) -> Iterator[str]:
    names = [target.name for target in report.targets]
    yield "# Attacks on the sandbox"
    yield ""
    yield f"{report.date}, {report.tried} tried, {report.failed} failed. Times are in milliseconds."
    yield ""
    yield f"| row | module | it | must be | {' | '.join(names)} |"
    yield f"|{' --- |' * (4 + len(names))}"
    for number, case in enumerate(report.cases):
        cells = [_cell(target.verdicts[number]) for target in report.targets]
        yield (
            f"| {case.row} | `{case.name}` | {case.tries} | {expected(case)} | "
            f"{' | '.join(cells)} |"
        )
    yield ""
    yield "| target | engine | ends an endless loop after | mutants | crashes | other calls |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for target in report.targets:
        yield f"| {' | '.join(_target_cells(target))} |"
    yield ""
    for name, reason in report.not_tried.items():
        yield f"Not tried: {name}. {reason.splitlines()[0]}"
        yield ""
    for allowed in report.allowed:
        yield f"\\* {allowed}."
        yield ""


def _cell(verdict: AttackVerdict) -> str:
    if not verdict.passed:
        return f"**{verdict.outcome.kind}**"
    return f"{time_text(verdict)}{' *' if verdict.because else ''}"


def _target_cells(target: TargetReport) -> list[str]:
    mutants = target.mutants
    cut = f"{target.cut_ms:.1f} ms" if target.cut_ms is not None else "-"
    counts = (mutants.tried, len(mutants.crashed), len(mutants.differ))
    return [target.name, target.engine, cut, *(f"{count:,}" for count in counts)]
