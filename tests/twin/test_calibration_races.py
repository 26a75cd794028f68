"""Calibrations that race steps and each other: fault D13 and promise P8 (docs/faults.md).

Two parameters that belong together are changed as one by several threads at once while the guest
steps.  What the device is told and what its guest publishes is written down in the order in which
it happens, so a mixture, or a value that comes a step late, would be seen.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from small_field import START_MS, scenario

from levada.guest.node import Node, Readings, StepResult
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.nodes import NodeMaker
from levada.sim.run.build import NodeSettings
from levada.twin.app.server import Page
from levada.twin.diagnosis import Cause
from levada.twin.sources.bench import Bench
from levada.twin.store.store import Store
from levada.twin.twin import Twin

BAND = 30
"""off_pct lies so much above on_pct [%]; in the scenario it is 20."""


class Witness:
    """A device, and what happened to it, in order."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.diary: list[tuple[str, int, int]] = []
        """(told or did, on_pct, off_pct)"""
        self.steps = 0
        self.stepped = threading.Condition()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        result = self._node.step(time_ms, readings, online=online, skew_ms=skew_ms)
        for _topic, message in result.publications:
            said = json.loads(message)
            self.diary.append(("did", said["on"], said["off"]))
        with self.stepped:
            self.steps += 1
            self.stepped.notify_all()
        return result

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        found = self._node.calibrate(values)
        self.diary.append(("told", found[0], found[1]))  # on_pct and off_pct
        return found

    def one_step(self, timeout_s: float = 60.0) -> None:
        """Wait until the guest has stepped."""
        with self.stepped:
            before = self.steps
            assert self.stepped.wait_for(lambda: self.steps > before, timeout_s)


class Race:
    """A twin that runs, on `kind` of node, with its witness."""

    def __init__(self, folder: Path, kind: str, speed: float) -> None:
        self.kind = kind
        self.nodes = NodeMaker()
        self.store = Store(folder / "store.sqlite", clock_ms=self._now_ms)
        self.twin = Twin(
            scenario(folder, zones='node = "virtual"', days=25),
            self.store,
            Bench(self._make, speed=speed),
        )
        self.thread = threading.Thread(target=self.twin.run)
        self.thread.start()

    def _now_ms(self) -> int:
        return self.twin.now_ms if hasattr(self, "twin") else START_MS

    def _make(self, settings: NodeSettings) -> Any:
        node: Node
        if self.kind == "virtual":
            node = self.nodes(settings)
        else:
            node = WasmtimeNode(
                settings.module,
                name=settings.zone.name,
                config=settings.config,
                parameters=settings.parameters,
            )
        self.witness = Witness(node)
        return self.witness

    def change(self, low: int, count: int, wrong: list[Any], batch: int = 5) -> None:
        """Change both parameters `count` times, in batches that leave the guest time to step."""
        done = 0
        while done < count:
            size = min(batch, count - done)
            wanted = [_pair(low + k % 10) for k in range(done, done + size)]
            asked: list[Future[dict[str, int]]] = [
                self.twin.calibrate("maize", pair, who=str(low)) for pair in wanted
            ]
            found = [future.result(120) for future in asked]
            wrong += [(w, f) for w, f in zip(wanted, found, strict=True) if w != f]
            done += size
            self.witness.one_step()

    def change_by_page(self, page: Page, low: int, count: int, wrong: list[Any]) -> None:
        for k in range(count):
            wanted = _pair(low + k % 10)
            request = Request(
                f"{page.url}/api/zones/maize/calibration",
                data=json.dumps({"values": wanted, "who": "page"}).encode(),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {page.token}",
                },
            )
            with urlopen(request, timeout=120) as answer:
                found = json.load(answer)["values"]
            if found != wanted:
                wrong.append((wanted, found))

    def close(self) -> None:
        self.twin.stop()
        self.thread.join(60)
        self.twin.close()
        self.nodes.close()
        self.store.close()

    def check(self, count: int) -> None:
        """Every step was made with exactly what the device was told last."""
        told: tuple[int, int] = (70, 90)
        steps = 0
        for what, on, off in self.witness.diary:
            if what == "told":
                assert off - on == BAND
                told = (on, off)
            else:
                steps += 1
                assert (on, off) == told
        assert sum(what == "told" for what, _, _ in self.witness.diary) == count
        assert steps >= 10
        zone = self.twin.view.zones[0]
        assert (zone.parameters["on_pct"], zone.parameters["off_pct"]) == told
        assert zone.verdict.cause is Cause.NONE  # the mirror and the twin got them, too
        alerts = {e["evidence"]["alert"] for e in self.store.reader.events(kind="alert")}
        assert alerts <= {"stress-forecast"}  # such thresholds may well let the soil dry
        settled = self.store.reader.calibrations("maize", limit=2 * count + 1)
        assert len(settled) == 2 * count
        assert all(c["state"] == "in force" and c["read_back"] == c["new_value"] for c in settled)


def _pair(on_pct: int) -> dict[str, int]:
    return {"on_pct": on_pct, "off_pct": on_pct + BAND}


@pytest.fixture(params=["sim", "virtual"])
def race(request: pytest.FixtureRequest, memory_folder: Path) -> Iterator[Race]:
    made = Race(memory_folder, request.param, speed=20_000.0)
    yield made
    made.close()


@pytest.fixture(params=["sim", "virtual"])
def slow_race(request: pytest.FixtureRequest, memory_folder: Path) -> Iterator[Race]:
    """So slow that its 25 days outlast 100,000 changes."""
    made = Race(memory_folder, request.param, speed=1_000.0)
    yield made
    made.close()


def _changed_by_many(race: Race, count: int, batch: int) -> None:
    wrong: list[Any] = []
    lows = (5, 20, 35, 50)
    people = [
        threading.Thread(target=race.change, args=(low, count // len(lows), wrong, batch))
        for low in lows
    ]
    _let(people, race)
    assert wrong == []
    race.check(count)


def _let(people: list[threading.Thread], race: Race) -> None:
    """All of them at once; then the twin ends."""
    for person in people:
        person.start()
    for person in people:
        person.join()
    race.twin.stop()
    race.thread.join()


def test_no_step_sees_a_mixture_of_two_calibrations(race: Race) -> None:
    """P8 in short."""
    _changed_by_many(race, 400, batch=5)


@pytest.mark.slow
def test_no_step_of_many_sees_a_mixture_of_two_calibrations(slow_race: Race) -> None:
    """P8: 0 torn reads in 100,000."""
    _changed_by_many(slow_race, 100_000, batch=50)


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_calibrations_from_page_and_program_do_not_mix(race: Race, count: int) -> None:
    """D13: half of the writes by each."""
    wrong: list[Any] = []
    with Page(race.twin, port=0) as page:
        people = [
            threading.Thread(target=race.change_by_page, args=(page, 5, count // 2, wrong)),
            threading.Thread(target=race.change, args=(40, count // 2, wrong)),
        ]
        _let(people, race)
    assert wrong == []
    race.check(count)
