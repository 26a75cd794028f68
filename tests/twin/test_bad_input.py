"""Whatever a command is given, it answers with one clear message and the right exit code."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from levada.sim.run.rundir import FILES, RunDir, RunDirError, trusted
from levada.twin.cli.main import _run

ROOT: Final = Path(__file__).parents[2]
QUICKSTART: Final = ROOT / "levada/scenarios" / "quickstart.toml"
GUEST: Final = ROOT / "levada/guest" / "irrigation" / "irrigation.wasm"
DAY: Final = ("--set", "period.start=2023-07-01", "--set", "period.end=2023-07-01")
DIGITS: Final = "9" * 5_000
"""More than Python reads or writes as a number."""
BYTES: Final = bytes(range(256)) * 16


@pytest.fixture(scope="module")
def run_of_a_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    assert _run(["run", str(QUICKSTART), "-q", *DAY, "--out", str(path)]) in (0, 1)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_of_a_day: Path) -> Path:
    """A folder of things that are not what a command wants."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copytree(run_of_a_day, folder / "run")
    (folder / "directory").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    text = QUICKSTART.read_text("utf-8").replace(
        'file = "weather/', f'file = "{ROOT}/levada/scenarios/weather/'
    )
    files: dict[str, bytes] = {
        "empty": b"",
        "binary": BYTES,
        "latin1": "name = 'Bew\u00e4sserung'\n".encode("latin-1"),
        "zeros": bytes(4096),
        "deep-arrays.toml": b"version = 1\na = " + b"[" * 5_000 + b"]" * 5_000,
        "deep-arrays-few.toml": b"version = 1\na = " + b"[" * 150 + b"]" * 150,
        "deep-tables.toml": b"version = 1\n[" + b"a." * 2_000 + b"a]\n",
        "deep-keys.toml": b"version = 1\n" + b"a." * 2_000 + b"a = 1\n",
        "deep-inline.toml": b"version = 1\na = " + b"{a=" * 300 + b"1" + b"}" * 300,
        "digits.toml": text.replace("version = 1", f"version = 1\nseed = {DIGITS}").encode(),
        "hexadecimal.toml": text.replace("version = 1", f"version = 1\nseed = 0x{DIGITS}").encode(),
        "version.toml": b"version = 0x" + DIGITS.encode(),
        "control.toml": text.replace('name = "No trap"', r'name = "No \u001b[31mtrap"').encode(),
        "newline.toml": text.replace('name = "No trap"', r'name = "No\ntrap"').encode(),
        "key.toml": b'version = 1\n"a\\u001bb" = 1\n',
        "nul.toml": text.replace("[weather]\nfile", '[weather]\nfile = "a\\u0000b"\n#').encode(),
        "half.wasm": GUEST.read_bytes()[:500],
        "magic.wasm": b"\0asm\x01\0\0\0" + BYTES,
        "deep.json": b"[" * 100_000,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def said(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[object, str]:
    """Exit code and everything that was shown."""
    code = _run([*map(str, arguments)])
    shown = capfd.readouterr()
    text = shown.out + shown.err
    assert "Traceback" not in text, text
    assert "fault of levada" not in text, text
    assert "\x1b" not in text, repr(text)
    return code, text


SCENARIOS: Final = (
    "empty binary latin1 zeros directory loop dangling missing directory/missing empty/missing "
    "deep-arrays.toml deep-arrays-few.toml deep-tables.toml deep-keys.toml deep-inline.toml "
    "digits.toml hexadecimal.toml version.toml control.toml newline.toml key.toml nul.toml "
    + "n"
    * 300
).split()
READERS: Final = (
    "run {}",
    "lint {}",
    "diff {} --node sim --node sim",
    "twin {} --no-stay --port 0",
    "edge {}",
)


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_no_scenario_is_bad_input(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    name: str,
) -> None:
    monkeypatch.chdir(place)
    code, text = said(capfd, *(part.format(name) for part in command.split()))
    assert code == 2
    assert name[:20] in text.replace("\n", "")
    assert len(text) < 4_000


@pytest.mark.parametrize(
    "name", ["empty", "binary", "directory", "missing", "half.wasm", "magic.wasm", "loop"]
)
@pytest.mark.parametrize(
    "command", ["guest inspect {}", f"run {QUICKSTART} --guest {{}}", "replay run --guest {}"]
)
def test_what_is_no_guest_is_bad_input(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    name: str,
) -> None:
    monkeypatch.chdir(place)
    code, text = said(capfd, *(part.format(name) for part in command.split()))
    assert code == 2
    assert name in text.replace("\n", "")


@pytest.mark.parametrize("name", ["empty", "directory", "missing", "loop", "dangling", "n" * 300])
@pytest.mark.parametrize(
    "command", ["replay {}", "report {}", "compare run {}", "compare {} run", "accept {} golden"]
)
def test_what_is_no_run_is_bad_input(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    name: str,
) -> None:
    monkeypatch.chdir(place)
    code, text = said(capfd, *(part.format(name) for part in command.split()))
    assert code == 2
    assert name[:20] in text.replace("\n", "")
    assert not (place / "golden").exists()


QUICK: Final = f"run {QUICKSTART} -q"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("", 2),
        ("nonsense", 2),
        ("guest nonsense", 2),
        ("run", 2),
        ("lint", 2),
        ("run --nonsense", 2),
        (f"{QUICK} --seed {DIGITS}", 2),
        (f"{QUICK} --seed -1", 2),
        (f"{QUICK} --set seed={DIGITS}", 2),
        (f"{QUICK} --set seed=0x{DIGITS}", 2),
        (f"{QUICK} --set zone.{DIGITS}.area_m2=1", 2),
        (f"{QUICK} --set zone.0.area_m2={DIGITS}", 2),
        (f"{QUICK} --set zone.0.area_m2=1e999", 2),
        (f"{QUICK} --set {'a.' * 5000}a=1", 2),
        (f"{QUICK} --set a={'[' * 5000}", 2),
        (f"{QUICK} --set period.end={DIGITS}-01-01", 2),
        (f"{QUICK} --set guest.restart={DIGITS}s", 2),
        (f"{QUICK} --set name=../../x", 2),
        (f"{QUICK} --speed {DIGITS}x", 2),
        (f"{QUICK} --speed 0x", 2),
        (f"{QUICK} --node virtual:{DIGITS}", 2),
        (f"{QUICK} --node serial:/dev/x?baud={DIGITS}", 2),
        (f"{QUICK} --node mqtt://h:{DIGITS}/ic/a", 2),
        (f"{QUICK} --out empty", 2),
        (f"{QUICK} --out empty/below", 2),
        (f"{QUICK} --out loop", 2),
        (f"{QUICK} --out dangling/below", 2),
        (f"{QUICK} --out {'n' * 300}", 2),
        (f"{QUICK} --out /proc/nowhere", 2),
        (f"{QUICK} --junit directory", 2),
        (f"{QUICK} --junit empty/x", 2),
        (f"{QUICK} --junit /proc/nowhere/x.xml", 2),
        (f"{QUICK} --junit /dev/full", 2),
        (f"{QUICK} --vcd missing/x", 2),
        (f"{QUICK} --energy-file binary", 2),
        (f"{QUICK} --energy-file empty", 2),
        (f"{QUICK} --energy-file directory", 2),
        (f"{QUICK} --energy-file deep.json", 2),
        (f"{QUICK} --set weather.file=binary", 2),
        (f"{QUICK} --set weather.file=directory", 2),
        (f"{QUICK} --set weather.file=empty", 2),
        (f"{QUICK} --set weather.file=deep.json", 2),
        (f"compare --exact run run --tolerance theta={DIGITS}", 2),
        ("compare --exact run run --tolerance theta_probe=x", 2),
        (f"compare --exact run run --tolerance theta_probe={DIGITS}", 2),
        ("compare --exact run run --tolerance theta_probe=nan", 2),
        ("compare --exact run run --tolerance theta_probe=-1", 2),
        ("accept run golden --tolerance theta_probe=nan", 2),
        ("accept run empty", 2),
        ("accept run run", 2),
        ("accept run binary/golden", 2),
        ("guest build missing.c", 2),
        ("guest build binary -o x.wasm", 2),
        ("guest build directory -o x.wasm", 2),
        (f"diff {QUICKSTART} --node sim", 2),
        (f"diff {QUICKSTART} --node sim --node sim --out empty", 2),
        (f"diff {QUICKSTART} --node sim --node nonsense:x", 2),
        (f"device --tcp {DIGITS}", 2),
        (f"monitor socket://127.0.0.1:{DIGITS}", 4),
        ("monitor missing", 4),
        ("monitor empty", 4),
        (f"monitor missing --baud {DIGITS}", 2),
        ("monitor missing --seconds -1", 2),
        ("flash missing", 2),
        ("flash missing --guest binary", 2),
        ("flash missing --guest directory", 2),
        ("selftest --node virtual:nonsense", 2),
        (f"selftest --node virtual --steps {DIGITS}", 2),
        ("selftest --out directory", 2),
        ("calibrate maize on_pct=60 --run missing", 2),
        ("calibrate maize on_pct=60 --run binary", 2),
        (f"calibrate maize on_pct={DIGITS} --run directory", 2),
        ("store export missing -o x", 2),
        ("store export binary -o x", 2),
        ("store export directory -o x", 2),
        ("store prune binary --before 2020-01-01", 2),
        (f"store prune binary --before {DIGITS}", 2),
        (f"store thin binary --before 2020-01-01 --every {DIGITS}h", 2),
        (f"twin {QUICKSTART} --keep {DIGITS}d", 2),
        (f"twin {QUICKSTART} --replay binary", 2),
        (f"twin {QUICKSTART} --store nonsense://x", 2),
        (f"twin {QUICKSTART} --out empty", 2),
    ],
)
def test_bad_arguments_have_their_code(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    code: int,
) -> None:
    monkeypatch.chdir(place)
    before = {path.name for path in place.iterdir()}
    found, text = said(capfd, *command.split())
    assert found == code, text[:2000]
    assert text.strip()
    after = {path.name for path in place.iterdir()}
    assert after - {"runs"} == before - {"runs"}, "nothing is left, but of a run that ended"


def damages(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "empty": b"",
        "half": content[:middle],
        "binary": BYTES,
        "bits": content[:middle]
        + bytes(b ^ 0x55 for b in content[middle : middle + 64])
        + content[middle + 64 :],
        "deep": b"[" * 100_000,
        "deep objects": b'{"a":' * 100_000,
        "digits": DIGITS.encode(),
        "list": b"[]",
        "nothing": b"{}",
        "array of cbor": b"\x81" * 100_000,
    }


COMMANDS: Final = ("replay", "report", "compare", "accept")


def all_commands(capfd: pytest.CaptureFixture[str], whole: Path, run: Path) -> dict[str, object]:
    """What each command that reads a run says of it."""
    golden = run.parent / "golden"
    lines = {
        "replay": ("replay", run),
        "report": ("report", run),
        "compare": ("compare", "--exact", whole, run),
        "accept": ("accept", run, golden),
    }
    found = {name: said(capfd, *line)[0] for name, line in lines.items()}
    shutil.rmtree(golden, ignore_errors=True)
    return found


@pytest.mark.parametrize("damage", sorted(damages(b"")))
@pytest.mark.parametrize("name", FILES[:4])
def test_a_damaged_run_is_bad_input_or_a_difference(
    run_of_a_day: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    damage: str,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_of_a_day, run)
    path = run / name
    path.write_bytes(damages(path.read_bytes())[damage])
    codes = all_commands(capfd, run_of_a_day, run)
    assert set(codes.values()) <= {0, 1, 2}
    # a scenario that ends early between two keys may still say all that a replay needs
    enough = name == "trace.parquet" or (name, damage) == ("scenario.toml", "half")
    assert enough or codes["replay"] in (1, 2), codes
    assert name == "scenario.toml" or codes["compare"] in (1, 2) or damage == "bits", codes


def wrong(value: object) -> list[object]:
    """What might stand there instead."""
    return [v for v in (None, [], {}, "x", -1, 1e308, [None]) if type(v) is not type(value)]


def test_a_summary_with_any_one_value_wrong_is_never_a_fault_of_levada(
    run_of_a_day: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_of_a_day, run)
    path = run / "summary.json"
    whole = json.loads(path.read_text("utf-8"))
    chosen = random.Random(1)

    def tried(changed: dict[str, Any]) -> None:
        path.write_text(json.dumps(changed), "utf-8")
        try:
            RunDir(run).check()
        except RunDirError:  # all that read it refuse it alike
            assert said(capfd, "report", run)[0] == 2
        else:
            assert set(all_commands(capfd, run_of_a_day, run).values()) <= {0, 1, 2}

    for key, value in whole.items():
        tried({k: v for k, v in whole.items() if k != key})
        tried({**whole, key: chosen.choice(wrong(value))})
    zone = whole["zones"][0]
    for key, value in zone.items():
        tried({**whole, "zones": [{k: v for k, v in zone.items() if k != key}]})
        tried({**whole, "zones": [{**zone, key: chosen.choice(wrong(value))}]})


def test_a_name_that_is_not_utf_8_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"f\xfcr.toml")
    code, text = said(capfd, "lint", name)
    assert code == 2
    assert re.search(r"f\\udcfcr", text)


def test_a_directory_that_is_gone_is_said(
    run_of_a_day: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    del run_of_a_day  # all is imported: what is not, cannot be from there
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    code, text = said(capfd, "lint", QUICKSTART.name)
    assert code == 2
    code, text = said(capfd, "run", QUICKSTART, "-q", *DAY)
    assert code == 2
    assert "the current directory no longer exists" in text


def test_a_bug_in_a_reader_is_not_called_damage(run_of_a_day: Path) -> None:
    for bug in (KeyError("x"), TypeError("x"), ValueError("x"), IndexError("x")):
        with pytest.raises(type(bug)), trusted(RunDir(run_of_a_day)):
            raise bug


def test_files_of_two_runs_do_not_fit_together(run_of_a_day: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_of_a_day, run)
    path = run / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    zone = summary["zones"][0]
    for changed, why in (
        ({"zones": [zone, {**zone, "name": "b"}]}, "1 zones, summary.json has 2"),
        ({"zones": [{**zone, "name": "b"}]}, "its zones are not those of summary.json"),
        ({"start": "2031-01-01T00:00:00"}, "times that are not within the run"),
        ({"start": "2023-07-01T00:00:00Z"}, "no offset"),
    ):
        path.write_text(json.dumps({**summary, **changed}), "utf-8")
        with pytest.raises(RunDirError, match=why):
            RunDir(run).check()
