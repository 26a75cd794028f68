from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from levada.sim.devices.energy import NOT_MEASURED, EnergyState, EnergyWork, NodePower, NodePowers
from levada.sim.devices.energy_constants import constant
from levada.sim.devices.kernels import advance_power
from levada.sim.devices.power_recording import EnergyFileError, EnergyFit, fit, read_recording

FloatArray = npt.NDArray[np.float64]

# what the synthetic node does
SLEEP_A = 15e-6
ACTIVE_A = 45e-3
RADIO_A = 130e-3
WAKE_S = 0.250
RADIO_S = 0.400
RATE_HZ = 1000
PERIOD_S = 4.0


def synthetic(
    *, seconds: float = 40.0, noise: float = 0.0, radio_every: int = 2, first_s: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Time [s] and current [A] of a node with known sleep, wakes and bursts."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    current = np.full_like(time_s, SLEEP_A)
    for k, start in enumerate(np.arange(first_s, seconds, PERIOD_S)):
        a = round(start * RATE_HZ)
        b = a + round(WAKE_S * RATE_HZ)
        current[a:b] = ACTIVE_A
        if radio_every and k % radio_every == 0:
            current[b : b + round(RADIO_S * RATE_HZ)] = RADIO_A
    rng = np.random.default_rng(5)
    return time_s, current * (1 + noise * rng.standard_normal(len(current)))


def write_ppk2(path: Path, time_s: FloatArray, current: FloatArray, digital: bool = True) -> Path:
    """As Nordic's Power Profiler writes it: milliseconds, microamperes with three decimals."""
    head = "Timestamp(ms),Current(uA)" + (",D0-D7\n" if digital else "\n")
    tail = ",0X-10X-1" if digital else ""
    rows = (f"{t * 1e3:.2f},{i * 1e6:.3f}{tail}\n" for t, i in zip(time_s, current, strict=True))
    path.write_text(head + "".join(rows), encoding="utf-8")
    return path


def write_joulescope(path: Path, time_s: FloatArray, current: FloatArray) -> Path:
    rows = (f"{t:.6f},{i:.9f},3.2950\n" for t, i in zip(time_s, current, strict=True))
    path.write_text("#time (s),current (A),voltage (V)\n" + "".join(rows), encoding="utf-8")
    return path


def write_statistics(path: Path, time_s: FloatArray, current: FloatArray) -> Path:
    rows = (
        f"{t:.3f},{i:.9f},3.3,{3.3 * i:.9f},0,0\n" for t, i in zip(time_s, current, strict=True)
    )
    head = "#time,current,voltage,power,charge,energy\n"
    path.write_text(head + "".join(rows), encoding="utf-8")
    return path


def write_otii(path: Path, time_s: FloatArray, current: FloatArray) -> Path:
    rows = (f"{t:.6f},{i:.9f}\n" for t, i in zip(time_s, current, strict=True))
    path.write_text("Timestamp,Value\n" + "".join(rows), encoding="utf-8")
    return path


def write_other(path: Path, time_s: FloatArray, current: FloatArray) -> Path:
    rows = (f"{t * 1e6:.0f};{3300};{i * 1e3:.6f}\n" for t, i in zip(time_s, current, strict=True))
    head = "Time [us];Supply Voltage [mV];Main current [mA]\n"
    path.write_text(head + "".join(rows), encoding="utf-8")
    return path


WRITERS = {
    "Nordic PPK2": write_ppk2,
    "Joulescope": write_joulescope,
    "Otii": write_otii,
    "other": write_other,
}


@pytest.mark.parametrize("meter", WRITERS)
def test_an_export_is_recognised_and_read_in_si_units(meter: str, tmp_path: Path) -> None:
    time_s, current = synthetic(seconds=8.0)
    recording = read_recording(WRITERS[meter](tmp_path / "a.csv", time_s + 12.0, current))
    assert recording.meter == meter
    assert recording.time_s == pytest.approx(time_s, abs=1e-9)
    assert recording.current_a == pytest.approx(current, abs=2e-9)
    if meter == "Joulescope":
        assert recording.voltage_v == pytest.approx(np.full(len(time_s), 3.295))
    if meter == "other":
        assert recording.voltage_v == pytest.approx(np.full(len(time_s), 3.3))


def test_a_statistics_recording_is_read(tmp_path: Path) -> None:
    time_s, current = synthetic(seconds=8.0)
    recording = read_recording(write_statistics(tmp_path / "a.csv", time_s, current))
    assert recording.meter == "Joulescope"
    assert recording.current_a == pytest.approx(current, abs=1e-9)


def test_a_file_with_windows_line_ends_and_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{k},{100.0 + k}\r\n" for k in range(20))
    path.write_bytes(b"\xef\xbb\xbfTimestamp(ms),Current(uA)\r\n" + rows.encode())
    assert read_recording(path).current_a[3] == pytest.approx(103e-6)


@pytest.mark.parametrize("meter", WRITERS)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_profile_behind_a_recording_is_recovered(
    meter: str, noise: float, tmp_path: Path
) -> None:
    path = WRITERS[meter](tmp_path / "a.csv", *synthetic(noise=noise))
    found = fit(read_recording(path))
    profile = found.profile
    assert (found.wakes, found.bursts) == (10, 5)
    assert profile.sleep_ma.nominal == pytest.approx(SLEEP_A * 1e3, rel=0.01)
    assert profile.active_ma.nominal == pytest.approx(ACTIVE_A * 1e3, rel=0.01)
    assert profile.wake_ms.nominal == pytest.approx(WAKE_S * 1e3, rel=0.01)
    # 130 mA less 15 uA for 400 ms
    assert profile.burst_mc.nominal == pytest.approx((RADIO_A - SLEEP_A) * RADIO_S * 1e3, rel=0.01)
    for fitted, truth in (
        (profile.sleep_ma, SLEEP_A * 1e3),
        (profile.active_ma, ACTIVE_A * 1e3),
        (profile.burst_mc, (RADIO_A - SLEEP_A) * RADIO_S * 1e3),
    ):
        assert fitted.low <= truth * (1 + 1e-3)
        assert fitted.high >= truth * (1 - 1e-3)
    assert abs(found.total_residual) < 0.005
    assert found.wake_residual < 0.01


def test_the_energy_of_the_recording_is_that_of_the_model_with_its_profile(tmp_path: Path) -> None:
    time_s, current = synthetic(noise=0.05)
    found = fit(read_recording(write_joulescope(tmp_path / "a.csv", time_s, current)))
    nodes = NodePowers([NodePower(profile=found.profile, battery="none")])
    nodes.work[0, EnergyWork.WAKES], nodes.work[0, EnergyWork.BURSTS] = 10, 5
    advance_power(0, 40.0, 0.0, 0, nodes.parameters, nodes.state, nodes.work)
    recorded_j = float(current.sum()) / RATE_HZ * 3.295
    assert nodes.state[0, EnergyState.ENERGY_J] == pytest.approx(recorded_j, rel=0.005)
    report = nodes.report()
    assert report.total.low < recorded_j < report.total.high
    assert "this run was not measured" in report.label
    assert report.label != NOT_MEASURED


def test_wakes_cut_by_the_ends_are_left_out_and_said(tmp_path: Path) -> None:
    time_s, current = synthetic(seconds=21.3, first_s=0.0)
    found = fit(read_recording(write_otii(tmp_path / "a.csv", time_s, current)))
    # wakes at 0 (cut), 4, 8, 12, 16, 20
    assert found.wakes == 5
    assert any("1 wake(s) cut" in note for note in found.notes)
    assert found.profile.wake_ms.nominal == pytest.approx(WAKE_S * 1e3, rel=0.01)


def test_without_a_radio_burst_the_constants_stay_and_it_is_said(tmp_path: Path) -> None:
    path = write_otii(tmp_path / "a.csv", *synthetic(radio_every=0))
    found = fit(read_recording(path))
    assert found.bursts == 0
    assert found.profile.burst_mc.nominal == constant("connect_static_mc").nominal
    assert any("no radio burst" in note for note in found.notes)


def test_short_peaks_belong_to_sleep(tmp_path: Path) -> None:
    time_s, current = synthetic()
    # a beacon of 3 ms at 100 mA every second, away from the wakes
    for k in range(40):
        a = k * RATE_HZ + 900
        current[a : a + 3] = np.maximum(current[a : a + 3], 0.1)
    found = fit(read_recording(write_otii(tmp_path / "a.csv", time_s, current)))
    assert found.wakes == 10
    assert found.profile.sleep_ma.nominal == pytest.approx(
        SLEEP_A * 1e3 + 0.003 * 100 * 40 / (40 - 10 * WAKE_S - 5 * RADIO_S), rel=0.02
    )


def test_the_spread_of_wakes_is_in_the_range(tmp_path: Path) -> None:
    time_s, current = synthetic(radio_every=0)
    current = np.full_like(time_s, SLEEP_A)
    lengths_ms = [200, 220, 240, 260, 280, 300, 180, 320, 160, 340]
    for k, ms in enumerate(lengths_ms):
        current[1000 + 4000 * k : 1000 + 4000 * k + ms] = ACTIVE_A
    wake_ms = fit(read_recording(write_otii(tmp_path / "a.csv", time_s, current))).profile.wake_ms
    # mean 250, standard deviation 60.55, two standard errors of ten: 38.3
    assert wake_ms.nominal == pytest.approx(250.0, abs=0.5)
    assert wake_ms.high - wake_ms.nominal == pytest.approx(38.3, abs=0.5)


def fit_current(tmp_path: Path, current: FloatArray) -> EnergyFit:
    time_s = np.arange(len(current)) / RATE_HZ
    return fit(read_recording(write_otii(tmp_path / "b.csv", time_s, current)))


def test_a_node_that_never_sleeps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnergyFileError, match=r"b\.csv.*no wakes stand out.*wake_above_a"):
        fit_current(tmp_path, np.full(5000, 0.05))


def test_two_wakes_are_not_enough(tmp_path: Path) -> None:
    _, current = synthetic(seconds=8.0)
    with pytest.raises(EnergyFileError, match=r"2 complete wakes.*at least 3"):
        fit_current(tmp_path, current)


GOOD = [f"{k},{100.0 + k}" for k in range(20)]


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (0, "Zeit,Strom", r"a\.csv:1: header 'Zeit, Strom' has no column for time and current"),
        (0, "Current(uA)", r"a\.csv:1: .*no column for time"),
        (0, "Timestamp(h),Current(uA)", r"a\.csv:1: unit 'h' of 'Timestamp\(h\)': permitted"),
        (0, "0.0,100.0", r"a\.csv:1: header .*Nordic PPK2.*Joulescope.*Otii"),
        (5, "4,abc", r"a\.csv:6: 'abc' in column 2: must be a number"),
        (7, "6", r"a\.csv:8: 1 columns, at least 2 are needed"),
        (6, "5,nan", r"a\.csv:7: values must be finite"),
        (9, "3,101", r"a\.csv:10: time 3 after 7: must increase"),
        (20, "900,101", r"a\.csv:21: 0\.882 s since the previous sample, usually 0\.001 s"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    line: int, text: str, message: str, tmp_path: Path
) -> None:
    lines = ["Timestamp(ms),Current(uA)", *GOOD]
    lines[line] = text
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(EnergyFileError, match=message):
        read_recording(path)


@pytest.mark.parametrize("content", ["", "Timestamp(ms),Current(uA)\n0,1\n1,2\n"])
def test_a_file_without_samples_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(EnergyFileError, match=r"a\.csv"):
        read_recording(path)
