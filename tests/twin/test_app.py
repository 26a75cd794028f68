"""The page, in a real browser and without one."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from accessibility import LOOKS, emulated, violations
from looking import Look, chrome
from selenium import webdriver
from selenium.webdriver.common.by import By
from small_field import START_MS, fault, scenario, until
from sqlalchemy.exc import OperationalError

from levada.sim.units import HOUR_MS
from levada.twin.app import figures, openapi, pages
from levada.twin.app.alternatives import describe
from levada.twin.app.server import Page, PageError
from levada.twin.health import Part
from levada.twin.sources.bench import Bench
from levada.twin.store.rows import Event, Points
from levada.twin.store.store import Store
from levada.twin.twin import Twin

DOCS = Path(__file__).parents[2] / "docs"
HOSTILE = "<img src=x onerror=alert(1)>"


class Live:
    """A twin with its page, running in a thread."""

    def __init__(self, folder: Path, *, extra: str = "", speed: float = 3600.0) -> None:
        self.store = Store(folder / "store.sqlite", clock_ms=self.now_ms)
        field = scenario(folder, extra=extra, days=20)
        source = Bench(speed=speed, skip_to_ms=START_MS + HOUR_MS)
        self.twin = Twin(field, self.store, source)
        self.page = Page(self.twin, port=0)
        self.thread = threading.Thread(target=self.twin.run)
        self.thread.start()

    def now_ms(self) -> int:
        return self.twin.now_ms if hasattr(self, "twin") else START_MS

    def close(self) -> None:
        self.twin.stop()
        self.thread.join()
        self.page.close()
        self.twin.close()
        self.store.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A field whose valve does not open when it first should."""
    first_hour_ms = START_MS + HOUR_MS
    made = Live(tmp_path_factory.mktemp("live"), extra=fault("valve-stuck-closed", "0 h", "10 d"))
    try:
        until(
            lambda: (
                made.store.reader.window("maize", "theta").time_ms.max(initial=0) > first_hour_ms
            )
        )
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chrome() as made:
        yield made


@pytest.fixture
def look(browser: webdriver.Chrome, live: Live, tmp_path: Path) -> Iterator[Look]:
    shots = Path(os.environ.get("LEVADA_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    browser.get(live.page.link)  # one click, as printed
    made = Look(browser, live.page.url, shots)
    made.complaints()
    yield made
    assert made.complaints() == []


def test_the_field_has_a_tile_for_every_zone(look: Look) -> None:
    look.open("/")
    look.text(".tile", "maize", "Probe", "Twin", "Stress in")
    look.shoot("field")
    look.find(".tile").click()
    look.text("h1", "maize")


def test_who_has_not_opened_the_link_reads_along(look: Look, live: Live) -> None:
    look.browser.delete_all_cookies()
    look.open("/zone/maize")
    look.text("#calibrate-locked", "open the link")
    assert not look.find("#calibrate-set").is_enabled()
    look.browser.get(live.page.link)
    assert look.browser.current_url == f"{live.page.url}/"  # the code is gone from the address
    look.open("/zone/maize")
    assert look.find("#calibrate-set").is_enabled()
    assert not look.browser.find_elements(By.ID, "calibrate-locked")
    assert look.browser.execute_script("return document.cookie") == ""


def test_a_tile_keeps_the_focus_while_its_figures_change(look: Look) -> None:
    look.open("/")
    look.find(".tile img")
    look.browser.execute_script("document.querySelector('.tile').focus()")
    before = look.until(lambda _: look.find("#clock").text)
    look.until(lambda _: look.find("#clock").text != before)
    facts = look.until(lambda _: look.find(".tile .spark").get_attribute("src"))
    look.until(lambda _: look.find(".tile .spark").get_attribute("src") != facts)
    focused = "return document.activeElement === document.querySelector('.tile')"
    assert look.browser.execute_script(focused)


def test_both_curves_grow_while_one_looks(look: Look) -> None:
    look.open("/zone/maize")
    first = look.until(
        lambda _: min(look.points("#zone-chart")[4:6]) and look.points("#zone-chart")
    )
    look.until(
        lambda _: all(
            now > then
            for now, then in zip(look.points("#zone-chart")[4:6], first[4:6], strict=True)
        )
    )
    look.shoot("zone")


def test_a_threshold_is_tried_changed_and_acknowledged(look: Look, live: Live) -> None:
    look.open("/zone/maize")
    box = look.find(
        '[id*=\'"name":"on_pct"\'][id*=\'"type":"parameter"\'] input, '
        'input[id*=\'"name":"on_pct"\']'
    )
    look.type(box, "60")
    who = look.find("#calibrate-who")
    look.type(who, "Ada")
    who.send_keys("\t")
    look.find("#calibrate-try").click()
    look.text("#dry-run", "Water", "Valve openings")
    look.find("#calibrate-set").click()
    look.text("#calibrate-done", "In force", "on_pct = 60")
    look.text("#zone-events", "on_pct 70 -> 60")
    look.shoot("calibration")
    assert live.twin.view.zones[0].parameters["on_pct"] == 60
    assert live.store.reader.calibrations("maize")[-1]["who"] == "Ada"


def test_a_value_out_of_range_is_refused_in_words(look: Look, live: Live) -> None:
    before = dict(live.twin.view.zones[0].parameters)
    look.open("/zone/maize")
    look.type(look.find('input[id*=\'"name":"off_pct"\']'), "170")
    look.find("#calibrate-set").click()
    look.text("#calibrate-done", "`off_pct` = 170", "permitted 0 to 100")
    assert dict(live.twin.view.zones[0].parameters) == before


def test_who_decides_by_a_page_that_shows_old_values_is_told_the_new_ones(
    look: Look, live: Live
) -> None:
    look.open("/zone/maize")
    box = look.find('input[id*=\'"name":"off_pct"\']')
    before = live.twin.view.zones[0].parameters["off_pct"]
    look.browser.execute_script("dash_clientside.set_props('tick-zone', {disabled: true})")
    live.twin.calibrate("maize", {"off_pct": before - 5}, who="Bob").result(30)
    look.type(box, "77")
    look.find("#calibrate-set").click()
    look.text("#calibrate-done", f"off_pct is {before - 5} % by now, not {before} %: look again")
    assert live.twin.view.zones[0].parameters["off_pct"] == before - 5
    live.twin.calibrate("maize", {"off_pct": before}, who="Bob").result(30)


def test_a_stuck_valve_becomes_an_alert_with_the_right_cause(look: Look) -> None:
    look.open("/zone/maize")
    look.text("#zone-verdict", "They differ: valve", "no water flowed")
    look.text("#zone-alerts", "commanded open, but no water flowed", "Probable cause: valve")
    look.shoot("alert")
    look.open("/")
    look.text(".tile.alert", "no water flowed")
    look.until(lambda b: b.find_element(By.CSS_SELECTOR, ".tile img").size["height"] > 20)
    look.text("#field-events", "no water flowed")


def test_a_node_says_who_it_is(look: Look, live: Live) -> None:
    look.open("/nodes")
    look.text("table", "maize", "wasmtime")
    look.open("/node/maize")
    look.text("#node-facts", live.twin.info.sha256, "wasmtime", "Battery", "Calibrations")
    look.shoot("node")


def test_history_shows_any_signal_any_time_and_a_moment_of_it(look: Look) -> None:
    look.open("/history?zone=maize&start=2023-07-06&end=2023-07-07")
    look.until(lambda _: min(look.points("#history-chart")) > 3)
    look.text("#history-then", "At 2023-07-0", "Water content at the probe, device")
    look.text("#history-export", "CSV")
    look.shoot("history")


def test_a_date_that_is_none_is_said(look: Look) -> None:
    look.open("/history?zone=maize&start=tomorrow&end=2023-07-07")
    look.text("#history-wrong", "'tomorrow' is no date")


def test_a_page_that_is_not_there_says_so(look: Look) -> None:
    look.open("/zone/nowhere")
    look.text("main", "Not found")
    assert all("404" in said for said in look.complaints())  # the browser tells of its own answer


def test_everything_can_be_reached_with_the_keyboard(look: Look) -> None:
    look.open("/zone/maize")
    look.find("#calibrate-set")
    reachable = look.browser.execute_script(
        "return [...document.querySelectorAll('a, button, input, summary')]"
        ".filter(e => e.offsetParent !== null && e.tabIndex < 0).map(e => e.outerHTML)"
    )
    assert reachable == []


def test_a_phone_needs_no_sideways_scrolling(look: Look) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    look.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for name, path in (("field", "/"), ("zone", "/zone/maize"), ("history", "/history")):
            look.open(path)
            look.find("main section")
            width = look.browser.execute_script("return document.documentElement.scrollWidth")
            look.shoot(f"phone-{name}")
            assert width <= 390, path
    finally:
        look.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_paper_is_dark(look: Look) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    look.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    try:
        look.open("/zone/maize")
        look.until(lambda _: min(look.points("#zone-chart")[4:6]))
        color = look.find("body").value_of_css_property("background-color")
        look.shoot("zone-dark")
    finally:
        look.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert color == "rgba(17, 23, 26, 1)"


PAGES = {
    "/": ".tile img",
    "/zone/maize": "#zone-chart .legend",
    "/nodes": "table",
    "/node/maize": "#node-facts table",
    "/history?zone=maize&start=2023-07-06&end=2023-07-07": "#history-chart .main-svg",
    "/modules": "#module-nodes table",
    "/nowhere": "main section",
}
"""Path -> what is there when the page is."""


@pytest.mark.parametrize("path", ["/zone/maize", list(PAGES)[4]])
def test_a_page_is_for_everyone(look: Look, path: str) -> None:
    """WCAG 2.2 AA and good practice, by axe-core."""
    with emulated(look.browser, *LOOKS[0]):
        look.open(path)
        look.find(PAGES[path])
        look.until(lambda b: b.title not in ("", "levada"))
        assert violations(look.browser) == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_for_everyone(look: Look, path: str, width: int, scheme: str) -> None:
    """WCAG 2.2 AA and good practice, by axe-core; at every size and on every paper."""
    with emulated(look.browser, width, scheme):
        look.open(path)
        look.find(PAGES[path])
        assert violations(look.browser) == []
    assert all("404" in said for said in look.complaints())


def test_charts_and_slider_say_what_they_show(look: Look) -> None:
    look.open("/zone/maize")
    assert look.text("#zone-chart-text", "Probe: ", " % at the end, between ", "Twin: ")
    # the one layer of this bucket, 1 m or more
    assert look.text("#zone-profile-text", "Water content at the end: ", " % at ")
    look.until(lambda b: b.title == "maize · levada")
    look.open("/history?zone=maize&start=2023-07-06&end=2023-07-07")
    time = look.until(lambda _: look.find("#history-time").text)
    thumb = look.find("[role=slider]")
    look.until(lambda _: thumb.get_attribute("aria-valuetext") == time)
    assert thumb.get_attribute("aria-label") == "Moment"


def test_hostile_text_is_shown_as_text(look: Look, live: Live) -> None:
    hostile = [HOSTILE, "x" * 10_000, "\N{FACE WITH TEARS OF JOY}", "a\x00b", "{{7*7}}"]
    for text in hostile:
        live.store.submit(
            Event(kind="alert", text=text, time_ms=live.now_ms(), node=text, evidence={"who": text})
        )
    live.store.submit(
        Event(
            kind="decision",
            text=HOSTILE,
            time_ms=live.now_ms(),
            node="maize",
            evidence={"who": HOSTILE, "valve": 1},
        )
    )
    live.store.flush()
    look.open("/")
    look.text("#field-events", HOSTILE, "{{7*7}}", "a")
    look.open("/zone/maize")
    look.text("#zone-events", HOSTILE)
    assert look.browser.find_elements(By.CSS_SELECTOR, "img[src=x]") == []


# Without a browser


def test_what_device_and_twin_decide_alike_stands_once() -> None:
    def decided(who: str, text: str, time_ms: int = 0) -> dict[str, Any]:
        evidence = {"who": who}
        return {"kind": "decision", "node": "n", "time_ms": time_ms, "severity": "info"} | {
            "text": text,
            "evidence": evidence,
        }

    found = [decided("twin", "Opened."), decided("device", "Opened."), decided("twin", "Closed.")]
    lines = [
        [getattr(part, "children", None) for part in line.children]
        for line in pages.events(found, zone=True).children
    ]
    assert [line[1:-1] for line in lines] == [
        ["twin", "Closed."],
        ["device", "twin", "Opened."],
    ]


def ask(
    live: Live, path: str, *, host: str | None = None, body: Any = None, token: str = ""
) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", live.page.port, timeout=60)) as connection:
        headers = {} if host is None else {"Host": host}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection.request(
            "GET" if body is None else "POST",
            path,
            None if body is None else json.dumps(body),
            headers,
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_health_tells_of_store_and_twin(live: Live) -> None:
    status, text = ask(live, "/health")
    assert status == 200
    assert json.loads(text)["store"]["state"] == "ok"


def test_series_come_as_json_and_as_csv_with_the_same_values(live: Live) -> None:
    where = f"/api/series/maize/twin/theta.%s?end_ms={START_MS + HOUR_MS}"
    status, text = ask(live, where % "json")
    found = json.loads(text)
    assert status == 200 and found["unit"] == "m3/m3" and len(found["value"]) == 5
    _, table = ask(live, where % "csv")
    head, *rows = csv.reader(io.StringIO(table))
    assert head == ["time_ms", "theta [m3/m3]"]
    assert [float(value) for _, value in rows] == found["value"]


def test_every_value_of_a_zone_comes_as_one_table(live: Live) -> None:
    span = f"start_ms={START_MS}&end_ms={START_MS + HOUR_MS}"
    status, text = ask(live, f"/api/export.csv?zone=maize&{span}")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert status == 200
    _, series = ask(live, f"/api/series/maize/twin/theta.json?{span}")
    twin = [r for r in rows if (r["kind"], r["signal"]) == ("twin", "theta")]
    assert [float(r["value"]) for r in twin] == json.loads(series)["value"]
    assert {r["node"] for r in rows} == {"maize"}
    assert ask(live, "/api/export.csv?zone=nowhere")[0] == 404


def test_every_path_of_the_openapi_file_answers(live: Live) -> None:
    values = {"{zone}": "maize", "{kind}": "raw", "{signal}": "theta"}
    for path, methods in openapi.document()["paths"].items():
        for key, value in values.items():
            path = path.replace(key, value)
        if "get" in methods:
            needed = [p for p in methods["get"]["parameters"] if p["required"]]
            path += "?zone=maize" if any(p["in"] == "query" for p in needed) else ""
            # which is there with `levada cloud` alone: tests/twin/continuum/test_continuum_page.py
            missing = path == "/api/continuum"
            assert ask(live, path)[0] == (404 if missing else 200), path
    status, text = ask(live, "/openapi.json")
    assert status == 200 and json.loads(text)["openapi"] == "3.1.0"


def test_the_openapi_file_is_that_of_the_program() -> None:
    current = (DOCS / "openapi.json").read_text(encoding="utf-8")
    assert current == openapi.text(), "run: python -m levada.twin.app.openapi > docs/openapi.json"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/series/maize/raw/nothing.json", 404),
        ("/api/series/maize/raw/theta.xml", 404),
        ("/api/series/maize/raw/theta.json?points=1", 400),
        ("/api/series/maize/raw/theta.json?start_ms=yesterday", 400),
        (f"/api/series/{quote(HOSTILE, safe='')}/raw/theta.json", 404),
        (f"/api/series/maize/raw/theta.json?start_ms={10**26}", 400),
        (f"/api/series/maize/raw/theta.json?end_ms={-(10**26)}", 400),
        (f"/api/events?after={10**23}", 400),
        ("/api/events?limit=5001", 400),
        ("/api/export.csv?zone=nowhere", 404),
        ("/api/nothing", 404),
        ("/api/zones/maize/calibration", 404),  # there is nothing to be read
    ],
)
def test_a_wrong_question_gets_a_clear_no(live: Live, path: str, status: int) -> None:
    found, text = ask(live, path)
    assert found == status
    assert json.loads(text)["error"]


def test_no_file_beside_the_assets_is_served(live: Live) -> None:
    assert ask(live, "/assets/../server.py")[0] == 404


def test_a_foreign_host_name_is_refused(live: Live) -> None:
    assert ask(live, "/health", host="evil.example")[0] == 403
    assert ask(live, "/health", host=f"localhost:{live.page.port}")[0] == 200


def test_a_calibration_needs_the_token(live: Live) -> None:
    path = "/api/zones/maize/calibration"
    before = dict(live.twin.view.zones[0].parameters)
    assert ask(live, path, body={"values": {"window": 5}}, token="wrong")[0] == 403
    assert dict(live.twin.view.zones[0].parameters) == before
    status, text = ask(live, path, body={"values": {"window": 5}}, token=live.page.token)
    assert (status, json.loads(text)) == (200, {"values": {"window": 5}})
    status, text = ask(live, path, body={"values": {"window": 99}}, token=live.page.token)
    assert status == 422 and "permitted 1 to 16" in text
    body = {"values": {"window": 7}, "seen": {"window": 3}}
    status, text = ask(live, path, body=body, token=live.page.token)
    assert status == 422 and "window is 5 by now, not 3" in text
    body = {"values": {"window": 7}, "seen": {"window": 5}}
    assert ask(live, path, body=body, token=live.page.token)[0] == 200
    body = {"values": {"on_pct": 30}, "dry_run_days": 1}
    status, text = ask(live, path, body=body, token=live.page.token)
    assert status == 200 and json.loads(text)["before"]["openings"] >= 0


@pytest.mark.parametrize(
    "wish",
    [
        *({"dry_run_days": days} for days in ("x", [1], 1e400, 0, -3, 0.5, True, 10**9)),
        *({"expires_s": s} for s in ("abc", float("nan"), 1e300, -5, 0, 10**12, True)),
        {"seen": ["window"]},
        {"values": [5]},
        {"values": None},
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_nothing_changes(
    live: Live, wish: dict[str, Any]
) -> None:
    before = dict(live.twin.view.zones[0].parameters)
    noted = len(live.store.reader.calibrations("maize"))
    status, text = ask(
        live,
        "/api/zones/maize/calibration",
        body={"values": {"window": 2}} | wish,
        token=live.page.token,
    )
    assert status == 400
    assert next(iter(wish)) in json.loads(text)["error"]
    assert dict(live.twin.view.zones[0].parameters) == before
    assert len(live.store.reader.calibrations("maize")) == noted


def test_a_pair_that_breaks_a_rule_of_the_guest_is_refused_with_it(live: Live) -> None:
    before = dict(live.twin.view.zones[0].parameters)
    values = {"on_pct": 90, "off_pct": 10}
    for more in ({}, {"dry_run_days": 1}):
        status, text = ask(
            live,
            "/api/zones/maize/calibration",
            body={"values": values} | more,
            token=live.page.token,
        )
        says = "on_pct = 90 and off_pct = 10: the guest asks for on_pct < off_pct unless 0"
        assert (status, json.loads(text)["error"]) == (422, says)
    assert dict(live.twin.view.zones[0].parameters) == before


@pytest.mark.parametrize("path", ["/api/zones/maize/calibration", "/_dash-update-component"])
@pytest.mark.parametrize("depth", [65, 900, 100_000])
def test_a_body_that_is_nested_too_deep_is_the_fault_of_who_sends_it(
    live: Live, path: str, depth: int
) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {live.page.token}"}
    with closing(HTTPConnection("127.0.0.1", live.page.port, timeout=60)) as connection:
        connection.request("POST", path, "[" * depth + "]" * depth, headers)
        assert connection.getresponse().status == 400


def test_a_name_that_is_no_text_is_kept_as_far_as_it_is(live: Live) -> None:
    body = {"values": {"window": 3}, "who": "A\ud800da\0"}
    path = "/api/zones/maize/calibration"
    assert ask(live, path, body=body, token=live.page.token)[0] == 200
    assert live.store.reader.calibrations("maize")[-1]["who"] == "A?da\N{REPLACEMENT CHARACTER}"


def test_a_store_that_cannot_be_read_is_said(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    monkeypatch.setattr(live.store.reader, "runs", broken)
    status, text = ask(live, "/api/runs")
    assert (status, json.loads(text)) == (503, {"error": "disk I/O error"})


def test_a_reader_that_never_reads_stalls_nobody(live: Live) -> None:
    """B6: the page stands still, the twin and its store do not."""
    with socket.create_connection(("127.0.0.1", live.page.port)) as slow:
        slow.sendall(b"GET /api/series HTTP/1.1\r\nHost: localhost\r\n")  # and no more
        before = live.twin.view.now_ms
        stored = live.store.health().stored
        while live.twin.view.now_ms <= before or live.store.health().stored <= stored:
            assert live.thread.is_alive()
        assert ask(live, "/health")[0] == 200


def test_a_page_is_there_before_the_twin_and_says_what_is_being_done(live: Live) -> None:
    with Page(port=0) as page:
        waiting = SimpleNamespace(page=page)
        page.tell("The <board> is built")
        for path in ("/", "/zone/maize"):
            status, text = ask(waiting, path)  # type: ignore[arg-type]
            assert status == 503
            assert "The &lt;board&gt; is built" in text and 'http-equiv="refresh"' in text
        assert ask(waiting, "/", host="evil.example")[0] == 403  # type: ignore[arg-type]
        page.show(live.twin)
        assert ask(waiting, "/health")[0] == 200  # type: ignore[arg-type]
        assert "_dash-" in ask(waiting, "/zone/maize")[1]  # type: ignore[arg-type]


def test_health_at_a_start_is_true_as_soon_as_rows_are_acknowledged(store: Store) -> None:
    parts = {"delivery": lambda: Part(ok=False, detail="not connected yet")}

    def health() -> tuple[int, bool, str, Any]:
        status, text = ask(SimpleNamespace(page=page), "/health")  # type: ignore[arg-type]
        found = json.loads(text)
        assert found["ok"] == (status == 200)
        assert ask(SimpleNamespace(page=page), "/health/own")[0] == status  # type: ignore[arg-type]
        twin = found["parts"]["twin"]
        assert twin["ok"]
        return status, found["store"]["ok"], found["store"]["state"], twin["detail"]

    with Page(port=0, parts=parts) as page:
        page.tell("The store is opened")
        assert health() == (503, False, "starting", "starts: The store is opened")
        page.watch(store)
        page.tell("Waiting for a first reading")
        assert health() == (503, True, "ok", "starts: Waiting for a first reading")
        parts["delivery"] = lambda: Part(ok=True)
        assert health() == (200, True, "ok", "starts: Waiting for a first reading")
        parts["virtual field"] = lambda: Part(ok=False, detail="it has ended")
        assert health()[0] == 503


def test_a_port_in_use_is_said(live: Live) -> None:
    with pytest.raises(PageError, match=str(live.page.port)):
        Page(live.twin, port=live.page.port)


def test_a_closed_page_leaves_no_port_open(tmp_path: Path) -> None:
    made = Live(tmp_path, speed=50_000.0)
    port = made.page.port
    made.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_chart_without_data_says_so_and_draws_no_axes(store: Store) -> None:
    whole = {"start_ms": None, "end_ms": None}
    chart, last_ms = figures.zone_chart(store.reader, "maize", **whole, band=0.01, step_s=600.0)
    assert last_ms is None
    profile = figures.profile(store.reader, "maize", [0.1, 0.2], None, probe_m=0.2)
    history = figures.history(store.reader, "maize", [("raw", "theta")], **whole)
    for figure in (chart, profile, history):
        assert figure["data"] == []
        assert len(figure["layout"]["annotations"]) == 1
        axes = [axis for name, axis in figure["layout"].items() if name[1:5] == "axis"]
        assert len(axes) >= 2
        assert not any(axis["visible"] for axis in axes)


def test_a_few_layers_are_drawn_from_edge_to_edge(store: Store) -> None:
    signals = {"theta@0.200": 0.14, "theta@0.950": 0.21}
    assert store.submit(Points(node="maize", time_ms=0, signals=signals))
    store.flush()
    figure = figures.profile(store.reader, "maize", [0.2, 0.95], None)
    (map_,) = figure["data"]
    assert map_["y"] == [0.0, 0.4, 1.5]
    assert map_["z"] == [[0.14], [0.21]]
    assert "14.0 % at 0.2 m, 21.0 % at 0.95 m" in describe(figure)


def test_colours_of_the_soil_turn_at_stress_and_at_field_capacity(store: Store) -> None:
    signals = {"theta@0.200": 0.10, "theta@0.950": 0.30}
    marks = {"theta_stress_root": 0.16, "theta_fc_root": 0.24}
    assert store.submit(Points(node="maize", time_ms=0, signals=signals | marks))
    store.flush()
    (map_,) = figures.profile(store.reader, "maize", [0.2, 0.95], None)["data"]
    assert [at for at, _ in map_["colorscale"]] == pytest.approx([0, 0.3, 0.7, 1])
    (narrow,) = figures.profile(store.reader, "maize", [0.2], None)["data"]
    assert (narrow["zmin"], narrow["zmax"]) == (0.10, 0.24)


def test_long_series_are_thinned_before_they_leave(tmp_path: Path) -> None:
    made = Live(tmp_path, speed=50_000.0)
    try:
        for k in range(5_000):
            point = Points(node="maize", time_ms=k * 1000, signals={"many": float(k % 100)})
            while not made.store.submit(point):
                made.store.flush()
        made.store.flush()
        status, text = ask(made, "/api/series/maize/twin/many.json?points=500")
    finally:
        made.close()
    found = json.loads(text)
    assert status == 200
    assert found["total"] == 5_000
    assert len(found["value"]) <= 510
    assert (min(found["value"]), max(found["value"])) == (0.0, 99.0)
