"""What a module has to pass before it is sent to a field.

It is looked at, run through scenarios, and given the site's own recorded weeks, each time beside
the module that the field has now.  A gate says what would have changed; it refuses what breaks an
expectation that holds today.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from levada.guest.abi import ABI_VERSION
from levada.guest.errors import ManifestError, ModuleError, SignatureError
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.signing.envelope import Envelope, key_id
from levada.guest.signing.module_file import require_matching, require_target
from levada.hil.update.package import ModulePackage
from levada.sim.scenario import load as scenarios
from levada.twin.ota.past import RecordedWeeks, record_end, replay_record
from levada.twin.ota.suite import ScenarioTrial, try_scenario

__all__ = ["Check", "GateReport", "check_package", "run_gate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    text: str


@dataclass(kw_only=True, slots=True)
class GateReport:
    """All that a gate has found."""

    checks: list[Check] = field(default_factory=list)
    trials: list[ScenarioTrial] = field(default_factory=list)
    past: RecordedWeeks | None = None
    simulated: ScenarioTrial | None = None
    """The site's scenario up to the end of the record; its expectations are those of a season."""

    @property
    def failures(self) -> list[str]:
        """Why the module is refused, in words; empty: it is not."""
        found = [f"{check.name}: {check.text}" for check in self.checks if not check.passed]
        found += [f"{t.name}: {broken}" for t in self.trials for broken in t.broken]
        if self.past is not None and self.past.stopped:
            found.append(f"recorded weeks: {self.past.stopped}")
        return found

    @property
    def sound(self) -> bool:
        """Whether module and signature are what they should be: nothing overrides that."""
        return all(check.passed for check in self.checks)

    def evidence(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "checks": [asdict(check) for check in self.checks],
            "trials": [asdict(trial) for trial in self.trials],
            "past": None if self.past is None else asdict(self.past),
            "simulated": None if self.simulated is None else asdict(self.simulated),
            "failures": self.failures,
        }


def check_package(
    package: ModulePackage,
    *,
    nodes: Sequence[str],
    trusted: Sequence[bytes] = (),
    now: datetime | None = None,
) -> list[Check]:
    """ABI, feature profile, size and signature of what is to be sent."""
    try:
        info = inspect(package.module).require()
    except ModuleError as error:
        return [Check(name="module", passed=False, text=str(error).splitlines()[0])]
    fit = f"{info.size:,} bytes, fits ABI {ABI_VERSION} and the feature profile"
    found = [Check(name="module", passed=True, text=fit)]
    found.append(_signature(package, info, nodes, trusted, now or datetime.now(UTC)))
    return found


def run_gate(
    package: ModulePackage,
    *,
    scenario: Path | None,
    suite: Sequence[Path],
    checks: Sequence[Check],
    present: Path | None = None,
    store: str | Path | None = None,
    days: int = 28,
    tell: Callable[[str], object] = lambda _text: None,
) -> GateReport:
    """Try the very bytes that will be sent; `tell` hears what is being done.

    `scenario` is the site's, `present` the module that it has now (None: the scenario's own), and
    `store` what was recorded there.  Raises what the present module or the files raise.
    """
    report = GateReport(checks=list(checks))
    if not report.sound:
        return report
    document = None if scenario is None else scenarios.read(scenario)
    if present is None:
        own = None if document is None else document.scenario.guest.file
        present = Path(own or DEFAULT_GUEST)
    before = present.read_bytes()
    with TemporaryDirectory(prefix="levada-gate-") as folder:
        # files of our own: those that were named may be written meanwhile
        one, other = Path(folder) / "present.wasm", Path(folder) / "candidate.wasm"
        one.write_bytes(before)
        other.write_bytes(package.module)
        for path in [*([scenario] if scenario else []), *suite]:
            tell(path.stem)
            report.trials.append(try_scenario(path, one, other))
        if store is not None and scenario is not None and document is not None:
            tell("recorded weeks")
            report.past = replay_record(store, document.scenario, before, package.module, days=days)
            if report.past is not None:
                end = ("period.end", record_end(report.past).isoformat())
                report.simulated = try_scenario(scenario, one, other, settings=[end])
    return report


def _signature(
    package: ModulePackage,
    info: ModuleInfo,
    nodes: Sequence[str],
    trusted: Sequence[bytes],
    now: datetime,
) -> Check:
    def no(text: str) -> Check:
        return Check(name="signature", passed=False, text=text)

    if not package.envelope:
        if trusted:
            return no("none, and there are trusted keys")
        return Check(name="signature", passed=True, text="none: only devices without keys take it")
    try:
        envelope = Envelope.decode(package.envelope)
        manifest = envelope.manifest
        signer = envelope.verify(trusted) if trusted else None
        require_matching(manifest, info)
        for node in nodes:
            require_target(manifest, node)
    except (ManifestError, SignatureError) as error:
        return no(str(error))
    if manifest.expiry_s is not None and manifest.expiry_s < now.timestamp():
        return no(f"expired {datetime.fromtimestamp(manifest.expiry_s, UTC):%Y-%m-%d %H:%M} UTC")
    key = "not verified: no --trusted" if signer is None else f"key {key_id(signer).hex()} holds"
    return Check(name="signature", passed=True, text=f"counter {manifest.counter}, {key}")
