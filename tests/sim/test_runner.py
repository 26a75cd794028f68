from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import ROOT, column, reactor, run, scenario

from levada.guest.abi import WHY, Call, TrapKind
from levada.guest.build import build
from levada.guest.fast import jit
from levada.guest.tape import TapeReader, iter_records
from levada.sim.run import clock, runner
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import run_scenario
from levada.sim.run.trace import TYPES
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.fault import FAULTS
from levada.testing import small_field

CLOSING_S = 2.0
"""Delay of the valve, both ways, as scenarios have it by default."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runner")


@pytest.fixture(scope="module")
def plain(directory: Path) -> RunDir:
    """Two days without a fault; the guest opens within the first hour."""
    return run(directory, "plain")


def run_guest(directory: Path, name: str, module: bytes, restart: str = "never") -> RunDir:
    """Two days with a guest that has no parameters."""
    guest = directory / f"{name}.wasm"
    guest.write_bytes(module)
    path = directory / f"{name}.toml"
    body = small_field().partition("[zone.parameters]")[0]
    path.write_text(f'{body}[guest]\nfile = "{guest}"\nrestart = "{restart}"\n', encoding="utf-8")
    run_scenario(scenarios.load(path), directory / name, report=False)
    return RunDir(directory / name)


class TestRun:
    def test_it_leaves_what_a_run_directory_has(self, plain: RunDir) -> None:
        summary = plain.summary
        assert summary["scenario"] == "small"
        assert summary["partial"] is False
        assert summary["days"] == 2.0
        assert summary["steps"] == 2 * 144 - 1, "none at the start and none at the end"
        assert abs(summary["balance_error_mm"]) < 1e-6
        assert summary["valve_openings"] >= 1
        assert summary["zones"][0]["name"] == "a"
        assert set(plain.trace) == set(TYPES)
        assert scenarios.load(plain.scenario_path).name == "small"

    def test_the_summary_is_the_sum_of_the_trace(self, plain: RunDir) -> None:
        for key in ("rain_mm", "irrigation_mm", "drainage_mm", "runoff_mm", "et0_mm"):
            assert column(plain, key).sum() == pytest.approx(plain.summary[key], abs=1e-4)
        et_mm = column(plain, "evaporation_mm").sum() + column(plain, "transpiration_mm").sum()
        assert et_mm == pytest.approx(plain.summary["et_mm"], abs=1e-4)
        assert column(plain, "energy_j").sum() == pytest.approx(plain.summary["energy_j"], rel=1e-5)
        assert column(plain, "steps").sum() == plain.summary["steps"]

    def test_the_guest_irrigates_dry_soil(self, plain: RunDir) -> None:
        """60 % is below on_pct = 70; the filter needs four readings, one every ten minutes."""
        opened = np.flatnonzero(column(plain, "valve_commanded"))[0]
        assert column(plain, "why")[opened] == WHY.OPENED
        assert 4 <= opened <= 13, "rows of ten minutes; a pause of two hours counts from the start"
        assert column(plain, "valve_run_s").max() == pytest.approx(3600.0, abs=1e-6)

    def test_two_processes_leave_equal_digests(self, directory: Path) -> None:
        path = directory / "twice.toml"
        path.write_text(small_field(model="richards", zones=("a", "b")), encoding="utf-8")
        program = (
            "import sys, json\nfrom pathlib import Path\n"
            "from levada.sim.run import runner; from levada.sim.scenario import load as scenario\n"
            "given = scenario.load(Path(sys.argv[1]))\n"
            "s = runner.run_scenario(given, Path(sys.argv[2]), report=False).summary\n"
            "print(json.dumps([s['tape_digest'], s['trace_digest']]))\n"
        )
        found = [
            subprocess.run(
                [sys.executable, "-c", program, str(path), str(directory / name)],
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for name in ("first", "second")
        ]
        assert json.loads(found[0]) == json.loads(found[1])

    def test_another_seed_gives_another_run(self, directory: Path, plain: RunDir) -> None:
        path = directory / "seed.toml"
        path.write_text(small_field(), encoding="utf-8")
        other = run_scenario(scenarios.load(path, seed=2), directory / "seed", report=False)
        assert other.summary["tape_digest"] != plain.summary["tape_digest"], "noise of the probe"

    @pytest.mark.parametrize("model", ["bucket", "richards"])
    def test_the_ordinary_path_gives_the_same_run_to_the_bit(
        self, directory: Path, model: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The guest inside the compiled loop against one that Python steps, with every fault."""
        faults = [
            ("valve-leak", "3 h 5 min", "4 h", "5 %"),
            ("link-loss", "5 h 1 s", "3 h", ""),
            ("probe-spike", "9 h", "30 min", "200 counts"),
            ("clock-skew", "11 h", "5 h", "90 s"),
            ("reboot", "13 h 3 min", "", ""),
            ("keep-loss", "15 h 4 min", "", ""),
            ("brown-out", "20 h 7 min", "2 h", ""),
        ]
        extra = "".join(
            f'[[fault]]\nkind = "{kind}"\nstart = "{start}"\n'
            + (f'duration = "{duration}"\n' if duration else "")
            + (f'magnitude = "{magnitude}"\n' if magnitude else "")
            for kind, start, duration, magnitude in faults
        )
        parts: dict[str, Any] = {"model": model, "zones": ("a", "b"), "extra": extra}
        fast = run(directory, f"fast-{model}", **parts)

        class Ordinary(runner.SimNodes):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options | {"path": "ordinary"})

        monkeypatch.setattr(runner, "SimNodes", Ordinary)
        ordinary = run(directory, f"ordinary-{model}", **parts)
        for signal in TYPES:
            np.testing.assert_array_equal(fast.trace[signal], ordinary.trace[signal], signal)
        for digest in ("tape_digest", "trace_digest"):
            assert fast.summary[digest] == ordinary.summary[digest]

    def test_a_node_elsewhere_needs_someone_who_makes_it(self, directory: Path) -> None:
        path = directory / "virtual.toml"
        path.write_text(
            small_field().replace("area_m2 = 100", 'area_m2 = 100\nnode = "virtual"'), "utf-8"
        )
        with pytest.raises(ValueError, match="zone a: node virtual needs `make_node`"):
            run_scenario(scenarios.load(path), directory / "nobody", report=False)


class TestInterruption:
    def test_it_leaves_a_readable_run_marked_partial(self, directory: Path) -> None:
        loaded = scenario(directory, days=5)
        calls = 0

        def interrupt(_time_ms: int, done: float, _speed: float, _note: str) -> None:
            nonlocal calls
            calls += 1
            if calls == 2 and done > 0:
                raise KeyboardInterrupt

        result = run_scenario(loaded, directory / "partial", progress=interrupt, report=False)
        assert result.interrupted
        left = RunDir(directory / "partial")
        assert left.summary["partial"] is True
        assert left.summary["days"] == 2.0
        assert left.summary["ended"] == "2023-07-08T00:00:00"
        assert abs(left.summary["balance_error_mm"]) < 1e-6
        assert len(column(left, "rain_mm")) == 2 * 144 + 1
        assert len(TapeReader(left.tape_path).tapes()) == 1

    def test_until_then_it_is_as_the_whole_run(self, directory: Path) -> None:
        whole, left = run(directory, "whole", days=5), RunDir(directory / "partial")
        for signal in TYPES:
            # the last row of a run is written before the guest of that instant runs
            at = len(column(left, signal)) - 1
            np.testing.assert_array_equal(
                column(left, signal)[:at], column(whole, signal)[:at], signal
            )


class Hours:
    """Rows of ten minutes that stand for the time from one hour to another.

    What a row says of an instant is as it is after everything that happens then.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run

    def __call__(self, signal: str, first_h: float, last_h: float) -> Any:
        return column(self.run, signal)[round(first_h * 6) + 1 : round(last_h * 6) + 1]

    def at(self, signal: str, hour: float) -> float:
        return float(column(self.run, signal)[round(hour * 6)])


class TestFaults:
    """Each acts from hour 12 for two hours in a dry zone, where the guest opens for an hour and
    pauses for two; without a fault nothing of what is asserted holds."""

    def run_with(
        self, directory: Path, kind: str, magnitude: str = "", always_open: bool = False
    ) -> Hours:
        fault = f'[[fault]]\nkind = "{kind}"\nstart = "12 h"\n'
        if not FAULTS[kind].instant:
            fault += 'duration = "2 h"\n'
        if magnitude:
            fault += f'magnitude = "{magnitude}"\n'
        path = directory / "fault.toml"
        body = small_field(extra=fault)
        if always_open:
            body = body.replace("off_pct = 90", "off_pct = 100\nopen_period_s = 600")
            body = body.replace("max_open_s = 3600", "max_open_s = 43200")
            body = body.replace("flow_l_min = 10", "flow_l_min = 1")
            body = body.replace("min_pause_s = 7200", "min_pause_s = 0")
        path.write_text(body, encoding="utf-8")
        run_scenario(scenarios.load(path), directory / kind, report=False)
        return Hours(RunDir(directory / kind))

    def test_stuck_probe(self, directory: Path) -> None:
        hours = self.run_with(directory, "probe-stuck")
        assert len(set(hours("counts", 12, 13.9))) == 1
        assert len(set(hours("counts", 14.2, 20))) > 5, "noise and water move it again"

    def test_drifting_probe(self, directory: Path, plain: RunDir) -> None:
        hours = self.run_with(directory, "probe-drift", "-100 counts/h")
        assert hours.at("counts", 12) == Hours(plain).at("counts", 12)
        apart = hours.at("counts", 12 + 1 / 6) - Hours(plain).at("counts", 12 + 1 / 6)
        assert apart == pytest.approx(-100 / 6, abs=1)
        assert hours.at("counts", 13.5) < Hours(plain).at("counts", 13.5) - 50

    def test_spiking_probe(self, directory: Path, plain: RunDir) -> None:
        hours = self.run_with(directory, "probe-spike", "300 counts")
        assert hours.at("counts", 12) - Hours(plain).at("counts", 12) == 300
        before = hours("counts", 6, 11.7) - Hours(plain)("counts", 6, 11.7)
        assert not before.any()

    def test_broken_wire(self, directory: Path) -> None:
        hours = self.run_with(directory, "probe-open")
        assert set(hours("counts", 12, 13.9)) == {4095}
        assert set(hours("why", 12, 13.9)) == {WHY.PROBE_RANGE}
        assert not hours("valve_commanded", 12, 13.9).any()
        hours = self.run_with(directory, "probe-open", "-2 code")
        assert set(hours("counts", 12, 13.9)) == {-2}
        assert set(hours("why", 12, 13.9)) == {WHY.PROBE_MISSING}

    def test_valve_stuck_open(self, directory: Path) -> None:
        hours = self.run_with(directory, "valve-stuck-open")
        assert hours("irrigation_mm", 12, 14).sum() == pytest.approx(12.0, abs=1e-4), "10 L/min"
        assert hours("valve_open", 12, 13.9).all()
        assert WHY.LEAK in set(hours("why", 12, 14))

    def test_valve_stuck_closed(self, directory: Path) -> None:
        hours = self.run_with(directory, "valve-stuck-closed")
        assert hours("irrigation_mm", 12, 14).sum() == 0.0
        assert (
            WHY.NO_FLOW in set(hours("why", 12, 16)) or not hours("valve_commanded", 12, 14).any()
        )

    def test_leaking_valve(self, directory: Path) -> None:
        hours = self.run_with(directory, "valve-leak", "50 %")
        closed = hours("valve_open_s", 12, 14) == 0
        assert closed.any()
        # half of 10 L/min on 100 m2, ten minutes
        assert hours("irrigation_mm", 12, 14)[closed] == pytest.approx(0.5, abs=1e-6)

    def test_clogged_line(self, directory: Path) -> None:
        hours = self.run_with(directory, "valve-clog", "30 %", always_open=True)
        full = hours("valve_open_s", 12, 14) > 599.9
        assert full.sum() > 6
        # 1 L/min less 30 % on 100 m2, ten minutes
        assert hours("irrigation_mm", 12, 14)[full] == pytest.approx(0.07, abs=1e-6)

    def test_reboot(self, directory: Path) -> None:
        hours = self.run_with(directory, "reboot")
        tape = TapeReader(hours.run.tape_path).tapes()[0]
        start_ms = scenarios.load(hours.run.scenario_path).period.start_ms
        boots = [r.values[0] - start_ms for r in iter_records(tape) if r.call == Call.BOOT]
        assert boots == [0, 12 * 3_600_000]
        assert hours("valve_commanded", 12, 13.9).sum() == 0, "a full pause after a start"

    def test_keep_loss(self, directory: Path) -> None:
        found = {}
        for kind in ("reboot", "keep-loss"):
            hours = self.run_with(directory, kind)
            tape = list(iter_records(TapeReader(hours.run.tape_path).tapes()[0]))
            boots = [at for at, record in enumerate(tape) if record.call == Call.BOOT]
            assert len(boots) == 2
            got = [r.values for r in tape[boots[1] :] if r.call == Call.KEEP_GET]
            found[kind] = [value for slot, value in sorted(got)]
        assert any(found["reboot"])
        assert found["keep-loss"] == [0] * 8

    def test_brown_out(self, directory: Path) -> None:
        hours = self.run_with(directory, "brown-out")
        assert hours("steps", 12.1, 14).sum() == 0
        assert hours("energy_j", 12.1, 14).sum() == 0.0
        assert hours("valve_open_s", 12.1, 14).sum() == 0.0
        assert hours("steps", 14.1, 15.1).sum() == 6

    def test_a_reboot_without_power_waits_for_it(self, directory: Path) -> None:
        fault = (
            '[[fault]]\nkind = "brown-out"\nstart = "12 h"\nduration = "2 h"\n'
            '[[fault]]\nkind = "reboot"\nstart = "13 h"\n'
        )
        hours = Hours(run(directory, "both", extra=fault))
        assert hours("steps", 12.1, 14).sum() == 0

    def test_clock_skew(self, directory: Path) -> None:
        hours = self.run_with(directory, "clock-skew", "90 min")
        tape = TapeReader(hours.run.tape_path).tapes()[0]
        start_ms = scenarios.load(hours.run.scenario_path).period.start_ms
        steps = [r.values[0] - start_ms for r in iter_records(tape) if r.call == Call.STEP]
        ahead = [t % 600_000 for t in steps]
        assert not any(ahead), "the node wakes as before"
        assert steps[72:75] == [43_200_000 + 5_400_000 + 600_000 * k for k in (0, 1, 2)]
        assert len(steps) == 2 * 144, "one init and every step"

    def test_link_loss(self, directory: Path) -> None:
        hours = self.run_with(directory, "link-loss")
        assert not hours("online", 12, 13.9).any()
        tape = TapeReader(hours.run.tape_path).tapes()[0]
        refused = [r for r in iter_records(tape) if r.call == Call.MQTT_PUBLISH and r.values[2]]
        assert len(refused) == 12
        assert hours("steps", 12, 14).sum() == 12, "it goes on without"

    def test_every_kind_is_tested(self) -> None:
        tested = "probe-stuck probe-drift probe-spike probe-open valve-stuck-open "
        tested += "valve-stuck-closed valve-leak valve-clog reboot keep-loss brown-out "
        tested += "clock-skew link-loss "
        tested += "reinstall "  # in test_reinstall.py
        tested += "meter-dead meter-slip meter-noise clock-unset command-loss"  # test_field_faults
        assert set(tested.split()) == set(FAULTS)


class TestSafety:
    @settings(max_examples=25)
    @given(
        faults=st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        ("probe-stuck", ""),
                        ("probe-drift", "-90 counts/h"),
                        ("probe-drift", "90 counts/h"),
                        ("probe-spike", "900 counts"),
                        ("probe-spike", "-900 counts"),
                        ("probe-open", ""),
                        ("probe-open", "-1 code"),
                        ("probe-open", "-4 code"),
                        ("valve-clog", "97 %"),
                        ("valve-stuck-closed", ""),
                        ("link-loss", ""),
                        ("brown-out", ""),
                        ("clock-skew", "-3 h"),
                        ("clock-skew", "5 h"),
                    ]
                ),
                st.integers(0, 35),
                st.integers(1, 700),
            ),
            max_size=6,
            unique_by=lambda f: f[0][0],
        ),
        max_open_s=st.sampled_from([60, 1800, 7200]),
        flow_l_min=st.sampled_from([0.01, 1.0, 300.0]),
        noise=st.sampled_from([0, 4, 400]),
    )
    def test_a_valve_never_stays_open_beyond_its_limit(
        self,
        directory: Path,
        faults: list[tuple[tuple[str, str], int, int]],
        max_open_s: int,
        flow_l_min: float,
        noise: int,
    ) -> None:
        """Whatever the probe returns, however little flows, and however the clock jumps."""
        extra = "".join(
            f'[[fault]]\nkind = "{kind}"\nstart = "{start} h"\nduration = "{minutes} min"\n'
            + (f'magnitude = "{magnitude}"\n' if magnitude else "")
            for (kind, magnitude), start, minutes in faults
        )
        body = small_field(extra=extra).replace("max_open_s = 3600", f"max_open_s = {max_open_s}")
        body = body.replace("min_pause_s = 7200", "min_pause_s = 60")
        body = body.replace("flow_l_min = 10", f"flow_l_min = {flow_l_min}")
        body = body.replace("depth_m = 0.2", f"depth_m = 0.2\nnoise_counts = {noise}")
        path = directory / "safe.toml"
        path.write_text(body, encoding="utf-8")
        result = run_scenario(scenarios.load(path), directory / "safe", report=False)
        assert result.summary["longest_opening_s"] <= max_open_s + CLOSING_S
        assert abs(result.summary["balance_error_mm"]) < 1e-6


class TestGuests:
    def test_a_trap_is_named_and_the_valve_closed(self, directory: Path) -> None:
        body = "i32.const 23 i32.const 1 call $set_output unreachable"
        left = run_guest(directory, "stopped", reactor(body))
        stopped = left.summary
        assert stopped["traps"] == 1
        assert "unreachable" in stopped["zones"][0]["trap"]
        assert stopped["irrigation_mm"] == 0.0
        assert set(column(left, "trap")[1:]) == {int(TrapKind.UNREACHABLE)}

    def test_the_restart_policy_starts_it_again(self, directory: Path) -> None:
        left = run_guest(directory, "again", reactor("unreachable"), "1 h")
        tape = TapeReader(left.tape_path).tapes()[0]
        boots = [r.values[0] for r in iter_records(tape) if r.call == Call.BOOT]
        assert len(boots) == 48
        assert set(np.diff(boots)) == {3_600_000}

    def test_a_command_guest_waters_in_a_field(self, directory: Path) -> None:
        """guest/examples/loop.c: a minute of water an hour while the soil is dry."""
        module = directory / "loop.wasm"
        build([ROOT / "levada/guest/examples/loop.c"], module)
        body = small_field(days=1).partition("[zone.parameters]")[0]
        path = directory / "loop.toml"
        body = body.replace("available_pct = 60", "available_pct = 20")
        path.write_text(f'{body}[guest]\nfile = "{module}"\n', encoding="utf-8")
        result = run_scenario(scenarios.load(path), directory / "loop", report=False)
        openings = result.summary["valve_openings"]
        assert openings > 3
        assert result.summary["longest_opening_s"] == pytest.approx(60.0)
        # a minute of 10 L/min
        assert result.summary["water_l"] == pytest.approx(10.0 * openings)

    def test_nonsense_in_telemetry_is_cut(self, directory: Path) -> None:
        publish = "i32.const 0 i32.const 16 call $mqtt_publish drop i32.const 600000"
        segments = r"""(data (i32.const 0) "data\00")
            (data (i32.const 16) "{\22pct\22:999999999,\22why\22:-99999}\00")"""
        left = run_guest(directory, "nonsense", reactor(publish, segments))
        assert column(left, "pct")[-1] == 32767
        assert column(left, "why")[-1] == -127


class TestPace:
    def test_a_run_that_keeps_to_the_wall_clock_is_the_same_run(
        self, directory: Path, plain: RunDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now_s = 1000.0

        def sleep(seconds: float) -> None:
            nonlocal now_s
            now_s += seconds

        monkeypatch.setattr(clock, "monotonic", lambda: now_s)
        monkeypatch.setattr(clock, "sleep", sleep)
        loaded = scenario(directory)
        result = run_scenario(loaded, directory / "paced", speed=60.0, report=False)
        assert now_s - 1000.0 == pytest.approx(2 * 86_400 / 60.0)
        assert result.summary["overruns"] == 0
        for digest in ("tape_digest", "trace_digest"):
            assert result.summary[digest] == plain.summary[digest]


class TestStress:
    """Days on which the crop transpires less than 95 % of what it could."""

    def days(self, directory: Path, name: str, soil: str, model: str = "richards") -> list[float]:
        path = directory / f"{name}.toml"
        body = small_field(model=model).replace("initial.available_pct = 60\n", soil)
        path.write_text(body.replace("on_pct = 70", "on_pct = 1"), encoding="utf-8")
        summary = run_scenario(scenarios.load(path), directory / name, report=False).summary
        found = [float(summary[f"{kind}stress_days"]) for kind in ("", "dry_", "wet_")]
        assert found[0] == found[1] + found[2]
        return found[1:]

    def test_soil_full_of_water_stresses_by_want_of_air(self, directory: Path) -> None:
        """A water table at the surface: no head is below h1, -0.15 m for maize."""
        soil = 'initial.water_table_m = 0\nbottom = "head"\nbottom_head_m = 2\n'
        assert self.days(directory, "drowned", soil) == [0.0, 2.0]

    def test_dry_soil_stresses_by_drought(self, directory: Path) -> None:
        """Below h4, -80 m for maize."""
        assert self.days(directory, "parched", "initial.head_m = -120\n") == [2.0, 0.0]

    def test_soil_between_stresses_not_at_all(self, directory: Path) -> None:
        """At -1 m, between h2 = -0.3 m and h3 = -3.25 m; the surface dries, two days long."""
        assert self.days(directory, "well", "initial.head_m = -1\n") == [0.0, 0.0]

    def test_the_bucket_knows_drought_only(self, directory: Path) -> None:
        soil = "initial.available_pct = 5\n"
        assert self.days(directory, "empty", soil, "bucket") == [2.0, 0.0]


def test_a_rain_gauge_counts_the_rain_of_the_run(directory: Path) -> None:
    """1.01 and 1.27 mm in the file: 11 tips of 0.2 mm, and 0.08 mm stay in the bucket."""
    path = directory / "gauge.toml"
    site = "utc_offset_h = -7\nrain_gauge_mm_per_tip = 0.2"
    path.write_text(small_field().replace("utc_offset_h = -7", site), encoding="utf-8")
    summary = run_scenario(scenarios.load(path), directory / "gauge", report=False).summary
    assert summary["rain_mm"] == pytest.approx(2.28)
    assert summary["rain_gauge_tips"] == 11
    assert summary["rain_gauge_mm"] == pytest.approx(2.2)


def test_the_summary_says_what_the_soil_and_the_crop_were_taken_to_be(plain: RunDir) -> None:
    """As the scenario gives them; a bucket has neither pores nor suctions."""
    (zone,) = plain.summary["zones"]
    (layer,) = zone["soil"]
    assert (layer["theta_fc"], layer["theta_wp"]) == (0.184, 0.092)
    assert "theta_s" not in layer
    assert zone["feddes_m"] == []
    assert plain.summary["notes"] == []


def test_a_valve_closes_after_six_hours_whatever_the_guest_does(directory: Path) -> None:
    open_forever = "i32.const 23 i32.const 1 call $set_output i32.const 600000"
    held = run_guest(directory, "held", reactor(open_forever))
    assert held.summary["longest_opening_s"] == pytest.approx(6 * 3600, abs=2 * CLOSING_S)


def test_the_summary_says_how_its_guests_reach_their_host(tmp_path: Path) -> None:
    expected = "ordinary" if jit.config.DISABLE_JIT else "fast"
    assert run(tmp_path).summary["guest"]["path"] == expected
