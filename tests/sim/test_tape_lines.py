"""A tape for people and programs: `levada tape`, and `levada run --log`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wasmtime

from levada.guest.abi import Call
from levada.guest.tape import TapeReader, TapeWriter, encode
from levada.sim.results.tape_lines import TapeListingError, tape_lines
from levada.testing import WEATHER
from levada.twin.cli.main import main

MIDNIGHT_MS = 1_688_601_600_000  # 2023-07-06T00:00:00Z
LOGS = """
(module
  (import "env" "wasm_log" (func $log (param i32)))
  (import "env" "log_int" (func $log_int (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "dry, open\\00")
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 43200000))
  (func (export "step") (result i32)
    (call $log (i32.const 16)) (call $log_int (i32.const -7))
    (i32.const 43200000)))
"""
SCENARIO = f"""
version = 1
name = "logs"
title = "Logs"
period.start = 2023-07-06
period.end = 2023-07-06
weather.file = "{WEATHER}"
guest.file = "guest.wasm"

[site]
latitude_deg = 40.45
longitude_deg = -104.64
elevation_m = 1427
utc_offset_h = -7

[[zone]]
name = "maize"
soil.model = "bucket"
soil.texture = "sandy loam"
crop.name = "maize"
crop.planting = 2023-05-02
"""


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    file = tmp_path / "tape.cbor"
    noon = MIDNIGHT_MS + 43_200_000
    with TapeWriter(file, guest_sha256="0", zones=("a", "b"), start_ms=MIDNIGHT_MS) as writer:
        writer.add(0, encode(Call.BOOT, MIDNIGHT_MS) + encode(Call.STEP, MIDNIGHT_MS, 0))
        writer.add(1, encode(Call.STEP, noon, 1) + encode(Call.READ_SENSOR, 0, 2210))
        writer.add(0, encode(Call.WASM_LOG, b"caf\xc3\xa9") + encode(Call.RETURN, 1000))
        writer.add(0, encode(Call.STEP, noon + 500, 1) + encode(Call.SET_OUTPUT, 23, 1))
    return file


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], str]:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out.splitlines(), said.err


def test_every_record_is_a_line_with_its_time_and_zone(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "tape", tape) == (
        0,
        [
            "2023-07-06T00:00:00  a  boot at 2023-07-06T00:00:00",
            "2023-07-06T00:00:00  a  init at 2023-07-06T00:00:00",
            "2023-07-06T12:00:00  b  step at 2023-07-06T12:00:00",
            "2023-07-06T12:00:00  b  read_sensor(moisture) -> 2210",
            '2023-07-06T00:00:00  a  wasm_log("caf\\xe9")',
            "2023-07-06T00:00:00  a  return 1000",
            "2023-07-06T12:00:00.500  a  step at 2023-07-06T12:00:00.500",
            "2023-07-06T12:00:00.500  a  set_output(23, 1)",
        ],
        "",
    )


def test_lines_are_chosen_by_zone_by_pattern_and_from_the_end(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "tape", tape, "--zone", "b", "--grep", r"-> \d+$")[1] == [
        "2023-07-06T12:00:00  b  read_sensor(moisture) -> 2210"
    ]
    assert told(capsys, "tape", tape, "-g", "step|return", "-n", "2")[1] == [
        "2023-07-06T00:00:00  a  return 1000",
        "2023-07-06T12:00:00.500  a  step at 2023-07-06T12:00:00.500",
    ]
    code, lines, said = told(capsys, "tape", tape, "-g", "keep_get")
    assert (code, lines) == (0, [])
    assert "nothing on this tape" in said


def test_as_json_a_line_has_numbers_and_the_number_of_its_run(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, logged, returned, _, output = told(capsys, "tape", tape, "--format", "jsonl")[1]
    assert json.loads(logged) == {
        "time_ms": MIDNIGHT_MS,
        "zone": "a",
        "run": 0,
        "call": "wasm_log",
        "values": ["café"],
        "text": 'wasm_log("caf\\xe9")',
    }
    assert json.loads(returned)["values"] == [1000]
    assert json.loads(output)["run"] == 1


def test_what_is_no_zone_no_pattern_and_no_tape_is_said(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = TapeReader(tape)
    with pytest.raises(TapeListingError, match=r"no zone `c`; it has a, b"):
        tape_lines(reader, zone="c")
    with pytest.raises(TapeListingError, match=r"pattern '\('"):
        tape_lines(reader, pattern="(")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty", Path(__file__)):
        code, lines, said = told(capsys, "tape", path)
        assert (code, lines) == (2, [])
        assert str(path) in said.replace("\n", "")


def test_a_tape_that_was_cut_off_is_shown_as_far_as_it_goes(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape.write_bytes(tape.read_bytes()[:-3])
    code, lines, said = told(capsys, "tape", tape)
    assert (code, len(lines)) == (0, 6)
    assert "cut off" in said


def test_a_run_shows_what_its_guest_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("guest.wasm").write_bytes(wasmtime.wat2wasm(LOGS))
    Path("field.toml").write_text(SCENARIO)
    _, lines, _ = told(capsys, "run", "field.toml", "--log")
    logged = [line for line in lines if "log" in line and "maize" in line]
    assert logged[:2] == [
        '2023-07-06T12:00:00  maize  wasm_log("dry, open")',
        "2023-07-06T12:00:00  maize  log_int(-7)",
    ]
    assert told(capsys, "tape", "runs/logs", "--grep", "log")[1] == logged
