"""The report, of synthetic runs (`report_fixture`)."""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import report_fixture
from accessibility import LOOKS, emulated, violations
from looking import chrome
from report_fixture import make_run
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from levada.sim.results.report import write
from levada.sim.results.report_data import read_season
from levada.sim.run.rundir import RunDirError
from levada.sim.run.runner import run_scenario
from levada.sim.scenario.load import load
from levada.testing import small_field

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'{{7*7}}"


class Page(HTMLParser):
    """Elements of a page, and the text in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: dict[str, str] = {}
        self.style = ""
        self._inside = ("", "")
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._inside = (tag, attributes.get("id") or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ("", "")

    def handle_data(self, data: str) -> None:
        tag, name = self._inside
        if tag == "script":
            self.scripts[name] = self.scripts.get(name, "") + data
        elif tag == "style":
            self.style += data
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        """All text, spaces made one."""
        return " ".join(" ".join(self.text).split())

    @property
    def data(self) -> Any:
        """The data block."""
        return json.loads(gzip.decompress(base64.b64decode(self.scripts["data"])))


def page_of(run: Path) -> Page:
    return Page(write(run).read_text("utf-8"))


def summary_of(run: Path) -> Any:
    return json.loads((run / "summary.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), days=40, step_s=1800)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("fleet"), zones=100, days=14, step_s=1800)


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return page_of(run)


def test_the_page_asks_for_nothing_from_elsewhere(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not {"src", "href", "srcset", "action", "background"} & set(attributes)
    assert not re.search(r"@import|url\(|https?:", page.style)
    program = page.scripts[""]
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|import\(|sendBeacon", program)
    # the name of SVG's language is the only address there is
    assert set(re.findall(r"https?://[^\"' ]+", program)) == {"http://www.w3.org/2000/svg"}


def test_the_pages_policy_forbids_every_request(page: Page) -> None:
    (policy,) = (
        attributes["content"] or ""
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    assert not re.search(r"https?:|\*", policy)


def test_every_expectation_is_shown_with_tick_or_cross(run: Path, page: Page) -> None:
    for expectation in summary_of(run)["expectations"]:
        mark = "✓" if expectation["passed"] else "✗"
        said = "passed" if expectation["passed"] else "failed"
        expected = f"{mark} {expectation['name']} {said} {expectation['detail']}"
        assert expected in page.words
    assert "3 of 4 expectations passed" in page.words


def test_an_expectation_with_a_time_leads_to_it(run: Path, page: Page) -> None:
    times = [e["time_ms"] for e in summary_of(run)["expectations"] if e["time_ms"] is not None]
    assert times
    assert times == [int(a["data-time"] or 0) for tag, a in page.tags if "data-time" in a]


def test_hostile_names_are_text_everywhere(tmp_path: Path) -> None:
    faults = [
        {"kind": "probe_stuck", "zones": [0], "day": 0.5, "days": 1.0, "label": HOSTILE},
    ]
    page = page_of(
        make_run(
            tmp_path,
            days=4,
            name=HOSTILE,
            zone_name=HOSTILE,
            faults=faults,
            link={HOSTILE: HOSTILE},
        )
    )
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 3
    assert page.data["zones"][0]["name"] == HOSTILE
    assert page.data["faults"][0]["label"] == HOSTILE
    assert page.words.count(HOSTILE) >= 4  # title, heading, scenario, link


def test_the_balance_table_sums_to_the_rain_and_irrigation(run: Path) -> None:
    text = write(run).read_text("utf-8")
    (body,) = re.findall(r'<tbody data-zone="0">(.*?)</tbody>', text, re.S)
    rows = [
        (name, float(value))
        for name, value in re.findall(r'<th>(.*?)</th><td data-value="(.*?)">', body)
    ]
    values = dict(rows)
    zone = summary_of(run)["zones"][0]
    assert values["Rain"] == zone["rain_mm"]
    assert values["Irrigation"] == zone["irrigation_mm"]
    came_in = [name for name, _ in rows].index("Came in")
    went = sum(value for _, value in rows[came_in + 1 : -1])
    assert math.isclose(values["Came in"], zone["rain_mm"] + zone["irrigation_mm"], abs_tol=1e-9)
    assert math.isclose(went, values["Came in"], abs_tol=1e-9)
    assert math.isclose(values["Accounted for"], went, abs_tol=1e-9)


def test_the_mean_of_the_zones_is_weighted_by_their_areas(tmp_path: Path) -> None:
    path = make_run(tmp_path, zones=2, days=3)
    scenario = (path / "scenario.toml").read_text("utf-8")
    head, table = scenario.split("[[zone]]")
    one = "[[zone]]" + table.replace("count = 2", "count = 1")
    tables = one + one.replace("area_m2 = 100.0", "area_m2 = 300.0")
    (path / "scenario.toml").write_text(head + tables, encoding="utf-8")
    a, b = (zone["irrigation_mm"] for zone in summary_of(path)["zones"])
    assert math.isclose(read_season(path).mean["irrigation_mm"], (a + 3 * b) / 4)


def test_energy_is_a_range_and_says_that_it_was_not_measured(run: Path, page: Page) -> None:
    energy = summary_of(run)["energy"]
    assert energy["nominal_j"] < 10_000  # else it is given in kJ
    low, high = (f"{energy[key]:,.0f}".replace(",", " ") for key in ("low_j", "high_j"))
    assert f"{low} to {high} J" in page.words
    assert "model, not measured" in page.words


def test_decisions_are_exact_and_have_their_sentences(page: Page) -> None:
    decisions = page.data["decisions"]
    assert decisions["time_ms"]
    opened = [i for i, why in enumerate(decisions["why"]) if why == 1]
    assert opened
    for i in opened:
        text = decisions["texts"][decisions["text"][i]]
        assert f"{decisions['pct'][i]} %, is below" in text
        assert f"{decisions['on'][i]} %." in text


def test_every_opening_is_listed_with_its_water(run: Path, page: Page) -> None:
    zone = page.data["zones"][0]
    assert len(zone["openings"]) == summary_of(run)["zones"][0]["valve_openings"]
    water = sum(mm for _, _, mm in zone["openings"])
    assert math.isclose(
        water, summary_of(run)["irrigation_mm"], abs_tol=0.01 * len(zone["openings"])
    )


def test_daily_sums_give_the_season(run: Path, page: Page) -> None:
    summary, data = summary_of(run), page.data
    assert len(data["days"]) == summary["days"]
    for key in ("rain", "irrigation", "transpiration"):
        total = sum(data["zones"][0]["daily"][key])
        assert math.isclose(total, summary[f"{key}_mm"], abs_tol=0.005 * len(data["days"]))


def test_thinned_series_keep_their_extremes(tmp_path: Path) -> None:
    path = make_run(tmp_path, days=120, step_s=600, profile=False)
    trace = pq.read_table(path / "trace.parquet", columns=["theta_root", "counts"])
    zone = page_of(path).data["zones"][0]
    assert len(zone["theta"]["v"]) < len(trace) / 2
    theta = 100 * trace["theta_root"].to_numpy().astype(float)
    assert zone["theta"]["v"] and max(zone["theta"]["v"]) == round(theta.max(), 2)
    assert min(zone["theta"]["v"]) == round(theta.min(), 2)
    assert max(zone["counts"]["v"]) == trace["counts"].to_numpy().max()


def test_the_profile_is_shown_by_depth_and_time(run: Path, page: Page) -> None:
    stored = pq.read_table(run / "profile.parquet")
    profile = page.data["profiles"]["0"]
    assert profile["depth"] == sorted(profile["depth"])
    assert np.shape(profile["z"]) == (len(profile["depth"]), len(profile["t"]))
    first = stored["theta"].to_numpy()[: len(profile["depth"])]
    assert [row[0] for row in profile["z"]] == pytest.approx(100 * first, abs=0.051)
    assert page.data["zones"][0]["probe_m"] == 0.2
    assert "Water in the soil, by depth" in page.words


def test_a_run_without_profile_has_no_empty_section(tmp_path: Path) -> None:
    words = page_of(make_run(tmp_path, days=3, profile=False)).words
    assert "Water in the soil, by depth" not in words


def test_a_partial_run_says_so_first(tmp_path: Path, page: Page) -> None:
    words = page_of(make_run(tmp_path, days=5, partial=True)).words
    assert "Partial run. It was interrupted after 3.0 days" in words
    assert words.index("Partial run.") < words.index("Interrupted: nothing was judged")
    assert "Partial run." not in page.words


def test_a_partial_run_claims_no_judgement(tmp_path: Path) -> None:
    run = make_run(tmp_path, days=5, partial=True)
    words = page_of(run).words
    assert "what was expected of the whole period was not judged" in words
    assert "were judged" not in words
    assert "passed" not in words
    assert words.count("not judged: the run was interrupted") == 4
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    stopped = {"traps": 1, "trap": "guest stopped in step: unreachable", "trap_ms": None}
    summary["zones"][0] |= stopped
    summary |= {"traps": 1}
    summary["expectations"].append(
        {"name": "No guest is stopped", "passed": False, "detail": "", "time_ms": None}
        | {"zone": None}
    )
    (run / "summary.json").write_text(json.dumps(summary), "utf-8")
    words = page_of(run).words
    assert "The guest was stopped." in words
    assert "No guest is stopped: failed; all else was not judged" in words


def test_the_link_is_shown_if_there_was_one(tmp_path: Path, page: Page) -> None:
    link = {"round_trip_ms": {"p50": 3.25, "p99": 9.5}, "crc_errors": 2, "void": False}
    words = page_of(make_run(tmp_path, days=3, link=link)).words
    assert "Round trip [ms] p50 3.25, p99 9.5" in words
    assert "Frames with a wrong checksum 2" in words
    assert "Link to the device" not in page.words


def test_where_a_run_came_from_is_on_the_page(run: Path, page: Page) -> None:
    summary = summary_of(run)
    for key in ("guest_sha256", "tape_digest", "trace_digest"):
        assert summary[key] in page.words
    assert "wasmtime 50.0.1" in page.words
    assert "levada compare" in page.words


def test_equal_runs_have_equal_reports(run: Path) -> None:
    assert write(run).read_bytes() == write(run).read_bytes()


def test_a_fleet_of_a_hundred_zones_stays_small_and_complete(fleet: Path) -> None:
    size = write(fleet).stat().st_size
    assert size < 8_000_000
    data = page_of(fleet).data
    assert len(data["zones"]) == len(data["shown"]) == 100
    assert all("theta" in zone for zone in data["zones"])
    assert np.shape(data["fleet"]["available"]) == (100, 14)
    assert set(data["decisions"]["zone"]) == set(range(100))
    bands = np.array(data["fleet"]["bands"])
    assert (np.diff(bands, axis=0) >= 0).all()


def test_the_zone_with_its_own_fault_is_looked_at_first(fleet: Path) -> None:
    assert page_of(fleet).data["shown"][0] == 0


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="lacks"):
        write(tmp_path)


@pytest.fixture(scope="module")
def chromium() -> str:
    program = shutil.which("chromium")
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("chromium is missing; `python tests/tools.py` installs it")
    if program is None:
        pytest.skip("needs chromium")
    return program


def dom_of(chromium: str, page: Path, profile: Path, *, size: str) -> tuple[str, str]:
    """The page as it is after its program ran, and what the browser logged."""
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            f"--window-size={size}",
            "--virtual-time-budget=30000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(("many", "size"), [(False, "1280,900"), (True, "400,800")])
def test_a_browser_draws_the_page_without_an_error(
    chromium: str, run: Path, fleet: Path, tmp_path: Path, many: bool, size: str
) -> None:
    report = write(fleet if many else run)
    dom, log = dom_of(chromium, report, tmp_path, size=size)
    assert 'data-ready="yes"' in dom
    assert "data-error" not in dom
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []
    drawn = re.findall(r'<div class="chart js-plotly-plot" id="(\w+)"', dom)
    own = ["main", "heat", "waterfall", "energy"]
    for form in ("PNG", "SVG", "CSV"):
        assert dom.count(f'aria-label="Save as {form}: ') == len(drawn)
    assert sorted(drawn) == sorted(own + (["carpet", "bands", "scatter"] if many else []))
    assert "is below the opening threshold of" in dom


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_the_page_is_for_everyone(chromium: str, run: Path, fleet: Path, look: Any) -> None:
    """WCAG 2.2 AA and good practice, by axe-core."""
    with chrome() as browser, emulated(browser, *look):
        for path in (run, fleet):
            browser.get(write(path).as_uri())
            WebDriverWait(browser, 60).until(
                lambda b: b.find_elements(By.CSS_SELECTOR, "[data-ready=yes]")
            )
            assert violations(browser) == []


@pytest.mark.parametrize(("on", "off"), [(90, 100), (0, 1)])
def test_the_thresholds_of_a_decision_are_written_within_their_gauge(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: int, off: int
) -> None:
    monkeypatch.setattr(report_fixture, "ON", on)
    monkeypatch.setattr(report_fixture, "OFF", off)
    report = write(make_run(tmp_path / "run", days=4, step_s=1800))
    dom, _ = dom_of(chromium, report, tmp_path, size="1280,900")
    [gauge] = re.findall(r'<svg class="gauge" viewBox="0 0 270 46".*?</svg>', dom, re.DOTALL)
    texts = re.findall(r'<text x="([\d.]+)" y="40" text-anchor="(\w+)".*?>(.+?)</text>', gauge)
    em = 10.5  # letters of a plain sans serif take 0.6 em at most
    ends = []
    for x, anchor, text in texts:
        width = 0.6 * em * len(html.unescape(text))
        left = float(x) - (width if anchor == "end" else 0)
        ends += [left, left + width]
    assert len(ends) == 4
    assert ends == sorted(ends)
    assert ends[0] >= 0
    assert ends[-1] <= 270


@pytest.mark.parametrize("rows", [0, 1])
def test_a_run_interrupted_at_once_has_a_report_too(
    chromium: str, tmp_path: Path, rows: int
) -> None:
    path = make_run(tmp_path / "run", days=2, partial=True, profile=False)
    trace = pq.read_table(path / "trace.parquet").slice(0, rows)
    pq.write_table(trace, path / "trace.parquet")
    dom, log = dom_of(chromium, write(path), tmp_path / "profile", size="1280,900")
    assert 'data-ready="yes"' in dom
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []
    assert "Partial run" in dom


def test_stress_by_drought_and_by_want_of_air_are_told_apart(tmp_path: Path) -> None:
    """A drowned field: the sentence, the tile, and the suctions that count, those of maize."""
    path = tmp_path / "drowned.toml"
    soil = 'initial.water_table_m = 0\nbottom = "head"\nbottom_head_m = 2\n'
    body = small_field(model="richards").replace("initial.available_pct = 60\n", soil)
    path.write_text(body, encoding="utf-8")
    run_scenario(load(path), tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "short of water on no day and, in soil too wet, short of air on 2 days" in page
    assert "0 too dry, 2 too wet" in page
    assert (
        "maize: too wet above \u22120.3 m, no uptake above \u22120.15 m; too dry below "
        "\u22123.25 m on a day of high demand" in page
    )
    assert "theta_s 0.387, theta_r 0.039" in page  # sandy loam of Rosetta
