"""What a module has to pass before it is sent, and what the gate says of it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import small_field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ota_modules import EXPECTATION, build_variant

from levada.guest.abi import Call
from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.signing.envelope import raw_public, sign
from levada.guest.signing.manifest import manifest_of
from levada.guest.tape import TapeReader, iter_records
from levada.hil.update.package import ModulePackage
from levada.sim.run import runner
from levada.sim.scenario.load import load
from levada.twin.mqtt.messages import signals_of
from levada.twin.ota.gate import check_package, run_gate
from levada.twin.ota.module_file import read_package
from levada.twin.ota.past import record_end, replay_record
from levada.twin.ota.suite import try_scenario
from levada.twin.store.rows import Row
from levada.twin.store.store import Store

KEY = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("modules")
    return {
        "same": build_variant(folder, "1.3.0"),
        "short": build_variant(folder, "1.4.0", longest_open_s=600),
        "trap": build_variant(folder, "1.5.0", trap=True),
    }


@pytest.fixture
def site(tmp_path: Path) -> Path:
    small_field.scenario(tmp_path, extra=EXPECTATION)
    return tmp_path / "field.toml"


def recorded(site: Path, folder: Path) -> Path:
    """A store with what the site's board would have told: it ran the shipped guest."""
    loaded = load(site)
    runner.run_scenario(loaded, folder / "run", report=False)
    tape = TapeReader(folder / "run" / "tape.cbor").tapes()[0]
    path, now_ms, number = folder / "store.sqlite", 0, 0
    end_ms = loaded.period.end_ms
    with Store(path, clock_ms=lambda: end_ms) as store:
        for record in iter_records(tape):
            if record.call == Call.STEP:
                now_ms = record.values[0]
            elif record.call == Call.MQTT_PUBLISH:
                message = record.values[1].decode()
                row = Row(
                    node="maize",
                    boot=1,
                    seq=number,
                    oldest=0,
                    received_ms=now_ms,
                    device_ms=now_ms,
                    payload=message,
                    signals={},
                )
                assert store.submit(row)
                number += 1
        assert store.flush()
    assert number > 400
    assert signals_of({"raw": 1})
    return path


def test_a_module_that_decides_the_same_changes_nothing(
    site: Path, modules: dict[str, Path]
) -> None:
    found = try_scenario(site, None, modules["same"])
    assert found.before == found.after
    assert (found.held, found.broken, found.first) == (1, (), None)


def test_what_would_have_changed_is_told_with_the_first_different_decision_and_why(
    site: Path, modules: dict[str, Path]
) -> None:
    found = try_scenario(site, None, modules["short"])
    assert found.after.openings > found.before.openings
    assert found.after.water_l != found.before.water_l
    assert found.first is not None
    assert found.first.zone == "maize"
    assert "stays open" in found.first.before
    assert "longest time allowed" in found.first.after


def test_a_module_that_is_stopped_is_refused_with_the_trap(
    site: Path, modules: dict[str, Path]
) -> None:
    found = try_scenario(site, None, modules["trap"])
    assert any("No guest is stopped" in broken for broken in found.broken)
    assert any("Some water is given" in broken for broken in found.broken)


def test_an_expectation_that_fails_already_is_not_held_against_a_module(
    tmp_path: Path, modules: dict[str, Path]
) -> None:
    small_field.scenario(tmp_path, extra=EXPECTATION.replace("= 3", "= 3000"))
    found = try_scenario(tmp_path / "field.toml", None, modules["same"])
    assert (found.held, found.broken) == (0, ())


def test_a_module_without_a_parameter_that_the_site_sets_cannot_run(
    site: Path, tmp_path: Path
) -> None:
    threshold = DEFAULT_GUEST.parents[1] / "examples" / "threshold.wasm"
    if not threshold.is_file():
        from levada.guest.build import build

        source = DEFAULT_GUEST.parents[1] / "examples" / "threshold.c"
        threshold = tmp_path / "threshold.wasm"
        build([source], threshold)
    found = try_scenario(site, None, threshold)
    assert found.broken[0].startswith("it cannot run")


def test_the_recorded_weeks_of_a_site_show_the_first_decision_that_would_have_differed(
    site: Path, modules: dict[str, Path], tmp_path: Path
) -> None:
    store, loaded = recorded(site, tmp_path), load(site)
    present = DEFAULT_GUEST.read_bytes()
    same = replay_record(store, loaded, present, modules["same"].read_bytes(), days=28)
    assert same is not None
    assert same.first is None
    assert same.before_open_h == same.after_open_h > 0
    short = replay_record(store, loaded, present, modules["short"].read_bytes(), days=28)
    assert short is not None
    assert short.first is not None
    assert "longest time allowed" in short.first.after
    assert short.after_open_h < short.before_open_h
    assert record_end(short) <= loaded.period.end
    trap = replay_record(store, loaded, present, modules["trap"].read_bytes(), days=28)
    assert trap is not None
    assert "unreachable" in trap.stopped
    days = replay_record(store, loaded, present, present, days=1)
    assert days is not None
    assert days.end_ms - days.start_ms <= 86_400_000


def test_a_site_without_a_record_is_not_replayed(site: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "empty.sqlite"):
        pass
    module = DEFAULT_GUEST.read_bytes()
    assert replay_record(tmp_path / "empty.sqlite", load(site), module, module, days=28) is None


def test_the_gate_puts_all_of_it_together(
    site: Path, modules: dict[str, Path], tmp_path: Path
) -> None:
    store = recorded(site, tmp_path)
    tried: list[str] = []
    for name, refused in (("short", False), ("trap", True)):
        package = read_package(modules[name])
        report = run_gate(
            package,
            scenario=site,
            suite=[],
            checks=check_package(package, nodes=["maize"]),
            store=store,
            tell=tried.append,
        )
        assert bool(report.failures) is refused
        assert report.sound
        assert report.past is not None
        assert report.simulated is not None
        assert report.evidence()["failures"] == report.failures
    assert tried == ["field", "recorded weeks"] * 2


def test_a_file_that_is_changed_after_it_was_read_changes_nothing(
    site: Path, modules: dict[str, Path], tmp_path: Path
) -> None:
    """The gate runs the bytes that are sent, beside the bytes that were there when it began."""
    new, present = tmp_path / "new.wasm", tmp_path / "present.wasm"
    new.write_bytes(modules["trap"].read_bytes())
    present.write_bytes(DEFAULT_GUEST.read_bytes())
    package = read_package(new)

    def exchange(_text: str) -> None:
        new.write_bytes(modules["same"].read_bytes())
        present.write_bytes(modules["trap"].read_bytes())

    report = run_gate(
        package,
        scenario=site,
        suite=[],
        checks=check_package(package, nodes=["maize"]),
        present=present,
        tell=exchange,
    )
    assert any("No guest is stopped" in text for text in report.failures)
    assert report.trials[0].before.openings > 0
    assert package.sha256 == hashlib.sha256(modules["trap"].read_bytes()).hexdigest()


def signed(file: Path, *keys: Ed25519PrivateKey, **said: object) -> ModulePackage:
    module = file.read_bytes()
    manifest = manifest_of(inspect(module), **({"counter": 3} | said))  # type: ignore[arg-type]
    return ModulePackage(
        module=module,
        envelope=sign(manifest, *keys).encode(),
        name=manifest.name,
        version=manifest.version,
        counter=manifest.counter,
    )


def test_a_signature_is_checked_as_a_device_would(modules: dict[str, Path]) -> None:
    trusted = [raw_public(KEY)]

    def said(package: ModulePackage, **more: object) -> tuple[bool, str]:
        found = check_package(
            package,
            nodes=["maize"],
            trusted=trusted,
            **more,  # type: ignore[arg-type]
        )
        return found[-1].passed, found[-1].text

    good = signed(modules["same"], KEY)
    assert said(good) == (
        True,
        f"counter 3, key {hashlib.sha256(trusted[0]).hexdigest()[:16]} holds",
    )
    assert "no trusted key" in said(signed(modules["same"], OTHER))[1]
    assert said(signed(modules["same"], OTHER, KEY))[0]
    assert "not for maize" in said(signed(modules["same"], KEY, target="vine"))[1]
    late = signed(modules["same"], KEY, expiry_s=1_000_000_000)
    assert said(late) == (False, "expired 2001-09-09 01:46 UTC")
    assert said(late, now=datetime(2001, 1, 1, tzinfo=UTC))[0]
    other = ModulePackage(module=modules["short"].read_bytes(), envelope=good.envelope)
    assert "another module" in said(other)[1]
    assert said(read_package(modules["same"])) == (False, "none, and there are trusted keys")
    broken = ModulePackage(module=good.module, envelope=good.envelope[:-1])
    assert not said(broken)[0]


def test_what_is_no_module_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (check,) = check_package(ModulePackage(module=b"\0asm\1\0\0\0"), nodes=["maize"])
    assert not check.passed
    (check,) = check_package(ModulePackage(module=b"no module"), nodes=["maize"])
    assert not check.passed
