"""The commands about nodes, as one types them: results, messages, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import levada
from typer.testing import CliRunner

from levada.hil.line.serial_port import Port
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.codec import Decoder, Frame, encode_frame
from levada.hil.wire.messages import FaultKind, FaultPoint, Hello
from levada.twin.cli.main import _run, app

QUICKSTART = Path(__file__).parents[2] / "levada/scenarios" / "quickstart.toml"
WEEK = ("--set", "period.start=2023-07-01", "--set", "period.end=2023-07-03")
DAY = ("--set", "period.start=2023-07-01", "--set", "period.end=2023-07-01")
LEVADA = (sys.executable, "-c", "from levada.twin.cli.main import main; main()")


def test_a_run_on_a_virtual_board_shows_its_link_and_writes_a_dump(tmp_path: Path) -> None:
    arguments = ("--node", "virtual", *WEEK, "--out", "out", "--vcd", "out.vcd")
    done = levada("run", QUICKSTART, *arguments, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr  # expectations of a season, asked of three days
    link = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))["link"]["maize"]
    assert link["url"] == "virtual:wasm3"
    assert "$var wire 1 " in (tmp_path / "out.vcd").read_text("ascii")
    assert "virtual:wasm3" in (tmp_path / "out" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("serial:/dev/no-such-port", "cannot be opened"),
        (
            "mqtt://127.0.0.1:1/ic/esp32",
            "broker mqtt://127.0.0.1:1: [Errno 111] Connection refused",
        ),
    ],
)
def test_a_node_that_is_not_there_is_exit_code_four(
    tmp_path: Path, node: str, message: str
) -> None:
    done = levada("run", QUICKSTART, "--node", node, *WEEK, cwd=tmp_path)
    assert done.returncode == 4
    assert message in " ".join(done.stderr.split())
    assert "internal error" not in done.stderr


def test_a_node_that_cannot_be_is_exit_code_two(tmp_path: Path) -> None:
    done = levada("run", QUICKSTART, "--node", "virtual:z80", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown variant `z80`" in done.stderr


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "run"
    assert code_of("run", QUICKSTART, "-q", *WEEK, "--out", path) in (0, 1)
    return path


def code_of(*arguments: str | Path) -> object:
    return _run([*map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run SCENARIO --vcd nowhere/x.vcd", "nowhere/x.vcd: No such file or directory"),
        ("run SCENARIO --vcd .", ".: Is a directory"),
        ("run SCENARIO --junit file/x.xml", "file: File exists"),
        ("run SCENARIO --out file/out", "file/out: Not a directory"),
        ("run SCENARIO --energy-file nowhere", "nowhere: No such file or directory"),
        ("run SCENARIO --node virtual --node sim", "all zones on virtual, and on sim as well"),
        ("run SCENARIO --node maize-2=sim", "no zone `maize-2` in this table: it has maize"),
        ("selftest --out nowhere/s.json", "nowhere/s.json: No such file or directory"),
        ("selftest --node sim", "node `sim` runs in this process"),
        ("accept RUN file/golden", "file/golden/tolerances.json: Not a directory"),
        ("accept RUN RUN", "this is the run itself"),
        ("device --engine nope", "virtual board `nope`: permitted wasm3, wasmtime"),
        ("device --tcp 99999", "less than or equal to 65535"),
        ("device --flash nowhere/x", "nowhere/x: No such file or directory"),
        ("device --pins .", ".: Is a directory"),
        ("edge SCENARIO --broker h", "broker 'h': write mqtt://HOST"),
        ("edge SCENARIO --speed max", "boards that report need a pace"),
        ("edge SCENARIO --node mqtt://h/ic/x", "a board at mqtt://h reports by itself"),
        ("edge SCENARIO --broker nowhere/b.json", "nowhere/b.json: No such file"),
        ("flash PORT", "nothing to flash"),
        ("flash PORT --build .", "is no finished ESP-IDF build"),
    ],
)
def test_what_cannot_be_is_exit_code_two_before_anything_is_done(
    arguments: str,
    message: str,
    short_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    places = {"SCENARIO": QUICKSTART, "RUN": short_run, "PORT": "/dev/no-such-port"}
    assert code_of(*(places.get(word, word) for word in arguments.split())) == 2
    said = capsys.readouterr()
    assert not said.out
    assert message in " ".join(said.err.replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_in_folders_that_a_run_makes_are_written(tmp_path: Path) -> None:
    files = ("--vcd", tmp_path / "out" / "x.vcd", "--junit", tmp_path / "made" / "x.xml")
    assert code_of("run", QUICKSTART, "-q", *WEEK, "--out", tmp_path / "out", *files) in (0, 1)
    assert (tmp_path / "out" / "x.vcd").stat().st_size
    assert (tmp_path / "made" / "x.xml").stat().st_size


def test_diff_prints_identical(tmp_path: Path) -> None:
    done = levada("diff", QUICKSTART, "--node", "sim", "--node", "virtual", *WEEK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "identical over " in done.stdout
    alone = levada("diff", QUICKSTART, "--node", "sim", cwd=tmp_path)
    assert alone.returncode == 2


def test_a_board_that_crashed_is_told_of_where_people_look(tmp_path: Path) -> None:
    hang = ("--fault", f"{FaultKind.HANG},{FaultPoint.CALL},300,0")
    junit = tmp_path / "out.xml"
    with VirtualDevice("native", tcp=0, options=hang) as board:
        node = ("--node", f"serial:{board.url}", *DAY, "--out", str(tmp_path / "run"))
        done = CliRunner().invoke(app, ["run", str(QUICKSTART), *node, "--junit", str(junit)])
    assert "link   round trip  99 of 100  retries" in done.output
    crash = re.search(r"zone maize: watchdog at (2023-07-01) (\S+), started again\n", done.output)
    assert crash is not None, done.output
    day, time = crash.groups()
    assert f'"link.maize.restarts" value="{day}T{time}: watchdog"' in junit.read_text("utf-8")
    with VirtualDevice("native", tcp=0, options=hang) as board:
        nodes = ("--node", "sim", "--node", f"serial:{board.url}", "--out", str(tmp_path / "diff"))
        done = CliRunner().invoke(app, ["diff", str(QUICKSTART), *nodes, *DAY])
    assert done.exit_code == 1
    assert f"{board.url}, zone maize: watchdog at {day} {time}, started again\n" in done.output
    why = f"{board.url} had started again by then ({day}T{time}: watchdog): this accuses no engine"
    assert why in done.output


def test_a_golden_run_is_accepted_and_again_with_what_changed(tmp_path: Path) -> None:
    levada("run", QUICKSTART, "-q", *WEEK, "--out", "a", cwd=tmp_path)
    levada("run", QUICKSTART, "-q", *WEEK, "--seed", "7", "--out", "b", cwd=tmp_path)
    assert levada("accept", "a", "golden", cwd=tmp_path).returncode == 0
    again = levada("accept", "b", "golden", "--tolerance", "storage_mm=1", cwd=tmp_path)
    assert again.returncode == 0
    assert "first difference" in again.stdout
    assert json.loads((tmp_path / "golden" / "tolerances.json").read_text()) == {"storage_mm": 1.0}
    wrong = levada("accept", "b", "golden", "--tolerance", "nonsense=1", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "no signal `nonsense`" in wrong.stderr


def test_a_virtual_board_can_be_connected_to_by_anything(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*LEVADA, "device", "--tcp", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as device:
        assert device.stdout is not None
        url = device.stdout.readline().strip().removeprefix("serial:")
        port = Port(url)
        port.write(encode_frame(Hello.TYPE, 5, Hello(session=9).encode()))
        decoder = Decoder()
        frames: list[Frame] = []
        while not frames and (data := port.read(20.0)):
            frames = [item for item in decoder.feed(data) if isinstance(item, Frame)]
        port.close()
        device.terminate()
    assert frames[0].sequence == 5


def test_selftest_writes_what_to_send(tmp_path: Path) -> None:
    done = levada("selftest", "--node", "virtual:native", "--steps", "100", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok    ") == 10
    result = json.loads((tmp_path / "selftest.json").read_text("utf-8"))
    assert result["passed"] is True
    assert result["device"]["engine"] == "native"
    missing = levada("selftest", "--node", "serial:/dev/no-such-port", cwd=tmp_path)
    assert missing.returncode == 4


def test_a_run_over_a_bad_line_is_void_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Port.read
    pieces = iter(range(1_000_000))

    def lossy(self: Port, timeout_s: float) -> bytes:
        data = original(self, timeout_s)
        return b"" if data and next(pieces) % 20 == 19 else data  # every twentieth answer is lost

    monkeypatch.setattr(Port, "read", lossy)
    arguments = ("run", str(QUICKSTART), "--node", "virtual", "-q", *DAY, "--out", str(tmp_path))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 4
    assert "The run is void, zone maize: " in done.output
    assert "requests had to be repeated: 1% permitted" in " ".join(done.output.split())
