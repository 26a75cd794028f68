"""`levada up` as a user has it: all tiers come up, a message goes through all of them, one that is
killed comes back, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from levada.guest.lifecycle import Closing
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.twin.cli.main import main
from levada.twin.continuum import up as up_module
from levada.twin.continuum.up import UpOptions, run_up
from levada.twin.errors import StoreBusyError

ROOT = Path(__file__).resolve().parents[3]
SCENARIO = f"""\
version = 1
name = "up"
[site]
latitude_deg = 40.4
longitude_deg = -104.6
elevation_m = 1400
utc_offset_h = -7
[period]
start = 2023-07-01
end = 2023-07-31
[weather]
file = "{ROOT}/levada/scenarios/weather/greeley_co_2023_daily.csv"
[[zone]]
name = "maize"
[zone.soil]
model = "bucket"
texture = "loam"
[zone.crop]
name = "maize"
planting = 2023-05-02
"""
LINKS = """
[[link]]
between = "edge-fog"
delay_ms = 20
jitter_ms = 10
[[link]]
between = "fog-cloud"
delay_ms = 30
loss_pct = 1
rate_kbit_s = 2_000
[[link.outage]]
start = "1 h"
duration = "20 min"
"""
PATIENCE_S = 240.0


def until(found: Callable[[], Any]) -> Any:
    """What `found` returns once that is true; waits for processes that are on their way."""
    end_s = monotonic() + PATIENCE_S
    while monotonic() < end_s:
        try:
            if value := found():
                return value
        except (OSError, URLError, ValueError, KeyError):
            pass  # it is only starting
        sleep(0.05)
    raise AssertionError("it did not come about")


def processes(where: Path) -> dict[int, str]:
    """Those whose command line names the directory."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if str(where) in command:
            found[int(entry.parent.name)] = command
    return found


def one_of(where: Path, tier: str) -> int:
    """Process of a tier; 0: there is none."""
    return next((pid for pid, said in processes(where).items() if f" {tier} " in said), 0)


class Up:
    """A running `levada up`."""

    def __init__(self, scenario: Path, where: Path) -> None:
        self.where = where
        arguments = ["up", str(scenario), "--strategy", "C", "--speed", "600x", "--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "levada", *arguments, "--out", str(where)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def page(self) -> str:
        """Where the page is."""
        return str(json.loads((self.where / "page.json").read_text())["url"])

    def continuum(self) -> dict[str, Any]:
        """What the page's interface says of it."""
        with urlopen(f"{self.page()}/api/continuum", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def ended(self) -> tuple[int, str]:
        """Exit code and output."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    scenario = tmp_path / "up.toml"
    scenario.write_text(SCENARIO + LINKS, encoding="utf-8")
    running = Up(scenario, tmp_path / "kept")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()
    assert running.process.stdout is not None
    running.process.stdout.close()


def journeys(up: Up) -> list[int]:
    """Numbers of the messages that are seen to have gone all the way."""
    found = up.continuum()
    (node,) = found["nodes"]
    assert node["agreement"]["different"] == 0
    return [journey["seq"] for journey in found["journeys"]]


def uplinks_us(up: Up) -> list[float]:
    """How long those of them whose way is known took from fog to the cloud."""
    stages = [journey["stages_us"] for journey in up.continuum()["journeys"]]
    return [stage["uplink_us"] for stage in stages if "uplink_us" in stage]


def test_all_tiers_come_up_one_comes_back_and_nothing_is_left(up: Up) -> None:
    first = until(lambda: journeys(up))
    assert min(until(lambda: uplinks_us(up))) >= 30_000  # fog's link to the cloud
    assert len(processes(up.where)) >= 6  # itself, edge, fog, cloud, two links
    killed = one_of(up.where, "fog")
    os.kill(killed, signal.SIGKILL)
    until(lambda: one_of(up.where, "fog") not in (0, killed))
    until(lambda: journeys(up)[-1] > first[-1] + 5)
    secrets = secrets_of(up)
    shown = [*processes(up.where).values(), *answers(up)]
    assert [text for text in shown if any(secret in text for secret in secrets)] == []
    fog, page = up.continuum()["fogs"], up.page()
    assert len(fog) == 1  # it has come back as itself: its numbers go on
    os.kill(up.process.pid, signal.SIGINT)
    code, said = up.ended()
    assert code == 130
    assert "3 tiers are ready" in said
    assert f"{page}/continuum shows the way of a message\n" in said
    assert "edge-fog: 20 ms, up to 10 ms more\n" in said
    assert "fog-cloud: 30 ms, 1 % lost, 2000 kbit/s, down once\n" in said
    assert "fog ended with exit code -9: started again" in said
    assert processes(up.where) == {}
    kept = [path for path in up.where.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in kept)
    left = {path: path.read_bytes().decode("latin-1") for path in kept} | {Path("output"): said}
    assert [path for path, text in left.items() if any(s in text for s in secrets)] == []


def secrets_of(up: Up) -> list[str]:
    """The broker's password and the token of the page, in files that only their owner can read."""
    files = {name: up.where / name for name in ("broker.json", "edge-fog.json", "page.json")}
    assert all(file.stat().st_mode & 0o077 == 0 for file in files.values())
    told = {name: json.loads(file.read_text()) for name, file in files.items()}
    assert told["edge-fog.json"]["password"] == told["broker.json"]["password"]
    return [str(told["broker.json"]["password"]), str(told["page.json"]["token"])]


def answers(up: Up) -> Iterator[str]:
    """What page and fog tell whoever asks."""
    fog = json.loads((up.where / "fog.json").read_text())["health"]
    paths = ("/", "/_dash-layout", "/health", "/api/continuum", "/api/events", "/api/field")
    for url in [*(up.page() + path for path in paths), f"{fog}/health", f"{fog}/metrics"]:
        try:
            with urlopen(url, timeout=30) as answer:
                yield answer.read().decode()
        except HTTPError as error:  # such as a twin that waits
            with error:
                yield error.read().decode()


def test_what_is_killed_leaves_nothing_behind_either(up: Up) -> None:
    until(lambda: journeys(up))
    up.process.kill()
    until(lambda: processes(up.where) == {})


class Noted(Closing):
    """Stands for a tier; the first one that is waited for once all are there interrupts."""

    def __init__(self, name: str, command: Sequence[str], _tell: object) -> None:
        self.name, self.command = name, list(command)

    def wait(self, _timeout_s: float, stop: threading.Event) -> None:
        if self.name == "edge":
            stop.set()

    def close(self) -> None:
        pass


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Noted]:
    """What would have been started, in its order."""
    found: list[Noted] = []

    def supervised(*arguments: Any) -> Noted:
        found.append(Noted(*arguments))
        return found[-1]

    monkeypatch.setattr(up_module, "Supervised", supervised)
    return found


BROKER = "mqtt://somebody:sesame@127.0.0.1:1"


def test_links_stand_between_their_tiers_and_the_broker(
    tmp_path: Path, started: list[Noted]
) -> None:
    scenario = tmp_path / "up.toml"
    scenario.write_text(SCENARIO + LINKS + "[fog]\n[cloud]\n", encoding="utf-8")
    options = UpOptions(speed="600x", broker=BROKER)
    where = tmp_path / "kept"
    in_a_thread(lambda: run_up(load(scenario), where, options, tell=lambda *_: None))
    assert [part.name for part in started] == ["edge-fog", "fog-cloud", "cloud", "fog", "edge"]
    commands = {part.name: part.command for part in started}
    at = commands["edge"].index("--broker") + 1
    assert commands["edge"][at] == str(where / "edge-fog.json")
    brokers = {
        name: tomllib.loads((where / f"{name}.toml").read_text()) for name in ("fog", "cloud")
    }
    assert brokers["fog"]["edge_broker"] == str(where / "broker.json")
    assert "cloud_broker" not in brokers["fog"]  # the same
    assert brokers["cloud"]["cloud_broker"] == str(where / "fog-cloud.json")
    settings = json.loads(commands["fog-cloud"][-1])
    assert settings["outages"] == [[3_600.0, 4_800.0]]
    assert (settings["speed"], settings["broker"]) == (600.0, str(where / "broker.json"))


def test_no_command_line_and_no_open_file_shows_the_password(
    tmp_path: Path, started: list[Noted]
) -> None:
    scenario = tmp_path / "up.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    where = tmp_path / "kept"
    in_a_thread(
        lambda: run_up(load(scenario), where, UpOptions(broker=BROKER), tell=lambda *_: None)
    )
    assert not any("sesame" in word for part in started for word in part.command)
    assert not any("sesame" in file.read_text() for file in where.iterdir() if file.is_file())


def test_a_directory_belongs_to_one_at_a_time(tmp_path: Path, started: list[Noted]) -> None:
    """A second one would remove the address that the tiers of the first need to start again."""
    scenario = tmp_path / "up.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    where, options = tmp_path / "kept", UpOptions(broker=BROKER)
    refused: list[StoreBusyError] = []

    def another(tier: str, _line: str) -> None:
        if tier == "broker":
            before = (where / "broker.json").read_text()
            with pytest.raises(StoreBusyError, match="in use by another `levada up`") as error:
                run_up(load(scenario), where, options, tell=lambda *_: None)
            assert (where / "broker.json").read_text() == before
            refused.append(error.value)

    in_a_thread(lambda: run_up(load(scenario), where, options, tell=another))
    assert refused
    assert len(started) == 3


def in_a_thread(run: Callable[[], object]) -> None:
    """Where there are no signals."""
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("scenario", "arguments", "engines"),
    [
        (LINKS, [], ("wasm", "wasm")),  # which alone would have no effect
        ("", ["--set", "fog.window=30 min"], ("wasm", "wasm")),
        ("", ["--set", "cloud.engine=off"], ("wasm", "off")),
        ('[fog]\nengine = "native"\n[cloud]\n', [], ("native", "wasm")),
        (LINKS, ["--strategy", "A"], ("off", "off")),
    ],
)
def test_without_a_word_of_fog_and_cloud_it_is_strategy_c(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: str,
    arguments: list[str],
    engines: tuple[str, str],
) -> None:
    seen: list[Scenario] = []
    monkeypatch.setattr(up_module, "run_up", lambda loaded, *_, **__: seen.append(loaded))
    file = tmp_path / "up.toml"
    file.write_text(SCENARIO + scenario, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["up", str(file), *arguments])
    assert ended.value.code == 130
    (found,) = seen
    assert found.fog is not None
    assert found.cloud is not None
    assert (found.fog.engine, found.cloud.engine) == engines
