"""`levada up` as a user has it: all tiers come up, a message goes through all of them, one that is
killed comes back, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

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

    def continuum(self) -> dict[str, Any]:
        """What the page's interface says of it."""
        url = json.loads((self.where / "page.json").read_text())["url"]
        with urlopen(f"{url}/api/continuum", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def ended(self) -> tuple[int, str]:
        """Exit code and output."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    scenario = tmp_path / "up.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
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


def test_all_tiers_come_up_one_comes_back_and_nothing_is_left(up: Up) -> None:
    first = until(lambda: journeys(up))
    assert len(processes(up.where)) >= 4  # itself, edge, fog, cloud
    killed = one_of(up.where, "fog")
    os.kill(killed, signal.SIGKILL)
    until(lambda: one_of(up.where, "fog") not in (0, killed))
    until(lambda: journeys(up)[-1] > first[-1] + 5)
    fog = up.continuum()["fogs"]
    assert len(fog) == 1  # it has come back as itself: its numbers go on
    os.kill(up.process.pid, signal.SIGINT)
    code, said = up.ended()
    assert code == 130
    assert "3 tiers are ready" in said
    assert "fog ended with exit code -9: started again" in said
    assert processes(up.where) == {}


def test_what_is_killed_leaves_nothing_behind_either(up: Up) -> None:
    until(lambda: journeys(up))
    up.process.kill()
    until(lambda: processes(up.where) == {})
