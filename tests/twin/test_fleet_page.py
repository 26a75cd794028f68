"""The page of a field of many zones: a map, a list, what has changed, and alerts that are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from accessibility import LOOKS, emulated, violations
from looking import Look, chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from small_field import fault, until
from test_app import Live

from levada.twin.app.fleet import Acknowledgements

ZONES = """
[[zone]]
name = "bean"
count = 14
soil.model = "bucket"
soil.texture = "sandy loam"
soil.initial.available_pct = 95
crop.name = "maize"
crop.planting = 2023-05-02
probe.depth_m = 0.2
valve.flow_l_min = 5.5
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Fifteen zones; one of them does not get the water that it asks for."""
    stuck = fault("valve-stuck-closed", "0 h", "10 d") + '\nzones = ["maize"]\n'
    made = Live(tmp_path_factory.mktemp("fleet"), extra=ZONES + stuck)
    try:
        until(lambda: any(zone.alerts for zone in made.twin.view.zones))
        yield made
    finally:
        made.close()


def ask(live: Live, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    with closing(HTTPConnection("127.0.0.1", live.page.port, timeout=60)) as connection:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_all_zones_come_once_then_only_what_has_changed(live: Live) -> None:
    _, whole = ask(live, "/api/fleet")
    assert {zone["name"] for zone in whole["zones"]} == set(live.twin.names)
    since = f"/api/fleet?run={whole['run']}&since="
    _, later = ask(live, f"{since}{whole['number']}")
    again = {zone["name"]: zone for zone in whole["zones"]}
    assert all(again[zone["name"]] != zone for zone in later["zones"])
    _, none = ask(live, f"{since}{10**9}")
    assert none["zones"] == []
    _, other = ask(live, "/api/fleet?run=of-yesterday&since=5000")
    assert len(other["zones"]) == len(whole["zones"])


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "9" * 16, ""])
def test_a_wrong_number_is_refused(live: Live, since: str) -> None:
    status, said = ask(live, f"/api/fleet?since={since}")
    assert status == 400 and "since" in said["error"]


def test_an_alert_is_acknowledged_by_name_and_remembered(live: Live) -> None:
    path = "/api/zones/maize/acknowledgement"
    (alert, *_) = next(z for z in live.twin.view.zones if z.name == "maize").alerts
    known = {"alert": alert.kind, "who": "Ada"}
    assert ask(live, path, known)[0] == 403
    for wrong in ({}, [], {"alert": alert.kind}, known | {"who": " "}, known | {"who": 5}):
        assert ask(live, path, wrong, live.page.token)[0] == 400
    assert ask(live, path, known | {"alert": "nothing"}, live.page.token)[0] == 404
    assert ask(live, "/api/zones/none/acknowledgement", known, live.page.token)[0] == 404
    assert ask(live, path, known, live.page.token)[0] == 200
    _, whole = ask(live, "/api/fleet")
    maize = next(zone for zone in whole["zones"] if zone["name"] == "maize")
    assert [a["who"] for a in maize["alerts"] if a["kind"] == alert.kind] == ["Ada"]
    live.store.flush()
    assert Acknowledgements(live.twin).who("maize", alert) == "Ada"  # after a restart, too
    (event,) = live.store.reader.events(kind="acknowledged")
    assert event["text"].startswith("Ada has acknowledged: ")


@pytest.mark.slow
def test_a_person_finds_the_alert_first_and_searches_sorts_and_filters(
    live: Live, tmp_path: Path
) -> None:
    with chrome() as browser:
        look = Look(browser, live.page.url, tmp_path)
        browser.get(live.page.link)
        look.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, "#fleet-list > li")) == 15)
        assert look.find("#fleet-list > li .name").text == "maize"
        assert len(browser.find_elements(By.CSS_SELECTOR, "#fleet-map i")) == 15
        look.type(look.find("#fleet-search"), "bean-003")
        look.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, "#fleet-list > li")) == 1)
        look.find("#fleet-search").send_keys(Keys.BACKSPACE * 8)
        Select(look.find("#fleet-order")).select_by_visible_text("name")
        look.until(lambda _: look.find("#fleet-list > li .name").text.startswith("bean"))
        Select(look.find("#fleet-filter")).select_by_visible_text("alerts")
        look.text("#fleet-said", "1 of 15 zones, 1 with alerts")
        with emulated(browser, *LOOKS[0]):
            assert violations(browser) == []
        look.find("#fleet-list .card")
        assert look.complaints() == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_page_is_for_everyone(live: Live, tmp_path: Path, width: int, scheme: str) -> None:
    with chrome() as browser, emulated(browser, width, scheme):
        browser.get(live.page.link)
        look = Look(browser, live.page.url, tmp_path)
        look.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, "#fleet-list > li")) == 15)
        look.shoot("fleet")
        assert violations(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
