"""The page and the API of the continuum, in a real browser and without one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cloud_chain import Chain
from fog_rows import DAY, FOG, message, raw, window
from looking import Look, chrome
from selenium import webdriver

from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.sim.scenario.continuum import Cloud
from levada.twin.app import pages
from levada.twin.app.server import Page
from levada.twin.continuum.hops import host_id
from levada.twin.continuum.recomputation import Recomputation
from levada.twin.continuum.tier import Sample, Tier
from levada.twin.mqtt.messages import ForwardedRow, Processed, Relayed, Status
from levada.twin.store.rows import Event

MODULE = DEFAULT_GUEST.read_bytes()
SHA256 = inspect(MODULE).sha256
COUNT = 50
HOSTILE = "<img src=x onerror=alert(1)>"


class Shown:
    """A cloud's streams with their page."""

    def __init__(self, folder: Path) -> None:
        self.chain = Chain(folder / "s.sqlite", partial(Recomputation, MODULE, Cloud()))
        self.page = Page(port=0, parts=self.chain.streams.parts)
        self.page.show(None, continuum=self.chain.streams)

    def get(self, path: str) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.page.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def close(self) -> None:
        self.page.close()
        self.chain.close()


def fill(chain: Chain) -> None:
    """A node whose messages went through a fog that computes by the shipped guest."""
    streams = chain.streams
    said = {"guest_sha256": SHA256, "host": host_id()}
    streams.on_message(
        FOG,
        Status(
            state="birth",
            engine="native",
            buffer_rows=12,
            buffer_limit_rows=1_000,
            **said,  # type: ignore[arg-type]
        ),
    )
    streams.on_message(
        "maize",
        Status(state="birth", engine="wasm3", counts=(2_500, 500, 1_400), **said),  # type: ignore[arg-type]
    )
    readings = [4_095 if n == 20 else 1_500 + n % 7 for n in range(COUNT)]
    samples = [
        Sample("maize", 7, n, DAY + n * 60_000, {"raw": float(value)})
        for n, value in enumerate(readings)
    ]
    with Tier(MODULE, "wasm", {}, 0, 0) as tier:
        computed = [ForwardedRow(**row) for row in tier.take(samples)]
    for n, value in enumerate(readings):
        row = raw(n, raw=value).model_copy(update={"received_us": 2_000, "up_ms": 1})
        chain.take(message(Relayed, 2 * n, [row], sent_us=2_500), received_us=3_000)
        chain.take(message(Processed, 2 * n + 1, [computed[n]], sent_us=2_600), received_us=3_100)
    chain.take(message(Processed, 2 * COUNT, [window(0, count=COUNT, mean=1_503.0)]))
    chain.store.submit(
        Event(
            kind="offline",
            severity="warning",
            node=FOG,
            time_ms=DAY,
            text=f"fog has fallen silent {HOSTILE}",
        )
    )
    chain.seen(2 * COUNT + 1)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    made = Shown(tmp_path_factory.mktemp("continuum"))
    fill(made.chain)
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chrome() as made:
        yield made


@pytest.fixture
def look(browser: webdriver.Chrome, shown: Shown, tmp_path: Path) -> Iterator[Look]:
    shots = Path(os.environ.get("LEVADA_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    made = Look(browser, shown.page.url, shots)
    made.complaints()
    yield made
    assert made.complaints() == []


def test_a_message_is_followed_from_the_board_to_the_store(look: Look) -> None:
    look.open("/continuum")
    # sent at 1,000 us, in fog from 2,000 to 2,500, in the cloud at 3,000
    look.text(".path", "maize", "1 ms", "holds it for 500 µs", "500 µs", "SQLite")
    look.text("#continuum-path", "share its clock: offset 0", f"newest {COUNT} messages")
    look.text("#continuum-newest", f"maize {COUNT - 1}")
    look.shoot("continuum")


def test_raw_and_filtered_are_drawn_and_compared(look: Look) -> None:
    look.open("/continuum")
    look.until(lambda _: look.points("#continuum-chart") == [COUNT, COUNT - 1, 1])
    look.text(
        "#continuum-said", f"{COUNT} in both streams", "Suppressed", "out of range 1", "100 µs"
    )
    look.text("#continuum-said", "95 % within 100 µs")


def test_which_tier_runs_what_is_told_with_the_guest_s_bytes(look: Look) -> None:
    look.open("/continuum")
    look.text("#continuum-tiers", "wasm3", "native", "wasm", SHA256[:12])
    look.text("#continuum-nodes", f"{COUNT} equal to fog's, bit for bit")
    assert "another guest" not in look.find("#continuum-tiers").text


def test_buffers_and_outages_are_shown_and_names_as_text(look: Look) -> None:
    look.open("/continuum")
    look.text("#continuum-fogs", "It keeps 12 of at most 1,000 rows.", HOSTILE)


def test_without_a_twin_the_continuum_is_the_first_page(look: Look) -> None:
    look.open("/")
    look.text("h1", "Continuum")
    assert look.find("#nav").text.split() == ["Continuum", "Modules"]


def test_a_phone_needs_no_sideways_scrolling(look: Look) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    look.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        look.open("/continuum")
        look.text("#continuum-nodes", "maize")
        width = look.browser.execute_script("return document.documentElement.scrollWidth")
        look.shoot("phone-continuum")
        assert width <= 390
    finally:
        look.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_where_nobody_was_heard_of_the_page_says_so(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    empty = Shown(tmp_path)
    try:
        look = Look(browser, empty.page.url, tmp_path)
        look.open("/")
        look.text("#continuum-path", "No fog has been heard of yet")
        look.text("#continuum-fogs", "No fog has been heard of yet")
        look.text("#continuum-nodes", "No fog has relayed anything")
        look.text("#continuum-tiers", "Cloud")
        look.text("#continuum-chart", "Nothing of this node is stored yet")
        empty.chain.streams.on_message(FOG, Status(state="birth", engine="off", buffer_rows=0))
        look.text(".path", "relays only")
        look.text("#continuum-path", "No message has come")
        assert look.complaints() == []
    finally:
        empty.close()


def test_programs_read_the_same(shown: Shown) -> None:
    code, found = shown.get("/api/continuum")
    assert code == 200
    (node,) = found["nodes"]
    assert node["comparison"]["matched"] == COUNT
    assert node["comparison"]["suppressed"] == 1
    assert node["agreement"]["equal"] == COUNT
    assert node["windows"] == 1
    assert found["stages"]["edge_us"]["p50"] == 1_000
    assert found["fogs"][0]["offset"] == {"us": 0.0, "error_us": 0.0, "shared": True}


def test_what_only_a_twin_has_is_not_there_without_one(shown: Shown) -> None:
    assert shown.get("/api/field")[0] == 404
    assert shown.get("/api/series?zone=maize")[0] == 200
    _, found = shown.get("/health")
    assert found["parts"]["streams"]["ok"]
    assert found["parts"]["fogs"] == {"ok": True, "detail": "1 heard of"}
    assert found["devices"] == {}
    assert "twin" not in found


def test_a_time_is_told_in_the_unit_that_fits_it() -> None:
    assert [pages.time_text(us) for us in (0, 7.4, 999, 1_000, 12_345, 2e6, 9e7, 9e9)] == [
        "0 µs",
        "7 µs",
        "999 µs",
        "1 ms",
        "12.3 ms",
        "2 s",
        "1.5 min",
        "2.5 h",
    ]
