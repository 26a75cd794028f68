"""`levada twin`: the twin, its store and its page together, until the end or Ctrl-C.

The twin runs in the main thread, so that Ctrl-C reaches it; page and store have threads of their
own, virtual boards are processes that end with us.  Whatever happens, all of it is closed in the
opposite order.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from guest.jit import compiled
from hil.nodes import NodeMaker
from sim.scenario_model import Scenario
from twin.alerts import Change
from twin.app.server import Page
from twin.broker import parse_broker
from twin.client import MqttClient
from twin.replay import Replay
from twin.store import Store
from twin.twin import Twin

__all__ = ["ADDRESS", "Running", "live", "publisher"]

ADDRESS: Final = "page.json"
"""Beside the store: where the page is, and the token of this run; only its owner can read it."""


class Running:
    """A twin that runs, with its page."""

    def __init__(self, twin: Twin, page: Page, store: Path) -> None:
        self.twin = twin
        self.page = page
        self.store = store


def live(
    scenario: Scenario,
    where: Path,
    *,
    speed: float | None,
    port: int = 8050,
    skip_to_ms: int | None = None,
    broker: str | None = None,
    replay: Path | None = None,
    stay: bool = True,
    opened: Callable[[str], None] = lambda _url: None,
    started: Callable[[Running], None] = lambda _running: None,
) -> bool:
    """Run the twin of `scenario` with its store in the directory `where`; true if interrupted.

    Alerts are also published to `broker`, a URL.  `replay` is a store whose devices speak again
    instead of nodes.  `opened` is told where the page is before there is anything to see on it.
    With `stay` the page remains after the end of the period until Ctrl-C.
    Raises what Twin, Store and Page raise, BrokerError if the broker cannot be reached.
    """
    where.mkdir(parents=True, exist_ok=True)
    clock: list[Twin] = []
    with ExitStack() as open_:
        page = open_.enter_context(Page(port=port))
        opened(page.url)
        page.tell("The store is opened")
        store = open_.enter_context(
            Store(
                where / "store.sqlite",
                clock_ms=lambda: clock[0].now_ms if clock else scenario.period.start_ms,
            )
        )
        page.tell(
            "The devices are started; the first time, a virtual board is built"
            if compiled()
            else "The devices are started and the plant is compiled, once: about half a minute"
        )
        make_node = open_.enter_context(NodeMaker(speed=speed))
        publish: Callable[[str, Change], None] = _silent
        if broker is not None:
            client = MqttClient(parse_broker(broker))
            open_.callback(client.close)
            publish = publisher(client)
        twin: Twin
        if replay is not None:
            twin = Replay(
                scenario, store, replay, speed=speed, skip_to_ms=skip_to_ms, publish=publish
            )
        else:
            twin = Twin(
                scenario,
                store,
                make_node=make_node,
                speed=speed,
                skip_to_ms=skip_to_ms,
                publish=publish,
            )
        clock.append(twin)
        open_.callback(twin.close)
        page.show(twin)
        open_.callback(page.close)  # before what it shows is closed
        open_.callback((where / ADDRESS).unlink, missing_ok=True)
        _tell_address(where / ADDRESS, page)
        interrupted = threading.Event()
        with _ctrl_c(interrupted, twin):
            started(Running(twin, page, where / "store.sqlite"))
            twin.run()
            if stay:
                interrupted.wait()
    return interrupted.is_set()


def publisher(client: MqttClient) -> Callable[[str, Change], None]:
    """Publishes alerts on `ic/<zone>/alert`; without a connection they are only stored."""

    def publish(zone: str, change: Change) -> None:
        payload = {
            "alert": change.kind,
            "raised": change.raised,
            "t": change.time_ms,
            "severity": change.severity,
            "text": change.text,
            "evidence": dict(change.evidence),
        }
        client.publish(f"ic/{zone}/alert", json.dumps(payload).encode())

    return publish


def _silent(_zone: str, _change: Change) -> None:
    pass


def _tell_address(path: Path, page: Page) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": page.url, "token": page.token}, file)


@contextmanager
def _ctrl_c(interrupted: threading.Event, twin: Twin) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run between two steps; a second Ctrl-C ends it anywhere."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        twin.stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
