"""Commands about twin and store that are given what cannot be."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wasmtime
from small_field import START_MS, run, scenario

from levada.sim.scenario.load import load
from levada.twin import session
from levada.twin.app.server import Page
from levada.twin.cli.main import main
from levada.twin.errors import TwinError
from levada.twin.sources.recording import Recording
from levada.twin.store.rows import Row
from levada.twin.store.store import Store
from levada.twin.twin import Twin

UNREACHABLE = """(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (memory (export "memory") 1)
  (func $decide unreachable)
  (func (export "abi_version") (result i32) i32.const 1)
  (func (export "init") (result i32) i32.const 0)
  (func (export "step") (result i32)
    (call $set_output (i32.const 23) (i32.const 1)) (call $decide) i32.const 0))"""
"""A guest that is stopped in its first step."""


def levada(*arguments: str | Path) -> int:
    """Exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def _interruptible(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is not the end of this process."""
    silent = SimpleNamespace(**{**vars(signal), "signal": lambda *_: None})
    monkeypatch.setattr("levada.twin.cli.main.signal", silent)


@pytest.mark.parametrize("command", ["prune", "thin"])
def test_a_scenario_that_is_taken_for_a_store_is_left_as_it_is(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario(tmp_path)
    file = tmp_path / "field.toml"
    before = file.read_bytes()
    assert levada("store", command, file, "--before", "2023-07-07") == 2
    assert "field.toml is no store of levada: it is left as it is" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["field.toml"]
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("calibrate maize on_pct=50 --dry-run x", "'x': write days, 0d to 3660d"),
        ("calibrate maize on_pct=50 --dry-run -3d", "'-3d': write days, 0d to 3660d"),
        ("calibrate maize on_pct=50 --dry-run 9999d", "'9999d': write days, 0d to 3660d"),
        ("calibrate maize on_pct=50 --expires 0s", "0s: must be above 0, at most 3660 d"),
        ("calibrate maize on_pct=50 --expires 9999d", "must be above 0, at most 3660 d"),
        ("calibrate maize on_pct=50 --expires soon", "not a duration"),
        ("twin field.toml --port 99999", "65535"),
        ("twin field.toml --replay store.sqlite --home-assistant", "exclude each other"),
        ("twin field.toml --replay store.sqlite --shadow", "exclude each other"),
        ("store export field.toml --out x.csv --format csv", "field.toml is no store of levada"),
        ("store export postgresql://127.0.0.1:1/x --out x.csv --format csv", "on PostgreSQL"),
        ("store prune postgresql://127.0.0.1:1/x --before 2023-07-07", "on PostgreSQL"),
    ],
)
def test_what_cannot_be_is_bad_input_in_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    says: str,
) -> None:
    scenario(tmp_path)
    (tmp_path / "store.sqlite").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # nothing is wrapped
    assert levada(*arguments.split()) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


class Nobody(io.StringIO):
    """Somebody at the keyboard who interrupts."""

    def readline(self, _size: int | None = -1, /) -> str:
        raise KeyboardInterrupt


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a twin is asked; it answers a dry run and a calibration."""
    found: list[dict[str, Any]] = []
    outcome = {
        "water_l": 1.0,
        "irrigation_mm": 1.0,
        "drainage_mm": 0.0,
        "stress_days": 0.0,
        "openings": 1,
    }
    days = {"start_ms": 0, "end_ms": 14 * 86_400_000, "present": {"on_pct": 70}}

    def post(_address: object, _zone: str, request: dict[str, Any]) -> dict[str, Any]:
        found.append(request)
        if "dry_run_days" in request:
            return {**days, "before": outcome, "after": outcome}
        return {"values": request["values"]}

    monkeypatch.setattr("levada.twin.cli.twin._address", lambda _run: {})
    monkeypatch.setattr("levada.twin.cli.twin._post", post)
    return found


@pytest.mark.parametrize(
    ("stdin", "code", "says"),
    [
        (io.StringIO("y\n"), 0, "in force: on_pct = 50"),
        (io.StringIO("n\n"), 5, "Set it?"),
        (io.StringIO(""), 2, "give --yes"),
        (Nobody(), 130, "Set it?"),
    ],
)
def test_without_an_answer_nothing_is_set(
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stdin: io.StringIO,
    code: int,
    says: str,
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    assert levada("calibrate", "maize", "on_pct=50") == code
    said = capsys.readouterr()
    assert says in said.out + said.err
    assert "The twin's simulation of the last 14 days, before and with the change" in said.out
    assert [("seen" in request) for request in asked] == [False, True][: 2 if code == 0 else 1]


def test_a_twin_that_only_starts_or_does_not_answer_is_no_fault_of_levada(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("calibrate", "maize", "on_pct=50", "--yes", "--run", tmp_path)
    (tmp_path / "page.json").write_text("")
    assert levada(*command) == 2
    assert "no twin runs" in capsys.readouterr().err
    with Page(port=0) as page:
        address = {"url": page.url, "token": page.token}
        (tmp_path / "page.json").write_text(json.dumps(address))
        assert levada(*command) == 2
        assert "refused: The method is not allowed" in capsys.readouterr().err
    assert levada(*command) == 4
    assert "does not answer" in capsys.readouterr().err


def stopping(folder: Path, more: str = "") -> Path:
    """A scenario whose guest is stopped."""
    (folder / "guest.wasm").write_bytes(wasmtime.wat2wasm(UNREACHABLE))
    scenario(folder, days=1)
    file = folder / "field.toml"
    lines = file.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("parameters."))
    file.write_text(f'{text}[guest]\nfile = "guest.wasm"\n{more}')
    return file


@pytest.mark.parametrize(("more", "code"), [("", 1), ("may_stop = true\n", 0)])
def test_a_twin_whose_guest_was_stopped_ends_as_a_run_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    more: str,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = stopping(tmp_path, more)
    assert levada("run", file, "-q", "--out", "run") == code
    [told] = [line for line in capfd.readouterr().out.splitlines() if "guest stopped in" in line]
    options = ("--speed", "max", "--port", "0", "--no-stay", "--out", "twin")
    assert levada("twin", file, *options) == code
    assert told in capfd.readouterr().out.splitlines()


def test_a_guest_that_is_stopped_by_what_a_device_read_is_told_by_the_replay(
    tmp_path: Path,
) -> None:
    loaded = load(stopping(tmp_path))
    past = tmp_path / "past.sqlite"
    at_ms = START_MS + 3_600_000
    with Store(past, clock_ms=lambda: at_ms) as store:
        row = {"t": at_ms, "raw": 2000}
        store.submit(
            Row(
                node="maize",
                boot=1,
                seq=1,
                oldest=1,
                received_ms=at_ms,
                device_ms=at_ms,
                payload=json.dumps(row),
                signals={"raw": 2000.0},
            )
        )
        assert store.flush()
    with Store(tmp_path / "now.sqlite") as store:
        twin = run(Twin(loaded, store, Recording(past)))
    [zone] = twin.guest_stops()["zones"]
    assert (zone["name"], zone["trap_ms"]) == ("maize", at_ms)
    assert "unreachable" in zone["trap"]


def test_home_assistant_s_client_is_connected_before_the_boards_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have a file descriptor that paho cannot wait for behind some hundred of them."""

    def announcer(*_: object) -> None:
        raise TwinError("the announcer was to be made")

    monkeypatch.setattr(session, "Announcer", announcer)
    monkeypatch.setattr(session, "Store", lambda *_, **__: pytest.fail("after what is opened here"))
    options = session.Options(
        speed=None, port=0, broker="mqtt://127.0.0.1", home_assistant=True, stay=False
    )
    with pytest.raises(TwinError, match="was to be made"):
        session.run_session(scenario(tmp_path), tmp_path / "run", options)
